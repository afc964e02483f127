"""Layouts: which thread of a workgroup holds which elements of a tile.

Along each axis of a tile, a thread holds the indices `base + offset` for each of the axis' offsets, where `base` comes
from bits of the thread's number: the sum over the axis' parts of `(t // stride) % threads * weight`. In the usual,
cyclic spread there is one part of weight 1 and the offsets are multiples of its threads: neighbours along an axis of
stride 1 are in neighbouring threads, and their loads coalesce. Matrix units want several parts: some bits choose a
place within a matrix, others the subgroup that has it. Thread bits that no axis uses hold copies.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from tritloom.codegen.ir.tile import Axes, Axis


def power_of_two(number: int) -> int:
    """The least power of two that is not below."""
    return 1 << max(number - 1, 0).bit_length()


@dataclass(frozen=True, slots=True)
class Part:
    """Bits of the thread's number: `(t // stride) % threads`, which counts `weight` indices each. Powers of two."""

    threads: int
    stride: int
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Spread:
    """How one axis is dealt."""

    axis: Axis
    parts: tuple[Part, ...]
    """Of more than one thread each, their bits apart."""
    offsets: tuple[int, ...]
    """Of a thread's indices from its base."""

    @property
    def count(self) -> int:
        """Indices of the axis in one thread."""
        return len(self.offsets)

    @property
    def threads(self) -> int:
        """Threads that hold different indices."""
        return math.prod(part.threads for part in self.parts)

    @property
    def farthest(self) -> int:
        """The greatest base."""
        return sum((part.threads - 1) * part.weight for part in self.parts)

    @property
    def extent(self) -> int:
        """Indices that all threads hold together: the block, rounded up."""
        return max(self.offsets) + self.farthest + 1

    @property
    def thread_bits(self) -> int:
        """The bits of the thread's number that choose indices."""
        return sum((part.threads - 1) * part.stride for part in self.parts)

    @property
    def stride(self) -> int:
        """How far apart by number the threads of neighbouring indices are; 0 if they are in one thread."""
        return next((part.stride for part in self.parts if part.weight == 1), 0)


def spread(axis: Axis, threads: int, stride: int) -> Spread:
    """The cyclic spread over so many threads, powers of two; over fewer if the block has less."""
    used = min(threads, power_of_two(axis.block))
    parts = (Part(used, stride),) if used > 1 else ()
    return Spread(axis, parts, tuple(range(0, axis.block, used)))


@dataclass(frozen=True, slots=True)
class Layout:
    """How a tile is dealt: one spread for each of its axes, in their order."""

    spreads: tuple[Spread, ...]

    @property
    def axes(self) -> Axes:
        return tuple(s.axis for s in self.spreads)

    @property
    def registers(self) -> int:
        """Elements of the tile in one thread."""
        return math.prod(s.count for s in self.spreads)

    @property
    def thread_bits(self) -> int:
        """The bits of the thread's number that choose elements."""
        bits = 0
        for s in self.spreads:
            bits |= s.thread_bits
        return bits

    def restrict(self, axes: Axes) -> Layout:
        """The layout of a tile of some of the axes."""
        return Layout(tuple(s for s in self.spreads if s.axis in axes))

    def combinations(self) -> Iterator[tuple[int, ...]]:
        """For each register in order, its number along each axis."""
        return itertools.product(*(range(s.count) for s in self.spreads))

    def positions(self, axes: Axes) -> list[int]:
        """For each register, the number of the register that holds it in `restrict(axes)`."""
        kept = [i for i, s in enumerate(self.spreads) if s.axis in axes]
        result = []
        for combination in self.combinations():
            position = 0
            for i in kept:
                position = position * self.spreads[i].count + combination[i]
            result.append(position)
        return result

    def of(self, axis: Axis) -> Spread:
        """The spread of one of its axes."""
        return next(s for s in self.spreads if s.axis is axis)


SCALAR = Layout(())
