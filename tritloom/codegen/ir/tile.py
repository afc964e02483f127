"""Tile IR: the one kernel language, as data.

A kernel is a grid of *programs*; a program works on whole *tiles*. A tile's axes are named: each is an :class:`Axis`, a
range of indices cut into blocks, and a tile is a value for each combination of its axes' indices. So broadcasting,
contraction and masking follow from the names: `x[m, k] * g[k]` has the axes m and k, `dot(a, b, k)` of [m, k] and
[n, k] has m and n, and an index past an axis' size is masked everywhere: it is never loaded, never stored, and is
neutral in every reduction. A ragged edge therefore needs no code in the kernel.

Nothing here knows threads, pointers, vectors or any device. Kernels are made by
:class:`tritloom.codegen.ir.tile_builder.Builder`, which checks the rules, and defined by
:mod:`tritloom.codegen.ir.tile_interpreter`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from tritloom.codegen.errors import SourceLocation
from tritloom.codegen.ir.dtypes import DType, bool_, i32

_serial = itertools.count()


class AxisKind(Enum):
    """How an axis' blocks are visited."""

    PROGRAM = "program"
    """Each program of the grid has one block of it."""
    LOOP = "loop"
    """A loop visits the blocks in order."""
    WHOLE = "whole"
    """One block covers it all: `block >= size`, and the size is known at compile time."""


@dataclass(eq=False, slots=True)
class Axis:
    """A range of indices 0 .. size - 1 in blocks of `block`. Identity is equality: two axes may share a name."""

    name: str
    size: Value
    block: int
    kind: AxisKind
    location: SourceLocation | None = None
    serial: int = field(default_factory=lambda: next(_serial))

    def __repr__(self) -> str:
        return self.name


Axes = tuple[Axis, ...]


def union(*groups: Axes) -> Axes:
    """The axes of several tiles together, in the order in which the axes were made."""
    return tuple(sorted({axis for group in groups for axis in group}, key=lambda axis: axis.serial))


@dataclass(eq=False, slots=True, kw_only=True)
class Value:
    """A tile (or, with no axes, a scalar), assigned once. Concrete subclasses say how it is computed."""

    axes: Axes
    dtype: DType
    location: SourceLocation | None = None
    name: str = ""
    """The user's name for it, if any: for printing alone."""

    @property
    def operands(self) -> tuple[Value, ...]:
        """The values that this one is computed from, in order."""
        return ()


@dataclass(eq=False, slots=True, kw_only=True)
class Const(Value):
    """A compile-time constant; its Python value is already rounded to the dtype."""

    value: float | int | bool


@dataclass(eq=False, slots=True, kw_only=True)
class Size(Value):
    """A dimension known at launch (i32, > 0 for every launch that happens). `multiple_of` divides it for sure."""

    multiple_of: int = 1


@dataclass(eq=False, slots=True, kw_only=True)
class Scalar(Value):
    """A scalar parameter of the kernel."""


@dataclass(eq=False, slots=True, kw_only=True)
class Index(Value):
    """The indices of an axis' current block: an i32 tile [axis]."""

    axis: Axis


@dataclass(eq=False, slots=True, kw_only=True)
class Load(Value):
    """`buffer[indices]`: axes are the union of the indices' axes (and the guard's).

    Masked elements, and those whose `guard` (a bool tile) is false, are not read; they count as 0.
    """

    buffer: Buffer
    indices: tuple[Value, ...]
    guard: Value | None = None

    @property
    def operands(self) -> tuple[Value, ...]:
        return self.indices + (() if self.guard is None else (self.guard,))


class UnaryOp(Enum):
    """Elementwise operations of one operand. The float ones keep the dtype; `NOT` is of bools."""

    NEG = "neg"
    ABS = "abs"
    EXP = "exp"
    LOG = "log"
    SQRT = "sqrt"
    RSQRT = "rsqrt"
    SIN = "sin"
    COS = "cos"
    TANH = "tanh"
    FLOOR = "floor"
    ROUND = "round"
    """To the nearest integer, halves to the even one."""
    NOT = "not"


