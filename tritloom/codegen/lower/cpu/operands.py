"""A dot's operands: read straight from their buffer where that works, from a private array otherwise.

Both kinds give single elements and vectors along an axis, at an offset along the contracted axis that may be known only
at run time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from tritloom.codegen.ir.dtypes import DType, i8
from tritloom.codegen.ir.machine import Memory, Register, index
from tritloom.codegen.ir.tile import Axes, Axis, Cast, Load, Value
from tritloom.codegen.lower.cpu.context import Context
from tritloom.codegen.lower.cpu.memory import evaluate, vector_address
from tritloom.codegen.lower.cpu.tiles import Point, extent, points, steps, transpose

Offset = Register | int
"""A place in the block of the contracted axis: a number, or an address-typed register."""


class Source(ABC):
    """An operand's elements, as `dtype`."""

    def __init__(self, ctx: Context, operand: Value, axis: Axis, dtype: DType):
        self.ctx = ctx
        self.operand = operand
        self.axis = axis
        self.dtype = dtype

    @abstractmethod
    def address(self, point: Point, offset: Offset, lane: Axis | None) -> Register:
        """The address of the element (of a vector's first element) with `axis` at `offset` of its block."""

    @property
    @abstractmethod
    def memory(self) -> Memory:
        """Where the elements lie."""

    def scalar(self, point: Point, offset: Offset) -> Register:
        """One element."""
        ctx = self.ctx
        return ctx.b.cast(ctx.b.load(self.memory, self.address(point, offset, None)), self.dtype)

    def vector(self, point: Point, offset: Offset, lane: Axis) -> Register:
        """A vector along a free axis; lanes that are not valid hold 0 or garbage."""
        ctx = self.ctx
        mask = ctx.mask(lane, point[lane]) if self.memory in ctx.memories.values() else None
        at = self.address(point, offset, lane)
        return ctx.b.cast(ctx.b.load(self.memory, at, ctx.width, mask), self.dtype)


def underlying_load(ctx: Context, operand: Value) -> Load | None:
    """The load that an operand is, itself or widened by a cast, if it may be read anywhere and has no guard."""
    if isinstance(operand, Cast) and operand.dtype.is_float and operand.operand.dtype.is_float:
        widens = operand.dtype.bits > operand.operand.dtype.bits
        operand = operand.operand if widens else operand
    if not isinstance(operand, Load) or operand.guard is not None or not ctx.is_read_only(operand):
        return None
    return None if operand.buffer.dtype.is_ternary else operand


def moves_evenly(ctx: Context, load: Load, axis: Axis) -> bool:
    """Whether the address depends on an axis' index by a factor alone, so that the index may be any register."""
    form = ctx.affine.address(load.buffer, load.indices)
    return ctx.affine.stride(form, axis) is not None


class DirectSource(Source):
    """An operand in its buffer."""

    def __init__(self, ctx: Context, operand: Value, axis: Axis, dtype: DType, load: Load):
        super().__init__(ctx, operand, axis, dtype)
        self.load = load
        self.form = ctx.affine.address(load.buffer, load.indices)

    @property
    def memory(self) -> Memory:
        return self.ctx.memories[self.load.buffer]

    def address(self, point: Point, offset: Offset, lane: Axis | None) -> Register:
        ctx = self.ctx
        if self.axis not in self.form.axes:
            return evaluate(ctx, self.form, point, lane)
        start = evaluate(ctx, self.form, {**point, self.axis: 0}, lane, {self.axis: self._start()})
        if isinstance(offset, int):
            if offset == 0:
                return start
            offset = ctx.b.const(offset, index)
        stride = ctx.affine.stride(self.form, self.axis)
        assert stride is not None
        if stride.constant == 1:
            return ctx.b.add(start, offset)
        return ctx.b.add(start, ctx.b.mul(offset, evaluate(ctx, stride, {})))

    def _start(self) -> Register:
        return self.ctx.address(self.ctx.span(self.axis).start)


class StagedSource(Source):
    """An operand that was computed into a private array, along `lane` or, without one, along the contracted axis."""

    def __init__(self, ctx: Context, operand: Value, axis: Axis, dtype: DType, lane: Axis | None):
        super().__init__(ctx, operand, axis, dtype)
        self.inner = axis if lane is None else lane
        outer = tuple(a for a in operand.axes if a is not self.inner)
        if lane is not None:
            outer = (*(a for a in outer if a is not axis), axis)
        length = steps(self.inner, self.inner, ctx.width) * ctx.width
        self.strides: dict[Axis, int] = {self.inner: 1}
        for a in reversed(outer):
            self.strides[a] = length
            length *= extent(a)
        self.outer: Axes = outer
        self._memory = ctx.array("staged", dtype, length)

    @property
    def memory(self) -> Memory:
        return self._memory

    def stage(self) -> None:
        """Compute the operand at the current block."""
        ctx, inner = self.ctx, self.inner
        load = underlying_load(ctx, self.operand)
        if inner is not self.axis and load is not None and ctx.is_lazy(load):
            if ctx.lanes.is_contiguous(load, self.axis) and extent(self.axis) * 2 >= ctx.width:
                self._stage_transposed(load)
                return
        tile = ctx.tile(self.operand, inner)
        for point in points((*self.outer, inner), inner, ctx.width):
            register = ctx.fetch(tile, point, inner)
            if self.operand.dtype.is_ternary:
                register = ctx.b.sub(ctx.b.cast(register, i8), 1)
            register = ctx.b.cast(register, self.dtype)
            ctx.b.store(self._memory, self._place(point, inner), register)

    def _stage_transposed(self, load: Load) -> None:
        """Read squares of V by V along the contracted axis, and store them transposed, one after the other."""
        ctx, inner, axis = self.ctx, self.inner, self.axis
        memory = ctx.memories[load.buffer]
        form = ctx.affine.address(load.buffer, load.indices)
        others = tuple(a for a in self.outer if a is not axis)
        for point in points((*others, inner, axis), axis, ctx.width):
            if point[inner] % ctx.width:
                continue
            mask = ctx.mask(axis, point[axis])
            rows = []
            for row in range(point[inner], point[inner] + ctx.width):
                element = {**point, inner: min(row, extent(inner) - 1)}
                rows.append(ctx.b.load(memory, vector_address(ctx, form, element, axis), ctx.width, mask))
            wide = [ctx.b.cast(row, self.dtype) for row in rows]
            for place, column in enumerate(transpose(ctx.b, wide)):
                offset = point[axis] * ctx.width + place
                if offset < extent(axis):
                    at = {**point, axis: offset, inner: point[inner] // ctx.width}
                    ctx.b.store(self._memory, self._place(at, inner), column)

    def _place(self, point: Point, lane: Axis | None) -> Register:
        at = 0
        for axis, stride in self.strides.items():
            at += point[axis] * stride * (self.ctx.width if axis is lane else 1)
        return self.ctx.b.const(at, index)

    def address(self, point: Point, offset: Offset, lane: Axis | None) -> Register:
        stride = self.strides[self.axis]
        if isinstance(offset, int):
            return self._place({**point, self.axis: offset}, lane)
        moved = offset if stride == 1 else self.ctx.b.mul(offset, stride)
        return self.ctx.b.add(moved, self._place({**point, self.axis: 0}, lane))
