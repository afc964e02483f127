"""The names of the kernel language: what may be called inside `@tl.kernel`, and in its signature.

The functions here are never run: a kernel's source is parsed, and they say what each name takes and means. Called
outside of a kernel they raise. A *tile* is a value for each combination of the indices of its named axes; tiles
broadcast by axis, and a block that goes past the end of its axis is masked there. An index that is computed
(`x[m + 1]`, `x[table[m]]`), or an axis that is longer than the dimension that it indexes, is not masked: guard it with
`where=` of `load` and `store`. The interpreter finds one that is not; a device reads or writes what lies there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

from tritloom.codegen.errors import DTypeError, KernelSyntaxError, ShapeError, caller_location
from tritloom.codegen.ir.dtypes import (
    DType,
    TensorSpec,
    bf16,
    bool_,
    f16,
    f32,
    i8,
    i16,
    i32,
    ternary,
    u8,
    u32,
)

__all__ = [  # what help() shows, and nothing that a user does not write
    "abs", "blocks", "cast", "clamp", "cos", "dot", "exp", "floor", "full", "inout", "load", "log", "max", "min", "out",
    "programs", "round", "rsqrt", "sigmoid", "sin", "sqrt", "static", "store", "sum", "tanh", "tunable", "where",
    "whole", "zeros",
]  # fmt: skip

SIGNATURE = ("out", "inout", "static", "tunable")
DTYPES = (bool_, i8, i16, i32, u8, u32, f16, bf16, f32, ternary)

Tile = Any
"""A tile, a scalar, a size, an axis (its indices) or a Python number."""


@dataclass(frozen=True, slots=True)
class Tunable:
    """A parameter that is fixed when a kernel is compiled: the values that are good ones, the default first."""

    values: tuple[int, ...]

    @property
    def default(self) -> int:
        return self.values[0]


class Static(str):
    """The name of a dimension that is known when the kernel is compiled."""

    __slots__ = ()


def is_positive_integer(value: object) -> bool:
    """Whether it is an int of 1 or more, and no bool."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


# in the signature


def out(spec: TensorSpec) -> TensorSpec:
    """A tensor that the kernel writes and never reads: `y: tl.out(tl.f32["M"])`. A call makes it and returns it."""
    return _with_mode(spec, "out")


def inout(spec: TensorSpec) -> TensorSpec:
    """A tensor that the kernel reads and writes. A call returns the updated tensor."""
    return _with_mode(spec, "inout")


def _with_mode(spec: TensorSpec, mode: str) -> TensorSpec:
    if not isinstance(spec, TensorSpec):
        raise DTypeError(
            f"tl.{mode} takes a tensor, not {spec!r}",
            hint=f'as in tl.{mode}(tl.f32["M", "N"])',
            location=caller_location(),
        )
    return TensorSpec(spec.dtype, spec.dims, mode)


def static(name: str) -> Static:
    """A dimension that is known when the kernel is compiled: `x: tl.f32["M", tl.static("D")]`.

    The kernel is compiled once for each of its values. Dimensions that are used in `tl.whole` or `range` are static
    without saying so.
    """
    return Static(name)


def tunable(default: int, *others: int) -> Any:
    """A parameter that is fixed when the kernel is compiled: its default, then other good values.

    As in `BM=tl.tunable(8, 4, 1)`. A call may give any: `k(x, BM=2)`. Of others the half of the default is taken by
    itself, where a target has few registers.
    """
    for value in (default, *others):
        if not is_positive_integer(value):
            raise ShapeError(
                f"tl.tunable takes positive integers, not {value!r}",
                hint="as in BM=tl.tunable(8, 4, 1)",
                location=caller_location(),
            )
    return Tunable((default, *others))


# in the body


def _outside(name: str) -> NoReturn:
    raise KernelSyntaxError(
        f"tl.{name} was called outside of a kernel",
        hint="use it inside a function under @tl.kernel or @tl.inline",
        location=caller_location(),
    )


def programs(size: Tile, block: int) -> Any:
    """An axis of the kernel's grid: each program has one block of the indices 0 .. size - 1.

    The axis made last varies fastest from one program to the next.
    """
    _outside("programs")