class BinaryOp(Enum):
    """Elementwise operations of two operands of one dtype. Comparisons give bool."""

    ADD = "add"
    SUB = "sub"
    MUL = "mul"
    DIV = "div"
    """Of floats."""
    FLOORDIV = "floordiv"
    """Of integers, rounding to minus infinity as Python does. A divisor of 0 is undefined."""
    MOD = "mod"
    """Of integers, with the divisor's sign as in Python."""
    MIN = "min"
    """Of floats, where one operand is NaN, either of the two; so in reductions."""
    MAX = "max"
    AND = "and"
    OR = "or"
    XOR = "xor"
    SHL = "shl"
    SHR = "shr"
    """Arithmetic for signed dtypes, logical for unsigned. Shifts by less than 0, or by all the bits or more, are
    undefined."""
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"
    EQ = "eq"
    NE = "ne"

    @property
    def is_comparison(self) -> bool:
        return self in _COMPARISONS


_COMPARISONS = frozenset({BinaryOp.LT, BinaryOp.LE, BinaryOp.GT, BinaryOp.GE, BinaryOp.EQ, BinaryOp.NE})


@dataclass(eq=False, slots=True, kw_only=True)
class Unary(Value):
    """One operation on each element of the operand."""

    op: UnaryOp
    operand: Value

    @property
    def operands(self) -> tuple[Value, ...]:
        return (self.operand,)


@dataclass(eq=False, slots=True, kw_only=True)
class Binary(Value):
    """Axes are the union of the operands'."""

    op: BinaryOp
    left: Value
    right: Value

    @property
    def operands(self) -> tuple[Value, ...]:
        return (self.left, self.right)


@dataclass(eq=False, slots=True, kw_only=True)
class Select(Value):
    """`if_true` where the bool tile `condition` holds, else `if_false`."""

    condition: Value
    if_true: Value
    if_false: Value

    @property
    def operands(self) -> tuple[Value, ...]:
        return (self.condition, self.if_true, self.if_false)


@dataclass(eq=False, slots=True, kw_only=True)
class Cast(Value):
    """Conversion by value. Float to integer truncates toward zero and saturates, and NaN becomes 0; float to float
    rounds half to even; integer to narrower integer wraps; to bool is `!= 0`."""

    operand: Value

    @property
    def operands(self) -> tuple[Value, ...]:
        return (self.operand,)


@dataclass(eq=False, slots=True, kw_only=True)
class Expand(Value):
    """The operand repeated along further axes."""

    operand: Value

    @property
    def operands(self) -> tuple[Value, ...]:
        return (self.operand,)


class ReduceOp(Enum):
    """Reductions. Masked indices are neutral: 0 for SUM, the dtype's least and greatest value for MAX and MIN
    (minus and plus infinity for floats)."""

    SUM = "sum"
    MAX = "max"
    MIN = "min"


@dataclass(eq=False, slots=True, kw_only=True)
class Reduce(Value):
    """The operand reduced over one axis. The dtype stays, but sums of f16 and bf16 are accumulated in f32 and then
    rounded, and integers narrower than 32 bits are refused for SUM: cast first."""

    op: ReduceOp
    operand: Value
    axis: Axis

    @property
    def operands(self) -> tuple[Value, ...]:
        return (self.operand,)


@dataclass(eq=False, slots=True, kw_only=True)
class Dot(Value):
    """The sum over `axis` of left * right. Axes are the union of the operands' less `axis`.

    Operand dtypes and the result's: i8 x i8 -> i32, i8 x ternary -> i32, f x f -> f32 and f x ternary -> f32, where f
    is one of f32, f16, bf16, the same on both sides. Products are exact, sums are in the result's dtype, in any order.
    """

    left: Value
    right: Value
    axis: Axis

    @property
    def operands(self) -> tuple[Value, ...]:
        return (self.left, self.right)


@dataclass(eq=False, slots=True, kw_only=True)
class Carried(Value):
    """Inside a loop's body: a carried value as it is at the start of the iteration."""


@dataclass(eq=False, slots=True, kw_only=True)
class Result(Value):
    """After a loop or a condition: one of the values that it leaves."""


@dataclass(eq=False, slots=True)
class Let:
    """The point in the program at which `value` is computed (loads happen here, in order with the stores)."""

    value: Value


