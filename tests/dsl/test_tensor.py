"""The lazy tensor behaves as NumPy does, but for its strict dtypes."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tritloom as tl
from tests.support import device_named
from tritloom.dsl.tensor import abstract

REFERENCE = device_named("reference")


def _tensor(value: Any) -> tl.Tensor:
    return tl.array(value, REFERENCE)


A = np.arange(24, dtype=np.float32).reshape(2, 3, 4) - 7
N = np.arange(6, dtype=np.int32).reshape(2, 3) - 2


@pytest.mark.parametrize(
    "expression",
    [
        lambda x: x + 1, lambda x: 1 - x, lambda x: x * x, lambda x: 2 / (x * x + 1), lambda x: -x, abs,
        lambda x: x > 2, lambda x: x <= x * 0, lambda x: x == 3, lambda x: x != 3, lambda x: (x > 0) & (x < 5),
        lambda x: ~(x > 0), lambda x: x**2, lambda x: x**3, lambda x: x[0], lambda x: x[-1, 1:], lambda x: x[..., 2],
        lambda x: x[:, None, 1], lambda x: x[1, ..., 1:3], lambda x: x[0, 0, 0], lambda x: x.T, lambda x: x[0].T,
        lambda x: x.reshape(6, 4), lambda x: x.reshape((-1, 2)), lambda x: x.reshape(24), lambda x: x.sum(),
        lambda x: x.sum(1), lambda x: x.sum((0, 2)), lambda x: x.max(-1), lambda x: x.min(0), lambda x: x.mean(1),
        lambda x: x @ x[0].T, lambda x: x[0] @ x[0, 0], lambda x: x[0, 0] @ x[0].T, lambda x: x[0, 0] @ x[0, 0],
        lambda x: x @ x.reshape(2, 4, 3), lambda x: x + x[0, :, :1], lambda x: x[0] * x[:, :1, :1],
    ],
)  # fmt: skip
def test_as_in_numpy(expression: Any) -> None:
    found = expression(_tensor(A)).numpy()
    expected = np.asarray(expression(A))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected.astype(found.dtype), rtol=1e-6)


@pytest.mark.parametrize(
    "expression", [lambda x: x // 4, lambda x: x % 3, lambda x: x << 2, lambda x: x >> 1, lambda x: x ^ 5]
)
def test_integers_as_in_numpy(expression: Any) -> None:
    np.testing.assert_array_equal(expression(_tensor(N)).numpy(), expression(N))


@pytest.mark.parametrize(
    ("ours", "numpys"),
    [
        (lambda x: tl.where(x > 0, x, 0), lambda x: np.where(x > 0, x, 0)),
        (lambda x: tl.where(x > 0, 1.0, -1.0), lambda x: np.where(x > 0, 1.0, -1.0)),
        (lambda x: tl.concat([x, x[:1]], 0), lambda x: np.concatenate([x, x[:1]], 0)),
        (lambda x: tl.stack([x, x], 1), lambda x: np.stack([x, x], 1)),
        (lambda x: tl.stack([x, x], -1), lambda x: np.stack([x, x], -1)),
        (lambda x: tl.pad(x, (0, 1, 0), (2, 0, 0)), lambda x: np.pad(x, [(0, 2), (1, 0), (0, 0)])),
        (lambda x: x.permute(2, 0, 1), lambda x: x.transpose(2, 0, 1)),
        (lambda x: x.transpose(), lambda x: np.swapaxes(x, -1, -2)),
        (lambda x: x.sum(1, keepdims=True), lambda x: x.sum(1, keepdims=True)),
        (lambda x: x.broadcast_to((5, 2, 3, 4)), lambda x: np.broadcast_to(x, (5, 2, 3, 4))),
        (lambda x: tl.clamp(x, -1.0, 2.0), lambda x: np.clip(x, -1, 2)),
        (tl.sigmoid, lambda x: 1 / (1 + np.exp(-x))),
        (tl.log_sum_exp, lambda x: np.log(np.exp(x.astype("f8")).sum(-1))),
        (lambda x: tl.softmax(x, 0), lambda x: np.exp(x) / np.exp(x).sum(0)),
        (lambda x: tl.full_like(x, 3) + tl.ones((1, 4)) - tl.zeros_like(x), lambda x: np.full_like(x, 4)),
        (lambda x: x[_tensor(np.array([1, 0, 1], np.int32))], lambda x: x[[1, 0, 1]]),
        (lambda x: tl.dot(x, x[:, :2]), lambda x: x @ np.swapaxes(x[:, :2], 1, 2)),
        (lambda x: tl.dot(x[:1], x[1:]), lambda x: x[:1] @ np.swapaxes(x[1:], 1, 2)),
        (lambda x: tl.round(x / 2), lambda x: np.rint(x / 2)),
        (lambda x: tl.arange(5), lambda x: np.arange(5)),
    ],
)  # fmt: skip
def test_functions(ours: Any, numpys: Any) -> None:
    found, expected = ours(_tensor(A)).numpy(), numpys(A)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected.astype(found.dtype), rtol=1e-5)


@given(
    shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, min_side=1, max_side=3, max_dims=3),
    op=st.sampled_from(["__add__", "__mul__", "__sub__", "__lt__"]),
)
def test_broadcasting(shapes: Any, op: str) -> None:
    a, b = (np.arange(np.prod(s), dtype=np.float32).reshape(s) for s in shapes.input_shapes)
    found = getattr(_tensor(a), op)(_tensor(b)).numpy()
    np.testing.assert_array_equal(found, getattr(a, op)(b))
    assert found.shape == shapes.result_shape


def test_values_come_out_as_they_went_in() -> None:
    for dtype in (
        np.bool_,
        np.int8,
        np.int16,
        np.int32,
        np.uint8,
        np.uint32,
        np.float16,
        np.float32,
        ml_dtypes.bfloat16,
    ):
        value = np.array([[0, 1], [1, 0]]).astype(dtype)
        found = _tensor(value).numpy()
        assert found.dtype == value.dtype
        np.testing.assert_array_equal(found, value)
    weights = np.array([[1, 0, -1], [0, 0, 1]], np.int8)
    packed = _tensor(tl.TernaryArray.pack(weights))
    assert packed.dtype is tl.ternary
    np.testing.assert_array_equal(packed.numpy(), weights)
    assert _tensor([1.5, 2]).dtype is tl.f32
    assert _tensor([1, 2]).dtype is tl.i32
    assert _tensor(True).dtype is tl.bool_
    np.testing.assert_array_equal(_tensor(A.astype(">f4")).numpy(), A)
    np.testing.assert_array_equal(_tensor(A.transpose(2, 0, 1)).numpy(), A.transpose(2, 0, 1))


def test_python_numbers() -> None:
    scalar = _tensor(np.float32(2.5)) * 2
    assert (float(scalar), int(scalar), bool(scalar), scalar.item()) == (5.0, 5, True, 5.0)
    assert [row.numpy().tolist() for row in _tensor(N)] == N.tolist()
    assert len(_tensor(N)) == 2


@pytest.mark.parametrize(
    ("mistake", "error", "message"),
    [
        (lambda x, n: x + n, tl.DTypeError, "`add` of"),
        (lambda x, n: n + 1.5, tl.DTypeError, "1.5 is no i32"),
        (lambda x, n: x + "a", tl.DTypeError, "a tensor and a str meet"),
        (lambda x, n: x + A, tl.DTypeError, "a tensor and a ndarray meet"),
        (lambda x, n: A + x, tl.DTypeError, "a tensor and a ndarray meet"),
        (lambda x, n: x[:, :2] + x, tl.ShapeError, "`add` of the shapes"),
        (lambda x, n: x[::2], tl.ShapeError, "step 2"),
        (lambda x, n: x[2], tl.ShapeError, "index 2 of axis 0"),
        (lambda x, n: x[0, 0, 0, 0], tl.ShapeError, "4 positions"),
        (lambda x, n: x["a"], tl.DTypeError, "index of type str"),
        (lambda x, n: x.reshape(5, -1), tl.ShapeError, "does not reshape"),
        (lambda x, n: x.item(), tl.ShapeError, "24 elements"),
        (lambda x, n: x**-1, tl.DTypeError, "power of -1"),
        (lambda x, n: x.sum() @ x, tl.ShapeError, "with a scalar"),
        (lambda x, n: tl.stack([]), tl.ShapeError, "of nothing"),
        (lambda x, n: tl.array(A.astype(np.float64), REFERENCE), tl.DTypeError, "float64"),
        (lambda x, n: tl.array(np.zeros((2, 0), np.float32), REFERENCE), tl.ShapeError, "no elements"),
        (lambda x, n: tl.array(A, "nonsense"), tl.DeviceError, "no backend `nonsense`"),
    ],
)  # fmt: skip
def test_mistakes(mistake: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        mistake(_tensor(A), _tensor(N))
    assert caught.value.hint or caught.value.location


def test_nothing_is_computed_twice() -> None:
    x = _tensor(A)
    y = x * 2
    node = y.node
    y.realise()
    assert y.node is not node
    assert (y + 1).node.inputs[0] is y.node


def test_tensors_are_realised_together() -> None:
    x = _tensor(A)
    y, z = x + 1, x * x
    tl.realise(y, z, y)
    np.testing.assert_array_equal(y.numpy(), A + 1)
    np.testing.assert_array_equal(z.numpy(), A * A)


def test_repr_says_what_it_is() -> None:
    assert repr(_tensor(N)) == "Tensor(i32[2, 3])"


def test_numpy_takes_a_tensor_as_an_array() -> None:
    x = _tensor(N) * 2
    found = np.asarray(x)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, N * 2)
    assert np.asarray(x, np.float64).dtype == np.float64
    found[0, 0] = 99
    np.testing.assert_array_equal(np.array(x, copy=True), N * 2)
    np.testing.assert_array_equal(np.stack([x, x + 1]), np.stack([N * 2, N * 2 + 1]))
    assert np.asarray(_tensor(np.float32(3))).shape == ()
    assert np.asarray(_tensor(np.ones(3, ml_dtypes.bfloat16))).dtype == ml_dtypes.bfloat16
    weights = np.array([[1, 0, -1], [0, 1, 1]], np.int8)
    np.testing.assert_array_equal(np.asarray(_tensor(tl.TernaryArray.pack(weights))), weights)


def test_numpy_cannot_take_a_tensor_without_a_copy() -> None:
    with pytest.raises(ValueError, match=r"f32\[2, 3, 4\] without a copy") as caught:
        np.asarray(_tensor(A), copy=False)
    assert isinstance(caught.value, tl.CopyError)


def test_numpy_cannot_take_a_tensor_that_has_no_values() -> None:
    with pytest.raises(tl.DeviceError, match=r"f32\[3\] stands for a tensor's shape"):
        np.asarray(abstract((3,), tl.f32, REFERENCE))
