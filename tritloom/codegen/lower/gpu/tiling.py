"""How matrix units share a kernel's product: a grid of subgroups over the program's block, matrices within each.

Every subgroup computes one rectangle of the block, in whole matrices; the spreads say which thread gets which element
once the sums leave the matrices. Rectangles near squares read least, and their sums must leave registers for operands.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tritloom.codegen.ir.tile import Axis, Block, Dot, If, Kernel, Let, Loop
from tritloom.codegen.lower.gpu.layout import Part, Spread
from tritloom.codegen.target import MatrixUnit, Target

_MOST_SUBGROUPS = 8
_FEWEST_SUBGROUPS = 4
"""If the block has as many matrices: few subgroups with many sums each read least, but one alone waits for itself."""
_TURNS = 8
"""How often a loop is taken to turn."""


@dataclass(frozen=True, slots=True)
class Tiling:
    """A block [rows, columns] of sums in matrices of `unit`'s shape."""

    unit: MatrixUnit
    rows: Spread
    columns: Spread
    grid: tuple[int, int]
    """Subgroups along the rows and along the columns, the columns' numbers varying fastest."""
    subgroup_size: int

    @property
    def threads(self) -> int:
        """Of the workgroup."""
        return math.prod(self.grid) * self.subgroup_size

    @property
    def matrices(self) -> tuple[int, int]:
        """Matrices of a subgroup along the rows and along the columns."""
        high = self.rows.axis.block // self.grid[0] // self.unit.rows
        return high, self.columns.axis.block // self.grid[1] // self.unit.columns

    @property
    def spreads(self) -> dict[Axis, Spread]:
        return {self.rows.axis: self.rows, self.columns.axis: self.columns}

    def takes(self, dot: Dot, target: Target) -> MatrixUnit | None:
        """The unit that makes a dot in this tiling, or None."""
        if _sides(dot) != (self.rows.axis, self.columns.axis):
            return None
        fitting = (
            unit
            for unit in units(dot, target)
            if (unit.rows, unit.columns) == (self.unit.rows, self.unit.columns)
        )
        return next(fitting, None)


def units(dot: Dot, target: Target) -> list[MatrixUnit]:
    """The target's units that multiply the dot's dtypes in whole steps along its axis, deepest first."""
    found = [
        unit
        for unit in target.matrices
        if unit.operand is dot.left.dtype
        and (dot.right.dtype.is_ternary or dot.right.dtype is unit.operand)
        and unit.accumulator is dot.dtype
        and dot.axis.block % unit.depth == 0
        and unit.rows % lanes(unit, target.subgroup_size)[0] == 0
    ]
    return sorted(found, key=lambda unit: -unit.depth)


def lanes(unit: MatrixUnit, width: int) -> tuple[int, int]:
    """How many of a subgroup's `width` threads share a matrix of sums along its rows and along its columns, once it
    has left the unit. A unit of fewer rows than that has no work for all threads, and is left alone."""
    across = min(unit.columns & -unit.columns, width)
    return width // across, across


def _sides(dot: Dot) -> tuple[Axis, Axis] | None:
    """The one axis of each operand that is more than one long and not summed."""
    sides = [
        [axis for axis in operand.axes if axis is not dot.axis and axis.block > 1]
        for operand in (dot.left, dot.right)
    ]
    if [len(side) for side in sides] != [1, 1] or sides[0] == sides[1]:
        return None
    return sides[0][0], sides[1][0]


def find(kernel: Kernel, target: Target) -> Tiling | None:
    """The tiling of the kernel's largest product that the target's matrix units can make."""
    if target.exchange_width == 1:
        return None
    best: tuple[float, Tiling] | None = None
    for dot, weight in _dots(kernel.body, 1):
        tiling = _tile(dot, target)
        work = weight * math.prod(axis.block for axis in (*dot.axes, dot.axis))
        if tiling is not None and (best is None or work > best[0]):
            best = (work, tiling)
    return None if best is None else best[1]


def _dots(block: Block, weight: int) -> Iterator[tuple[Dot, int]]:
    for statement in block.statements:
        match statement:
            case Let(Dot() as dot):
                yield dot, weight
            case Loop():
                yield from _dots(statement.body, weight * _TURNS)
            case If():
                yield from _dots(statement.then, weight)
                yield from _dots(statement.otherwise, weight)


def _tile(dot: Dot, target: Target) -> Tiling | None:
    sides = _sides(dot)
    if sides is None:
        return None
    rows, columns = sides
    fitting = (u for u in units(dot, target) if rows.block % u.rows == 0 and columns.block % u.columns == 0)
    unit = next(fitting, None)
    if unit is None:
        return None
    most = min(_MOST_SUBGROUPS, target.max_threads // target.subgroup_size)
    sums = rows.block * columns.block
    room = target.registers // 2 * target.subgroup_size
    wanted = min(max(_FEWEST_SUBGROUPS, -(-sums // room)), most)
    grids = []
    for high in _powers(min(most, rows.block // unit.rows)):
        for wide in _powers(min(most // high, columns.block // unit.columns)):
            if rows.block % (high * unit.rows) or columns.block % (wide * unit.columns):
                continue
            few, many = max(wanted // (high * wide), 1), max(high * wide // wanted, 1)
            reads = rows.block // high + columns.block // wide
            grids.append((few * many, reads, high, wide))
    if not grids:
        return None
    *_, high, wide = min(grids)
    return _spread(unit, rows, columns, (high, wide), target.subgroup_size)


def _powers(most: int) -> list[int]:
    """The powers of two up to a number."""
    return [1 << i for i in range(most.bit_length())]


def _spread(unit: MatrixUnit, rows: Axis, columns: Axis, grid: tuple[int, int], width: int) -> Tiling:
    high, wide = grid
    down, across = lanes(unit, width)
    row_run, column_run = rows.block // high, columns.block // wide
    row_parts = (Part(down, across), Part(high, width * wide, row_run))
    column_parts = (Part(across, 1), Part(wide, width, column_run))
    return Tiling(
        unit,
        Spread(rows, _real(row_parts), tuple(range(0, row_run, down))),
        Spread(columns, _real(column_parts), tuple(range(0, column_run, across))),
        grid,
        width,
    )


def _real(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    return tuple(part for part in parts if part.threads > 1)
