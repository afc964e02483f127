"""Dots of two operands that are both contiguous along the contracted axis: lanes run along it, and each sum is a vector
that is reduced after the loop."""

from __future__ import annotations

from tritloom.codegen.ir.dtypes import bf16, f32, i8
from tritloom.codegen.ir.machine import Register, index
from tritloom.codegen.ir.tile import Axis, Const, Dot, Load
from tritloom.codegen.lower.cpu.context import Context
from tritloom.codegen.lower.cpu.convert import assemble, materialise
from tritloom.codegen.lower.cpu.memory import evaluate
from tritloom.codegen.lower.cpu.operands import underlying_load
from tritloom.codegen.lower.cpu.reductions import Accumulation
from tritloom.codegen.lower.cpu.sums import Sums, sum_lanes
from tritloom.codegen.lower.cpu.tiles import Point, Tile, extent, points

_MOST_SUMS = 8
"""Sums for each vector register up to which code of a sensible length is made."""


def _limit(ctx: Context) -> int:
    """Sums that leave registers for the operands."""
    return ctx.target.vector_registers * 3 // 4


class InnerDot(Accumulation):
    """The state is one vector for each element of the result, worked on in squares that fit the registers."""

    def __init__(self, ctx: Context, dot: Dot, lane: Axis | None):
        self.ctx = ctx
        self.dot = dot
        self.lane = lane if lane in dot.axes else None
        loads = [underlying_load(ctx, operand) for operand in (dot.left, dot.right)]
        self.loads: list[Load] = [load for load in loads if load is not None]
        dtypes = {load.dtype for load in self.loads}
        self.group = 1
        if dtypes == {bf16} and ctx.target.has("bf16-dot"):
            self.group = 2
        elif dtypes == {i8}:
            self.group = 4
        self.where = list(points(dot.axes, None, ctx.width))
        self.sums = Sums(ctx, dot.dtype, ctx.width, len(self.where), _limit(ctx))
        self.initial: Tile | None = None

    @staticmethod
    def cost(ctx: Context, dot: Dot, lane: Axis | None, gathered: bool) -> float | None:
        """Legal where both operands are read from their buffers, contiguous along the contracted axis.

        Beside the products there are three instructions to reduce each sum, in every turn if all their sums are
        needed.
        """
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
        if sums > _MOST_SUMS * ctx.target.vector_registers or extent(axis) * 2 < ctx.width:
            return None
        products = extent(axis) / ctx.width
        cost = 1.3 + (0.0 if sums <= _limit(ctx) else 2.0 / products)
        if isinstance(axis.size, Const) or not gathered:
            whole = int(axis.size.value) if gathered and isinstance(axis.size, Const) else extent(axis)
            cost += 3.0 * ctx.width / whole
        return cost

    def _squares(self) -> list[list[int]]:
        """The numbers of the sums, in groups that fit the registers with their operands: some rows of the left side
        times some of the right one's."""
        own = tuple(a for a in self.dot.right.axes if a not in self.dot.left.axes)
        many = self.ctx.target.vector_registers >= 32
        height, breadth = (4, 6) if many else (2, 4)
        groups: dict[tuple[int, int], list[int]] = {}
        lefts: dict[tuple[int, ...], int] = {}
        rights: dict[tuple[int, ...], int] = {}
        for number, point in enumerate(self.where):
            left = tuple(point[a] for a in self.dot.axes if a in self.dot.left.axes)
            right = tuple(point[a] for a in own)
            row = lefts.setdefault(left, len(lefts)) // height
            column = rights.setdefault(right, len(rights)) // breadth
            groups.setdefault((row, column), []).append(number)
        return list(groups.values())

    def begin(self, initial: Tile | None) -> list[Register]:
        self.initial = initial
        zero = self.ctx.b.const(0, self.dot.dtype, self.ctx.width)
        return self.sums.begin([zero] * len(self.where))

    def step(self, state: list[Register]) -> list[Register]:
        ctx, b = self.ctx, self.ctx.b
        state = list(state)
        lanes = ctx.width * self.group
        count = -(-extent(self.dot.axis) // lanes)
        for numbers in self._squares() if self.sums.in_memory else [list(range(len(self.where)))]:
            totals = [self.sums.get(state, number) for number in numbers]
            if count * len(self.where) <= 256:
                for vector in range(count):
                    totals = self._products(numbers, totals, vector)
            else:
                stop, one = b.const(count, index), b.const(1, index)
                with b.for_(b.const(0, index), stop, one, totals) as turns, ctx.scope():
                    turns.next = self._products(numbers, turns.values, turns.variable)
                totals = turns.results
            for number, total in zip(numbers, totals, strict=True):
                self.sums.put(state, number, total)
        return state

    def _products(self, numbers: list[int], totals: list[Register], vector: int | Register) -> list[Register]:
        """Some sums after one more vector of the contracted axis."""
        read: dict[tuple[object, ...], Register] = {}
        mask = self._mask(vector)
        result = []
        for number, total in zip(numbers, totals, strict=True):
            point = self.where[number]
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
        ctx, axes, lane = self.ctx, self.dot.axes, self.lane
        sums = self.sums.all(state)
        if lane is None:
            scalars = [ctx.b.reduce("add", total) for total in sums]
            tile = assemble(ctx, scalars, axes, None)
        else:
            tile = self._along(lane, sums)
        if self.initial is None:
            return tile
        found = zip(
            materialise(ctx, self.initial, axes, lane), materialise(ctx, tile, axes, lane), strict=True
        )
        return assemble(ctx, [ctx.b.add(a, b) for a, b in found], axes, lane)

    def _along(self, lane: Axis, sums: list[Register]) -> Tile:
        """The result with the elements along `lane` in the lanes of vectors."""
        rows: dict[tuple[int, ...], list[Register]] = {}
        others = tuple(axis for axis in self.dot.axes if axis is not lane)
        for point, total in zip(self.where, sums, strict=True):
            rows.setdefault(tuple(point[axis] for axis in others), []).append(total)
        registers: dict[tuple[int, ...], Register] = {}
        for key, row in rows.items():
            place = dict(zip(others, key, strict=True))
            for vector, register in enumerate(sum_lanes(self.ctx, row)):
                point = {**place, lane: vector}
                registers[tuple(point[axis] for axis in self.dot.axes)] = register
        return Tile(self.dot.axes, lane, registers)
