"""What the parts of the GPU lowering share: tiles in registers, indices and masks of axes, moves between layouts."""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tritloom.codegen.ir.dtypes import i32, u8
from tritloom.codegen.ir.machine import Memory, Op, Register, index
from tritloom.codegen.ir.tile import (
    Axes,
    Axis,
    AxisKind,
    Binary,
    BinaryOp,
    Buffer,
    Const,
    Kernel,
    Load,
    Scalar,
    Size,
    Store,
    Value,
)
from tritloom.codegen.lower.gpu.builder import ScopedBuilder
from tritloom.codegen.lower.gpu.layout import SCALAR, Layout, Spread
from tritloom.codegen.lower.gpu.memory import SharedMemory
from tritloom.codegen.lower.gpu.plan import LayoutPlan
from tritloom.codegen.target import Target


@dataclass(frozen=True, slots=True)
class Tile:
    """The elements of a tile that one thread holds."""

    layout: Layout
    registers: tuple[Register, ...]


@dataclass(frozen=True, slots=True)
class OpenAxis:
    """An axis whose current block begins at `base`; indices outside [start, stop) are masked."""

    base: Register
    stop: Register
    start: Register | None = None
    """None where no index is below."""
    whole_blocks: bool = False
    """Whether `stop` surely ends a block."""


