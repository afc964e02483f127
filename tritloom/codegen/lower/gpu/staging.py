"""Operands of a dot in shared memory, where every thread of the workgroup can read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tritloom.codegen.ir.dtypes import DType, f16, f32, i8, i32, u32
from tritloom.codegen.ir.machine import Memory, Register, index
from tritloom.codegen.ir.tile import Axis, Value
from tritloom.codegen.lower.gpu import elementwise
from tritloom.codegen.lower.gpu.context import Context
from tritloom.codegen.lower.gpu.fetching import Fetch
from tritloom.codegen.lower.gpu.layout import Layout
from tritloom.codegen.lower.gpu.packed import store_weights, words

ROWS = 0
"""As a group: the summed axis innermost, rows padded to whole 16 bytes, as matrix units want it."""
_PAD = 16
"""Bytes between rows, so that neighbouring rows begin in different banks."""


@dataclass(frozen=True, slots=True)
class Staged:
    """An operand in shared memory: the summed axis outermost, in groups of `group` indices that lie together, so that
    threads along a row axis read neighbours. Or, as ROWS, innermost.

    The element of local index k along the summed axis lies at `(k // group) * stride + k % group`, or at k, plus the
    sum of index * stride over the others.
    """

    memory: Memory
    axis: Axis
    stride: int
    group: int
    rows: dict[Axis, int]

    def row(self, ctx: Context, layout: Layout, combination: Sequence[int]) -> Register:
        """Where the element of index 0 along the summed axis lies for a thread's register."""
        b = ctx.builder
        result = b.const(0, i32)
        for s, r in zip(layout.spreads, combination, strict=True):
            if s.axis is not self.axis:
                result = b.add(result, b.mul(ctx.local(s, r), self.rows[s.axis]))
        return b.cast(result, index)

    def along(self, ctx: Context, k: Register) -> Register:
        """How far the element of a local index along the summed axis is from that of index 0."""
        b = ctx.builder
        if self.group == ROWS:
            return b.cast(k, index)
        shift = self.group.bit_length() - 1
        step = b.shr(k, shift) if shift else k
        within = b.and_(k, self.group - 1)
        return b.cast(b.add(b.mul(step, self.stride), within), index)

    def place(self, ctx: Context, layout: Layout, combination: Sequence[int]) -> Register:
        """Where a thread's register of the operand lies."""
        row = self.row(ctx, layout, combination)
        summed = [ctx.local(s, r) for s, r in zip(layout.spreads, combination) if s.axis is self.axis]
        return ctx.builder.add(row, self.along(ctx, summed[0])) if summed else row


