"""Strategies for `dot`: operands go through shared memory, each thread holds a block of the result in registers.

A strategy says what it fits, which values it wants in which layouts, and makes the result in steps: sums of nothing;
words of the operands, read ahead of their use; the operands in shared memory; their products added to the sums; the
sums as a tile. In a loop that only adds products to a total the sums are carried as the strategy holds them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

from tritloom.codegen.ir.dtypes import DType, f32, i8, i32
from tritloom.codegen.ir.machine import Register, index
from tritloom.codegen.ir.tile import Dot, Value
from tritloom.codegen.lower.gpu.context import Context
from tritloom.codegen.lower.gpu.fetching import Fetch, fetch, plan_fetch
from tritloom.codegen.lower.gpu.layout import Layout
from tritloom.codegen.lower.gpu.packed import words
from tritloom.codegen.lower.gpu.plan import LayoutPlan
from tritloom.codegen.lower.gpu.staging import ROWS, Staged, deposit, stage
from tritloom.codegen.target import Target

_UNROLL = 4

Operands = tuple[Staged, Staged]
"""The left and the right one in shared memory."""


class DotStrategy(ABC):
    """One way to make a dot."""

    name: str
    group: int
    """How its operands lie in shared memory: see Staged."""
    ahead = False
    """Whether operands that lie in memory as it wants them are read ahead, in wide words."""

    @abstractmethod
    def fits(self, dot: Dot, plan: LayoutPlan, target: Target) -> bool:
        """Whether it can make this dot on this target."""

    def staged(self, dot: Dot) -> DType:
        """The dtype of the operands in shared memory."""
        return i8 if dot.dtype is i32 else f32

    def fetches(self, dot: Dot, plan: LayoutPlan, target: Target) -> list[Fetch | None]:
        """How the left and the right operand are read ahead, if they are."""
        sides = (dot.left, dot.right)
        return [plan_fetch(side, dot.axis, plan, target) if self.ahead else None for side in sides]

    def operands(self, dot: Dot, plan: LayoutPlan, target: Target) -> list[tuple[Value, Layout]]:
        """The values that it reads, in the layouts in which it reads them."""
        wanted = []
        for side, fetched in zip((dot.left, dot.right), self.fetches(dot, plan, target), strict=True):
            if fetched is not None:
                continue
            packed = None if self.group == ROWS else words(side, plan)
            if packed is None:
                wanted.append((side, plan.layout(side.axes)))
            else:
                wanted.append((packed.load.indices[0], packed.rows))
        return wanted

    @abstractmethod
    def start(self, ctx: Context, dot: Dot) -> list[Register]:
        """The sums of no products."""

    def fetch(self, ctx: Context, dot: Dot) -> list[Register]:
        """Words of the operands' current block, read ahead; none of operands that are computed."""
        fetches = self.fetches(dot, ctx.plan, ctx.target)
        return [register for one in fetches if one is not None for register in fetch(ctx, one)]

    def deposit(self, ctx: Context, dot: Dot, fetched: Sequence[Register]) -> Operands:
        """The operands in shared memory, ready to be read."""
        result, dtype = ctx.plan.layout(dot.axes), self.staged(dot)
        # Products of a finite number with 0 need one zero; a float operand may hold infinities or NaN, and needs both.
        zeroed = (True, dot.dtype is f32 and not dot.right.dtype.is_ternary)
        rest, staged = list(fetched), list[Staged]()
        fetches = self.fetches(dot, ctx.plan, ctx.target)
        for side, one, zero in zip((dot.left, dot.right), fetches, zeroed, strict=True):
            taken = tuple(operand.memory for operand in staged)
            if one is None:
                made = stage(ctx, side, dot.axis, result, dtype, self.group, zeroed=zero, taken=taken)
            else:
                count = len(one.places())
                made = deposit(ctx, one, rest[:count], result, dtype, self.group, taken)
                rest = rest[count:]
            staged.append(made)
        ctx.shared.read_together([operand.memory for operand in staged])
        return staged[0], staged[1]

    @abstractmethod
    def multiply(
        self, ctx: Context, dot: Dot, operands: Operands, sums: Sequence[Register]
    ) -> list[Register]:
        """The sums with the block's products."""

    @abstractmethod
    def finish(self, ctx: Context, dot: Dot, sums: Sequence[Register]) -> list[Register]:
        """The sums in the result's usual layout."""

    def lower(self, ctx: Context, dot: Dot) -> list[Register]:
        """The result in its usual layout."""
        operands = self.deposit(ctx, dot, self.fetch(ctx, dot))
        return self.finish(ctx, dot, self.multiply(ctx, dot, operands, self.start(ctx, dot)))


