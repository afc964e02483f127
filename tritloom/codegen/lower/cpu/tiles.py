"""Tiles in registers: one register for each point of a tile's axes, vectors along one of them.

A tile is laid out fully: nothing here loops at run time. The *lane axis* is cut into vectors; along any other axis
there is a register an element. Along an axis that is not the lane axis, elements past the axis' end repeat the first
valid element of the block, so they are safe to use anywhere; in lanes past the end there is garbage.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tritloom.codegen.ir.dtypes import DType
from tritloom.codegen.ir.machine import Register
from tritloom.codegen.ir.machine_builder import MachineBuilder
from tritloom.codegen.ir.tile import Axes, Axis, Const

Point = Mapping[Axis, int]
"""For each axis the element's place in its block, or, for the lane axis, the vector's."""


def extent(axis: Axis) -> int:
    """How many elements of an axis' block can ever be valid."""
    return min(axis.block, int(axis.size.value)) if isinstance(axis.size, Const) else axis.block


def steps(axis: Axis, lane: Axis | None, lanes: int) -> int:
    """Registers along an axis."""
    return -(-extent(axis) // lanes) if axis is lane else extent(axis)


def points(axes: Axes, lane: Axis | None, lanes: int) -> Iterator[dict[Axis, int]]:
    """All points of a tile, the last axis fastest."""
    ranges = [range(steps(axis, lane, lanes)) for axis in axes]
    for combination in itertools.product(*ranges):
        yield dict(zip(axes, combination, strict=True))


@dataclass(eq=False, slots=True)
class Tile:
    """Registers by point. `axes` may be fewer than the tile IR's: along an axis that is left out the tile is uniform.

    `lane` is one of `axes`, or None where each register is a scalar.
    """

    axes: Axes
    lane: Axis | None
    registers: dict[tuple[int, ...], Register]

    def at(self, point: Point) -> Register:
        """The register at a point, whose further axes are ignored."""
        return self.registers[tuple(point[axis] for axis in self.axes)]

    @property
    def dtype(self) -> DType:
        return next(iter(self.registers.values())).dtype


def scalar_tile(register: Register) -> Tile:
    """A tile without axes."""
    return Tile((), None, {(): register})


def transpose(b: MachineBuilder, rows: list[Register]) -> list[Register]:
    """The columns of a square of V registers with V lanes, in V log2(V) shuffles.

    Each round swaps blocks of `half` lanes between rows that lie `half` apart.
    """
    lanes = rows[0].lanes
    half = lanes // 2
    while half:
        low = [lane if not lane & half else lane + lanes - half for lane in range(lanes)]
        high = [lane + half if not lane & half else lane + lanes for lane in range(lanes)]
        done = list(rows)
        for row in range(lanes):
            if not row & half:
                done[row] = b.shuffle(rows[row], rows[row + half], low)
                done[row + half] = b.shuffle(rows[row], rows[row + half], high)
        rows = done
        half //= 2
    return rows
