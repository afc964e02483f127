"""Makes functions in machine form: one method an operation, result types inferred, constants shared.

Both lowerings build with it. It mirrors :mod:`tritloom.codegen.ir.tile_builder`: statements go to the innermost open
body, loops and conditions are context managers. Operands of one operation have one type; a Python number takes the type
of the other operand. Types are not converted silently: use `cast`, `bitcast` and `splat`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tritloom.codegen.errors import VerificationError
from tritloom.codegen.ir.dtypes import DType, bool_, i32, u32
from tritloom.codegen.ir.machine import (
    Body,
    For,
    Function,
    IfElse,
    Instruction,
    MachineType,
    MatrixAccess,
    MatrixShape,
    Memory,
    Op,
    Phi,
    Register,
    Space,
    Statement,
)

Operand = Register | int | float
"""A register, or a number that becomes a constant of the other operand's type."""


class MachineBuilder:
    """Builds one function, statement by statement. `finish` makes it."""

    def __init__(self, name: str):
        self.name = name
        self._buffers: list[Memory] = []
        self._arrays: list[Memory] = []
        self._sizes: list[str] = []
        self._scalars: list[tuple[str, DType]] = []
        self._bodies: list[Body] = [Body()]
        self._shared: dict[tuple[Op, MachineType, str], Instruction] = {}

    # parameters and memory

    def buffer(self, name: str, dtype: DType, writable: bool = True) -> Memory:
        """The next buffer argument."""
        memory = Memory(name, dtype, Space.GLOBAL, None, writable)
        self._buffers.append(memory)
        return memory

    def array(self, name: str, dtype: DType, space: Space, length: int) -> Memory:
        """An array of `length` elements, shared by the workgroup or private to the thread."""
        memory = Memory(name, dtype, space, length)
        self._arrays.append(memory)
        return memory

    def declare_size(self, name: str) -> None:
        """The next size argument (i32)."""
        self._sizes.append(name)

    def declare_scalar(self, name: str, dtype: DType) -> None:
        """The next scalar argument (i32 or f32)."""
        self._scalars.append((name, dtype))

    # instructions

    def emit(self, op: Op, type: MachineType, *args: Register, attribute: Any = None) -> Register:  # noqa: A002
        """Append any instruction that has a result, of the given type."""
        result = Register(type)
        self.append(Instruction(op, result, args, attribute))
        return result

    def append(self, statement: Statement) -> None:
        """Append a statement as it stands."""
        self._bodies[-1].statements.append(statement)

    @contextmanager
    def inside(self, body: Body) -> Iterator[None]:
        """Statements made inside go to a body of the caller's."""
        self._bodies.append(body)
        try:
            yield
        finally:
            self._bodies.pop()

    def _once(self, op: Op, type_: MachineType, attribute: Any = None) -> Register:
        """An instruction without operands: made once, at the start of the function."""
        key = (op, type_, repr(attribute))
        if key not in self._shared:
            self._shared[key] = Instruction(op, Register(type_), (), attribute)
        result = self._shared[key].result
        assert result is not None
        return result

    def const(
        self, value: float | bool | Sequence[float | int | bool], dtype: DType, lanes: int = 1
    ) -> Register:
        """A constant: a number for all lanes, or one number a lane. Equal constants are one register."""
        attribute = tuple(value) if isinstance(value, Sequence) else value
        if isinstance(attribute, tuple) and len(attribute) != lanes:
            raise VerificationError(
                f"{self.name}: a constant of {lanes} lanes is given {len(attribute)} numbers"
            )
        return self._once(Op.CONST, MachineType(dtype, lanes), attribute)

    def size(self, name: str, dtype: DType = i32) -> Register:
        """The value of a size or scalar argument."""
        return self._once(Op.SIZE, MachineType(dtype), name)

    def program(self) -> Register:
        """The program's number in the grid (i32)."""
        return self._once(Op.PROGRAM, MachineType(i32))

    def thread(self) -> Register:
        """The thread's number in its workgroup (i32)."""
        return self._once(Op.THREAD, MachineType(i32))

    def subgroup(self) -> Register:
        """The number of the thread's subgroup in its workgroup (i32), known to be uniform."""
        return self._once(Op.SUBGROUP, MachineType(i32))

    def _pair(self, a: Operand, b: Operand) -> tuple[Register, Register]:
        if not isinstance(a, Register):
            if not isinstance(b, Register):
                raise VerificationError(f"{self.name}: an operation of two Python numbers, {a} and {b}")
            a = self.const(a, b.dtype, b.lanes)
        if not isinstance(b, Register):
            b = self.const(b, a.dtype, a.lanes)
        if a.type != b.type:
            raise VerificationError(f"{self.name}: an operation of {a.type} and {b.type}")
        return a, b

    def binary(self, op: Op, a: Operand, b: Operand) -> Register:
        """An operation of two operands of one type, with a result of that type."""
        left, right = self._pair(a, b)
        return self.emit(op, left.type, left, right)

    def add(self, a: Operand, b: Operand) -> Register:
        """a + b; integers wrap."""
        return self.binary(Op.ADD, a, b)

    def sub(self, a: Operand, b: Operand) -> Register:
        """a - b; integers wrap."""
        return self.binary(Op.SUB, a, b)

    def mul(self, a: Operand, b: Operand) -> Register:
        """a * b; integers wrap."""
        return self.binary(Op.MUL, a, b)

    def div(self, a: Operand, b: Operand) -> Register:
        """a / b; integers truncate toward zero."""
        return self.binary(Op.DIV, a, b)

    def rem(self, a: Operand, b: Operand) -> Register:
        """The remainder of `div`, with the sign of a."""
        return self.binary(Op.REM, a, b)

    def min(self, a: Operand, b: Operand) -> Register:
        """The lesser; either one where a float is NaN."""
        return self.binary(Op.MIN, a, b)

    def max(self, a: Operand, b: Operand) -> Register:
        """The greater; either one where a float is NaN."""
        return self.binary(Op.MAX, a, b)

    def and_(self, a: Operand, b: Operand) -> Register:
        """Bitwise (or of bools) and."""
        return self.binary(Op.AND, a, b)

    def or_(self, a: Operand, b: Operand) -> Register:
        """Bitwise (or of bools) or."""
        return self.binary(Op.OR, a, b)

    def xor(self, a: Operand, b: Operand) -> Register:
        """Bitwise (or of bools) exclusive or."""
        return self.binary(Op.XOR, a, b)

    def shl(self, a: Operand, b: Operand) -> Register:
        """a << b, for 0 <= b < bits."""
        return self.binary(Op.SHL, a, b)

    def shr(self, a: Operand, b: Operand) -> Register:
        """a >> b, for 0 <= b < bits; arithmetic for signed dtypes."""
        return self.binary(Op.SHR, a, b)

    def unary(self, op: Op, a: Register) -> Register:
        """An operation of one operand, with a result of its type."""
        return self.emit(op, a.type, a)

    def neg(self, a: Register) -> Register:
        """-a."""
        return self.unary(Op.NEG, a)

    def abs(self, a: Register) -> Register:
        """|a|; the least integer stays."""
        return self.unary(Op.ABS, a)

    def not_(self, a: Register) -> Register:
        """Bitwise (or of bools) not."""
        return self.unary(Op.NOT, a)

    def sqrt(self, a: Register) -> Register:
        """The square root."""
        return self.unary(Op.SQRT, a)

    def rsqrt(self, a: Register) -> Register:
        """1 / sqrt(a)."""
        return self.unary(Op.RSQRT, a)

    def exp(self, a: Register) -> Register:
        """e to the a."""
        return self.unary(Op.EXP, a)

    def log(self, a: Register) -> Register:
        """The natural logarithm."""
        return self.unary(Op.LOG, a)

    def sin(self, a: Register) -> Register:
        """The sine of radians."""
        return self.unary(Op.SIN, a)

    def cos(self, a: Register) -> Register:
        """The cosine of radians."""
        return self.unary(Op.COS, a)

    def tanh(self, a: Register) -> Register:
        """The hyperbolic tangent."""
        return self.unary(Op.TANH, a)

    def floor(self, a: Register) -> Register:
        """The greatest integral float that is not above."""
        return self.unary(Op.FLOOR, a)

    def round(self, a: Register) -> Register:
        """The nearest integral float, halves to the even one."""
        return self.unary(Op.ROUND, a)

    def fma(self, a: Operand, b: Operand, c: Operand) -> Register:
        """a * b + c."""
        known = next((x for x in (a, b, c) if isinstance(x, Register)), None)
        if known is None:
            raise VerificationError(f"{self.name}: an operation of Python numbers alone")
        x, y, z = (
            v if isinstance(v, Register) else self.const(v, known.dtype, known.lanes) for v in (a, b, c)
        )
        return self.emit(Op.FMA, x.type, x, y, z)

    def compare(self, predicate: str, a: Operand, b: Operand) -> Register:
        """lt, le, gt, ge, eq or ne of a and b: bool. Only ne holds of NaN."""
        left, right = self._pair(a, b)
        return self.emit(Op.COMPARE, MachineType(bool_, left.lanes), left, right, attribute=predicate)

    def select(self, condition: Register, a: Operand, b: Operand) -> Register:
        """a where the condition holds, else b."""
        if_true, if_false = self._pair(a, b)
        return self.emit(Op.SELECT, if_true.type, condition, if_true, if_false)

    def cast(self, a: Register, dtype: DType) -> Register:
        """Conversion by value; `a` itself if it has the dtype already."""
        if a.dtype is dtype:
            return a
        return self.emit(Op.CAST, MachineType(dtype, a.lanes), a)

    def bitcast(self, a: Register, type: MachineType) -> Register:  # noqa: A002
        """The same bits as another type of the same total width."""
        return a if a.type == type else self.emit(Op.BITCAST, type, a)

    def splat(self, a: Register, lanes: int) -> Register:
        """A scalar in all lanes; the scalar itself for one lane."""
        return a if lanes == 1 else self.emit(Op.SPLAT, MachineType(a.dtype, lanes), a)

    def extract(self, vector: Register, lane: int) -> Register:
        """One lane as a scalar."""
        return self.emit(Op.EXTRACT, MachineType(vector.dtype), vector, attribute=lane)

    def insert(self, vector: Register, scalar: Register, lane: int) -> Register:
        """The vector with one lane replaced."""
        return self.emit(Op.INSERT, vector.type, vector, scalar, attribute=lane)

    def shuffle(self, a: Register, b: Register, indices: Sequence[int]) -> Register:
        """Lane i of the result is lane indices[i] of a followed by b."""
        return self.emit(Op.SHUFFLE, MachineType(a.dtype, len(indices)), a, b, attribute=tuple(indices))

    def reduce(self, kind: str, a: Register) -> Register:
        """The lanes' sum, least or greatest ("add", "min", "max"), in any order; a scalar stays."""
        return a if a.lanes == 1 else self.emit(Op.REDUCE, MachineType(a.dtype), a, attribute=kind)

    def load(self, memory: Memory, index: Register, lanes: int = 1, mask: Register | None = None) -> Register:
        """`lanes` neighbouring elements from `index` on; 0 in lanes whose mask is false, which are not read."""
        args = (index,) if mask is None else (index, mask)
        return self.emit(Op.LOAD, MachineType(memory.dtype, lanes), *args, attribute=memory)

    def store(self, memory: Memory, index: Register, value: Register, mask: Register | None = None) -> None:
        """The lanes of `value` to neighbouring elements from `index` on, but for lanes whose mask is false."""
        args = (index, value) if mask is None else (index, value, mask)
        self.append(Instruction(Op.STORE, None, args, memory))

    def gather(self, memory: Memory, indices: Register, mask: Register | None = None) -> Register:
        """The elements at a vector of indices; 0 in lanes whose mask is false, which are not read."""
        args = (indices,) if mask is None else (indices, mask)
        return self.emit(Op.GATHER, MachineType(memory.dtype, indices.lanes), *args, attribute=memory)

    def scatter(
        self, memory: Memory, indices: Register, value: Register, mask: Register | None = None
    ) -> None:
        """The lanes of `value` to the elements at a vector of indices, but for lanes whose mask is false."""
        args = (indices, value) if mask is None else (indices, value, mask)
        self.append(Instruction(Op.SCATTER, None, args, memory))

    def dot4_us(self, acc: Register, a: Register, b: Register, small: bool = False) -> Register:
        """acc i32 x L + sums of four products a lane of u8 x 4L and i8 x 4L.

        `small` promises that no element of `a` is above 127, which targets without the instruction do faster.
        """
        return self.emit(Op.DOT4_US, acc.type, acc, a, b, attribute="small" if small else None)

    def dot4_ss(self, acc: Register, a: Register, b: Register) -> Register:
        """acc i32 x L + sums of four products a lane of i8 x 4L and i8 x 4L."""
        return self.emit(Op.DOT4_SS, acc.type, acc, a, b)

    def dot2_bf16(self, acc: Register, a: Register, b: Register) -> Register:
        """acc f32 x L + sums of two products a lane of bf16 x 2L and bf16 x 2L."""
        return self.emit(Op.DOT2_BF16, acc.type, acc, a, b)

    def lookup(self, values: Sequence[float | int], lanes: Register, dtype: DType) -> Register:
        """For each lane of an i32 or u32 register, one of 4 (or 16) numbers, taken by its two (four) low bits."""
        return self.emit(Op.LOOKUP, MachineType(dtype, lanes.lanes), lanes, attribute=tuple(values))

    def barrier(self) -> None:
        """Wait for the workgroup's other threads, and see what they wrote to shared memory."""
        self.append(Instruction(Op.BARRIER, None))

    # subgroups

    def load_words(
        self, memory: Memory, index: Register, words: int, mask: Register | None = None
    ) -> Register:
        """1, 2 or 4 words of 32 bits from the element `index` on, which is aligned to all of them; 0 where masked."""
        args = (index,) if mask is None else (index, mask)
        return self.emit(Op.LOAD_WORDS, MachineType(u32, words), *args, attribute=memory)

    def store_words(
        self, memory: Memory, index: Register, value: Register, mask: Register | None = None
    ) -> None:
        """1, 2 or 4 words of 32 bits to the element `index` on, which is aligned to all of them."""
        args = (index, value) if mask is None else (index, value, mask)
        self.append(Instruction(Op.STORE_WORDS, None, args, memory))

    def lane_xor(self, a: Register, bit: int) -> Register:
        """The register of the subgroup's thread whose number differs in `bit`, a power of two."""
        return self.emit(Op.LANE_XOR, a.type, a, attribute=bit)

    def subgroup_barrier(self) -> None:
        """Wait for the subgroup's other threads, and see what they wrote to shared memory."""
        self.append(Instruction(Op.SUBGROUP_BARRIER, None))

    def matrix_const(self, value: float, dtype: DType, shape: MatrixShape) -> Register:
        """A matrix of one number."""
        return self._once(Op.CONST, MachineType(dtype, 1, shape), value)

    def matrix_load(self, access: MatrixAccess, index: Register, shape: MatrixShape) -> Register:
        """The subgroup's matrix whose first element lies at `index`, of the memory's dtype."""
        return self.emit(Op.MATRIX_LOAD, MachineType(access.memory.dtype, 1, shape), index, attribute=access)

    def matrix_store(self, access: MatrixAccess, index: Register, matrix: Register) -> None:
        """The matrix to memory from `index` on."""
        self.append(Instruction(Op.MATRIX_STORE, None, (index, matrix), access))

    def matrix_multiply_add(self, a: Register, b: Register, accumulator: Register) -> Register:
        """a . b + accumulator, of a subgroup's matrices."""
        return self.emit(Op.MATRIX_MULTIPLY_ADD, accumulator.type, a, b, accumulator)

    # control flow

    @contextmanager
    def for_(
        self,
        start: Operand,
        stop: Operand,
        step: Operand = 1,
        initials: Sequence[Register] = (),
        unroll: int = 1,
    ) -> Iterator[OpenFor]:
        """A counted loop. Set `next` of what it yields before the block ends; read `results` after it."""
        known = next((x for x in (stop, start, step) if isinstance(x, Register)), None)
        dtype = i32 if known is None else known.dtype
        first, last, stride = (
            bound if isinstance(bound, Register) else self.const(bound, dtype)
            for bound in (start, stop, step)
        )
        opened = OpenFor(Register(first.type), [Register(value.type) for value in initials])
        body = Body()
        self._bodies.append(body)
        try:
            yield opened
        finally:
            self._bodies.pop()
        if len(opened.next) != len(initials):
            raise VerificationError(
                f"{self.name}: a loop carries {len(initials)} values and was given {len(opened.next)}"
            )
        phis = []
        for initial, inside, at_end in zip(initials, opened.values, opened.next, strict=True):
            if initial.type != at_end.type:
                raise VerificationError(
                    f"{self.name}: a loop carries {initial.type} and was given {at_end.type}"
                )
            phi = Phi(initial, inside, at_end, Register(initial.type))
            phis.append(phi)
            opened.results.append(phi.after)
        self._bodies[-1].statements.append(For(opened.variable, first, last, stride, body, phis, unroll))

    @contextmanager
    def if_(self, condition: Register) -> Iterator[OpenIfElse]:
        """A condition on a scalar bool. Inside, `with branch.otherwise():` makes the else body; set `pairs`."""
        opened = OpenIfElse(self)
        self._bodies.append(opened.then)
        try:
            yield opened
        finally:
            self._bodies.pop()
        merges = []
        for if_true, if_false in opened.pairs:
            if if_true.type != if_false.type:
                raise VerificationError(f"{self.name}: a condition merges {if_true.type} and {if_false.type}")
            after = Register(if_true.type)
            merges.append(Phi(if_true, after, if_false, after))
            opened.results.append(after)
        self._bodies[-1].statements.append(IfElse(condition, opened.then, opened.else_, merges))

    def finish(self, threads: int = 1, comment: str = "") -> Function:
        """The function, of `threads` threads a program; `comment` is for readers of the emitted source."""
        body = self._bodies[0]
        body.statements[:0] = self._shared.values()
        self._shared = {}
        return Function(
            self.name,
            tuple(self._buffers),
            tuple(self._sizes),
            tuple(self._scalars),
            threads,
            self._arrays,
            body,
            comment=comment,
        )


class OpenFor:
    """A loop under construction."""

    def __init__(self, variable: Register, values: list[Register]):
        self.variable = variable
        self.values = values
        self.next: list[Register] = []
        self.results: list[Register] = []


class OpenIfElse:
    """A condition under construction; statements go to `then` until `otherwise` is entered."""

    def __init__(self, builder: MachineBuilder):
        self._builder = builder
        self.then = Body()
        self.else_ = Body()
        self.pairs: list[tuple[Register, Register]] = []
        self.results: list[Register] = []

    @contextmanager
    def otherwise(self) -> Iterator[None]:
        """Statements made inside go to the else body, from which the then body is not seen."""
        bodies = self._builder._bodies
        bodies[-1] = self.else_
        try:
            yield
        finally:
            bodies[-1] = self.then
