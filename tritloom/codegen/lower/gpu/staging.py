"""Operands of a dot in shared memory, where every thread of the workgroup can read them."""

from __future__ import annotations

from dataclasses import dataclass

from tritloom.codegen.ir.dtypes import DType, f32, i8, i32, u32
from tritloom.codegen.ir.machine import MachineType, Memory, Register, index
from tritloom.codegen.ir.ternary import WEIGHTS_PER_WORD, bit_of
from tritloom.codegen.ir.tile import Axis, Index, Load, Value
from tritloom.codegen.lower.gpu import elementwise
from tritloom.codegen.lower.gpu.access import word_address
from tritloom.codegen.lower.gpu.context import Context
from tritloom.codegen.lower.gpu.layout import Layout, power_of_two, spread
from tritloom.codegen.lower.gpu.plan import LayoutPlan


@dataclass(frozen=True, slots=True)
class Staged:
    """An operand in shared memory, the summed axis outermost, in groups of `group` indices that lie together.

    The element of local index k along the summed axis lies at `(k // group) * stride + k % group`, plus the sum of
    index * stride over the others. So threads along a row axis read neighbours.
    """

    memory: Memory
    axis: Axis
    stride: int
    group: int
    rows: dict[Axis, int]

    def row(self, ctx: Context, layout: Layout, combination: tuple[int, ...]) -> Register:
        """Where the element of index 0 along the summed axis lies for a thread's register."""
        b = ctx.builder
        result = b.const(0, i32)
        for s, r in zip(layout.spreads, combination, strict=True):
            if s.axis is not self.axis:
                result = b.add(result, b.mul(ctx.local(s, r), self.rows[s.axis]))
        return b.cast(result, index)

    def place(self, ctx: Context, layout: Layout, combination: tuple[int, ...]) -> Register:
        """Where a thread's register of the operand lies."""
        b = ctx.builder
        row = self.row(ctx, layout, combination)
        summed = [ctx.local(s, r) for s, r in zip(layout.spreads, combination) if s.axis is self.axis]
        if not summed:
            return row
        shift = self.group.bit_length() - 1
        step = b.shr(summed[0], shift) if shift else summed[0]
        within = b.and_(summed[0], self.group - 1)
        return b.add(row, b.cast(b.add(b.mul(step, self.stride), within), index))


