"""What the tensor operations mean, in NumPy: the definition that every device is compared with.

Each meaning takes the node and its operands' arrays. A ternary operand is its int8 array of -1, 0 and 1. Arithmetic of
f16 and bf16 is rounded after each operation; products are exact and sums run in the accumulator's dtype (f32 for
floats, wrapping i32 for i8), as in the tile IR. Which element `scatter_add` adds first, the sign of a sum that is zero
and the order of every sum are not defined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritloom.codegen.errors import BoundsError, DTypeError
from tritloom.codegen.ir.dtypes import DType
from tritloom.codegen.ir.tensor import Node
from tritloom.codegen.ir.tile import BinaryOp, ReduceOp, UnaryOp

Array = NDArray[Any]
Meaning = Callable[[Node, Sequence[Array]], Array]


def cast_array(x: Array, dtype: DType) -> Array:
    """Conversion by value: float to integer truncates and saturates (NaN gives 0), integers wrap, bool is `!= 0`."""
    if x.dtype == dtype.numpy:
        return x
    if dtype.is_bool:
        return np.asarray(x != 0)
    if dtype.is_integer and not np.issubdtype(x.dtype, np.integer) and x.dtype != np.bool_:
        low, high = dtype.limits
        wide = np.nan_to_num(np.trunc(x.astype(np.float64)), nan=0.0, posinf=high, neginf=low)
        return np.asarray(np.clip(wide, low, high).astype(np.int64).astype(dtype.numpy))
    with np.errstate(all="ignore"):
        return np.asarray(x.astype(dtype.numpy))


def _wide(x: Array) -> Array:
    """Floats in f32, where their arithmetic is done before it is rounded; f32 and f64 and integers as they are."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 and not np.issubdtype(x.dtype, np.integer) else x


_UNARY: dict[UnaryOp, Callable[[Array], Array]] = {
    UnaryOp.NEG: np.negative,
    UnaryOp.ABS: np.abs,
    UnaryOp.EXP: np.exp,
    UnaryOp.LOG: np.log,
    UnaryOp.SQRT: np.sqrt,
    UnaryOp.RSQRT: lambda x: 1 / np.sqrt(x),
    UnaryOp.SIN: np.sin,
    UnaryOp.COS: np.cos,
    UnaryOp.TANH: np.tanh,
    UnaryOp.FLOOR: np.floor,
    UnaryOp.ROUND: np.rint,
    UnaryOp.NOT: np.logical_not,
}

_BINARY: dict[BinaryOp, Callable[[Array, Array], Array]] = {
    BinaryOp.ADD: np.add,
    BinaryOp.SUB: np.subtract,
    BinaryOp.MUL: np.multiply,
    BinaryOp.DIV: np.divide,
    BinaryOp.FLOORDIV: np.floor_divide,
    BinaryOp.MOD: np.mod,
    BinaryOp.MIN: np.minimum,
    BinaryOp.MAX: np.maximum,
    BinaryOp.AND: np.bitwise_and,
    BinaryOp.OR: np.bitwise_or,
    BinaryOp.XOR: np.bitwise_xor,
    BinaryOp.SHL: np.left_shift,
    BinaryOp.SHR: np.right_shift,
    BinaryOp.LT: np.less,
    BinaryOp.LE: np.less_equal,
    BinaryOp.GT: np.greater,
    BinaryOp.GE: np.greater_equal,
    BinaryOp.EQ: np.equal,
    BinaryOp.NE: np.not_equal,
}


def unary_meaning(op: UnaryOp) -> Meaning:
    """An elementwise operation of one operand."""

    def meaning(node: Node, values: Sequence[Array]) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(_UNARY[op](_wide(values[0]))).astype(values[0].dtype)

    return meaning


def binary_meaning(op: BinaryOp) -> Meaning:
    """An elementwise operation of two operands; comparisons give bool."""

    def meaning(node: Node, values: Sequence[Array]) -> Array:
        with np.errstate(all="ignore"):
            result = np.asarray(_BINARY[op](_wide(values[0]), _wide(values[1])))
        return result if op.is_comparison else result.astype(values[0].dtype)

    return meaning


