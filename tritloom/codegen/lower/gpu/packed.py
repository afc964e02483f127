"""Packed ternary tiles taken word by word, and their weights written to shared memory one by one or four by four."""

from __future__ import annotations

from collections.abc import Sequence
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
class Word:
    """A word that a thread has read."""

    row: tuple[int, ...]
    """Its register's number along each row axis."""
    number: Register
    """In the row of the tile."""
    inside: Register | None
    """Whether the tile has it; None if it surely has."""
    codes: Register


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

    @property
    def thread_bits(self) -> int:
        """The bits of the thread's number that choose words."""
        return self.rows.thread_bits | (self.threads - 1) * self.stride

    def fetch(self, ctx: Context) -> list[Word]:
        """This thread's words."""
        b, opened = ctx.builder, ctx.opened(self.columns)
        lane = ctx.bits(self.threads, self.stride)
        first_word = b.shr(opened.base, 4)
        memory, buffer = ctx.memories[self.load.buffer], self.load.buffer
        fetched = []
        indices = ctx.registers(self.load.indices[0], self.rows)
        for combination, row in zip(self.rows.combinations(), indices, strict=True):
            row_valid = ctx.mask(self.rows, combination)
            for w in range(0, self.words, self.threads):
                word = b.add(lane, w)
                inside = None if w + self.threads <= self.words else b.compare("lt", word, self.words)
                column = b.add(opened.base, b.shl(word, 4))
                valid = ctx.both(ctx.both(row_valid, inside), b.compare("lt", column, opened.stop))
                at = word_address(ctx, buffer, row, b.add(first_word, word))
                fetched.append(Word(combination, word, inside, b.load(memory, at, mask=valid)))
        return fetched


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


def store_weights(
    ctx: Context,
    packed: Words,
    fetched: Sequence[Word],
    memory: Memory,
    starts: Sequence[Register],
    along: int,
    group: int,
) -> None:
    """Write the weights of all words: a word's from its row's start on, `along` apart, in groups of `group`."""
    b, dtype = ctx.builder, memory.dtype
    copies = (ctx.plan.threads - 1) & ~packed.thread_bits
    owner = b.compare("eq", b.and_(b.thread(), copies), 0) if copies else None
    for word, start in zip(fetched, starts, strict=True):
        at = b.add(start, b.mul(b.cast(b.shl(word.number, 4), index), along))
        with ctx.guarded(ctx.both(owner, word.inside)):
            if group == 4 or (dtype is i8 and along == 1):
                for four in range(4):
                    b.store(memory, b.add(at, 4 * along * four), _four_weights(ctx, word.codes, four))
            else:
                for k in range(WEIGHTS_PER_WORD):
                    b.store(memory, b.add(at, along * k), _weight(ctx, word.codes, k, dtype))


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
