"""Dots of two operands that are both contiguous along the contracted axis: lanes run along it, and each sum is a vector
that is reduced after the loop."""

from __future__ import annotations

from tritloom.codegen.ir.dtypes import bf16, f32, i8
from tritloom.codegen.ir.machine import Register, index
from tritloom.codegen.ir.tile import Axis, Dot, Load
from tritloom.codegen.lower.cpu.context import Context
from tritloom.codegen.lower.cpu.convert import assemble, convert, materialise
from tritloom.codegen.lower.cpu.memory import evaluate
from tritloom.codegen.lower.cpu.operands import underlying_load
from tritloom.codegen.lower.cpu.reductions import Accumulation
from tritloom.codegen.lower.cpu.tiles import Point, Tile, extent, points


class InnerDot(Accumulation):
    """The state is one vector for each element of the result."""

    def __init__(self, ctx: Context, dot: Dot, lane: Axis | None):
        self.ctx = ctx
        self.dot = dot
        self.lane = lane
        loads = [underlying_load(ctx, operand) for operand in (dot.left, dot.right)]
        self.loads: list[Load] = [load for load in loads if load is not None]
        dtypes = {load.dtype for load in self.loads}
        self.group = 1
        if dtypes == {bf16} and ctx.target.has("bf16-dot"):
            self.group = 2
        elif dtypes == {i8}:
            self.group = 4
        self.where = list(points(dot.axes, None, ctx.width))
        self.initial: Tile | None = None

    @staticmethod
    def cost(ctx: Context, dot: Dot, lane: Axis | None, gathered: bool) -> float | None:
        """Legal where both operands are read from their buffers, and there is a register for each sum."""
        axis = dot.axis
        for operand in (dot.left, dot.right):
            load = underlying_load(ctx, operand)
            if load is None or not ctx.is_lazy(load) or not ctx.lanes.is_contiguous(load, axis):
                return None
            if ctx.affine.stride(ctx.affine.address(load.buffer, load.indices), axis) is None:
                return None
        sums = 1
        for free in dot.axes:
            sums *= extent(free)
        if sums > ctx.target.vector_registers * 7 // 8 or extent(axis) < ctx.width:
            return None
        return 1.0 if gathered else 1.0 + 24.0 * ctx.width / extent(axis)

    def begin(self, initial: Tile | None) -> list[Register]:
        self.initial = initial
        return [self.ctx.b.const(0, self.dot.dtype, self.ctx.width) for _ in self.where]

    def step(self, state: list[Register]) -> list[Register]:
        ctx, b, axis = self.ctx, self.ctx.b, self.dot.axis
        lanes = ctx.width * self.group
        count = -(-extent(axis) // lanes)
        if count * len(state) <= 256:
            for vector in range(count):
                state = self._products(state, vector)
            return state
        stop, one = b.const(count, index), b.const(1, index)
        with b.for_(b.const(0, index), stop, one, state) as turns, ctx.scope():
            turns.next = self._products(turns.values, turns.variable)
        return turns.results

    def _products(self, state: list[Register], vector: int | Register) -> list[Register]:
        read: dict[tuple[object, ...], Register] = {}
        mask = self._mask(vector)
        result = []
        for point, total in zip(self.where, state, strict=True):
            factors = []
            for side, load in enumerate(self.loads):
                key = (side, *(point[a] for a in load.axes if a is not self.dot.axis))
                if key not in read:
                    read[key] = self._read(load, point, vector, mask)
                factors.append(read[key])
            result.append(self._multiply(total, factors[0], factors[1]))
        return result

    def _read(self, load: Load, point: Point, vector: int | Register, mask: Register | None) -> Register:
        ctx, b, axis = self.ctx, self.ctx.b, self.dot.axis
        lanes = ctx.width * self.group
        start = evaluate(ctx, ctx.affine.address(load.buffer, load.indices), {**point, axis: 0}, axis)
        at = b.add(start, vector * lanes if isinstance(vector, int) else b.mul(vector, lanes))
        return b.load(ctx.memories[load.buffer], at, lanes, mask)

    def _mask(self, vector: int | Register) -> Register | None:
        """Which of a vector's elements are valid."""
        ctx, b, axis = self.ctx, self.ctx.b, self.dot.axis
        lanes = ctx.width * self.group
        span = ctx.span(axis)
        if span.full and extent(axis) % lanes == 0:
            return None
        iota = b.const(list(range(lanes)), index, lanes)
        first = b.const(vector * lanes, index) if isinstance(vector, int) else b.mul(vector, lanes)
        place = b.add(b.splat(first, lanes), iota)
        high = b.const(extent(axis), index)
        if span.high is not None:
            high = b.min(high, b.cast(b.sub(span.high, span.start), index))
        mask = b.compare("lt", place, b.splat(high, lanes))
        if span.low is not None:
            low = b.cast(b.sub(span.low, span.start), index)
            mask = b.and_(mask, b.compare("ge", place, b.splat(low, lanes)))
        return mask

    def _multiply(self, total: Register, left: Register, right: Register) -> Register:
        b = self.ctx.b
        if self.group == 4:
            return b.dot4_ss(total, left, right)
        if self.group == 2:
            return b.dot2_bf16(total, left, right)
        return b.fma(b.cast(left, f32), b.cast(right, f32), total)

    def finish(self, state: list[Register]) -> Tile:
        ctx, axes = self.ctx, self.dot.axes
        sums = [ctx.b.reduce("add", total) for total in state]
        if self.initial is not None:
            initial = materialise(ctx, convert(ctx, self.initial, None), axes, None)
            sums = [ctx.b.add(a, b) for a, b in zip(initial, sums, strict=True)]
        return assemble(ctx, sums, axes, None)