def reduce_meaning(op: ReduceOp) -> Meaning:
    """A reduction that keeps its axes with size 1; sums of f16 and bf16 run in f32."""

    def meaning(node: Node, values: Sequence[Array]) -> Array:
        x, axes = _wide(values[0]), node.attribute("axes")
        with np.errstate(all="ignore"):
            if op is ReduceOp.SUM:
                result = np.sum(x, axis=axes, keepdims=True, dtype=x.dtype)
            else:
                result = (np.max if op is ReduceOp.MAX else np.min)(x, axis=axes, keepdims=True)
        return np.asarray(result).astype(values[0].dtype)

    return meaning


def constant(node: Node, values: Sequence[Array]) -> Array:
    """The scalar."""
    return np.asarray(node.attribute("value"), dtype=node.dtype.numpy)


def iota(node: Node, values: Sequence[Array]) -> Array:
    """0, 1, 2..."""
    return np.arange(node.shape[0], dtype=np.int32)


def select(node: Node, values: Sequence[Array]) -> Array:
    """Elementwise choice."""
    return np.where(values[0], values[1], values[2])


def cast(node: Node, values: Sequence[Array]) -> Array:
    """To the node's dtype."""
    return cast_array(values[0], node.dtype)


def broadcast(node: Node, values: Sequence[Array]) -> Array:
    """To the node's shape."""
    return np.broadcast_to(values[0], node.shape)


def reshape(node: Node, values: Sequence[Array]) -> Array:
    """Row-major."""
    return values[0].reshape(node.shape)


def permute(node: Node, values: Sequence[Array]) -> Array:
    """Axes in the order given."""
    return values[0].transpose(node.attribute("order"))


def slice_(node: Node, values: Sequence[Array]) -> Array:
    """One range a dimension."""
    bounds = zip(node.attribute("starts"), node.attribute("stops"), strict=True)
    return values[0][tuple(slice(start, stop) for start, stop in bounds)]


def pad(node: Node, values: Sequence[Array]) -> Array:
    """Zeros around."""
    return np.pad(values[0], list(zip(node.attribute("before"), node.attribute("after"), strict=True)))


def concat(node: Node, values: Sequence[Array]) -> Array:
    """Along one axis."""
    return np.concatenate(values, axis=node.attribute("axis"))


def dot(node: Node, values: Sequence[Array]) -> Array:
    """Sum over the last axis of both. Integer products run in f64, which is exact below 2^53, and wrap to i32."""
    a, b = values
    transposed = np.swapaxes(b, -1, -2)
    if np.issubdtype(a.dtype, np.integer):
        exact = np.matmul(a.astype(np.float64), transposed.astype(np.float64))
        return np.asarray(exact.astype(np.int64).astype(np.int32))
    wide = np.dtype(np.float64 if a.dtype == np.float64 else np.float32)
    with np.errstate(all="ignore"):
        return np.asarray(np.matmul(a.astype(wide), transposed.astype(wide)))


def _check_ids(ids: Array, length: int, node: Node) -> None:
    bad = np.argwhere((ids < 0) | (ids >= length))
    if len(bad):
        where = tuple(int(i) for i in bad[0])
        raise BoundsError(
            f"`{node.op}` with the id {int(ids[where])} at {list(where)}; the table has {length} row(s)",
            hint="ids run from 0 to the number of rows less 1",
            location=node.location,
        )


def gather(node: Node, values: Sequence[Array]) -> Array:
    """Rows of a table. Raises BoundsError for an id out of range."""
    table, ids = values
    _check_ids(ids, table.shape[0], node)
    return np.asarray(table[ids])


def scatter_add(node: Node, values: Sequence[Array]) -> Array:
    """Rows added up by id, as f32. Raises BoundsError for an id out of range."""
    ids, rows = values
    _check_ids(ids, node.shape[0], node)
    result = np.zeros(node.shape, rows.dtype)
    np.add.at(result, ids, rows)
    return result


def pack(node: Node, values: Sequence[Array]) -> Array:
    """The values as ternary (int8 here). Raises DTypeError for a value other than -1, 0 and 1."""
    signed = cast_array(values[0], node.dtype)
    if not (np.isin(signed, (-1, 0, 1)).all() and (signed.astype(values[0].dtype) == values[0]).all()):
        raise DTypeError(
            "`pack` of values other than -1, 0 and 1",
            hint="quantise first: clip(round(w / mean(abs(w))), -1, 1)",
            location=node.location,
        )
    return signed


def first(node: Node, values: Sequence[Array]) -> Array:
    """The first operand itself: what stop_gradient and straight_through compute."""
    return values[0]
