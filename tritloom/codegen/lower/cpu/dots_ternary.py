"""Dots with packed ternary weights, unpacked in registers and never in memory.

Lanes are rows of the weights: a vector of words holds sixteen neighbours along k of as many rows. Shifted right by
2i and masked, its bytes are the codes (weight + 1) of k = 4i .. 4i + 3; with the activations' four bytes in every lane
that is one dot instruction, and sum(code * x) - sum(x) = sum(w * x), the sum of x being subtracted once after the loop.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod

import numpy as np

from tritloom.codegen.ir.dtypes import DType, bf16, bool_, f32, i8, i32, u8, u32
from tritloom.codegen.ir.machine import MachineType, Memory, Register, index
from tritloom.codegen.ir.ternary import WEIGHTS_PER_WORD, bit_of
from tritloom.codegen.ir.tile import Axis, AxisKind, Const, Dot, Load
from tritloom.codegen.lower.affine import multiple_of
from tritloom.codegen.lower.cpu.context import Context
from tritloom.codegen.lower.cpu.convert import assemble, materialise
from tritloom.codegen.lower.cpu.memory import evaluate, word_address, word_steps
from tritloom.codegen.lower.cpu.operands import underlying_load
from tritloom.codegen.lower.cpu.reductions import Accumulation
from tritloom.codegen.lower.cpu.sums import Sums
from tritloom.codegen.lower.cpu.tiles import Tile, extent, points, steps

_UNROLLED = 640
"""How many dot instructions a turn may have before it becomes a loop over the words of the block."""
_UNROLLED_EMULATED = 64
"""The same where a dot instruction is a sequence of others."""


def _aligned(axis: Axis, to: int) -> bool:
    """Whether every block of an axis begins at a multiple."""
    single = isinstance(axis.size, Const) and int(axis.size.value) <= axis.block
    return axis.kind is AxisKind.WHOLE or axis.block % to == 0 or (single and axis.kind is AxisKind.PROGRAM)


def _row_axis(ctx: Context, dot: Dot) -> Axis | None:
    """The axis along the weights' rows, if the weights are read in whole words and aligned vectors along it."""
    load = dot.right
    if not isinstance(load, Load) or not load.buffer.dtype.is_ternary or load.guard is not None:
        return None
    if ctx.target.layout.interleave % ctx.width or len(load.axes) != 2:
        return None
    row = next(axis for axis in load.axes if axis is not dot.axis)
    for index_value, axis, to in (
        (load.indices[0], row, ctx.width),
        (load.indices[1], dot.axis, WEIGHTS_PER_WORD),
    ):
        form = ctx.affine.form(index_value)
        step = ctx.affine.stride(form, axis)
        rest = ctx.affine.add(form, ctx.affine.atom(axis), -1)
        if (
            step is None
            or step.constant != 1
            or rest.axes
            or multiple_of(rest) % to
            or not _aligned(axis, to)
        ):
            return None
    return None if row in dot.left.axes else row


