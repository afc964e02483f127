"""Reductions of tiles, and accumulations: what a loop adds to in every turn and needs whole only after its end."""

from __future__ import annotations

from abc import ABC, abstractmethod

from tritloom.codegen.ir.dtypes import f32
from tritloom.codegen.ir.machine import Register
from tritloom.codegen.ir.numerics import neutral
from tritloom.codegen.ir.tile import Axis, Reduce, ReduceOp
from tritloom.codegen.lower.cpu.context import Context
from tritloom.codegen.lower.cpu.convert import assemble, convert, materialise
from tritloom.codegen.lower.cpu.tiles import Point, Tile, points, steps

_KINDS: dict[ReduceOp, str] = {ReduceOp.SUM: "add", ReduceOp.MAX: "max", ReduceOp.MIN: "min"}


class Accumulation(ABC):
    """A value that is gathered over a loop's turns in a form of its own, and turned into a tile after the loop.

    The state is a list of registers of the same types in each turn.
    """

    @abstractmethod
    def begin(self, initial: Tile | None) -> list[Register]:
        """The state before the first turn; `initial` is what the sum starts with, None for nothing."""

    @abstractmethod
    def step(self, state: list[Register]) -> list[Register]:
        """The state after a turn."""

    @abstractmethod
    def finish(self, state: list[Register]) -> Tile:
        """The tile that the state stands for."""


def combine(ctx: Context, op: ReduceOp, a: Register, b: Register) -> Register:
    """One step of a reduction, of registers of one type."""
    if op is ReduceOp.SUM:
        return ctx.b.add(a, b)
    return ctx.b.max(a, b) if op is ReduceOp.MAX else ctx.b.min(a, b)


def _tree(ctx: Context, op: ReduceOp, terms: list[Register]) -> Register:
    while len(terms) > 1:
        pairs = [combine(ctx, op, a, b) for a, b in zip(terms[::2], terms[1::2])]
        terms = pairs + terms[len(pairs) * 2 :]
    return terms[0]


def _wide(ctx: Context, register: Register) -> Register:
    """f16 and bf16 are reduced in f32."""
    narrow = register.dtype.is_float and register.dtype.bits < 32
    return ctx.b.cast(register, f32) if narrow else register


def _terms(ctx: Context, reduce: Reduce, tile: Tile, point: Point, lane: Axis | None) -> list[Register]:
    """What is reduced into one point: the registers along the axis, with neutral values where masked."""
    axis, terms = reduce.axis, []
    for step in range(steps(axis, lane, ctx.width)):
        register = _wide(ctx, ctx.fetch(tile, {**point, axis: step}, lane))
        mask = ctx.mask(axis, step) if lane is axis else ctx.valid(axis, step)
        if mask is not None:
            if lane is not None and lane is not axis:
                mask = ctx.splat(mask)
            fill = neutral(reduce.op, register.dtype)
            register = ctx.b.select(mask, register, ctx.b.const(fill, register.dtype, register.lanes))
        terms.append(register)
    return terms


def reduce_tile(ctx: Context, reduce: Reduce) -> Tile:
    """A reduction, along the operand's own lane axis."""
    operand = reduce.operand
    lane = ctx.lanes.of(operand)
    if lane is None and ctx.lanes.of(reduce) is not None:
        lane = ctx.lanes.of(reduce)
    tile = ctx.tile(operand, lane)
    axes = tuple(axis for axis in tile.axes if axis is not reduce.axis)
    if lane is not reduce.axis and lane not in axes:
        lane = None
    rest = None if lane is reduce.axis else lane
    registers: dict[tuple[int, ...], Register] = {}
    for point in points(axes, rest, ctx.width):
        result = _tree(ctx, reduce.op, _terms(ctx, reduce, tile, point, lane))
        if lane is reduce.axis:
            result = ctx.b.reduce(_KINDS[reduce.op], result)
        registers[tuple(point[axis] for axis in axes)] = ctx.b.cast(result, reduce.dtype)
    return Tile(axes, rest, registers)


class ReduceAccumulation(Accumulation):
    """A reduction over a loop's axis that is its operand's lane axis: one vector a point, reduced after the loop."""

    def __init__(self, ctx: Context, reduce: Reduce):
        self.ctx = ctx
        self.reduce = reduce
        self.initial: Tile | None = None

    @staticmethod
    def legal(ctx: Context, reduce: Reduce) -> bool:
        """Whether there are lanes to reduce, and the sum may be kept in its own dtype."""
        return ctx.lanes.of(reduce.operand) is reduce.axis and reduce.dtype.bits == 32

    def begin(self, initial: Tile | None) -> list[Register]:
        self.initial = initial
        fill = neutral(self.reduce.op, self.reduce.dtype)
        start = self.ctx.b.const(fill, self.reduce.dtype, self.ctx.width)
        return [start for _ in points(self.reduce.axes, None, self.ctx.width)]

    def step(self, state: list[Register]) -> list[Register]:
        ctx, axis = self.ctx, self.reduce.axis
        tile = ctx.tile(self.reduce.operand, axis)
        result = []
        for point, register in zip(points(self.reduce.axes, None, ctx.width), state, strict=True):
            turn = _tree(ctx, self.reduce.op, _terms(ctx, self.reduce, tile, point, axis))
            result.append(combine(ctx, self.reduce.op, register, turn))
        return result

    def finish(self, state: list[Register]) -> Tile:
        ctx = self.ctx
        sums = [ctx.b.reduce(_KINDS[self.reduce.op], register) for register in state]
        if self.initial is not None:
            initial = materialise(ctx, convert(ctx, self.initial, None), self.reduce.axes, None)
            sums = [combine(ctx, self.reduce.op, a, b) for a, b in zip(initial, sums, strict=True)]
        return assemble(ctx, sums, self.reduce.axes, None)
