"""What a loop carries, in registers: tiles as they are, reductions as each thread's part, products as sums in their
strategy's form together with words of the next block, which are on their way while this one's products are made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tritloom.codegen.ir.machine import Op, Register
from tritloom.codegen.ir.tile import Axis, Dot, LoopVariable, Reduce
from tritloom.codegen.lower.gpu import reductions
from tritloom.codegen.lower.gpu.accumulation import Accumulations
from tritloom.codegen.lower.gpu.context import Context, OpenAxis
from tritloom.codegen.lower.gpu.strategies import strategy


class Carrier(ABC):
    """How one variable of a loop is carried."""

    def __init__(self, ctx: Context, variable: LoopVariable):
        self.ctx = ctx
        self.variable = variable

    def named(self, registers: Sequence[Register]) -> Sequence[Register]:
        """The registers, called as the user calls the variable."""
        for register in registers:
            register.name = register.name or self.variable.carried.name
        return registers

    @abstractmethod
    def start(self, first: OpenAxis, axis: Axis) -> list[Register]:
        """What it is before the first turn, at whose block the axis begins."""

    @abstractmethod
    def enter(self, registers: Sequence[Register]) -> None:
        """What it is at the start of a turn."""

    @abstractmethod
    def turn(self, following: OpenAxis, axis: Axis) -> list[Register]:
        """What it is at the end of a turn, of which `following` is the next block."""

    @abstractmethod
    def finish(self, registers: Sequence[Register]) -> None:
        """Define the variable's result from what it is after the last turn."""


class TileCarrier(Carrier):
    """A tile in its usual layout."""

    def start(self, first: OpenAxis, axis: Axis) -> list[Register]:
        initial = self.variable.initial
        self.layout = self.ctx.plan.layout(initial.axes)
        return list(self.ctx.tile(initial, self.layout).registers)

    def enter(self, registers: Sequence[Register]) -> None:
        self.ctx.define(self.variable.carried, self.layout, registers)

    def turn(self, following: OpenAxis, axis: Axis) -> list[Register]:
        return list(self.ctx.tile(self.variable.next, self.layout).registers)

    def finish(self, registers: Sequence[Register]) -> None:
        self.ctx.define(self.variable.result, self.layout, registers)


class ReductionCarrier(Carrier):
    """Each thread's part of a reduction."""

    def __init__(self, ctx: Context, variable: LoopVariable, reduction: Reduce):
        super().__init__(ctx, variable)
        self.reduction = reduction

    def start(self, first: OpenAxis, axis: Axis) -> list[Register]:
        parts = reductions.partial_layout(self.ctx.plan, self.reduction)
        return [reductions.neutral(self.ctx, self.reduction)] * parts.registers

    def enter(self, registers: Sequence[Register]) -> None:
        self.before = self.named(registers)

    def turn(self, following: OpenAxis, axis: Axis) -> list[Register]:
        parts = reductions.within(self.ctx, self.reduction)
        pairs = zip(self.before, parts, strict=True)
        return [reductions.combine(self.ctx, self.reduction, *pair) for pair in pairs]

    def finish(self, registers: Sequence[Register]) -> None:
        ctx, variable = self.ctx, self.variable
        layout = ctx.plan.layout(variable.initial.axes)
        total = ctx.move(reductions.across(ctx, self.reduction, list(registers)), layout)
        initial = ctx.tile(variable.initial, layout).registers
        pairs = zip(initial, total, strict=True)
        ctx.define(variable.result, layout, [reductions.combine(ctx, self.reduction, *p) for p in pairs])


class DotCarrier(Carrier):
    """Sums of products, and words read ahead."""

    def __init__(self, ctx: Context, variable: LoopVariable, dot: Dot):
        super().__init__(ctx, variable)
        self.dot = dot
        self.strategy = strategy(dot, ctx.plan, ctx.target)

    def start(self, first: OpenAxis, axis: Axis) -> list[Register]:
        sums = self.strategy.start(self.ctx, self.dot)
        self.sums = len(sums)
        with self._at(first, axis):
            return [*sums, *self.strategy.fetch(self.ctx, self.dot)]

    def enter(self, registers: Sequence[Register]) -> None:
        self.before = self.named(registers[: self.sums])
        self.fetched = registers[self.sums :]

    def turn(self, following: OpenAxis, axis: Axis) -> list[Register]:
        operands = self.strategy.deposit(self.ctx, self.dot, self.fetched)
        with self._at(following, axis):
            ahead = self.strategy.fetch(self.ctx, self.dot)
        return [*self.strategy.multiply(self.ctx, self.dot, operands, self.before), *ahead]

    def finish(self, registers: Sequence[Register]) -> None:
        ctx, variable = self.ctx, self.variable
        layout = ctx.plan.layout(variable.initial.axes)
        total = self.strategy.finish(ctx, self.dot, registers[: self.sums])
        initial = ctx.tile(variable.initial, layout).registers
        pairs = zip(initial, total, strict=True)
        ctx.define(variable.result, layout, [ctx.builder.binary(Op.ADD, *pair) for pair in pairs])

    @contextmanager
    def _at(self, opened: OpenAxis, axis: Axis) -> Iterator[None]:
        """The axis at another block for a while."""
        before = self.ctx.reopen(axis, opened)
        yield
        self.ctx.reopen(axis, before)


def carrier(ctx: Context, variable: LoopVariable, accumulations: Accumulations) -> Carrier:
    """How a variable is carried."""
    match accumulations.get(variable.carried):
        case Reduce() as reduction:
            return ReductionCarrier(ctx, variable, reduction)
        case Dot() as dot:
            return DotCarrier(ctx, variable, dot)
    return TileCarrier(ctx, variable)
