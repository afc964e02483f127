"""Tiles in another form: along another lane axis, or as scalars."""

from __future__ import annotations

from tritloom.codegen.ir.machine import Register
from tritloom.codegen.ir.tile import Axes, Axis
from tritloom.codegen.lower.cpu.context import Context
from tritloom.codegen.lower.cpu.tiles import Tile, extent, points, steps, transpose


def convert(ctx: Context, tile: Tile, lane: Axis | None) -> Tile:
    """The tile along `lane` if it has that axis, as scalars otherwise."""
    wanted = lane if lane in tile.axes else None
    if tile.lane is wanted:
        return tile
    if tile.lane is None:
        assert wanted is not None
        return _gathered(ctx, tile, wanted)
    if wanted is None:
        return _scattered(ctx, tile)
    return _transposed(ctx, tile, wanted)


def materialise(ctx: Context, tile: Tile, axes: Axes, lane: Axis | None) -> list[Register]:
    """The registers of a tile for each point of `axes`, in order, with the uniform ones repeated."""
    lane = lane if lane in axes else None
    converted = convert(ctx, tile, lane)
    return [ctx.fetch(converted, point, lane) for point in points(axes, lane, ctx.width)]


def assemble(ctx: Context, registers: list[Register], axes: Axes, lane: Axis | None) -> Tile:
    """The inverse of `materialise`."""
    lane = lane if lane in axes else None
    keys = [tuple(point[axis] for axis in axes) for point in points(axes, lane, ctx.width)]
    return Tile(axes, lane, dict(zip(keys, registers, strict=True)))


def _key(tile: Tile, point: dict[Axis, int]) -> tuple[int, ...]:
    return tuple(point[axis] for axis in tile.axes)


def _gathered(ctx: Context, tile: Tile, lane: Axis) -> Tile:
    """Scalars put into vectors."""
    registers: dict[tuple[int, ...], Register] = {}
    for point in points(tile.axes, lane, ctx.width):
        first = point[lane] * ctx.width
        vector: Register | None = None
        for place in range(min(ctx.width, extent(lane) - first)):
            scalar = tile.at({**point, lane: first + place})
            vector = ctx.splat(scalar) if vector is None else ctx.b.insert(vector, scalar, place)
        assert vector is not None
        registers[_key(tile, point)] = vector
    return Tile(tile.axes, lane, registers)


def valid_or_first(ctx: Context, axis: Axis, elements: list[Register]) -> list[Register]:
    """Elements along an axis with the invalid ones replaced by the first valid one: see the rule of Tile."""
    span = ctx.span(axis)
    if span.full:
        return elements
    first = elements[0]
    if span.low is not None:
        first = elements[-1]
        for place in reversed(range(len(elements))):
            valid = ctx.valid(axis, place)
            first = elements[place] if valid is None else _choose(ctx, valid, elements[place], first)
    result = []
    for place, element in enumerate(elements):
        valid = ctx.valid(axis, place)
        result.append(element if valid is None else _choose(ctx, valid, element, first))
    return result


def _choose(ctx: Context, condition: Register, a: Register, b: Register) -> Register:
    return ctx.b.select(condition if a.lanes == 1 else ctx.splat(condition), a, b)


def _scattered(ctx: Context, tile: Tile) -> Tile:
    """Vectors taken apart into scalars."""
    lane = tile.lane
    assert lane is not None
    others = tuple(axis for axis in tile.axes if axis is not lane)
    registers: dict[tuple[int, ...], Register] = {}
    for point in points(others, None, ctx.width):
        elements = []
        for element in range(extent(lane)):
            vector = tile.at({**point, lane: element // ctx.width})
            elements.append(ctx.b.extract(vector, element % ctx.width))
        for element, scalar in enumerate(valid_or_first(ctx, lane, elements)):
            registers[_key(tile, {**point, lane: element})] = scalar
    return Tile(tile.axes, None, registers)


def _transposed(ctx: Context, tile: Tile, lane: Axis) -> Tile:
    """Vectors along one axis turned into vectors along another, in squares of V by V."""
    old = tile.lane
    assert old is not None
    width = ctx.width
    others = tuple(axis for axis in tile.axes if axis not in (old, lane))
    registers: dict[tuple[int, ...], Register] = {}
    for point in points(others, None, width):
        for block in range(steps(lane, lane, width)):
            columns: list[Register] = []
            for vector in range(steps(old, old, width)):
                rows = []
                for row in range(width):
                    element = min(block * width + row, extent(lane) - 1)
                    rows.append(tile.at({**point, old: vector, lane: element}))
                columns.extend(transpose(ctx.b, rows))
            for element, register in enumerate(valid_or_first(ctx, old, columns[: extent(old)])):
                registers[_key(tile, {**point, old: element, lane: block})] = register
    return Tile(tile.axes, lane, registers)