@dataclass(eq=False, slots=True)
class Store:
    """`buffer[indices] = value` for every index that is not masked and whose guard holds.

    Each axis of the value must be among the axes of the indices. An axis that is among the indices' or guard's but not
    the value's repeats the value. Programs must not write the same element.
    """

    buffer: Buffer
    indices: tuple[Value, ...]
    value: Value
    guard: Value | None = None
    location: SourceLocation | None = None


@dataclass(eq=False, slots=True)
class LoopVariable:
    """A value that a loop carries: `initial` before, `carried` in the body, `next` at its end, `result` after."""

    initial: Value
    carried: Carried
    next: Value
    result: Result


@dataclass(eq=False, slots=True)
class Loop:
    """Visits the blocks of `axis` in order: those that hold an index in [start, stop). Indices outside are masked.

    `start` and `stop` are i32 scalars, 0 and the axis' size if None; start is 0 or more, stop is clipped to the size.
    Blocks are counted from `start` rounded down to a multiple of the block.
    """

    axis: Axis
    start: Value | None
    stop: Value | None
    variables: list[LoopVariable]
    body: Block
    location: SourceLocation | None = None


@dataclass(eq=False, slots=True)
class Merge:
    """A value that a condition leaves: `if_true` or `if_false`, seen as `result` after it."""

    if_true: Value
    if_false: Value
    result: Result


@dataclass(eq=False, slots=True)
class If:
    """Runs one of two blocks; `condition` is a bool scalar."""

    condition: Value
    then: Block
    otherwise: Block
    merges: list[Merge]
    location: SourceLocation | None = None


Statement = Let | Store | Loop | If


@dataclass(eq=False, slots=True)
class Block:
    """Statements in order."""

    statements: list[Statement] = field(default_factory=list)

    def walk(self) -> Iterator[Statement]:
        """All statements, outer before inner, in order."""
        for statement in self.statements:
            yield statement
            if isinstance(statement, Loop):
                yield from statement.body.walk()
            elif isinstance(statement, If):
                yield from statement.then.walk()
                yield from statement.otherwise.walk()


class Mode(Enum):
    """What a kernel does with a buffer."""

    IN = "in"
    OUT = "out"
    """Written, never read; every element is written by exactly one program."""
    INOUT = "inout"


@dataclass(eq=False, slots=True)
class Buffer:
    """A tensor in memory, row-major and contiguous. `shape` holds i32 scalars: each a Size or a Const."""

    name: str
    dtype: DType
    shape: tuple[Value, ...]
    mode: Mode
    location: SourceLocation | None = None


@dataclass(eq=False, slots=True)
class Kernel:
    """A whole kernel, for one choice of its tunable parameters.

    Programs are numbered with the last of `program_axes` fastest, and may run in any order and at the same time.
    """

    name: str
    buffers: tuple[Buffer, ...]
    scalars: tuple[Scalar, ...]
    sizes: tuple[Size, ...]
    program_axes: Axes
    body: Block
    location: SourceLocation | None = None

    def grid(self, sizes: dict[str, int]) -> tuple[int, ...]:
        """Programs along each program axis, for the sizes of a launch (by the names of `self.sizes`)."""
        return tuple(-(-evaluate_size(axis.size, sizes) // axis.block) for axis in self.program_axes)


def evaluate_size(value: Value, sizes: dict[str, int]) -> int:
    """The number that a scalar integer expression over sizes and constants has at launch."""
    if isinstance(value, Const):
        return int(value.value)
    if isinstance(value, Size):
        return sizes[value.name]
    if isinstance(value, Binary):
        left, right = evaluate_size(value.left, sizes), evaluate_size(value.right, sizes)
        match value.op:
            case BinaryOp.ADD:
                return left + right
            case BinaryOp.SUB:
                return left - right
            case BinaryOp.MUL:
                return left * right
            case BinaryOp.FLOORDIV:
                return left // right
            case BinaryOp.MOD:
                return left % right
            case BinaryOp.MIN:
                return min(left, right)
            case BinaryOp.MAX:
                return max(left, right)
    raise TypeError(f"{value!r} is no expression of sizes")


def const(value: float | bool, dtype: DType = i32, location: SourceLocation | None = None) -> Const:
    """A scalar constant, rounded to its dtype."""
    rounded = dtype.numpy.type(value).item() if not dtype.is_bool else bool(value)
    return Const(axes=(), dtype=dtype, value=rounded, location=location)


TRUE = const(True, bool_)