class Context:
    """The state of the lowering of one kernel."""

    def __init__(self, kernel: Kernel, target: Target, plan: LayoutPlan, slots: int):
        self.kernel = kernel
        self.target = target
        self.plan = plan
        # With few registers addresses and masks are made where they are used: anew in each turn, but never spilled.
        self.builder = ScopedBuilder(kernel.name, hoists=not target.few_registers)
        self.shared = SharedMemory(self.builder, slots)
        self.memories: dict[Buffer, Memory] = {}
        self.contended: dict[Load | Store, Hashable] = {}
        """The accesses to memory in which threads of one program may meet: see `access.contended`."""
        self._tiles: ChainMap[tuple[Value, Layout], Tile] = ChainMap()
        self._axes: dict[Axis, OpenAxis] = {}

    # values

    @contextmanager
    def scope(self) -> Iterator[None]:
        """A body: tiles made inside are not seen outside."""
        self._tiles = self._tiles.new_child()
        yield
        self._tiles = self._tiles.parents

    def define(self, value: Value, layout: Layout, registers: Sequence[Register]) -> Tile:
        """The registers of a value in a layout."""
        for register in registers:
            if value.name and not register.name:
                register.name = value.name
        tile = Tile(layout, tuple(registers))
        self._tiles[value, layout] = tile
        return tile

    def scalar(self, value: Value) -> Register:
        """The register of a value without axes."""
        match value:
            case Const():
                return self.builder.const(value.value, value.dtype)
            case Size() | Scalar():
                return self.builder.size(value.name, value.dtype)
        known = self._tiles.get((value, SCALAR))
        if known is not None:
            return known.registers[0]
        if isinstance(value, Binary):  # a size's own expression, which no statement computes
            operands = self.scalar(value.left), self.scalar(value.right)
            return self._size_expression(value.op, *operands)
        raise KeyError(f"{type(value).__name__} {value.name!r} is used before it is computed")

    def _size_expression(self, op: BinaryOp, a: Register, b: Register) -> Register:
        """Sizes are above 0, so the quotient that truncates is Python's."""
        ops = {
            BinaryOp.ADD: Op.ADD,
            BinaryOp.SUB: Op.SUB,
            BinaryOp.MUL: Op.MUL,
            BinaryOp.FLOORDIV: Op.DIV,
            BinaryOp.MOD: Op.REM,
            BinaryOp.MIN: Op.MIN,
            BinaryOp.MAX: Op.MAX,
        }
        return self.builder.binary(ops[op], a, b)

    def registers(self, value: Value, layout: Layout) -> list[Register]:
        """The value's elements for each register of a layout that has at least its axes."""
        own = layout.restrict(value.axes)
        tile = self.tile(value, own)
        return [tile.registers[i] for i in layout.positions(value.axes)]

    def tile(self, value: Value, layout: Layout) -> Tile:
        """The value in a layout, moved between threads if it was made in another."""
        if not value.axes:
            return Tile(SCALAR, (self.scalar(value),))
        known = self._tiles.get((value, layout))
        if known is not None:
            return known
        usual = self._tiles.get((value, self.plan.layout(value.axes)))
        if usual is None:
            raise KeyError(f"{type(value).__name__} {value.name!r} is used before it is computed")
        return self.define(value, layout, self.move(usual, layout))

    def move(self, tile: Tile, layout: Layout) -> list[Register]:
        """The tile in another layout, by way of shared memory."""
        b = self.builder
        if layout == tile.layout:
            return list(tile.registers)
        extents = [max(s.extent, t.extent) for s, t in zip(tile.layout.spreads, layout.spreads, strict=True)]
        dtype = tile.registers[0].dtype
        memory = self.shared.scratch(u8 if dtype.is_bool else dtype, math.prod(extents))
        owner = self.owner(tile.layout)
        for register, position in zip(tile.registers, self.positions(tile.layout, extents), strict=True):
            b.store(memory, position, b.cast(register, u8) if dtype.is_bool else register, owner)
        self.shared.access(memory, "read")
        loaded = [b.load(memory, position) for position in self.positions(layout, extents)]
        return [b.compare("ne", register, 0) for register in loaded] if dtype.is_bool else loaded

    def positions(self, layout: Layout, extents: Sequence[int]) -> list[Register]:
        """For each register of a layout, its element's place in a row-major array of the tile."""
        b = self.builder
        result = []
        for combination in layout.combinations():
            fixed, moving = 0, b.const(0, i32)
            for s, r, extent in zip(layout.spreads, combination, extents, strict=True):
                fixed = fixed * extent + s.offsets[r]
                moving = b.add(b.mul(moving, extent), self.lane(s))
            result.append(b.cast(b.add(moving, fixed), index))
        return result

    # axes

    def open(self, axis: Axis, opened: OpenAxis) -> None:
        """Make a block of an axis the current one."""
        self._axes[axis] = opened

    def reopen(self, axis: Axis, opened: OpenAxis | None) -> OpenAxis | None:
        """Make another block of an axis the current one, or none; what it was before."""
        before = self._axes.pop(axis, None)
        if opened is not None:
            self._axes[axis] = opened
        return before

    def opened(self, axis: Axis) -> OpenAxis:
        """The current block of an axis."""
        if axis not in self._axes and axis.kind is AxisKind.WHOLE:
            zero, size = self.builder.const(0, i32), self.scalar(axis.size)
            self._axes[axis] = OpenAxis(zero, size)
        return self._axes[axis]

    def bits(self, threads: int, stride: int) -> Register:
        """`(thread // stride) % threads`, of powers of two."""
        b, width = self.builder, self.target.exchange_width
        if threads == 1:
            return b.const(0, i32)
        if (
            self.plan.tiling is not None and stride >= width
        ):  # the compiler sees what is the same in a subgroup
            number, stride, above = b.subgroup(), stride // width, self.plan.threads // width
        elif stride == 1 and threads <= self.plan.tx:  # or in neighbours
            number, above = b.thread_along(0), self.plan.tx
        elif stride == self.plan.tx and threads <= self.plan.ty:
            number, stride, above = b.thread_along(1), 1, self.plan.ty
        else:
            number, above = b.thread(), self.plan.threads
        shifted = number if stride == 1 else b.shr(number, stride.bit_length() - 1)
        return shifted if threads * stride == above else b.and_(shifted, threads - 1)

    def lane(self, s: Spread) -> Register:
        """The least of this thread's indices along an axis, within the block."""
        b, result = self.builder, self.builder.const(0, i32)
        for part in s.parts:
            result = b.add(result, b.mul(self.bits(part.threads, part.stride), part.weight))
        return result

    def local(self, s: Spread, r: int) -> Register:
        """The index within the block of this thread's r-th element along an axis."""
        return self.builder.add(self.lane(s), s.offsets[r])

    def index(self, s: Spread, r: int) -> Register:
        """The index of this thread's r-th element along an axis (i32)."""
        return self.builder.add(self.opened(s.axis).base, self.local(s, r))

    def valid(self, s: Spread, r: int) -> Register | None:
        """Whether this thread's r-th element along an axis is inside of it; None if it surely is."""
        b, axis, opened = self.builder, s.axis, self.opened(s.axis)
        last = s.offsets[r] + s.farthest
        if axis.kind is AxisKind.WHOLE and isinstance(axis.size, Const):
            size = int(axis.size.value)
            return None if last < size else b.compare("lt", self.local(s, r), size)
        result = None if last < axis.block else b.compare("lt", self.local(s, r), axis.block)
        if not opened.whole_blocks:
            result = self.both(result, b.compare("lt", self.index(s, r), opened.stop))
        if opened.start is not None:
            result = self.both(result, b.compare("ge", self.index(s, r), opened.start))
        return result

    def both(self, a: Register | None, b: Register | None) -> Register | None:
        """The conjunction of conditions, of which None always holds."""
        if a is None or b is None:
            return b if a is None else a
        return self.builder.and_(a, b)

    def mask(self, layout: Layout, combination: Sequence[int], axes: Axes | None = None) -> Register | None:
        """Whether an element is inside of all axes (or of those given); None if it surely is."""
        result: Register | None = None
        for s, r in zip(layout.spreads, combination, strict=True):
            if axes is None or s.axis in axes:
                result = self.both(result, self.valid(s, r))
        return result

    def masks(self, layout: Layout, axes: Axes | None = None) -> list[Register | None]:
        """`mask` for each register of a layout."""
        return [self.mask(layout, combination, axes) for combination in layout.combinations()]

    def owner(self, layout: Layout) -> Register | None:
        """Whether this thread is the first of those that hold the same elements; None if each is the only one."""
        copies = (self.plan.threads - 1) & ~layout.thread_bits
        if not copies:
            return None
        return self.builder.compare("eq", self.builder.and_(self.builder.thread(), copies), 0)

    @contextmanager
    def guarded(self, mask: Register | None) -> Iterator[None]:
        """A body that only threads in which the mask holds run; it must have no barrier."""
        if mask is None:
            yield
            return
        with self.builder.if_(mask):
            yield

    def neutral(self, register: Register, valid: Register | None, number: float) -> Register:
        """The register, or a number where it is masked."""
        if valid is None:
            return register
        return self.builder.select(valid, register, self.builder.const(number, register.dtype))
