"""Dots: the strategies that a dot product may be computed with, and the one that takes every dot.

A strategy says whether it is legal for a dot on a target and what it costs; the cheapest legal one is taken. It keeps
the sum in a state of its own (see Accumulation), so that a loop carries what suits the instructions, and corrections
and horizontal sums happen once after the loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tritloom.codegen.ir.dtypes import DType, f32, i32
from tritloom.codegen.ir.machine import Register, index
from tritloom.codegen.ir.tile import Axis, Dot, Value
from tritloom.codegen.lower.cpu.context import Context
from tritloom.codegen.lower.cpu.convert import assemble, materialise
from tritloom.codegen.lower.cpu.dots_inner import InnerDot
from tritloom.codegen.lower.cpu.dots_ternary import PairedTernaryDot, TernaryDot4, TernaryFma
from tritloom.codegen.lower.cpu.operands import (
    DirectSource,
    Source,
    StagedSource,
    moves_evenly,
    underlying_load,
)
from tritloom.codegen.lower.cpu.reductions import Accumulation
from tritloom.codegen.lower.cpu.sums import Sums
from tritloom.codegen.lower.cpu.tiles import Point, Tile, extent, points


class DotStrategy(Protocol):
    """A way to compute dots: its class is in STRATEGIES, an instance is one dot's plan."""

    @staticmethod
    def cost(ctx: Context, dot: Dot, lane: Axis | None, gathered: bool) -> float | None:
        """Cycles for each product of a vector, roughly; None where the strategy is not legal.

        `lane` is the axis that the result is wanted along; `gathered` says that a loop sums the dots of its turns.
        """

    def __call__(self, ctx: Context, dot: Dot, lane: Axis | None) -> Accumulation:
        """The plan."""


