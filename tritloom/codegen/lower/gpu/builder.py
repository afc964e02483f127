"""A machine builder that computes nothing twice: equal pure operations are one register, addresses leave their loops.

Spreading a tile over threads asks for the same indices, masks and addresses again and again. So a pure operation that a
body in scope has made already is reused, and one on integers or bools is put into the outermost body that has its
operands. Constants are folded where that is free of questions (integers, no overflow).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tritloom.codegen.ir.dtypes import DType, i32
from tritloom.codegen.ir.machine import Body, Instruction, MachineType, Op, Register, index
from tritloom.codegen.ir.machine_builder import MachineBuilder, OpenFor, OpenIfElse, Operand

_IMPURE = {
    Op.LOAD,
    Op.GATHER,
    Op.STORE,
    Op.SCATTER,
    Op.BARRIER,
    Op.LOAD_WORDS,
    Op.STORE_WORDS,
    Op.LANE_XOR,
    Op.SUBGROUP_BARRIER,
    Op.MATRIX_LOAD,
    Op.MATRIX_STORE,
}
_STAY = {Op.DIV, Op.REM}
"""Not moved out of a condition: a divisor may be 0 where the condition does not hold."""

Key = tuple[Op, MachineType, tuple[Register, ...], str]


class ScopedBuilder(MachineBuilder):
    """Builds a thread's code."""

    def __init__(self, name: str, *, hoists: bool = True):
        """`hoists`: put operations into the outermost body that has their operands."""
        super().__init__(name)
        self._hoists = hoists
        self._home: dict[Register, Body] = {}
        self._made: dict[int, dict[Key, Register]] = {}
        self._numbers: dict[Register, int] = {}
        self._alive: list[Body] = []

    def const(
        self, value: float | bool | Sequence[float | int | bool], dtype: DType, lanes: int = 1
    ) -> Register:
        """A constant, whose number `number` tells."""
        result = super().const(value, dtype, lanes)
        if lanes == 1 and dtype.is_integer and isinstance(value, int):
            self._numbers[result] = value
        return result

    def thread_along(self, dimension: int) -> Register:
        """The thread's x (0) or y (1)."""
        return self._once(Op.THREAD, MachineType(i32), dimension)

    def number(self, register: Register) -> int | None:
        """The value of an integer constant."""
        return self._numbers.get(register)

    def emit(self, op: Op, type: MachineType, *args: Register, attribute: Any = None) -> Register:  # noqa: A002
        """Append an instruction, or give the register of an equal one."""
        if op in _IMPURE:
            result = super().emit(op, type, *args, attribute=attribute)
            self._home[result] = self._bodies[-1]
            return result
        folded = self._fold(op, type, args)
        if folded is not None:
            return folded
        key = (op, type, args, repr(attribute))
        for body in self._bodies:
            known = self._made.get(id(body), {}).get(key)
            if known is not None:
                return known
        moves = (
            self._hoists
            and op not in _STAY
            and not type.dtype.is_float
            and not any(a.dtype.is_float for a in args)
        )
        if op is Op.ADD and any(arg in self._numbers for arg in args):
            moves = False  # an offset: free where it is used, a register where it is not
        body = self._bodies[max(map(self._depth, args), default=0)] if moves else self._bodies[-1]
        result = Register(type)
        body.statements.append(Instruction(op, result, args, attribute))
        self._home[result] = body
        self._table(body)[key] = result
        return result

    def _table(self, body: Body) -> dict[Key, Register]:
        if id(body) not in self._made:
            self._made[id(body)] = {}
            self._alive.append(body)  # so that no other body gets its id
        return self._made[id(body)]

    def _depth(self, register: Register) -> int:
        """How many bodies deep a register is made; constants and parameters stand before all."""
        home = self._home.get(register)
        return next((i for i, body in enumerate(self._bodies) if body is home), 0)

    def _fold(self, op: Op, type_: MachineType, args: tuple[Register, ...]) -> Register | None:
        if type_.lanes != 1 or type_.dtype not in (i32, index) or not 1 <= len(args) <= 2:
            return None
        numbers = [self._numbers.get(arg) for arg in args]
        if op is Op.CAST:
            return (
                None
                if numbers[0] is None or not args[0].dtype.is_integer
                else self.const(numbers[0], type_.dtype)
            )
        if len(args) != 2:
            return None
        a, b = numbers
        match op:
            case Op.ADD if a == 0:
                return args[1]
            case Op.ADD | Op.SUB if b == 0:
                return args[0]
            case Op.MUL | Op.AND if a == 0 or b == 0:
                return self.const(0, type_.dtype)
            case Op.MUL if a == 1:
                return args[1]
            case Op.MUL | Op.DIV if b == 1:
                return args[0]
            case Op.REM if b == 1:
                return self.const(0, type_.dtype)
        if a is None or b is None:
            return None
        exact = {Op.ADD: a + b, Op.SUB: a - b, Op.MUL: a * b, Op.MIN: min(a, b), Op.MAX: max(a, b)}.get(op)
        return None if exact is None or not -(2**31) <= exact < 2**31 else self.const(exact, type_.dtype)

    @contextmanager
    def for_(
        self,
        start: Operand,
        stop: Operand,
        step: Operand = 1,
        initials: Sequence[Register] = (),
        unroll: int = 1,
    ) -> Iterator[OpenFor]:
        """A counted loop."""
        with super().for_(start, stop, step, initials, unroll) as opened:
            for register in (opened.variable, *opened.values):
                self._home[register] = self._bodies[-1]
            yield opened
        for register in opened.results:
            self._home[register] = self._bodies[-1]

    @contextmanager
    def if_(self, condition: Register) -> Iterator[OpenIfElse]:
        """A condition on a scalar bool."""
        with super().if_(condition) as opened:
            yield opened
        for register in opened.results:
            self._home[register] = self._bodies[-1]
