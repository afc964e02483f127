"""Quantisation and linear layers: values against NumPy, gradients against their straight-through definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tritloom as tl
from tests.dsl.nn.compositions import quantise
from tests.support import device_named

nn = tl.nn


def _normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _ternary(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1, 2, shape).astype(np.int8)


def test_quantisation_by_token(backend_name: str) -> None:
    x = _normal(0, 3, 5, 70)
    x[0, 0] = 0
    x[0, 1] = 1e-7
    x[1, 2, :4] = [127, 0.5, 1.5, -2.5]  # with a scale of 1: halves, to the even number
    x[1, 2, 4:] = 0
    q, scale = nn.quantise_activations(tl.array(x, device_named(backend_name)))
    expected_q, expected_scale = quantise(x)
    np.testing.assert_array_equal(scale.numpy(), expected_scale)
    np.testing.assert_array_equal(q.numpy(), expected_q)
    assert q.numpy()[1, 2, :4].tolist() == [127, 0, 2, -2]


@given(seed=st.integers(0, 1000), shape=st.tuples(st.integers(1, 9), st.integers(1, 40)))
def test_ternarise(seed: int, shape: tuple[int, int]) -> None:
    master = _normal(seed, *shape)
    weight, scale = nn.ternarise(tl.array(master, device_named("reference")))
    expected = np.maximum(np.abs(master).mean(dtype=np.float32), np.float32(1e-5))
    np.testing.assert_allclose(scale.numpy(), [expected], rtol=1e-6)
    near_tie = np.abs(np.abs(master / expected) - 0.5) < 1e-5
    difference = weight.numpy() != np.clip(np.rint(master / expected), -1, 1)
    assert not (difference & ~near_tie).any()


@pytest.mark.parametrize(("rows", "n", "k"), [((1,), 1, 16), ((4, 3), 50, 70), ((2,), 17, 129)])
@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_frozen_ternary_linear(backend_name: str, rows: Any, n: int, k: int, precision: str) -> None:
    device = device_named(backend_name)
    x, w, upstream = _normal(0, *rows, k), _ternary(1, n, k), _normal(2, *rows, n)
    scale = np.array([0.37], np.float32)

    def loss(x: Any, w: Any, scale: Any, upstream: Any) -> Any:
        y = nn.ternary_linear(x, w, scale, precision=precision)
        return (y * upstream).sum(), y

    arguments = [tl.array(one, device) for one in (x, tl.TernaryArray.pack(w), scale, upstream)]
    (_, y), dx = tl.jit(tl.value_and_grad(loss, has_aux=True))(*arguments)
    q, s = quantise(x)
    np.testing.assert_allclose(y.numpy(), (q @ w.T.astype(np.int32)) * (scale / s), rtol=1e-5, atol=1e-6)
    tolerance = 1e-5 if precision == "f32" else 1e-2
    expected = (upstream * scale) @ w
    np.testing.assert_allclose(dx.numpy(), expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


def test_the_lora_branch_sees_the_unquantised_input(backend_name: str) -> None:
    device = device_named(backend_name)
    x, w, a, b = _normal(0, 6, 20), _ternary(1, 9, 20), _normal(2, 3, 20), _normal(3, 9, 3)
    upstream, scale, scaling = _normal(4, 6, 9), np.array([0.5], np.float32), 1.5

    def loss(x: Any, ab: Any, w: Any, scale: Any, upstream: Any) -> Any:
        y = nn.ternary_linear(x, w, scale, lora=(ab["a"], ab["b"], scaling))
        return (y * upstream).sum(), y

    ab = {"a": tl.array(a, device), "b": tl.array(b, device)}
    rest = [tl.array(one, device) for one in (tl.TernaryArray.pack(w), scale, upstream)]
    function = tl.jit(tl.value_and_grad(loss, (0, 1), has_aux=True))
    (_, y), (dx, dab) = function(tl.array(x, device), ab, *rest)
    q, s = quantise(x)
    np.testing.assert_allclose(
        y.numpy(), (q @ w.T.astype("i4")) * (scale / s) + x @ a.T @ b.T * scaling, rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(dab["b"].numpy(), scaling * upstream.T @ (x @ a.T), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(dab["a"].numpy(), scaling * (upstream @ b).T @ x, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        dx.numpy(), upstream @ w * 0.5 + scaling * upstream @ b @ a, rtol=1e-4, atol=1e-4
    )


def test_the_master_weight_has_the_gradient_of_the_dequantised_activations(backend_name: str) -> None:
    device = device_named(backend_name)
    x, master, upstream = _normal(0, 7, 33), _normal(1, 18, 33), _normal(2, 7, 18)

    def loss(x: Any, master: Any, upstream: Any) -> Any:
        y = nn.ternary_linear(x, *nn.ternarise(master))
        return (y * upstream).sum(), y

    function = tl.jit(tl.value_and_grad(loss, (0, 1), has_aux=True))
    (_, y), (dx, dw) = function(*(tl.array(one, device) for one in (x, master, upstream)))
    q, s = quantise(x)
    mean = np.abs(master).mean()
    w = np.clip(np.rint(master / mean), -1, 1)
    np.testing.assert_allclose(y.numpy(), q @ w.T * mean / s, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(dw.numpy(), upstream.T @ (q / s), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(dx.numpy(), upstream @ w * mean, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [tl.f32, tl.bf16, tl.f16])
def test_linear_casts_the_input_to_the_weights_dtype(dtype: Any) -> None:
    device = device_named("reference")
    x, w = _normal(0, 2, 3, 8), _normal(1, 5, 8)
    y = nn.linear(tl.array(x, device), tl.array(w, device).cast(dtype))
    rounded = [one.astype(dtype.numpy).astype(np.float32) for one in (x, w)]
    assert y.dtype is tl.f32
    np.testing.assert_allclose(y.numpy(), rounded[0] @ rounded[1].T, rtol=1e-5, atol=1e-6)


def test_mistakes() -> None:
    device = device_named("reference")
    x, w = tl.array(_normal(0, 2, 4), device), tl.array(tl.TernaryArray.pack(_ternary(0, 3, 4)), device)
    with pytest.raises(tl.DTypeError, match="weight of f32"):
        nn.ternary_linear(x, x, x)
    with pytest.raises(tl.DTypeError, match="precision='f8'"):
        nn.ternary_linear(x, w, x[0, :1], precision="f8")
    with pytest.raises(tl.ShapeError, match="`dot` sums over"):
        nn.ternary_linear(x[:, :3], w, x[0, :1])
    with pytest.raises(tl.DTypeError, match="ternarise of"):
        nn.ternarise(x.cast(tl.f16))
