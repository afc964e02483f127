"""Strategies for `dot`: operands go through shared memory, each thread holds a block of the result in registers.

A strategy says what it fits, which values it wants in which layouts, and makes the result. The first of STRATEGIES that
fits is taken.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from tritloom.codegen.errors import UnsupportedError
from tritloom.codegen.ir.dtypes import DType, f32, i8, i32
from tritloom.codegen.ir.machine import Register, index
from tritloom.codegen.ir.tile import Axes, Dot, Value
from tritloom.codegen.lower.gpu.context import Context
from tritloom.codegen.lower.gpu.layout import Layout
from tritloom.codegen.lower.gpu.plan import LayoutPlan
from tritloom.codegen.lower.gpu.staging import Staged, stage, words
from tritloom.codegen.target import Target

_UNROLL = 4


class DotStrategy(ABC):
    """One way to make a dot."""

    name: str

    @abstractmethod
    def fits(self, dot: Dot, plan: LayoutPlan, target: Target) -> bool:
        """Whether it can make this dot on this target."""

    @abstractmethod
    def operands(self, dot: Dot, plan: LayoutPlan) -> list[tuple[Value, Layout]]:
        """The values that it reads, in the layouts in which it reads them."""

    @abstractmethod
    def lower(self, ctx: Context, dot: Dot) -> list[Register]:
        """The result in its usual layout."""


class SharedDot(DotStrategy):
    """Operands in shared memory; subclasses say how a step along the summed axis is made."""

    step: int
    """Indices of the summed axis that one step takes."""

    def operands(self, dot: Dot, plan: LayoutPlan) -> list[tuple[Value, Layout]]:
        wanted = []
        for side in (dot.left, dot.right):
            packed = words(side, plan)
            if packed is None:
                wanted.append((side, plan.layout(side.axes)))
            else:
                wanted.append((packed.load.indices[0], packed.rows))
        return wanted

    @abstractmethod
    def multiply(self, ctx: Context, total: Register, left: Register, right: Register) -> Register:
        """The total with one step's products."""

    def lower(self, ctx: Context, dot: Dot) -> list[Register]:
        b, axis = ctx.builder, dot.axis
        result = ctx.plan.layout(dot.axes)
        dtype = self.staged(dot)
        # Products of a finite number with 0 need one zero; an f32 operand may hold infinities or NaN, and needs both.
        zero_right = dot.dtype is f32 and not dot.right.dtype.is_ternary
        left = stage(ctx, dot.left, axis, result, dtype, self.step, zeroed=True)
        right = stage(ctx, dot.right, axis, result, dtype, self.step, zeroed=zero_right, taken=(left.memory,))
        ctx.shared.access(left.memory, "read")
        ctx.shared.access(right.memory, "read")
        rows, columns = _own(dot.left.axes, result), _own(dot.right.axes, result)
        left_of, right_of = result.positions(rows.axes), result.positions(columns.axes)
        left_at = [left.row(ctx, rows, c) for c in rows.combinations()]
        right_at = [right.row(ctx, columns, c) for c in columns.combinations()]
        totals = [b.const(0, self.total(dot))] * result.registers
        with b.for_(b.const(0, index), axis.block // self.step, 1, totals, unroll=_UNROLL) as loop:
            left_values = self._read(ctx, left, left_at, loop.variable)
            right_values = self._read(ctx, right, right_at, loop.variable)
            loop.next = [
                self.multiply(ctx, total, left_values[i], right_values[j])
                for total, i, j in zip(loop.values, left_of, right_of, strict=True)
            ]
        return [b.cast(total, dot.dtype) for total in loop.results]

    def _read(self, ctx: Context, staged: Staged, rows: list[Register], step: Register) -> list[Register]:
        b = ctx.builder
        offset = b.mul(step, staged.stride)
        return [self.widen(ctx, b.load(staged.memory, b.add(row, offset), self.step)) for row in rows]

    def staged(self, dot: Dot) -> DType:
        """The dtype of the operands in shared memory."""
        return i8 if dot.dtype is i32 else f32

    def total(self, dot: Dot) -> DType:
        """The dtype of the sums in a thread."""
        return dot.dtype

    def widen(self, ctx: Context, register: Register) -> Register:
        """What was read, as `multiply` takes it."""
        return register


class PackedDot(SharedDot):
    """Four products of bytes in one instruction."""

    name = "packed"
    step = 4

    def fits(self, dot: Dot, plan: LayoutPlan, target: Target) -> bool:
        packed = words(dot.right, plan)
        contiguous = packed is None or packed.columns is dot.axis
        return target.has("int8-dot") and dot.dtype is i32 and dot.axis.block % self.step == 0 and contiguous

    def multiply(self, ctx: Context, total: Register, left: Register, right: Register) -> Register:
        return ctx.builder.dot4_ss(total, left, right)


class ScalarDot(SharedDot):
    """One product at a time: fused multiply-add of f32, or of i32."""

    name = "scalar"
    step = 1

    def fits(self, dot: Dot, plan: LayoutPlan, target: Target) -> bool:
        return True

    def staged(self, dot: Dot) -> DType:
        """The dtype of the operands in shared memory."""
        return i8 if dot.dtype is i32 else f32

    def total(self, dot: Dot) -> DType:
        """The dtype of the sums in a thread."""
        return dot.dtype

    def widen(self, ctx: Context, register: Register) -> Register:
        return register if register.dtype is f32 else ctx.builder.cast(register, i32)

    def multiply(self, ctx: Context, total: Register, left: Register, right: Register) -> Register:
        b = ctx.builder
        return b.fma(left, right, total) if total.dtype is f32 else b.add(total, b.mul(left, right))


class ExactFloatDot(SharedDot):
    """Sums of bytes in f32, which are exact below 2**24: a fused multiply-add where bytes need a product and a sum."""

    name = "exact float"
    step = 1

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

    def total(self, dot: Dot) -> DType:
        return f32

    def multiply(self, ctx: Context, total: Register, left: Register, right: Register) -> Register:
        return ctx.builder.fma(left, right, total)


STRATEGIES: tuple[DotStrategy, ...] = (PackedDot(), ExactFloatDot(), ScalarDot())
"""Best first."""


def strategy(dot: Dot, plan: LayoutPlan, target: Target) -> DotStrategy:
    """The best strategy that fits."""
    for candidate in STRATEGIES:
        if candidate.fits(dot, plan, target):
            return candidate
    raise UnsupportedError(
        f"no strategy for a dot of {dot.left.dtype} and {dot.right.dtype}", location=dot.location
    )


def operands(dot: Dot, plan: LayoutPlan, target: Target) -> list[tuple[Value, Layout]]:
    """The values that a dot reads, in the layouts in which it reads them."""
    return strategy(dot, plan, target).operands(dot, plan)


def _own(axes: Axes, result: Layout) -> Layout:
    return result.restrict(axes)
