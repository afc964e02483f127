"""Each operation alone, on ragged shapes, and each kind of movement between operations."""

from __future__ import annotations

import numpy as np
import pytest

from tests.codegen.schedule.programs import CPU, GPU, check, op, scalar, tensor
from tritloom.codegen.ir.dtypes import DType, bf16, bool_, f16, f32, i8, i32, ternary, u8
from tritloom.codegen.ir.tensor_ops import make
from tritloom.codegen.ir.ternary import TernaryArray
from tritloom.codegen.target import Target

TARGETS = pytest.mark.parametrize("target", [CPU, GPU], ids=["cpu", "gpu"])


@pytest.mark.parametrize(
    "name", ["neg", "abs", "exp", "log", "sqrt", "rsqrt", "sin", "cos", "tanh", "floor", "round"]
)
def test_unary(name: str) -> None:
    x = tensor("x", 3, 7)
    check([make(name, [op("add", make("abs", [x]), scalar(0.5))])], [x])


@pytest.mark.parametrize(
    "name", ["add", "sub", "mul", "div", "min", "max", "lt", "le", "gt", "ge", "eq", "ne"]
)
@pytest.mark.parametrize("dtype", [f32, bf16, f16])
def test_binary(name: str, dtype: DType) -> None:
    x, y = tensor("x", 300, dtype=dtype), tensor("y", 300, dtype=dtype)
    check([make(name, [x, y])], [x, y], exact=True)


@pytest.mark.parametrize("name", ["floordiv", "mod", "and", "or", "xor"])
def test_integers(name: str) -> None:
    x, y = tensor("x", 5, 3, dtype=i32), tensor("y", 5, 3, dtype=i32)
    check([make(name, [x, op("max", make("abs", [y]), scalar(1, i32))])], [x, y])


@pytest.mark.parametrize("dtype", [i8, u8, i32, bool_, f16, bf16])
def test_cast(dtype: DType) -> None:
    x = tensor("x", 70)
    check([make("cast", [x], dtype=dtype)], [x])


def test_scalars_and_constants() -> None:
    x, y = tensor("x"), tensor("y", 1)
    check([op("mul", x, scalar(2.0)), make("reshape", [op("add", y, x)], shape=())], [x, y])
    check([make("broadcast", [scalar(1.5)], shape=(2, 3)), scalar(4.0), make("iota", length=5)], [])


@pytest.mark.parametrize("name", ["reduce_sum", "reduce_max", "reduce_min"])
@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("dtype", [f32, bf16, i32])
def test_reductions(name: str, axes: tuple[int, ...], dtype: DType) -> None:
    x = tensor("x", 3, 5, 67, dtype=dtype)
    check([make(name, [x], axes=axes)], [x], tolerance=1e-2 if dtype is bf16 else 1e-5)


@TARGETS
@pytest.mark.parametrize(
    "pair", [(i8, i8), (i8, ternary), (f32, f32), (bf16, bf16), (f32, ternary), (bf16, ternary)]
)
@pytest.mark.parametrize("shape", [(1, 5, 3), (1, 70, 65), (9, 50, 33), (13, 1, 1)])
def test_dot(target: Target, pair: tuple[DType, DType], shape: tuple[int, int, int]) -> None:
    m, n, k = shape
    a, b = tensor("a", m, k, dtype=pair[0]), tensor("b", n, k, dtype=pair[1])
    check([make("dot", [a, b])], [a, b], target=target)


def test_batched_dots() -> None:
    a, b, c = tensor("a", 2, 3, 5, 7), tensor("b", 2, 3, 6, 7), tensor("c", 6, 7)
    check([make("dot", [a, b]), make("dot", [a, c])], [a, b, c])
    one, other = tensor("one", 2, 1, 7), tensor("other", 2, 4, 7)
    check([make("dot", [one, other])], [one, other])


def test_dot_of_views() -> None:
    x, y = tensor("x", 2, 3, 4, 10), tensor("y", 6, 40)
    heads = make("reshape", [make("permute", [x], order=(0, 2, 1, 3))], shape=(8, 30))
    check([make("dot", [heads, tensor("z", 5, 30)])], [x, tensor("z", 5, 30)])
    split = make("reshape", [y], shape=(6, 4, 10))
    turned = make("permute", [split], order=(1, 2, 0))
    check([make("dot", [turned, tensor("v", 5, 6)])], [y, tensor("v", 5, 6)])
    part = make("slice", [y], starts=(1, 4), stops=(5, 37))
    check([make("dot", [part, part])], [y])
    repeated = make("broadcast", [make("slice", [y], starts=(0, 0), stops=(1, 40))], shape=(3, 40))
    check([make("dot", [repeated, y])], [y])
    check([make("dot", [make("broadcast", [scalar(1.0)], shape=(3, 40)), y])], [y])
    check(
        [make("dot", [make("pad", [y], before=(1, 0), after=(0, 3)), tensor("w", 2, 43)])],
        [y, tensor("w", 2, 43)],
    )


