"""tl.grad and tl.value_and_grad: trees, argument numbers, auxiliary results, aliases, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tritloom as tl
from tests.support import device_named

X = np.arange(1, 7, dtype=np.float32).reshape(2, 3)


def _tensor(value: Any) -> tl.Tensor:
    return tl.array(value, device_named("reference"))


def test_gradients_of_trees() -> None:
    def loss(p: Any, scale: Any) -> Any:
        return (p["a"] * p["b"][0] * scale).sum()

    value, gradients = tl.value_and_grad(loss)(
        {"a": _tensor(X), "b": [_tensor(X * 2)]}, _tensor(np.float32(3))
    )
    assert value.item() == (X * X * 6).sum()
    np.testing.assert_array_equal(gradients["a"].numpy(), X * 6)
    np.testing.assert_array_equal(gradients["b"][0].numpy(), X * 3)


def test_argument_numbers() -> None:
    def loss(a: Any, b: Any) -> Any:
        return (a * a * b).sum()

    a, b = _tensor(X), _tensor(X + 1)
    np.testing.assert_array_equal(tl.grad(loss, 1)(a, b).numpy(), X * X)
    both = tl.grad(loss, (1, 0))(a, b)
    np.testing.assert_array_equal(both[0].numpy(), X * X)
    np.testing.assert_array_equal(both[1].numpy(), 2 * X * (X + 1))
    np.testing.assert_array_equal(tl.grad(loss, -1)(a, b).numpy(), X * X)


def test_auxiliary_results() -> None:
    def loss(a: Any) -> Any:
        return (a * a).sum(), {"twice": a * 2}

    (value, aux), gradient = tl.value_and_grad(loss, has_aux=True)(_tensor(X))
    assert value.item() == (X * X).sum()
    np.testing.assert_array_equal(aux["twice"].numpy(), X * 2)
    np.testing.assert_array_equal(gradient.numpy(), 2 * X)
    gradient, aux = tl.grad(loss, has_aux=True)(_tensor(X))
    np.testing.assert_array_equal(gradient.numpy(), 2 * X)


def test_one_tensor_given_twice_has_two_gradients() -> None:
    x = _tensor(X)
    a, b = tl.grad(lambda a, b: (a * a * b).sum(), (0, 1))(x, x)
    np.testing.assert_array_equal(a.numpy(), 2 * X * X)
    np.testing.assert_array_equal(b.numpy(), X * X)
    (one, other) = tl.grad(lambda p: (p[0] * 2 + p[1] * 3).sum())([x, x])
    assert (one.numpy()[0, 0], other.numpy()[0, 0]) == (2, 3)
    np.testing.assert_array_equal(tl.grad(lambda a: (a * x).sum())(x).numpy(), X)


def test_a_gradient_of_a_gradient() -> None:
    cube = tl.grad(tl.grad(lambda x: x * x * x))
    assert cube(_tensor(np.float32(2))).item() == 12


def test_gradients_under_jit_and_arrays() -> None:
    f = tl.jit(tl.value_and_grad(lambda x, n: (tl.exp(x) * n).sum()))
    value, gradient = f(_tensor(X), 2.0)
    np.testing.assert_allclose(value.item(), (np.exp(X) * 2).sum(), rtol=1e-6)
    np.testing.assert_allclose(gradient.numpy(), np.exp(X) * 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda x, n: tl.grad(lambda a: a)(x), r"gradient of f32\[2, 3\]; it is taken of a float scalar"),
        (lambda x, n: tl.grad(lambda a: 1.0)(x), "returned float"),
        (lambda x, n: tl.grad(lambda a: (a.sum(), 1))(x), "returned tuple"),
        (lambda x, n: tl.grad(lambda a: a.sum())(n), r"leaf of i32\[2\]"),
        (lambda x, n: tl.grad(lambda a: a)(1.0), "leaf of float"),
        (lambda x, n: tl.grad(lambda a: a.sum(), 1)(x), "argument 1 of a function"),
        (lambda x, n: tl.grad(lambda a: tl.round(a).sum())(x), "`round` has no gradient"),
    ],
)
def test_mistakes(mistake: Any, message: str) -> None:
    with pytest.raises(tl.GradientError, match=message):
        mistake(_tensor(X), _tensor(np.array([1, 2], np.int32)))


@tl.kernel
def _square(x: tl.f32["N"], factor: tl.f32, y: tl.out(tl.f32["N"]), half: tl.out(tl.i32["N"])) -> None:
    (N,) = x.shape
    n = tl.programs(N, 4)
    y[n] = x[n] * x[n] * factor
    half[n] = n // 2


def test_a_kernel_with_and_without_a_gradient() -> None:
    x = _tensor(X.reshape(-1))

    def loss(x: Any) -> Any:
        y, half = _square(x * 2, 3.0)
        return (y * half.cast(tl.f32)).sum()

    with pytest.raises(tl.GradientError, match="the kernel `_square` has no gradient"):
        tl.grad(loss)(x)

    @_square.vjp
    def _(context: Any, dy: Any, dhalf: Any) -> Any:
        assert dhalf is None
        return 2 * context.factor * context.x * dy

    halves = np.arange(6) // 2
    flat = X.reshape(-1)
    value, gradient = tl.jit(tl.value_and_grad(loss))(x)
    np.testing.assert_allclose(value.item(), (12 * flat**2 * halves).sum(), rtol=1e-6)
    np.testing.assert_allclose(gradient.numpy(), 24 * flat * halves, rtol=1e-6)


def test_a_kernels_gradient_of_the_wrong_shape_is_an_error() -> None:
    @tl.kernel
    def copy(x: tl.f32["N"], y: tl.out(tl.f32["N"])) -> None:
        (N,) = x.shape
        n = tl.programs(N, 4)
        y[n] = x[n]

    copy.vjp(lambda context, dy: dy.sum())
    with pytest.raises(tl.ShapeError, match=r"gradient of kernel `copy` gives f32\[\] for f32\[6\]"):
        tl.grad(lambda x: copy(x).sum())(_tensor(X.reshape(-1)))