class SharedDot(DotStrategy):
    """Sums in the result's layout; subclasses say how a step along the summed axis is made."""

    def start(self, ctx: Context, dot: Dot) -> list[Register]:
        return [ctx.builder.const(0, dot.dtype)] * ctx.plan.layout(dot.axes).registers

    def multiply(
        self, ctx: Context, dot: Dot, operands: Operands, sums: Sequence[Register]
    ) -> list[Register]:
        b, axis = ctx.builder, dot.axis
        left, right = operands
        result = ctx.plan.layout(dot.axes)
        rows, columns = result.restrict(dot.left.axes), result.restrict(dot.right.axes)
        left_of, right_of = result.positions(rows.axes), result.positions(columns.axes)
        left_at = [left.row(ctx, rows, c) for c in rows.combinations()]
        right_at = [right.row(ctx, columns, c) for c in columns.combinations()]
        steps = axis.block // self.group
        turns = self.turns(steps, len(left_at) + len(right_at), ctx.target)
        totals = self.enter(ctx, sums)
        with b.for_(b.const(0, index), steps, turns, totals) as loop:
            totals = loop.values
            for turn in range(turns):
                left_values = self._read(ctx, left, left_at, loop.variable, turn)
                right_values = self._read(ctx, right, right_at, loop.variable, turn)
                totals = [
                    self.product(ctx, total, left_values[i], right_values[j])
                    for total, i, j in zip(totals, left_of, right_of, strict=True)
                ]
            loop.next = totals
        return self.leave(ctx, sums, loop.results)

    def finish(self, ctx: Context, dot: Dot, sums: Sequence[Register]) -> list[Register]:
        return list(sums)

    def turns(self, steps: int, reads: int, target: Target) -> int:
        """How many steps stand in a row: a divisor of all, of which a quarter of the registers holds what they read."""
        turns = _UNROLL
        while turns > 1 and (steps % turns or turns * reads > target.registers // 4):
            turns //= 2
        return turns

    def _read(
        self, ctx: Context, staged: Staged, rows: list[Register], step: Register, turn: int
    ) -> list[Register]:
        b = ctx.builder
        offset = b.mul(step, staged.stride)
        places = [b.add(b.add(row, offset), turn * staged.stride) for row in rows]
        return [self.widen(ctx, b.load(staged.memory, place, self.group)) for place in places]

    @abstractmethod
    def product(self, ctx: Context, total: Register, left: Register, right: Register) -> Register:
        """The total with one step's products."""

    def enter(self, ctx: Context, sums: Sequence[Register]) -> list[Register]:
        """What a block's products are added to."""
        return list(sums)

    def leave(self, ctx: Context, sums: Sequence[Register], totals: Sequence[Register]) -> list[Register]:
        """The sums, from what was entered with and what a block made of it."""
        return list(totals)

    def widen(self, ctx: Context, register: Register) -> Register:
        """What was read, as `product` takes it."""
        return register


class PackedDot(SharedDot):
    """Four products of bytes in one instruction."""

    name = "packed"
    group = 4
    ahead = True

    def fits(self, dot: Dot, plan: LayoutPlan, target: Target) -> bool:
        packed = words(dot.right, plan)
        contiguous = packed is None or packed.columns is dot.axis
        return target.has("int8-dot") and dot.dtype is i32 and dot.axis.block % self.group == 0 and contiguous

    def product(self, ctx: Context, total: Register, left: Register, right: Register) -> Register:
        return ctx.builder.dot4_ss(total, left, right)


class ScalarDot(SharedDot):
    """One product at a time: fused multiply-add of f32, or of i32."""

    name = "scalar"
    group = 1

    def fits(self, dot: Dot, plan: LayoutPlan, target: Target) -> bool:
        return True

    def widen(self, ctx: Context, register: Register) -> Register:
        return register if register.dtype is f32 else ctx.builder.cast(register, i32)

    def product(self, ctx: Context, total: Register, left: Register, right: Register) -> Register:
        b = ctx.builder
        return b.fma(left, right, total) if total.dtype is f32 else b.add(total, b.mul(left, right))


class ExactFloatDot(SharedDot):
    """Sums of bytes in f32, which are exact below 2**24: a fused multiply-add where bytes need a product and a sum."""

    name = "exact float"
    group = 1

    def fits(self, dot: Dot, plan: LayoutPlan, target: Target) -> bool:
        largest = 128 * (1 if dot.right.dtype.is_ternary else 128)
        rows = sum(
            math.prod(plan.layout(side.axes).of(a).extent for a in side.axes if a is not dot.axis)
            for side in (dot.left, dot.right)
        )
        room = 4 * dot.axis.block * (rows + 8) <= target.shared_bytes
        return dot.dtype is i32 and dot.axis.block * largest < 1 << 24 and room

    def staged(self, dot: Dot) -> DType:
        return f32

    def enter(self, ctx: Context, sums: Sequence[Register]) -> list[Register]:
        return [ctx.builder.const(0, f32)] * len(sums)

    def leave(self, ctx: Context, sums: Sequence[Register], totals: Sequence[Register]) -> list[Register]:
        b = ctx.builder
        return [b.add(before, b.cast(total, i32)) for before, total in zip(sums, totals, strict=True)]

    def product(self, ctx: Context, total: Register, left: Register, right: Register) -> Register:
        return ctx.builder.fma(left, right, total)
