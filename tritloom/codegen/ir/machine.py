"""Machine form: what a lowering makes of a tile kernel and an emitter prints.

One program (CPU) or one thread of a program's workgroup (GPU) as structured code over registers. A register is a scalar
or a vector of `lanes`; memory is named arrays, addressed by element. Nothing is left to decide here: no masks but
explicit ones, no tiles, no axes. Emitters are printers of this form: one case an operation.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from tritloom.codegen.ir.dtypes import DType, Kind

index = DType("index", Kind.INT, 64, np.dtype(np.int64))
"""The dtype of addresses: 64 bits on a CPU, what the target prefers on a GPU. Only the machine form has it."""

_serial = itertools.count()


class MatrixUse(Enum):
    """The part that a matrix has in `a . b + accumulator`."""

    A = "a"
    B = "b"
    ACCUMULATOR = "accumulator"


@dataclass(frozen=True, slots=True)
class MatrixShape:
    """A matrix that the threads of a subgroup hold together; which thread holds what is the device's affair."""

    rows: int
    columns: int
    use: MatrixUse


@dataclass(frozen=True, slots=True)
class MachineType:
    """A register's type: `lanes` elements of `dtype`; one lane is a scalar. Or, on a GPU, a subgroup's matrix."""

    dtype: DType
    lanes: int = 1
    matrix: MatrixShape | None = None

    def __repr__(self) -> str:
        if self.matrix is not None:
            return f"{self.dtype.name}[{self.matrix.rows}, {self.matrix.columns}, {self.matrix.use.value}]"
        return self.dtype.name if self.lanes == 1 else f"{self.dtype.name}x{self.lanes}"


@dataclass(eq=False, slots=True)
class Register:
    """A value, assigned once."""

    type: MachineType
    serial: int = field(default_factory=lambda: next(_serial))
    name: str = ""
    """The user's name for it, if any: for emitters and printers that people read."""

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    @property
    def lanes(self) -> int:
        return self.type.lanes


class Space(Enum):
    """Where an array lies."""

    GLOBAL = "global"
    SHARED = "shared"
    """Of the workgroup."""
    PRIVATE = "private"
    """Of the thread (a CPU program's stack)."""


@dataclass(eq=False, slots=True)
class Memory:
    """A named array of elements. `length` is None for a kernel's buffer. 64-byte aligned at its start on a CPU."""

    name: str
    dtype: DType
    space: Space
    length: int | None = None
    writable: bool = True


@dataclass(frozen=True, slots=True)
class MatrixAccess:
    """Where the elements of a matrix lie: that of row r and column c at `r * stride + c`, from an index on.

    Or at `c * stride + r`, if it is `transposed`. Rows are aligned to 16 bytes, or to their length if it is less.
    """

    memory: Memory
    stride: int
    transposed: bool = False


