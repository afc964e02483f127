"""The smaller functions of tl.nn against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tritloom as tl
from tests.dsl.nn.compositions import rotate
from tests.support import device_named

nn = tl.nn


def _normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _tensor(value: Any, backend: str = "reference") -> tl.Tensor:
    return tl.array(value, device_named(backend))


@pytest.mark.parametrize("size", [1, 17, 100])
def test_rms_norm(backend_name: str, size: int) -> None:
    x, gain = _normal(0, 3, 2, size), _normal(1, size)
    found = nn.rms_norm(_tensor(x, backend_name), _tensor(gain, backend_name), 1e-3).numpy()
    expected = x / np.sqrt((x.astype("f8") ** 2).mean(-1, keepdims=True) + 1e-3) * gain
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_rms_norm_of_bf16_is_computed_in_f32() -> None:
    x = _tensor(np.full((1, 4096), 3, np.float32)).cast(tl.bf16)
    found = nn.rms_norm(x, tl.ones((4096,)))
    assert found.dtype is tl.bf16
    assert np.all(found.numpy() == 1)


def test_rope(backend_name: str) -> None:
    x, angles = _normal(0, 2, 5, 3, 8), _normal(1, 5, 4)
    cos, sin = (np.concatenate([f(angles)] * 2, 1) for f in (np.cos, np.sin))
    found = nn.rope(*(_tensor(one, backend_name) for one in (x, cos, sin))).numpy()
    np.testing.assert_allclose(found, rotate(x, cos, sin), rtol=1e-5, atol=1e-6)
    with pytest.raises(tl.ShapeError, match="rope of"):
        nn.rope(_tensor(x), _tensor(cos), _tensor(sin[1:]))


def test_the_gradient_of_rope_turns_back() -> None:
    x, angles = _normal(0, 1, 5, 2, 6), _normal(1, 5, 3)
    cos, sin = (np.concatenate([f(angles)] * 2, 1) for f in (np.cos, np.sin))
    upstream = _normal(2, *x.shape)
    dx = tl.grad(lambda x: (nn.rope(x, _tensor(cos), _tensor(sin)) * _tensor(upstream)).sum())(_tensor(x))
    np.testing.assert_allclose(dx.numpy(), rotate(upstream, cos, -sin), rtol=1e-5, atol=1e-6)


def test_activations(backend_name: str) -> None:
    x = np.array([-3, -0.5, 0, 0.5, 3, 80, -80], np.float32)
    t = _tensor(x, backend_name)
    np.testing.assert_allclose(nn.silu(t).numpy(), x / (1 + np.exp(-x.astype("f8"))), rtol=1e-5, atol=1e-30)
    np.testing.assert_array_equal(nn.relu(t).numpy(), np.maximum(x, 0))
    np.testing.assert_array_equal(nn.relu2(t).numpy(), np.maximum(x, 0) ** 2)
    slope = tl.jit(tl.grad(lambda t: nn.relu2(t).sum()))(t).numpy()
    np.testing.assert_array_equal(slope, 2 * np.maximum(x, 0))
    assert tl.grad(lambda t: nn.relu(t).sum())(_tensor(np.zeros(1, np.float32))).numpy() == 0


def test_embedding_and_its_gradient(backend_name: str) -> None:
    table, ids = _normal(0, 6, 3), np.array([[5, 0], [5, 2]], np.int32)
    upstream = _normal(1, 2, 2, 3)

    def loss(table: Any, ids: Any, upstream: Any) -> Any:
        rows = nn.embedding(table, ids)
        return (rows * upstream).sum(), rows

    arguments = [_tensor(one, backend_name) for one in (table, ids, upstream)]
    (_, rows), gradient = tl.jit(tl.value_and_grad(loss, has_aux=True))(*arguments)
    np.testing.assert_array_equal(rows.numpy(), table[ids])
    expected = np.zeros_like(table)
    np.add.at(expected, ids, upstream)
    np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adamw(backend_name: str, decay: float) -> None:
    """Ten steps against the algorithm in double precision."""
    parameter = _normal(0, 5, 3)
    exact, m, v = parameter.astype("f8"), np.zeros(()), np.zeros(())
    state = [_tensor(one, backend_name) for one in (parameter, parameter * 0, parameter * 0)]
    update = tl.jit(
        lambda s, g, step: nn.adamw_update(s[0], g, s[1], s[2], step, 1e-2, weight_decay=decay), donate=0
    )
    for step in range(1, 11):
        gradient = _normal(step, 5, 3)
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient.astype("f8") ** 2
        change = (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        exact = exact - 1e-2 * (change + decay * exact)
        state = list(update(state, _tensor(gradient, backend_name), _tensor(np.float32(step), backend_name)))
    np.testing.assert_allclose(state[0].numpy(), exact, rtol=1e-5, atol=1e-6)
