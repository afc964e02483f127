"""linear_cross_entropy against the composition that forms all logits, and how much memory it takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tritloom as tl
from tests.dsl.nn.compositions import cross_entropy
from tests.support import device_named

nn = tl.nn


def _problem(rows: int, vocab: int, size: int, ignored: float = 0.3) -> list[np.ndarray]:
    random = np.random.default_rng(rows * vocab)
    labels = random.integers(0, vocab, rows).astype(np.int32)
    labels[random.random(rows) < ignored] = -100
    h, w = random.normal(size=(rows, size)), random.normal(size=(vocab, size))
    return [h.astype(np.float32), w.astype(np.float32), labels]


def _check(backend: str, problem: list[np.ndarray]) -> None:
    found = tl.jit(tl.value_and_grad(nn.linear_cross_entropy, (0, 1)))
    expected = tl.jit(tl.value_and_grad(cross_entropy, (0, 1)))
    ours = found(*(tl.array(one, device_named(backend)) for one in problem))
    theirs = expected(*(tl.array(one, device_named("reference")) for one in problem))
    for one, other in zip(tl.tree_leaves(ours), tl.tree_leaves(theirs), strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize(("rows", "vocab", "size"), [(1, 1, 1), (7, 100, 12), (33, 517, 20)])
def test_loss_and_gradients(backend_name: str, rows: int, vocab: int, size: int) -> None:
    _check(backend_name, _problem(rows, vocab, size))


@given(rows=st.integers(1, 9), vocab=st.integers(1, 200), size=st.integers(1, 9))
def test_any_shape(rows: int, vocab: int, size: int) -> None:
    _check("reference", _problem(rows, vocab, size))


def test_no_valid_label_is_a_loss_of_zero() -> None:
    h, w, labels = (tl.array(one, device_named("reference")) for one in _problem(4, 30, 5, ignored=1.1))
    loss, dh = tl.value_and_grad(nn.linear_cross_entropy)(h, w, labels)
    assert loss.item() == 0
    np.testing.assert_array_equal(dh.numpy(), np.zeros((4, 5)))


def test_another_label_may_be_the_ignored_one() -> None:
    h, w, labels = _problem(6, 20, 3, ignored=0)
    hidden, weight, ids = (tl.array(one, device_named("reference")) for one in (h, w, labels))
    found = nn.linear_cross_entropy(hidden, weight, ids, ignore=labels[0])
    logits = h.astype("f8") @ w.T
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(6), labels]
    np.testing.assert_allclose(found.item(), losses[labels != labels[0]].mean(), rtol=1e-5)


@pytest.mark.parametrize("dtype", [tl.bf16, tl.f16])
def test_narrow_weights(dtype: Any) -> None:
    h, w, labels = (tl.array(one, device_named("reference")) for one in _problem(8, 50, 16))
    loss, (dh, dw) = tl.value_and_grad(nn.linear_cross_entropy, (0, 1))(h, w.cast(dtype), labels)
    exact, (eh, ew) = tl.value_and_grad(cross_entropy, (0, 1))(h, w, labels)
    assert dw.dtype is dtype
    np.testing.assert_allclose(loss.item(), exact.item(), rtol=2e-2)
    np.testing.assert_allclose(dh.numpy(), eh.numpy(), atol=3e-2)
    np.testing.assert_allclose(dw.numpy().astype(np.float32), ew.numpy(), atol=3e-2)


def test_narrow_products(backend_name: str) -> None:
    problem = _problem(8, 50, 16)

    def narrow(h: Any, w: Any, labels: Any) -> Any:
        return nn.linear_cross_entropy(h, w, labels, precision="bf16")

    function = tl.jit(tl.value_and_grad(narrow, (0, 1)))
    found = function(*(tl.array(one, device_named(backend_name)) for one in problem))
    exact = tl.value_and_grad(cross_entropy, (0, 1))(
        *(tl.array(one, device_named("reference")) for one in problem)
    )
    for one, other in zip(tl.tree_leaves(found), tl.tree_leaves(exact), strict=True):
        assert one.dtype is tl.f32
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=2e-2, atol=2e-2)


@pytest.mark.device("cpu")
def test_the_logits_never_stand_in_memory() -> None:
    """With 64 rows and 8192 words, logits are 2 MiB; the program's arena stays well below."""
    problem = [tl.array(one, device_named("cpu")) for one in _problem(64, 8192, 16)]
    function = tl.jit(tl.value_and_grad(nn.linear_cross_entropy))
    shown = function.explanation(*problem)
    assert "KiB" in shown.rpartition("arena ")[2], shown.splitlines()[-1]


def test_mistakes() -> None:
    h, w, labels = (tl.array(one, device_named("reference")) for one in _problem(4, 30, 5))
    with pytest.raises(tl.DTypeError, match="labels of f32"):
        nn.linear_cross_entropy(h, w, h[:, 0])
    with pytest.raises(tl.DTypeError, match="precision='f8'"):
        nn.linear_cross_entropy(h, w, labels, precision="f8")
    with pytest.raises(tl.ShapeError, match=r"labels \[3\]"):
        nn.linear_cross_entropy(h, w, labels[:3])
