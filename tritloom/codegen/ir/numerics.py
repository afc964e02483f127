"""What the elementwise operations, casts, sums and products mean, in NumPy: one place for both interpreters.

f16 and bf16 arithmetic is computed in f32 and rounded after each operation, which for one operation is the same as
rounding once. The transcendental functions are computed in f64 and rounded to the dtype. Integer arithmetic wraps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritloom.codegen.ir.dtypes import DType
from tritloom.codegen.ir.tile import BinaryOp, ReduceOp, UnaryOp

Array = NDArray[Any]

_EXACT: dict[UnaryOp, Callable[[Array], Array]] = {
    UnaryOp.NEG: np.negative,
    UnaryOp.ABS: np.abs,
    UnaryOp.FLOOR: np.floor,
    UnaryOp.ROUND: np.rint,
}
_TRANSCENDENTAL: dict[UnaryOp, Callable[[Array], Array]] = {
    UnaryOp.EXP: np.exp,
    UnaryOp.LOG: np.log,
    UnaryOp.SQRT: np.sqrt,
    UnaryOp.RSQRT: lambda x: 1.0 / np.sqrt(x),
    UnaryOp.SIN: np.sin,
    UnaryOp.COS: np.cos,
    UnaryOp.TANH: np.tanh,
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


def _widened(array: Array, dtype: DType) -> Array:
    """f16 and bf16 as f32, all else as it is."""
    return array.astype(np.float32) if dtype.is_float and dtype.bits < 32 else array


def unary(op: UnaryOp, operand: Array, dtype: DType) -> Array:
    """An elementwise operation on an array of `dtype`; the result has the same dtype."""
    with np.errstate(all="ignore"):
        if op is UnaryOp.NOT:
            return np.logical_not(operand)
        if op in _TRANSCENDENTAL:
            return np.asarray(_TRANSCENDENTAL[op](operand.astype(np.float64))).astype(dtype.numpy)
        return np.asarray(_EXACT[op](_widened(operand, dtype))).astype(dtype.numpy)


def binary(op: BinaryOp, left: Array, right: Array, dtype: DType) -> Array:
    """An elementwise operation on broadcastable arrays of `dtype`; comparisons give bool, all else `dtype`."""
    with np.errstate(all="ignore"):
        result = np.asarray(_BINARY[op](_widened(left, dtype), _widened(right, dtype)))
        return result if op.is_comparison else result.astype(dtype.numpy)


def cast(array: Array, source: DType, target: DType) -> Array:
    """Conversion by value: see :class:`~tritloom.codegen.ir.tile.Cast`. A NaN becomes the integer 0."""
    if source is target:
        return array
    with np.errstate(all="ignore"):
        if target.is_bool:
            return np.not_equal(_widened(array, source), 0)
        if source.is_float and target.is_integer:
            low, high = target.limits
            whole = np.trunc(np.nan_to_num(array.astype(np.float64), nan=0.0, posinf=high, neginf=low))
            return np.clip(whole, low, high).astype(target.numpy)
        if target.is_float and target.bits < 32:
            return array.astype(np.float32).astype(target.numpy)
        return array.astype(target.numpy)


def neutral(op: ReduceOp, dtype: DType) -> float | int:
    """The value that changes no reduction: what masked elements count as."""
    if op is ReduceOp.SUM:
        return 0
    low, high = (-np.inf, np.inf) if dtype.is_float else dtype.limits
    return low if op is ReduceOp.MAX else high


def reduce(
    op: ReduceOp, operand: Array, dimensions: int | tuple[int, ...], dtype: DType, keepdims: bool = False
) -> Array:
    """A reduction over dimensions of an array of `dtype`; sums of f16 and bf16 are accumulated in f32."""
    with np.errstate(all="ignore"):
        wide = _widened(operand, dtype)
        if op is ReduceOp.SUM:
            result = np.sum(wide, axis=dimensions, dtype=wide.dtype, keepdims=keepdims)
        else:
            function = np.max if op is ReduceOp.MAX else np.min
            result = function(wide, axis=dimensions, keepdims=keepdims)
        return np.asarray(result).astype(dtype.numpy)


def matmul_nt(left: Array, right: Array, result: DType) -> Array:
    """`left[..., M, K] @ right[..., N, K].T` with sums in `result` (i32 or f32), whatever the operands' dtypes."""
    with np.errstate(all="ignore"):
        transposed = np.swapaxes(right, -1, -2)
        if result.is_float:
            return np.asarray(left.astype(result.numpy) @ transposed.astype(result.numpy))
        exact = left.astype(np.float64) @ transposed.astype(np.float64)  # |sum| < 2**53 for any K < 2**38
        return np.asarray(exact).astype(np.int64).astype(np.int32)