@dataclass(frozen=True, slots=True)
class Words:
    """How the words of a packed ternary tile are dealt to threads."""

    load: Load
    columns: Axis
    """The axis that is packed, sixteen to a word."""
    threads: int
    """Threads along the words of a row."""
    stride: int
    """Of those threads: the rows' are below them."""
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
    spreads, stride = [], 1
    for axis in reversed(row.axes):
        s = spread(axis, plan.threads // stride, stride)
        stride *= s.threads
        spreads.append(s)
    threads = min(power_of_two(columns.block // WEIGHTS_PER_WORD), plan.threads // stride)
    return Words(value, columns, threads, stride, Layout(tuple(reversed(spreads))))


def _arrange(
    extents: dict[Axis, int], axis: Axis, steps: int, result: Layout, group: int
) -> tuple[dict[Axis, int], int, int]:
    """Strides of the row axes, of a step along the summed axis, and the length of the array.

    The row axis along which neighbouring threads of the result run is the innermost. Steps are padded, so that threads
    along the summed axis write to different banks.
    """
    order = sorted(
        extents, key=lambda a: a in result.axes and (result.of(a).threads > 1) / result.of(a).stride
    )
    rows: dict[Axis, int] = {}
    stride = group
    for one in reversed(order):
        rows[one] = stride
        stride *= extents[one]
    stride += group * (4 if group == 1 else 1)
    return rows, stride, steps * stride


def stage(
    ctx: Context,
    value: Value,
    axis: Axis,
    result: Layout,
    dtype: DType,
    group: int,
    *,
    zeroed: bool,
    taken: tuple[Memory, ...] = (),
) -> Staged:
    """Write an operand to shared memory as `dtype` (f32 or i8), in groups of `group` (a power of two).

    `zeroed`: 0 where the summed axis is masked. The caller makes the threads meet.
    """
    packed = words(value, ctx.plan)
    if packed is not None:
        return _stage_words(ctx, packed, axis, result, dtype, group, taken)
    layout = ctx.plan.layout(value.axes)
    tile = ctx.tile(value, layout)
    extents = {s.axis: max(s.extent, result.of(s.axis).extent) for s in layout.spreads if s.axis is not axis}
    steps = -(-layout.of(axis).extent // group)
    rows, stride, length = _arrange(extents, axis, steps, result, group)
    masks = ctx.masks(layout, (axis,))
    elements = []
    for register, mask in zip(tile.registers, masks, strict=True):
        element = elementwise.cast(ctx.builder, register, dtype)
        elements.append(ctx.neutral(element, mask, 0) if zeroed else element)
    memory = ctx.shared.scratch(dtype, length, taken)
    staged = Staged(memory, axis, stride, group, rows)
    owner = ctx.owner(layout)
    for combination, element in zip(layout.combinations(), elements, strict=True):
        ctx.builder.store(memory, staged.place(ctx, layout, combination), element, owner)
    return staged


def _stage_words(
    ctx: Context,
    packed: Words,
    axis: Axis,
    result: Layout,
    dtype: DType,
    group: int,
    taken: tuple[Memory, ...],
) -> Staged:
    b, columns, rows = ctx.builder, packed.columns, packed.rows
    here = {s.axis: s.extent for s in result.spreads}
    extents = {s.axis: max(s.extent, here[s.axis]) for s in rows.spreads if s.axis is not axis}
    if columns is axis:
        steps = columns.block // group
    else:
        extents[columns] = max(columns.block, here[columns])
        steps = rows.of(axis).extent
    row_strides, stride, length = _arrange(extents, axis, steps, result, group)
    indices = ctx.registers(packed.load.indices[0], rows)
    fetched = _fetch(ctx, packed, indices)
    memory = ctx.shared.scratch(dtype, length, taken)
    staged = Staged(memory, axis, stride, group, row_strides)
    used = rows.thread_bits | (packed.threads - 1) * packed.stride
    copies = (ctx.plan.threads - 1) & ~used
    owner = b.compare("eq", b.and_(b.thread(), copies), 0) if copies else None
    for combination, word, inside, loaded in fetched:
        weights = b.cast(b.shl(word, 4), index)
        along = stride // group if columns is axis else row_strides[columns]
        at = b.add(staged.place(ctx, rows, combination), b.mul(weights, along))
        with ctx.guarded(ctx.both(owner, inside)):
            if group == 4 or (dtype is i8 and columns is not axis and along == 1):
                step = stride if columns is axis else 4
                for four in range(4):
                    b.store(memory, b.add(at, step * four), _four_weights(ctx, loaded, four))
            else:
                for k in range(WEIGHTS_PER_WORD):
                    b.store(memory, b.add(at, along * k), _weight(ctx, loaded, k, dtype))
    return staged


def _fetch(
    ctx: Context, packed: Words, indices: list[Register]
) -> list[tuple[tuple[int, ...], Register, Register | None, Register]]:
    """This thread's words: the row's register, the word's number in the tile, whether the tile has it, the word."""
    b, opened = ctx.builder, ctx.opened(packed.columns)
    lane = ctx.bits(packed.threads, packed.stride)
    first_word = b.shr(opened.base, 4)
    memory, buffer = ctx.memories[packed.load.buffer], packed.load.buffer
    fetched = []
    for combination, row in zip(packed.rows.combinations(), indices, strict=True):
        row_valid = ctx.mask(packed.rows, combination)
        for w in range(0, packed.words, packed.threads):
            word = b.add(lane, w)
            inside = None if w + packed.threads <= packed.words else b.compare("lt", word, packed.words)
            column = b.add(opened.base, b.shl(word, 4))
            valid = ctx.both(ctx.both(row_valid, inside), b.compare("lt", column, opened.stop))
            at = word_address(ctx, buffer, row, b.add(first_word, word))
            fetched.append((combination, word, inside, b.load(memory, at, mask=valid)))
    return fetched


def _four_weights(ctx: Context, word: Register, group: int) -> Register:
    """Weights 4 group .. 4 group + 3 of a word as i8 x 4. Each byte of codes has its own borrow bit, so one
    subtraction serves four."""
    b = ctx.builder
    codes = b.and_(b.shr(word, 2 * group) if group else word, 0x03030303)
    borrow = 0x80808080
    return b.bitcast(b.xor(b.sub(b.or_(codes, borrow), 0x01010101), borrow), MachineType(i8, 4))


def _weight(ctx: Context, word: Register, k: int, dtype: DType) -> Register:
    """Weight k of a word as f32 or i8."""
    b = ctx.builder
    bit = bit_of(k)
    code = b.cast(b.and_(b.shr(word, b.const(bit, u32)) if bit else word, 3), i32)
    return b.sub(b.cast(code, f32), 1.0) if dtype is f32 else b.cast(b.sub(code, 1), i8)
