"""Operands of a dot that lie in memory as it wants them: read in wide words, ahead of their use, straight to registers.

A tile qualifies if it is a load whose summed axis is contiguous and aligned: packed ternary words, or elements of one
or two bytes. Threads along the summed axis are neighbours. Rows past the end are read as the last row, which needs no
branch; their products are never stored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tritloom.codegen.ir.dtypes import i32
from tritloom.codegen.ir.machine import Op, Register
from tritloom.codegen.ir.ternary import WEIGHTS_PER_WORD
from tritloom.codegen.ir.tile import Axis, Binary, BinaryOp, Const, Expand, Index, Load, Size, Value
from tritloom.codegen.lower.affine import AffineAnalysis, multiple_of
from tritloom.codegen.lower.gpu.access import address, reads_only, word_address
from tritloom.codegen.lower.gpu.context import Context
from tritloom.codegen.lower.gpu.layout import Layout, Part, Spread, power_of_two
from tritloom.codegen.lower.gpu.plan import LayoutPlan
from tritloom.codegen.target import Target

_OPS = {BinaryOp.ADD: Op.ADD, BinaryOp.SUB: Op.SUB, BinaryOp.MUL: Op.MUL}


@dataclass(frozen=True, slots=True)
class Fetch:
    """How the words of a tile [rows, summed axis] are dealt to threads, `width` words of 32 bits a load."""

    load: Load
    rows: Layout
    """Of the other axes, to threads above those along the summed axis."""
    chunks: Spread
    """Of the loads along a row: its axis' indices count loads, not elements."""
    width: int
    per_word: int
    """Elements in 32 bits."""
    guarded: bool
    """Whether a load may lie past the summed axis' end, in a block that the axis does not fill."""

    @property
    def axis(self) -> Axis:
        """The summed axis."""
        return self.chunks.axis

    @property
    def thread_bits(self) -> int:
        return self.rows.thread_bits | self.chunks.thread_bits

    def places(self) -> list[tuple[tuple[int, ...], int]]:
        """For each of a thread's loads, its number along each row axis and along the summed one."""
        return [(row, c) for row in self.rows.combinations() for c in range(self.chunks.count)]

    def column(self, ctx: Context, c: int) -> Register:
        """The index within the block of the first element of a load."""
        b = ctx.builder
        return b.mul(ctx.local(self.chunks, c), self.width * self.per_word)


def plan_fetch(value: Value, axis: Axis, plan: LayoutPlan, target: Target) -> Fetch | None:
    """How to fetch an operand of a dot over `axis`; None for one that must be computed, or of which more than the end
    is masked."""
    if not isinstance(value, Load) or value.guard is not None or len(value.indices) < 2:
        return None
    if not reads_only(value) or axis in plan.bounded:
        return None
    threads = plan.threads
    *rows, column = value.indices
    row_axes = tuple(one for one in value.axes if one is not axis)
    if not isinstance(column, Index) or column.axis is not axis or axis in {a for r in rows for a in r.axes}:
        return None
    if not all(map(_is_simple, rows)):
        return None
    if value.dtype.is_ternary:
        per_word, unit = WEIGHTS_PER_WORD, WEIGHTS_PER_WORD
        if target.layout.interleave != 1:
            return None
    elif value.dtype.nbytes in (1, 2) and not value.dtype.is_bool:
        per_word, unit = 4 // value.dtype.nbytes, 1
    else:
        return None
    if axis.block % per_word:
        return None
    analysis = AffineAnalysis()
    length = multiple_of(analysis.form(value.buffer.shape[-1]))
    words = axis.block // per_word
    # A load is whole or masked, so it must not lie across the end of a sum that ends before the row does. Weights
    # past it do no harm: the other operand is 0 there.
    ends = length if value.dtype.is_ternary else math.gcd(length, multiple_of(analysis.form(axis.size)))
    row_words = 0 if ends % per_word else ends // per_word
    width = _width(words, words * math.prod(one.block for one in row_axes), row_words, threads)
    if width == 0 and unit == 1:
        return None
    width = max(width, 1)
    count = words // width
    along = min(count & -count, threads)
    chunks = Spread(axis, (Part(along, 1),) if along > 1 else (), tuple(range(0, count, along)))
    spreads, stride = [], along
    for one in reversed(row_axes):
        used = min(power_of_two(one.block), threads // stride)
        parts = (Part(used, stride),) if used > 1 else ()
        spreads.append(Spread(one, parts, tuple(range(0, one.block, used))))
        stride *= used
    whole = length % axis.block == 0
    return Fetch(value, Layout(tuple(reversed(spreads))), chunks, width, per_word, not whole)


def _width(words: int, total: int, aligned_to: int, threads: int) -> int:
    """The words of a load: the most that rows and their alignment allow and that leaves no thread without one.

    0 if rows in memory are not known to be whole words.
    """
    if not aligned_to:
        return 0
    allowed = [width for width in (1, 2, 4) if words % width == 0 and aligned_to % width == 0]
    return max((width for width in allowed if width == 1 or total // width >= threads), default=0)


def _is_simple(value: Value) -> bool:
    """Whether an index can be computed anywhere: sums and products of indices, sizes and numbers."""
    match value:
        case Const() | Size() | Index():
            return True
        case Expand():
            return _is_simple(value.operand)
        case Binary():
            return value.op in _OPS and all(map(_is_simple, value.operands))
    return False


def fetch(ctx: Context, plan: Fetch) -> list[Register]:
    """This thread's words of the block at which the axes are open now, each a u32 x `width`."""
    b, load = ctx.builder, plan.load
    memory, buffer = ctx.memories[load.buffer], load.buffer
    fetched = []
    for combination, c in plan.places():
        at = dict(zip(plan.rows.axes, zip(plan.rows.spreads, combination), strict=True))
        rows = [_evaluate(ctx, value, at) for value in load.indices[:-1]]
        opened = ctx.opened(plan.axis)
        column = b.add(opened.base, plan.column(ctx, c))
        mask = None
        if plan.guarded or not opened.whole_blocks:
            mask = b.compare("lt", column, opened.stop)
        if buffer.dtype.is_ternary:
            place = word_address(ctx, buffer, rows[0], b.shr(column, 4))
        else:
            place = address(ctx, buffer, [*rows, column])
        fetched.append(b.load_words(memory, place, plan.width, mask))
    return fetched


def _evaluate(ctx: Context, value: Value, at: dict[Axis, tuple[Spread, int]]) -> Register:
    """An index at this thread's place along each axis; places past an axis' end count as its last."""
    b = ctx.builder
    match value:
        case Const() | Size():
            return ctx.scalar(value)
        case Expand():
            return _evaluate(ctx, value.operand, at)
        case Index():
            spread, r = at[value.axis]
            found = ctx.index(spread, r)
            if ctx.valid(spread, r) is None:
                return found
            return b.min(found, b.sub(ctx.opened(value.axis).stop, 1))
        case Binary():
            left, right = (_evaluate(ctx, operand, at) for operand in value.operands)
            return b.binary(_OPS[value.op], left, right)
    raise TypeError(f"{type(value).__name__} is no simple index of {i32}")
