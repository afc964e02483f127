"""Causal attention and its gradients against the composition that forms all scores; caches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tritloom as tl
from tests.dsl.nn.compositions import causal_attention
from tests.support import device_named
from tritloom.codegen.targets import target
from tritloom.dsl.nn.attention import attention

nn = tl.nn


def _normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _check(backend: str, batch: int, tokens: int, groups: int, each: int, size: int) -> None:
    arrays = [
        _normal(0, batch, tokens, groups * each, size),
        _normal(1, batch, tokens, groups, size),
        _normal(2, batch, tokens, groups, size),
        _normal(3, batch, tokens, groups * each, size),
    ]

    def loss(function: Any) -> Any:
        return tl.jit(tl.value_and_grad(lambda q, k, v, w: (function(q, k, v) * w).sum(), (0, 1, 2)))

    found = loss(nn.causal_attention)(*(tl.array(one, device_named(backend)) for one in arrays))
    expected = loss(causal_attention)(*(tl.array(one, device_named("reference")) for one in arrays))
    for one, other in zip(tl.tree_leaves(found), tl.tree_leaves(expected), strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=2e-4, atol=5e-5)


@pytest.mark.parametrize(
    ("batch", "tokens", "groups", "each", "size"),
    [(1, 1, 1, 1, 2), (2, 19, 2, 2, 6), (1, 33, 1, 3, 16), (1, 40, 2, 1, 100)],
)
def test_values_and_gradients(
    backend_name: str, batch: int, tokens: int, groups: int, each: int, size: int
) -> None:
    _check(backend_name, batch, tokens, groups, each, size)


@settings(max_examples=10)
@given(
    batch=st.integers(1, 2),
    tokens=st.integers(1, 40),
    groups=st.integers(1, 2),
    each=st.integers(1, 3),
    size=st.sampled_from([1, 2, 5, 8]),
)
def test_any_shape(batch: int, tokens: int, groups: int, each: int, size: int) -> None:
    _check("reference", batch, tokens, groups, each, size)


def test_large_scores_do_not_overflow(backend_name: str) -> None:
    q = tl.array(_normal(0, 1, 9, 1, 4) * 1000, device_named(backend_name))
    out = nn.causal_attention(q, q, q).numpy()
    assert np.isfinite(out).all()
    np.testing.assert_allclose(out[0, 0], q.numpy()[0, 0], rtol=1e-6)


def test_a_cache_gives_what_the_whole_gives(backend_name: str) -> None:
    """Tokens appended in pieces of 5, 1 and 3 to a cache of 16, of which the rest holds other numbers."""
    device = device_named(backend_name)
    q, k, v = _normal(0, 2, 9, 4, 6), _normal(1, 2, 9, 2, 6), _normal(2, 2, 9, 2, 6)
    whole = [tl.array(one, device_named("reference")) for one in (q, k, v)]
    expected = causal_attention(whole[0], whole[1], whole[2]).numpy()
    empty = np.full((2, 16, 2, 6), 7.0, np.float32)
    caches = [tl.array(empty, device), tl.array(empty, device)]

    def append_and_attend(caches: Any, q: Any, k: Any, v: Any, offset: Any) -> Any:
        caches = [nn.append_rows(caches[0], k, offset), nn.append_rows(caches[1], v, offset)]
        return caches, nn.causal_attention(q, caches[0], caches[1], offset=offset)

    step = tl.jit(append_and_attend, donate=0)

    at = 0
    for count in (5, 1, 3):
        rows = slice(at, at + count)
        pieces = (tl.array(np.ascontiguousarray(one[:, rows]), device) for one in (q, k, v))
        caches, out = step(caches, *pieces, tl.array(np.array([at], np.int32), device))
        np.testing.assert_allclose(out.numpy(), expected[:, rows], rtol=1e-4, atol=1e-5)
        at += count
    np.testing.assert_array_equal(caches[0].numpy()[:, :9], k)
    np.testing.assert_array_equal(caches[0].numpy()[:, 9:], empty[:, 9:])


def test_appending_past_the_end_is_found() -> None:
    device = device_named("reference")
    cache, rows = (
        tl.array(np.zeros((1, 4, 2), np.float32), device),
        tl.array(np.ones((1, 2, 2), np.float32), device),
    )
    with pytest.raises(tl.BoundsError):
        nn.append_rows(cache, rows, tl.array(np.array([3], np.int32), device)).numpy()
    with pytest.raises(tl.ShapeError, match="append_rows"):
        nn.append_rows(cache, rows[:, :, :1], tl.array(np.array([0], np.int32), device))


@pytest.mark.parametrize(
    ("q", "k", "offset", "message"),
    [
        ((1, 4, 2, 8), (1, 5, 2, 8), None, "causal_attention of q"),
        ((1, 4, 3, 8), (1, 4, 2, 8), None, "causal_attention of q"),
        ((1, 4, 2, 8), (1, 4, 2, 4), None, "causal_attention of q"),
        ((4, 2, 8), (4, 2, 8), None, "causal_attention of q"),
        ((1, 6, 2, 8), (1, 4, 2, 8), [0], "causal_attention of q"),
        ((1, 4, 2, 8), (1, 4, 2, 8), [0, 1], "the offset of causal_attention"),
    ],
)
def test_shapes_that_do_not_fit(q: Any, k: Any, offset: Any, message: str) -> None:
    device = device_named("reference")
    keys = tl.array(np.zeros(k, np.float32), device)
    start = None if offset is None else tl.array(np.array(offset, np.int32), device)
    with pytest.raises(tl.ShapeError, match=message):
        nn.causal_attention(tl.array(np.zeros(q, np.float32), device), keys, keys, offset=start)


@pytest.mark.parametrize(
    ("name", "head", "queries", "keys"),
    [
        ("cpu:avx2", 128, 16, 32),
        ("nvidia-hopper", 128, 16, 32),  # room for wide heads
        ("adreno-830", 64, 16, 32),
        ("adreno-830", 128, 8, 32),  # 32 KiB of shared memory
        ("dg2", 64, 8, 16),  # 64 registers
        ("mali-g610", 128, 2, 8),
    ],
)
def test_blocks_suit_the_target(name: str, head: int, queries: int, keys: int) -> None:
    sizes = {"B": 1, "T": 128, "H": 4, "D": head, "S": 128, "G": 1}
    assert attention.default(sizes, target(name)) == {"BT": queries, "BS": keys}
    assert attention.default(sizes | {"T": 1}, target(name))["BT"] == 1