def _arrange(
    extents: dict[Axis, int], length: int, result: Layout, group: int, dtype: DType
) -> tuple[dict[Axis, int], int, int]:
    """Strides of the row axes, of a step along the summed axis, and the length of the array.

    The row axis along which neighbouring threads of the result run is the innermost. Steps are padded, so that threads
    along the summed axis write to different banks.
    """
    near = {s.axis: 1 / s.stride for s in result.spreads if s.stride}
    order = sorted(extents, key=lambda a: near.get(a, 0.0))
    rows: dict[Axis, int] = {}
    stride = group
    if group == ROWS:
        granule = 16 // dtype.nbytes
        stride = -(-length // granule) * granule + _PAD // dtype.nbytes
    for one in reversed(order):
        rows[one] = stride
        stride *= extents[one]
    if group == ROWS:
        return rows, 0, stride
    stride += group * (4 if group == 1 else 1)
    return rows, stride, -(-length // group) * stride


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
    """Write an operand to shared memory as `dtype`, in groups of `group` (a power of two) or as ROWS.

    `zeroed`: 0 where the summed axis is masked. The caller makes the threads meet.
    """
    packed = words(value, ctx.plan)
    if packed is not None and group != ROWS:
        here = {s.axis: s.extent for s in result.spreads}
        extents = {s.axis: max(s.extent, here[s.axis]) for s in packed.rows.spreads if s.axis is not axis}
        if packed.columns is not axis:
            extents[packed.columns] = max(packed.columns.block, here[packed.columns])
        length = packed.columns.block if packed.columns is axis else packed.rows.of(axis).extent
        rows, stride, elements = _arrange(extents, length, result, group, dtype)
        fetched = packed.fetch(ctx)
        staged = Staged(ctx.shared.scratch(dtype, elements, taken), axis, stride, group, rows)
        along = stride // group if packed.columns is axis else rows[packed.columns]
        starts = [staged.place(ctx, packed.rows, one.row) for one in fetched]
        store_weights(ctx, packed, fetched, staged.memory, starts, along, group)
        return staged
    layout = ctx.plan.layout(value.axes)
    tile = ctx.tile(value, layout)
    extents = {s.axis: max(s.extent, result.of(s.axis).extent) for s in layout.spreads if s.axis is not axis}
    rows, stride, elements = _arrange(extents, layout.of(axis).extent, result, group, dtype)
    masks = ctx.masks(layout, (axis,))
    values = []
    for register, mask in zip(tile.registers, masks, strict=True):
        element = elementwise.cast(ctx.builder, register, dtype)
        values.append(ctx.neutral(element, mask, 0) if zeroed else element)
    staged = Staged(ctx.shared.scratch(dtype, elements, taken), axis, stride, group, rows)
    owner = ctx.owner(layout)
    for combination, element in zip(layout.combinations(), values, strict=True):
        ctx.builder.store(staged.memory, staged.place(ctx, layout, combination), element, owner)
    return staged


def deposit(
    ctx: Context,
    plan: Fetch,
    fetched: Sequence[Register],
    result: Layout,
    dtype: DType,
    group: int,
    taken: tuple[Memory, ...] = (),
) -> Staged:
    """Write fetched words to shared memory as `dtype`, in groups of one word or as ROWS."""
    b, axis = ctx.builder, plan.axis
    here = {s.axis: s.extent for s in result.spreads}
    extents = {s.axis: max(s.extent, here[s.axis]) for s in plan.rows.spreads}
    rows, stride, elements = _arrange(extents, axis.block, result, group, dtype)
    staged = Staged(ctx.shared.scratch(dtype, elements, taken), axis, stride, group, rows)
    copies = (ctx.plan.threads - 1) & ~plan.thread_bits
    owner = b.compare("eq", b.and_(b.thread(), copies), 0) if copies else None
    ternary = plan.load.buffer.dtype.is_ternary
    per_word = 4 // dtype.nbytes
    with ctx.guarded(owner):
        for (row, c), register in zip(plan.places(), fetched, strict=True):
            start = staged.row(ctx, plan.rows, row)
            column = plan.column(ctx, c)
            pieces = [b.extract(register, i) for i in range(plan.width)] if plan.width > 1 else [register]
            vectors = [v for word in pieces for v in _weights(ctx, word, dtype)] if ternary else [register]
            lanes = vectors[0].lanes
            for number, vector in enumerate(vectors):
                first = b.add(column, number * lanes * per_word)
                if group == ROWS:
                    b.store_words(staged.memory, b.add(start, staged.along(ctx, first)), vector)
                    continue
                for lane in range(lanes):
                    at = b.add(start, staged.along(ctx, b.add(first, lane * per_word)))
                    b.store_words(staged.memory, at, b.extract(vector, lane) if lanes > 1 else vector)
    return staged


def _weights(ctx: Context, word: Register, dtype: DType) -> list[Register]:
    """The sixteen weights of a word as elements of one, two or four bytes, in vectors of four words."""
    b = ctx.builder
    codes = b.shr(b.splat(word, 4), b.const((0, 2, 4, 6), u32, 4))
    if dtype is i8:
        # Each byte of codes has its own borrow bit, so one subtraction serves four.
        borrow = 0x80808080
        return [b.xor(b.sub(b.or_(b.and_(codes, 0x03030303), borrow), 0x01010101), borrow)]
    if dtype is f32:
        return [_units(ctx, _bytes(ctx, b.extract(codes, i)), 0x3F800000, 1, 31) for i in range(4)]
    # The code 4i + b stands in byte b of lane i: lanes 2i and 2i + 1 of the pairs get bytes 0, 1 and 2, 3 of lane i.
    low = b.or_(b.and_(codes, 0x3), b.shl(b.and_(codes, 0x300), 8))
    high = b.or_(b.and_(b.shr(codes, 16), 0x3), b.and_(b.shr(codes, 8), 0x30000))
    one = 0x3C00 if dtype is f16 else 0x3F80
    vectors = []
    for lanes in ((0, 4, 1, 5), (2, 6, 3, 7)):
        vectors.append(_units(ctx, b.shuffle(low, high, lanes), one, 0x00010001, 15))
    return vectors


def _bytes(ctx: Context, word: Register) -> Register:
    """The bytes of a word, a lane each."""
    b = ctx.builder
    return b.and_(b.shr(b.splat(word, 4), b.const((0, 8, 16, 24), u32, 4)), 0xFF)


def _units(ctx: Context, codes: Register, one: int, places: int, sign: int) -> Register:
    """Codes (weights plus one) at these bits of words as floats, whose 1 has the bits `one` and whose sign is there."""
    b = ctx.builder
    nonzero = b.and_(b.not_(codes), places)
    negative = b.and_(nonzero, b.not_(b.shr(codes, 1)))
    return b.or_(b.mul(nonzero, one), b.shl(negative, sign))