class OuterDot(Accumulation):
    """Any dot: for each index of the contracted axis, every element of one side times a vector of the other.

    Lanes run along an axis of the result; an operand that has that axis is read as vectors, the other one element by
    element. Takes everything that the tile IR allows.
    """

    def __init__(self, ctx: Context, dot: Dot, lane: Axis | None):
        self.ctx = ctx
        self.dot = dot
        self.lane = lane if lane in dot.axes else None
        wide: DType = f32 if dot.dtype.is_float else i32
        self.sources = [self._source(operand, wide) for operand in (dot.left, dot.right)]
        self.where = list(points(dot.axes, self.lane, ctx.width))
        lanes = 1 if self.lane is None else ctx.width
        self.at_once = max(1, ctx.target.vector_registers * 3 // 4)
        self.sums = Sums(ctx, dot.dtype, lanes, len(self.where), self.at_once)

    @staticmethod
    def cost(ctx: Context, dot: Dot, lane: Axis | None, gathered: bool) -> float | None:
        """Always legal. An operand that is not contiguous along the lanes is transposed once for all rows."""
        if lane not in dot.axes:
            return 40.0
        rows = 1
        for axis in dot.axes:
            rows *= 1 if axis is lane else extent(axis)
        cost = 1.3
        for operand in (dot.left, dot.right):
            load = underlying_load(ctx, operand)
            direct = load is not None and ctx.is_lazy(load)
            if lane in operand.axes and not (direct and load and ctx.lanes.is_contiguous(load, lane)):
                cost += 8.0 / rows
        return cost * -(-extent(lane) // ctx.width) * ctx.width / extent(lane)

    def _source(self, operand: Value, dtype: DType) -> Source:
        ctx, axis, lane = self.ctx, self.dot.axis, self.lane
        load = underlying_load(ctx, operand)
        own = lane if lane in operand.axes else None
        if load is not None and moves_evenly(ctx, load, axis) and self._steady(load):
            form = ctx.affine.address(load.buffer, load.indices)
            along = None if own is None else ctx.affine.stride(form, own)
            if own is None or (along is not None and along.constant == 1):
                return DirectSource(ctx, operand, axis, dtype, load)
        return StagedSource(ctx, operand, axis, dtype, own)

    def _steady(self, load: Value) -> bool:
        """Whether every index but that of the contracted axis is cheap to have (reading again costs nothing more)."""
        return self.ctx.is_lazy(load)

    def begin(self, initial: Tile | None) -> list[Register]:
        ctx = self.ctx
        if initial is not None:
            return self.sums.begin(materialise(ctx, initial, self.dot.axes, self.lane))
        zero = ctx.b.const(0, self.dot.dtype, 1 if self.lane is None else ctx.width)
        return self.sums.begin([zero] * len(self.where))

    def step(self, state: list[Register]) -> list[Register]:
        ctx, axis = self.ctx, self.dot.axis
        for source in self.sources:
            if isinstance(source, StagedSource):
                source.stage()
        span = ctx.span(axis)
        low, high = ctx.b.const(0, index), ctx.b.const(extent(axis), index)
        if span.high is not None:
            left = ctx.b.sub(span.high, span.start)
            high = ctx.b.cast(ctx.b.min(left, extent(axis)), index)
        if span.low is not None:
            low = ctx.b.cast(ctx.b.sub(ctx.first(axis), span.start), index)
        state = list(state)
        for at in range(0, len(self.where), self.at_once):
            part = range(at, min(at + self.at_once, len(self.where)))
            where = [self.where[number] for number in part]
            totals = [self.sums.get(state, number) for number in part]
            if span.full and extent(axis) * len(self.where) <= 64:
                for offset in range(extent(axis)):
                    totals = self._products(where, totals, offset)
            else:
                with ctx.b.for_(low, high, ctx.b.const(1, index), totals, unroll=4) as turns, ctx.scope():
                    turns.next = self._products(where, turns.values, turns.variable)
                totals = turns.results
            for number, total in zip(part, totals, strict=True):
                self.sums.put(state, number, total)
        return state

    def _products(
        self, where: list[dict[Axis, int]], accumulators: list[Register], offset: Register | int
    ) -> list[Register]:
        """Add the products at one index of the contracted axis."""
        ctx, read = self.ctx, {}
        result = []
        for point, accumulator in zip(where, accumulators, strict=True):
            factors = []
            for side, source in enumerate(self.sources):
                key = (side, tuple(point[a] for a in source.operand.axes if a is not self.dot.axis))
                if key not in read:
                    read[key] = self._read(source, point, offset)
                factors.append(read[key])
            if self.dot.dtype.is_float:
                result.append(ctx.b.fma(factors[0], factors[1], accumulator))
            else:
                result.append(ctx.b.add(accumulator, ctx.b.mul(factors[0], factors[1])))
        return result

    def _read(self, source: Source, point: Point, offset: Register | int) -> Register:
        if self.lane is None:
            return source.scalar(point, offset)
        if self.lane in source.operand.axes:
            return source.vector(point, offset, self.lane)
        return self.ctx.b.splat(source.scalar(point, offset), self.ctx.width)

    def finish(self, state: list[Register]) -> Tile:
        return assemble(self.ctx, self.sums.all(state), self.dot.axes, self.lane)


@dataclass(frozen=True, slots=True)
class Choice:
    """A legal strategy and its cost."""

    strategy: DotStrategy
    cost: float


STRATEGIES: tuple[DotStrategy, ...] = (TernaryDot4, PairedTernaryDot, TernaryFma, InnerDot, OuterDot)
"""All strategies; of equal costs the earlier one is taken."""


def dot_choices(ctx: Context, dot: Dot, lane: Axis | None, gathered: bool) -> list[Choice]:
    """The legal strategies for a dot, cheapest first."""
    choices = []
    for strategy in STRATEGIES:
        cost = strategy.cost(ctx, dot, lane, gathered)
        if cost is not None:
            choices.append(Choice(strategy, cost))
    return sorted(choices, key=lambda choice: choice.cost)


def dot_accumulation(ctx: Context, dot: Dot, lane: Axis | None, *, gathered: bool) -> Accumulation:
    """The plan for a dot by the cheapest strategy, with a result along `lane` where it has the choice."""
    return dot_choices(ctx, dot, lane, gathered)[0].strategy(ctx, dot, lane)
