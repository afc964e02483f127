"""Operands of a dot in shared memory, where every thread of the workgroup can read them."""

from __future__ import annotations

from dataclasses import dataclass

from tritloom.codegen.ir.dtypes import DType, f32, i8, i32, u32
from tritloom.codegen.ir.machine import MachineType, Memory, Register, index
from tritloom.codegen.ir.ternary import WEIGHTS_PER_WORD, bit_of
from tritloom.codegen.ir.tile import Axis, Index, Load, Value
from tritloom.codegen.lower.gpu.access import word_address
from tritloom.codegen.lower.gpu.context import Context
from tritloom.codegen.lower.gpu.layout import Layout, power_of_two, spread
from tritloom.codegen.lower.gpu.plan import LayoutPlan


@dataclass(frozen=True, slots=True)
class Staged:
    """An operand in shared memory: the element of local indices i lies at the sum of i * stride."""

    memory: Memory
    strides: dict[Axis, int]

    def base(self, ctx: Context, layout: Layout, combination: tuple[int, ...]) -> Register:
        """Where the element lies that a thread's register of the result needs, at index 0 of the summed axis."""
        b = ctx.builder
        result = b.const(0, i32)
        for s, r in zip(layout.spreads, combination, strict=True):
            result = b.add(result, b.mul(ctx.local(s, r), self.strides[s.axis]))
        return b.cast(result, index)


@dataclass(frozen=True, slots=True)
class Words:
    """How the words of a packed ternary tile are dealt to threads."""

    load: Load
    columns: Axis
    """The axis that is packed, sixteen to a word."""
    threads: int
    """Threads along the words of a row; the rows' threads are above them."""
    rows: Layout

    @property
    def words(self) -> int:
        """Words of a row of the tile."""
        return self.columns.block // WEIGHTS_PER_WORD


def words(value: Value, plan: LayoutPlan) -> Words | None:
    """How to take the tile word by word; None for a tile that is none of whole words."""
    if not isinstance(value, Load) or not value.dtype.is_ternary or value.guard is not None:
        return None
    row, column = value.indices
    if not isinstance(column, Index) or column.axis in row.axes or column.axis.block % WEIGHTS_PER_WORD:
        return None
    columns = column.axis
    threads = min(power_of_two(columns.block // WEIGHTS_PER_WORD), plan.threads)
    spreads, stride = [], threads
    for axis in reversed(row.axes):
        s = spread(axis, plan.threads // stride, stride)
        stride *= s.threads
        spreads.append(s)
    return Words(value, columns, threads, Layout(tuple(reversed(spreads))))


def _strides(order: list[tuple[Axis, int]], padding: int) -> tuple[dict[Axis, int], int]:
    """Row-major strides of axes with extents, rows padded; and the length."""
    strides: dict[Axis, int] = {}
    stride = 1
    for position, (axis, extent) in enumerate(reversed(order)):
        strides[axis] = stride
        stride *= extent + (padding if position == 0 and len(order) > 1 else 0)
    return strides, stride


def stage(
    ctx: Context,
    value: Value,
    axis: Axis,
    result: Layout,
    dtype: DType,
    *,
    zeroed: bool,
    taken: tuple[Memory, ...] = (),
) -> Staged:
    """Write an operand to shared memory as `dtype` (f32 or i8). `zeroed`: 0 where the summed axis is masked.

    The summed axis, or the packed one of a ternary tile, is contiguous. The caller makes the threads meet.
    """
    padding = 1 if dtype is f32 else 4
    packed = words(value, ctx.plan)
    if packed is not None:
        return _stage_words(ctx, packed, result, dtype, padding, taken)
    layout = ctx.plan.layout(value.axes)
    tile = ctx.tile(value, layout)
    order = []
    for s in layout.spreads:
        if s.axis is not axis:
            order.append((s.axis, max(s.extent, result.of(s.axis).extent)))
    order.append((axis, layout.of(axis).extent))
    strides, length = _strides(order, padding)
    masks = ctx.masks(layout, (axis,))
    elements = []
    for register, mask in zip(tile.registers, masks, strict=True):
        element = ctx.builder.cast(register, dtype)
        elements.append(ctx.neutral(element, mask, 0) if zeroed else element)
    memory = ctx.shared.scratch(dtype, length, taken)
    staged = Staged(memory, strides)
    owner = ctx.owner(layout)
    for combination, element in zip(layout.combinations(), elements, strict=True):
        ctx.builder.store(memory, staged.base(ctx, layout, combination), element, owner)
    return staged


def _stage_words(
    ctx: Context, packed: Words, result: Layout, dtype: DType, padding: int, taken: tuple[Memory, ...]
) -> Staged:
    b, columns = ctx.builder, packed.columns
    rows, opened = packed.rows, ctx.opened(packed.columns)
    here = result.axes
    order = [(s.axis, max(s.extent, result.of(s.axis).extent if s.axis in here else 0)) for s in rows.spreads]
    order.append((columns, max(columns.block, result.of(columns).extent if columns in here else 0)))
    strides, length = _strides(order, padding)
    indices = ctx.registers(packed.load.indices[0], rows)
    lane = ctx.bits(packed.threads, 1)
    first_word = b.shr(opened.base, 4)
    fetched = []
    for combination, row in zip(rows.combinations(), indices, strict=True):
        row_valid = ctx.mask(rows, combination)
        for w in range(0, packed.words, packed.threads):
            word = b.add(lane, w)
            inside = None if w + packed.threads <= packed.words else b.compare("lt", word, packed.words)
            column = b.add(opened.base, b.shl(word, 4))
            valid = ctx.both(ctx.both(row_valid, inside), b.compare("lt", column, opened.stop))
            at = word_address(ctx, packed.load.buffer, row, b.add(first_word, word))
            loaded = b.load(ctx.memories[packed.load.buffer], at, mask=valid)
            fetched.append((combination, word, inside, loaded))
    memory = ctx.shared.scratch(dtype, length, taken)
    staged = Staged(memory, strides)
    copies = (ctx.plan.threads - 1) & ~rows.thread_bits & ~(packed.threads - 1)
    owner = b.compare("eq", b.and_(b.thread(), copies), 0) if copies else None
    for combination, word, inside, loaded in fetched:
        at = b.add(staged.base(ctx, rows, combination), b.cast(b.shl(word, 4), index))
        with ctx.guarded(ctx.both(owner, inside)):
            if dtype is i8:
                for group in range(4):
                    b.store(memory, b.add(at, 4 * group), _four_weights(ctx, loaded, group))
            else:
                for k in range(WEIGHTS_PER_WORD):
                    b.store(memory, b.add(at, k), _weight(ctx, loaded, k))
    return staged


def _four_weights(ctx: Context, word: Register, group: int) -> Register:
    """Weights 4 group .. 4 group + 3 of a word as i8 x 4. Each byte of codes has its own borrow bit, so one
    subtraction serves four."""
    b = ctx.builder
    codes = b.and_(b.shr(word, 2 * group) if group else word, 0x03030303)
    borrow = 0x80808080
    return b.bitcast(b.xor(b.sub(b.or_(codes, borrow), 0x01010101), borrow), MachineType(i8, 4))


def _weight(ctx: Context, word: Register, k: int) -> Register:
    """Weight k of a word as f32."""
    b = ctx.builder
    bit = bit_of(k)
    code = b.and_(b.shr(word, b.const(bit, u32)) if bit else word, 3)
    return b.sub(b.cast(b.cast(code, i32), f32), 1.0)