class Op(Enum):
    """Operations. Operands and result have one type unless said otherwise; all are lane by lane unless said so."""

    CONST = "const"  # attribute: a number (all lanes, all of a matrix) or a tuple of one number a lane
    SIZE = "size"  # attribute: a size's or scalar's name; scalar i32 or f32
    PROGRAM = "program"  # the program's number in the grid: scalar i32
    THREAD = "thread"  # the thread's number in its workgroup: scalar i32; attribute: 0 or 1 for its x or y.
    # Where the target has subgroups, those of one subgroup are `subgroup_size` neighbours, from a multiple of it on
    SUBGROUP = (
        "subgroup"  # the number of the thread's subgroup in its workgroup: scalar i32, known to be uniform
    )
    ADD = "add"
    SUB = "sub"
    MUL = "mul"
    DIV = "div"  # floats; integers truncate toward zero
    REM = "rem"  # integers, with the dividend's sign
    MIN = "min"  # floats: either operand where one is NaN
    MAX = "max"
    AND = "and"
    OR = "or"
    XOR = "xor"
    SHL = "shl"
    SHR = "shr"  # arithmetic for signed dtypes
    NOT = "not"
    NEG = "neg"
    ABS = "abs"
    FMA = "fma"  # a * b + c, rounded once where the target has it
    SQRT = "sqrt"
    RSQRT = "rsqrt"  # full precision
    EXP = "exp"
    LOG = "log"
    SIN = "sin"
    COS = "cos"
    TANH = "tanh"
    FLOOR = "floor"
    ROUND = "round"  # halves to even
    COMPARE = "compare"  # attribute: lt le gt ge eq ne; result bool
    SELECT = "select"  # bool, a, b
    CAST = "cast"  # by value, as the tile IR's Cast
    BITCAST = "bitcast"  # same total bits
    SPLAT = "splat"  # a scalar to all lanes
    EXTRACT = "extract"  # attribute: the lane
    INSERT = "insert"  # vector, scalar; attribute: the lane
    SHUFFLE = "shuffle"  # a, b; attribute: for each result lane an index into the lanes of a then b
    REDUCE = "reduce"  # lanes to a scalar; attribute: add min max
    LOAD = "load"  # index [, bool mask]; attribute: Memory. Lanes are neighbours in memory, masked ones 0
    STORE = "store"  # index, value [, mask]; attribute: Memory
    GATHER = "gather"  # index vector [, mask]; attribute: Memory
    SCATTER = "scatter"  # index vector, value [, mask]; attribute: Memory
    DOT4_US = "dot4_us"  # acc i32 x L, a u8 x 4L, b i8 x 4L: acc + sum of 4 products a lane, exact, wrapping;
    # attribute: "small" promises that no element of a is above 127
    DOT4_SS = "dot4_ss"  # the same with a of i8
    DOT2_BF16 = "dot2_bf16"  # acc f32 x L, a bf16 x 2L, b bf16 x 2L: acc + sum of 2 products a lane
    LOOKUP = "lookup"  # i32 or u32 x L; attribute: tuple of 4 (or 16) numbers of the result's dtype, taken by the two
    # (four) low bits of a lane
    BARRIER = "barrier"  # of the workgroup, for shared memory
    # GPUs only, in code that all threads of a subgroup run:
    LOAD_WORDS = (
        "load_words"  # index [, bool mask]; attribute: Memory. u32 x 1, 2 or 4: the bytes from the element
    )
    # `index` on, whose address is a multiple of the result's size; 0 where masked
    STORE_WORDS = "store_words"  # index, u32 x 1, 2 or 4 [, mask]; attribute: Memory. Aligned alike
    LANE_XOR = (
        "lane_xor"  # scalar f32, i32 or u32; attribute: a power of two below the subgroup's size. The operand
    )
    # of the thread whose number differs in that bit
    SUBGROUP_BARRIER = "subgroup_barrier"  # of the subgroup, for shared memory
    MATRIX_LOAD = "matrix_load"  # index; attribute: MatrixAccess
    MATRIX_STORE = "matrix_store"  # index, matrix; attribute: MatrixAccess
    MATRIX_MULTIPLY_ADD = "matrix_multiply_add"  # a, b, accumulator: a . b + accumulator


@dataclass(eq=False, slots=True)
class Instruction:
    """`result = op(args)`; `result` is None for stores and barriers."""

    op: Op
    result: Register | None
    args: tuple[Register, ...] = ()
    attribute: Any = None


@dataclass(eq=False, slots=True)
class Phi:
    """A value carried by a For (initial, inside, next, after) or merged by an IfElse (`inside` unused)."""

    initial: Register
    inside: Register
    next: Register
    after: Register


@dataclass(eq=False, slots=True)
class For:
    """`for variable in range(start, stop, step)`, with scalar registers of one integer dtype."""

    variable: Register
    start: Register
    stop: Register
    step: Register
    body: Body
    phis: list[Phi] = field(default_factory=list)
    unroll: int = 1
    """How many turns the compiler that comes after may lay out in a row; 1 asks it to leave the loop as it is, since
    more turns at once need more registers."""


@dataclass(eq=False, slots=True)
class IfElse:
    """`after` of each merge is `initial` if the condition held, else `next`."""

    condition: Register
    then: Body
    otherwise: Body
    merges: list[Phi] = field(default_factory=list)


Statement = Instruction | For | IfElse


@dataclass(eq=False, slots=True)
class Body:
    """Statements in order."""

    statements: list[Statement] = field(default_factory=list)

    def walk(self) -> Iterator[Statement]:
        """All statements, outer before inner."""
        for statement in self.statements:
            yield statement
            if isinstance(statement, For):
                yield from statement.body.walk()
            elif isinstance(statement, IfElse):
                yield from statement.then.walk()
                yield from statement.otherwise.walk()


@dataclass(eq=False, slots=True)
class Function:
    """A kernel in machine form.

    Arguments come in the order `buffers`, `sizes`, `scalars`, as in the tile kernel. `threads` is 1 on a CPU.
    `arrays` are its shared and private arrays.
    """

    name: str
    buffers: tuple[Memory, ...]
    sizes: tuple[str, ...]
    scalars: tuple[tuple[str, DType], ...]
    threads: int
    arrays: list[Memory]
    body: Body
    width: int = 0
    """Threads along x, a divisor of `threads`: thread t is at x = t % width, y = t // width. 0: all of them."""
    comment: str = ""
    """What a reader of the emitted source should know: the program's blocks and the like."""