def test_dot_of_a_transposed_ternary_matrix() -> None:
    x, w = tensor("x", 5, 20), tensor("w", 20, 33, dtype=ternary)
    check([make("dot", [x, make("permute", [w], order=(1, 0))])], [x, w])


@TARGETS
@pytest.mark.parametrize("shape", [(16, 16), (33, 70), (1, 1), (5, 64)])
def test_pack(target: Target, shape: tuple[int, int]) -> None:
    x = tensor("x", *shape)
    signs = op(
        "sub",
        make("cast", [op("lt", scalar(0.3), x)], dtype=f32),
        make("cast", [op("lt", x, scalar(-0.3))], dtype=f32),
    )
    packed = make("pack", [signs])
    rows = tensor("rows", 3, shape[1])
    columns = tensor("columns", 3, shape[0])
    outputs = [
        packed,
        make("dot", [rows, packed]),
        make("dot", [columns, make("permute", [packed], order=(1, 0))]),
        make("cast", [packed], dtype=i8),
    ]
    check(outputs, [x, rows, columns], target=target)


def test_ternary_inputs_as_outputs() -> None:
    w = tensor("w", 20, 33, dtype=ternary)
    check([w, make("cast", [w], dtype=i8)], [w])


def test_gather() -> None:
    table, ids = tensor("table", 11, 40), tensor("ids", 2, 5, dtype=i32)
    given = {"ids": np.arange(10, dtype=np.int32).reshape(2, 5)}
    check([op("mul", make("gather", [table, ids]), scalar(2.0))], [table, ids], given=given)
    vector = tensor("vector", 11)
    check([make("gather", [vector, ids])], [vector, ids], given=given)


def test_scatter_add() -> None:
    ids, rows = tensor("ids", 2, 3, dtype=i32), tensor("rows", 2, 3, 70)
    given = {"ids": np.array([[4, 0, 4], [1, 4, 0]], np.int32)}
    result = make("scatter_add", [ids, op("mul", rows, scalar(2.0))], length=6)
    check([result, op("add", result, scalar(1.0))], [ids, rows], given=given)


def test_movements_between_operations() -> None:
    x = tensor("x", 4, 6, 10)
    heads = make("permute", [make("reshape", [op("mul", x, x)], shape=(4, 6, 2, 5))], order=(0, 2, 1, 3))
    joined = make("reshape", [make("permute", [make("exp", [heads])], order=(0, 2, 1, 3))], shape=(24, 10))
    plan = check([joined], [x])
    assert len(plan.launches) == 1
    first = make("slice", [x], starts=(0, 0, 0), stops=(4, 6, 5))
    second = make("slice", [x], starts=(0, 0, 5), stops=(4, 6, 10))
    rotated = make("concat", [make("neg", [second]), first], axis=2)
    assert len(check([op("add", x, rotated)], [x]).launches) == 1
    padded = make("pad", [make("exp", [x])], before=(1, 0, 2), after=(0, 3, 0))
    check([op("add", padded, scalar(1.0))], [x])
    flat = make("reshape", [make("pad", [x], before=(0, 0, 1), after=(0, 0, 0))], shape=(44, 6))
    check([op("mul", flat, flat)], [x])


def test_markers_of_gradients_vanish() -> None:
    x, surrogate = tensor("x", 5), tensor("surrogate", 5)
    value = make("straight_through", [make("round", [x]), surrogate])
    plan = check([make("stop_gradient", [op("mul", value, value)])], [x, surrogate])
    assert len(plan.launches) == 1


def test_outputs_that_repeat() -> None:
    x, y = tensor("x", 3, 4), tensor("y", 12)
    z = make("exp", [x])
    check([z, z, x, x, make("reshape", [z], shape=(12,)), make("reshape", [x], shape=(2, 6))], [x, y])


def test_ternary_array_of_the_runner_is_what_was_packed() -> None:
    weights = np.array([[1, -1, 0], [0, 1, 1]], np.int8)
    assert (TernaryArray.pack(weights).with_layout(CPU.layout).unpack() == weights).all()