def blocks(size: Tile, block: int, *, start: Tile = None, stop: Tile = None) -> Any:
    """`for k in tl.blocks(K, BK):` visits the blocks of the indices 0 .. size - 1 in order.

    With `start` and `stop` (i32 scalars, 0 <= start), only indices in [start, stop) count.
    """
    _outside("blocks")


def whole(size: Tile) -> Any:
    """An axis that one block covers. Makes the dimension static: it is known when the kernel is compiled."""
    _outside("whole")


def load(tensor: Any, *indices: Tile, where: Tile = None) -> Any:
    """`tensor[indices]`; elements where the condition is false are not read and count as 0.

    The condition may guard computed indices: `tl.load(x, m + 1, where=m + 1 < M)`.
    """
    _outside("load")


def store(tensor: Any, *indices_and_value: Tile, where: Tile = None) -> None:
    """`tl.store(y, i, j, value, where=condition)` is `y[i, j] = value` where the condition holds."""
    _outside("store")


def zeros(*axes: Any, dtype: DType = f32) -> Any:
    """A tile of zeros over the axes."""
    _outside("zeros")


def full(*axes: Any, value: Tile, dtype: DType | None = None) -> Any:
    """A tile of one value over the axes: of `dtype`, else of the value's own (a Python float is f32, an int i32)."""
    _outside("full")


def cast(value: Tile, dtype: DType) -> Any:
    """Conversion by value. Float to integer truncates toward zero and saturates; to a narrower integer wraps."""
    _outside("cast")


def where(condition: Tile, if_true: Tile, if_false: Tile) -> Any:
    """`if_true` where the condition holds, else `if_false`, element by element."""
    _outside("where")


def sum(value: Tile, *axes: Any) -> Any:  # noqa: A001  (the field's word)
    """The sum over the axes; f16 and bf16 are accumulated in f32. Masked elements count as 0."""
    _outside("sum")


def max(value: Tile, *others: Tile) -> Any:  # noqa: A001
    """`tl.max(x, k)` is the greatest element over the axis k; `tl.max(x, y)` of two tiles the greater, each by each."""
    _outside("max")


def min(value: Tile, *others: Tile) -> Any:  # noqa: A001
    """`tl.min(x, k)` is the least element over the axis k; `tl.min(x, y)` of two tiles the lesser, each by each."""
    _outside("min")


def dot(left: Tile, right: Tile, axis: Any) -> Any:
    """The sum of products over an axis: i8 x i8 and i8 x ternary in i32, floats x floats or ternary in f32."""
    _outside("dot")


def abs(value: Tile) -> Any:  # noqa: A001
    """The absolute value."""
    _outside("abs")


def exp(value: Tile) -> Any:
    """e to the power of a float tile."""
    _outside("exp")


def log(value: Tile) -> Any:
    """The natural logarithm."""
    _outside("log")


def sqrt(value: Tile) -> Any:
    """The square root."""
    _outside("sqrt")


def rsqrt(value: Tile) -> Any:
    """One over the square root."""
    _outside("rsqrt")


def sin(value: Tile) -> Any:
    """The sine."""
    _outside("sin")


def cos(value: Tile) -> Any:
    """The cosine."""
    _outside("cos")


def tanh(value: Tile) -> Any:
    """The hyperbolic tangent."""
    _outside("tanh")


def sigmoid(value: Tile) -> Any:
    """1 / (1 + exp(-x))."""
    _outside("sigmoid")


def floor(value: Tile) -> Any:
    """The greatest integer that is no greater, in the same dtype."""
    _outside("floor")


def round(value: Tile) -> Any:  # noqa: A001
    """The nearest integer, halves to the even one, in the same dtype."""
    _outside("round")


def clamp(value: Tile, low: Tile, high: Tile) -> Any:
    """The value, but no less than `low` and no more than `high`."""
    _outside("clamp")


FUNCTIONS = (
    programs, blocks, whole, load, store, zeros, full, cast, where, sum, max, min, dot, abs, exp, log, sqrt, rsqrt, sin,
    cos, tanh, sigmoid, floor, round, clamp,
)  # fmt: skip
BY_NAME: dict[str, Any] = {function.__name__: function for function in FUNCTIONS}
"""What the parser knows, by the name under `tl`."""