class TernaryDot(Accumulation):
    """What the strategies share: rows of activations, vectors of words, and the order of the state.

    The state is a register for each row of activations and vector of weight rows, then what a strategy adds.
    """

    staged_dtype: DType
    """Of the activations in their private array."""
    pad: int
    """Elements to which a row of the private array is padded."""

    def __init__(self, ctx: Context, dot: Dot, lane: Axis | None):
        row_axis = _row_axis(ctx, dot)
        assert row_axis is not None
        assert isinstance(dot.right, Load)
        self.ctx = ctx
        self.dot = dot
        self.weights = dot.right
        self.lane = row_axis
        self.rows = list(points(tuple(a for a in dot.left.axes if a is not dot.axis), None, ctx.width))
        self.vectors = steps(row_axis, row_axis, ctx.width)
        self.words = -(-extent(dot.axis) // WEIGHTS_PER_WORD)
        length = -(-self.words * WEIGHTS_PER_WORD // self.pad) * self.pad
        self.row_length = length
        count = len(self.rows) * self.vectors
        self.sums = Sums(ctx, dot.dtype, ctx.width, count, ctx.target.vector_registers * 7 // 8)
        self._array: Memory | None = None
        self._initial: Tile | None = None

    @property
    def array(self) -> Memory:
        """The private array of the activations."""
        if self._array is None:
            self._array = self.ctx.array("rows", self.staged_dtype, self.row_length * len(self.rows))
        return self._array

    def zeros(self) -> list[Register]:
        """The sums at the start."""
        zero = self.ctx.b.const(0, self.dot.dtype, self.ctx.width)
        return [zero] * (len(self.rows) * self.vectors)

    def _order(self) -> list[dict[Axis, int]]:
        """The result's points in the state's order: rows of activations, then vectors."""
        return [
            {**row, self.lane: vector} for row, vector in itertools.product(self.rows, range(self.vectors))
        ]

    def from_tile(self, tile: Tile) -> list[Register]:
        """A tile's registers in the state's order."""
        whole = assemble(
            self.ctx, materialise(self.ctx, tile, self.dot.axes, self.lane), self.dot.axes, self.lane
        )
        return [whole.at(point) for point in self._order()]

    def to_tile(self, registers: list[Register]) -> Tile:
        """Registers in the state's order as a tile."""
        keyed = {
            tuple(point[axis] for axis in self.dot.axes): register
            for point, register in zip(self._order(), registers, strict=True)
        }
        return Tile(self.dot.axes, self.lane, keyed)

    # activations

    def direct_rows(self) -> tuple[Memory, list[Register]] | None:
        """The buffer of the activations and each row's address at the block, if they can be read there in fours."""
        ctx, axis = self.ctx, self.dot.axis
        load = underlying_load(ctx, self.dot.left)
        if load is None or load is not self.dot.left or load.dtype is not self.staged_dtype:
            return None
        whole = ctx.span(axis).full and extent(axis) % WEIGHTS_PER_WORD == 0
        if not whole or not ctx.lanes.is_contiguous(load, axis):
            return None
        form = ctx.affine.address(load.buffer, load.indices)
        if ctx.affine.stride(form, axis) is None:
            return None
        rows = [evaluate(ctx, form, {**row, axis: 0}, axis) for row in self.rows]
        return ctx.memories[load.buffer], rows

    def stage_rows(self) -> tuple[Memory, list[Register]]:
        """The activations in the private array, 0 where masked, and each row's address there."""
        ctx, axis, b = self.ctx, self.dot.axis, self.ctx.b
        tile = ctx.tile(self.dot.left, axis)
        zero = b.const(0, self.staged_dtype, ctx.width)
        addresses = []
        for number, row in enumerate(self.rows):
            first = number * self.row_length
            addresses.append(b.const(first, index))
            for vector in range(self.row_length // ctx.width):
                register = zero
                if vector < steps(axis, axis, ctx.width):
                    register = b.cast(ctx.fetch(tile, {**row, axis: vector}, axis), self.staged_dtype)
                    mask = ctx.mask(axis, vector)
                    register = register if mask is None else b.select(mask, register, zero)
                b.store(self.array, b.const(first + vector * ctx.width, index), register)
        return self.array, addresses

    # weights

    def word_rows(self) -> list[Register]:
        """For each vector of weight rows the address of its words at the block's start."""
        ctx, b, load = self.ctx, self.ctx.b, self.weights
        interleave = ctx.target.layout.interleave
        column = evaluate(ctx, ctx.affine.form(load.indices[1]), {self.dot.axis: 0}, self.dot.axis)
        word = b.div(column, WEIGHTS_PER_WORD)
        result = []
        for vector in range(self.vectors):
            row = evaluate(ctx, ctx.affine.form(load.indices[0]), {self.lane: vector}, self.lane)
            if ctx.mask(self.lane, vector) is not None:
                stored = ctx.address(ctx.scalar(load.buffer.shape[0]))
                groups = b.div(b.add(stored, interleave - 1), interleave)
                row = b.min(row, b.sub(b.mul(groups, interleave), ctx.width))
            base = word_address(ctx, load.buffer, row, b.const(0, index))
            result.append(b.add(base, b.mul(word, interleave)))
        return result

    def word_offset(self, word: int | Register) -> Register:
        """How far a word of the block lies from its first, never past the matrix' end."""
        ctx, b = self.ctx, self.ctx.b
        at = b.const(word, index) if isinstance(word, int) else word
        if not ctx.span(self.dot.axis).full:
            column = evaluate(
                ctx, ctx.affine.form(self.weights.indices[1]), {self.dot.axis: 0}, self.dot.axis
            )
            first = b.div(column, WEIGHTS_PER_WORD)
            last = b.sub(word_steps(ctx, self.weights.buffer), b.add(first, 1))
            at = b.min(at, last)
        return b.mul(at, ctx.target.layout.interleave)

    # turns

    @abstractmethod
    def rows_at_block(self) -> tuple[Memory, list[Register]]:
        """Where the activations are read from."""

    @abstractmethod
    def word(
        self,
        memory: Memory,
        activations: list[Register],
        words: list[Register],
        sums: list[Register],
    ) -> list[Register]:
        """The sums after one word: `activations` are each row's address, `words` the vectors of words."""

    @abstractmethod
    def per_word(self) -> int:
        """Vector products that one word of one vector and row needs."""

    def products(self, memory: Memory, rows: list[Register], state: list[Register]) -> list[Register]:
        """The state of the sums after a block."""
        ctx, b = self.ctx, self.ctx.b
        bases = self.word_rows()
        storage = ctx.memories[self.weights.buffer]
        budget = ctx.target.vector_registers * 7 // 8
        at_once = max(1, min(len(self.rows), (budget - self.vectors) // self.vectors))
        state = list(state)
        limit = _UNROLLED if ctx.target.has("int8-dot") else _UNROLLED_EMULATED
        for first in range(0, len(self.rows), at_once):
            part = slice(first, min(first + at_once, len(self.rows)))
            numbers = range(part.start * self.vectors, part.stop * self.vectors)
            mine = [self.sums.get(state, number) for number in numbers]
            addresses = rows[part]

            def turn(
                word: int | Register, mine: list[Register], addresses: list[Register] = addresses
            ) -> list[Register]:
                offset = self.word_offset(word)
                words = [b.load(storage, b.add(base, offset), ctx.width) for base in bases]
                k = (
                    b.const(word * WEIGHTS_PER_WORD, index)
                    if isinstance(word, int)
                    else b.mul(word, WEIGHTS_PER_WORD)
                )
                return self.word(memory, [b.add(row, k) for row in addresses], words, mine)

            if self.words * len(mine) * self.per_word() <= limit:
                for word in range(self.words):
                    mine = turn(word, mine)
            else:
                stop, one = b.const(self.words, index), b.const(1, index)
                with b.for_(b.const(0, index), stop, one, mine) as turns, ctx.scope():
                    turns.next = turn(turns.variable, turns.values)
                mine = turns.results
            for number, register in zip(numbers, mine, strict=True):
                self.sums.put(state, number, register)
        return state

    def step(self, state: list[Register]) -> list[Register]:
        memory, rows = self.rows_at_block()
        return self.products(memory, rows, state)

    def begin(self, initial: Tile | None) -> list[Register]:
        return self.sums.begin(self.zeros() if initial is None else self.from_tile(initial))

    def finish(self, state: list[Register]) -> Tile:
        return self.to_tile(self.sums.all(state))


class TernaryDot4(TernaryDot):
    """i8 x ternary by sums of four products of bytes."""

    staged_dtype = i8

    def __init__(self, ctx: Context, dot: Dot, lane: Axis | None):
        self.pad = 4 * ctx.width
        super().__init__(ctx, dot, lane)

    @staticmethod
    def cost(ctx: Context, dot: Dot, lane: Axis | None, gathered: bool) -> float | None:
        """Four products an instruction."""
        return 0.25 if dot.left.dtype is i8 and _row_axis(ctx, dot) is not None else None

    def per_word(self) -> int:
        return 4

    def rows_at_block(self) -> tuple[Memory, list[Register]]:
        return self.direct_rows() or self.stage_rows()

    def begin(self, initial: Tile | None) -> list[Register]:
        zero = self.ctx.b.const(0, i32, self.ctx.width)
        return super().begin(initial) + [zero] * len(self.rows)

    def step(self, state: list[Register]) -> list[Register]:
        ctx, b = self.ctx, self.ctx.b
        memory, rows = self.rows_at_block()
        split = len(state) - len(self.rows)
        sums = self.products(memory, rows, state[:split])
        ones = b.const(1, u8, 4 * ctx.width)
        length = self.words * WEIGHTS_PER_WORD
        totals = []
        for row, total in zip(rows, state[split:], strict=True):
            for first in range(0, length, 4 * ctx.width):
                inside = min(length - first, 4 * ctx.width)
                mask = None
                if inside < 4 * ctx.width:
                    mask = b.const([lane < inside for lane in range(4 * ctx.width)], bool_, 4 * ctx.width)
                x = b.load(memory, b.add(row, first), 4 * ctx.width, mask)
                total = b.dot4_us(total, ones, x, small=True)
            totals.append(total)
        return sums + totals

    def word(
        self, memory: Memory, activations: list[Register], words: list[Register], sums: list[Register]
    ) -> list[Register]:
        ctx, b = self.ctx, self.ctx.b
        bytes_ = 4 * ctx.width
        sums = list(sums)
        for i in range(4):
            codes = []
            for word in words:
                shifted = b.shr(word, 2 * i) if i else word
                codes.append(b.bitcast(b.and_(shifted, 0x03030303), MachineType(u8, bytes_)))
            for number, row in enumerate(activations):
                four = b.bitcast(b.load(memory, b.add(row, 4 * i), 4), MachineType(i32))
                x = b.bitcast(b.splat(four, ctx.width), MachineType(i8, bytes_))
                for vector, code in enumerate(codes):
                    place = number * self.vectors + vector
                    sums[place] = b.dot4_us(sums[place], code, x, small=True)
        return sums

    def finish(self, state: list[Register]) -> Tile:
        b = self.ctx.b
        split = len(state) - len(self.rows)
        totals = [b.splat(b.reduce("add", total), self.ctx.width) for total in state[split:]]
        sums = [
            b.sub(register, totals[place // self.vectors])
            for place, register in enumerate(self.sums.all(state[:split]))
        ]
        return self.to_tile(sums)


class TernaryFma(TernaryDot):
    """float x ternary in f32: each weight looked up as -1, 0 or 1, times an activation in all lanes."""

    staged_dtype = f32

    def __init__(self, ctx: Context, dot: Dot, lane: Axis | None):
        self.pad = ctx.width
        super().__init__(ctx, dot, lane)

    @staticmethod
    def cost(ctx: Context, dot: Dot, lane: Axis | None, gathered: bool) -> float | None:
        """One product an instruction and lane."""
        return 1.0 if dot.left.dtype.is_float and _row_axis(ctx, dot) is not None else None

    def per_word(self) -> int:
        return WEIGHTS_PER_WORD

    def rows_at_block(self) -> tuple[Memory, list[Register]]:
        return self.direct_rows() or self.stage_rows()

    def word(
        self, memory: Memory, activations: list[Register], words: list[Register], sums: list[Register]
    ) -> list[Register]:
        ctx, b = self.ctx, self.ctx.b
        sums = list(sums)
        for k in range(WEIGHTS_PER_WORD):
            bit = bit_of(k)
            weights = [b.lookup((-1, 0, 1, 0), b.shr(word, bit) if bit else word, f32) for word in words]
            for number, row in enumerate(activations):
                x = b.splat(b.load(memory, b.add(row, k)), ctx.width)
                for vector, weight in enumerate(weights):
                    place = number * self.vectors + vector
                    sums[place] = b.fma(x, weight, sums[place])
        return sums


_PAIRS = [(4 * i + byte, 4 * i + 4 + byte) for byte in range(4) for i in (0, 2)]
"""The pairs of k whose codes stand beside each other, by the four-bit field of the word that holds them."""


def _bf16_bits(value: float) -> int:
    return int(np.asarray(value, bf16.numpy).view(np.uint16))


_CODES = tuple(_bf16_bits(value) for value in (-1.0, 0.0, 1.0, 0.0))
_TABLE = tuple(_CODES[field & 3] | _CODES[field >> 2] << 16 for field in range(16))


class PairedTernaryDot(TernaryDot):
    """bf16 x ternary by sums of two products: four bits of a word look up a pair of weights.

    Neighbouring fields of a word are k and k + 4, so the activations of a block are put into that order once, in the
    private array.
    """

    staged_dtype = bf16

    def __init__(self, ctx: Context, dot: Dot, lane: Axis | None):
        self.pad = max(WEIGHTS_PER_WORD, ctx.width)
        super().__init__(ctx, dot, lane)

    @staticmethod
    def cost(ctx: Context, dot: Dot, lane: Axis | None, gathered: bool) -> float | None:
        """Two products an instruction and lane."""
        if not ctx.target.has("bf16-dot") or not ctx.target.has("lookup"):
            return None
        return 0.5 if dot.left.dtype is bf16 and _row_axis(ctx, dot) is not None else None

    def per_word(self) -> int:
        return WEIGHTS_PER_WORD // 2

    def rows_at_block(self) -> tuple[Memory, list[Register]]:
        b = self.ctx.b
        memory, rows = self.direct_rows() or self.stage_rows()
        addresses = []
        for number, row in enumerate(rows):
            first = number * self.row_length
            addresses.append(b.const(first, index))
            at = 0
            while at < self.words * WEIGHTS_PER_WORD:
                two = at + 2 * WEIGHTS_PER_WORD <= self.words * WEIGHTS_PER_WORD
                count = 2 * WEIGHTS_PER_WORD if two else WEIGHTS_PER_WORD
                order = [
                    base + k for base in range(0, count, WEIGHTS_PER_WORD) for pair in _PAIRS for k in pair
                ]
                x = b.load(memory, b.add(row, at), count)
                b.store(self.array, b.const(first + at, index), b.shuffle(x, x, order))
                at += count
        return self.array, addresses

    def word(
        self, memory: Memory, activations: list[Register], words: list[Register], sums: list[Register]
    ) -> list[Register]:
        ctx, b = self.ctx, self.ctx.b
        wide = MachineType(bf16, 2 * ctx.width)
        sums = list(sums)
        for field in range(WEIGHTS_PER_WORD // 2):
            weights = [
                b.bitcast(b.lookup(_TABLE, b.shr(word, 4 * field) if field else word, u32), wide)
                for word in words
            ]
            for number, row in enumerate(activations):
                pair = b.bitcast(b.load(memory, b.add(row, 2 * field), 2), MachineType(i32))
                x = b.bitcast(b.splat(pair, ctx.width), wide)
                for vector, weight in enumerate(weights):
                    place = number * self.vectors + vector
                    sums[place] = b.dot2_bf16(sums[place], weight, x)
        return sums
