"""Layouts: which thread of a workgroup holds which elements of a tile.

Each axis of a tile is dealt to threads in turn: of an axis with `threads` threads at `stride`, thread t holds the
indices `r * threads + (t // stride) % threads` for r = 0, 1, ... So neighbours along an axis of stride 1 are in
neighbouring threads, and their loads coalesce. Thread bits that no axis uses hold copies.
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
class Spread:
    """How one axis is dealt. Both numbers are powers of two; the stride of one thread is 1."""

    axis: Axis
    threads: int
    stride: int

    @property
    def count(self) -> int:
        """Indices of the axis in one thread."""
        return -(-self.axis.block // self.threads)

    @property
    def extent(self) -> int:
        """Indices that all threads hold together: the block, rounded up."""
        return self.count * self.threads


def spread(axis: Axis, threads: int, stride: int) -> Spread:
    """A spread in its one normal form."""
    used = min(threads, power_of_two(axis.block))
    return Spread(axis, used, stride if used > 1 else 1)


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
            bits |= (s.threads - 1) * s.stride
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
