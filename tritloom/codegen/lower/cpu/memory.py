"""Loads and stores of tiles: addresses, masks, and the choice of vector, scalar and scattered access."""

from __future__ import annotations

from collections.abc import Mapping

from tritloom.codegen.ir.dtypes import i32, u32
from tritloom.codegen.ir.machine import Register, index
from tritloom.codegen.ir.ternary import WEIGHTS_PER_WORD
from tritloom.codegen.ir.tile import Axes, Axis, Buffer, Load, Store, Value, union
from tritloom.codegen.lower.affine import Affine, Atom, Quotient
from tritloom.codegen.lower.cpu.context import Context
from tritloom.codegen.lower.cpu.elementwise import floor_divide
from tritloom.codegen.lower.cpu.tiles import Point, Tile, extent, points

Override = Mapping[Axis, Register]
"""Indices (as addresses) that axes have instead of the ones of their current block."""


def run_of(ctx: Context, axis: Axis) -> int:
    """How many lanes of a vector are an aligned run of indices."""
    return ctx.width if axis.block % ctx.width == 0 else 1


def evaluate(
    ctx: Context, form: Affine, point: Point, lane: Axis | None = None, override: Override | None = None
) -> Register:
    """The value of a form at a point, as an address; along `lane`, that of the vector's first lane."""

    def make() -> Register:
        total: Register | None = None
        rest = 0
        for monomial, coefficient in form.terms:
            if not monomial:
                rest += coefficient
                continue
            product: Register | None = None
            for atom in monomial:
                factor = _atom(ctx, atom, point, lane, override)
                product = factor if product is None else ctx.b.mul(product, factor)
            assert product is not None
            if coefficient != 1:
                product = ctx.b.mul(product, coefficient)
            total = product if total is None else ctx.b.add(total, product)
        if total is None:
            return ctx.b.const(rest, index)
        return ctx.b.add(total, rest) if rest else total

    if override:
        return make()
    key = ("evaluate", form, lane, tuple((axis, point[axis]) for axis in sorted(form.axes, key=_serial)))
    return ctx.once(key, make)


def _serial(axis: Axis) -> int:
    return axis.serial


def _atom(ctx: Context, atom: Atom, point: Point, lane: Axis | None, override: Override | None) -> Register:
    if isinstance(atom, Axis):
        if override and atom in override:
            return override[atom]
        if atom is not lane:
            return ctx.address(ctx.element(atom, point[atom]))
        start = ctx.address(ctx.span(atom).start)
        return ctx.b.add(start, point[atom] * ctx.width) if point[atom] else start
    if isinstance(atom, Quotient):
        numerator = ctx.b.cast(evaluate(ctx, atom.numerator, point, lane, override), i32)
        by = atom.divisor.constant
        divisor = ctx.b.cast(evaluate(ctx, atom.divisor, point, lane, override), i32)
        return ctx.b.cast(floor_divide(ctx.b, numerator, divisor, by), index)
    return ctx.address(ctx.tile(atom, None).at(point))


def vector_address(ctx: Context, form: Affine, point: Point, lane: Axis) -> Register:
    """The address of a vector's first lane, for a form that is contiguous along `lane`."""
    vector = point[lane]
    moves = ctx.affine.stride(form, lane)
    if vector and moves is not None:
        first = evaluate(ctx, form, {**point, lane: 0}, lane)
        return ctx.b.add(first, vector * ctx.width)
    return evaluate(ctx, form, point, lane)


def _both(ctx: Context, a: Register | None, b: Register | None) -> Register | None:
    if a is None or b is None:
        return a if b is None else b
    return ctx.b.and_(a, b)


def _scattered(
    ctx: Context, buffer: Buffer, indices: tuple[Value, ...], point: Point, lane: Axis
) -> Register:
    """The addresses of a vector's lanes."""
    total: Register | None = None
    for position, value in enumerate(indices):
        stride = row_stride(ctx, buffer, position)
        at = ctx.fetch(ctx.tile(value, lane), point, lane)
        product = ctx.once(("wide", at), lambda at=at: ctx.b.cast(at, index))  # type: ignore[misc]
        if stride is not None:
            product = ctx.b.mul(product, ctx.splat(stride))
        total = product if total is None else ctx.b.add(total, product)
    return ctx.b.const(0, index, ctx.width) if total is None else total


def row_stride(ctx: Context, buffer: Buffer, position: int) -> Register | None:
    """How many elements lie between neighbours along a dimension; None for 1."""
    if position == len(buffer.shape) - 1:
        return None

    def make() -> Register:
        inner = row_stride(ctx, buffer, position + 1)
        size = ctx.address(ctx.scalar(buffer.shape[position + 1]))
        return size if inner is None else ctx.b.mul(inner, size)

    return ctx.once(("row", buffer, position), make)


# loads


def load_tile(ctx: Context, load: Load, lane: Axis | None) -> Tile:
    """A load of anything but ternary weights, along `lane` (which is not uniform, or None)."""
    form = ctx.affine.address(load.buffer, load.indices)
    guard_axes: Axes = () if load.guard is None else load.guard.axes
    axes = tuple(axis for axis in load.axes if axis in form.axes or axis in guard_axes)
    if lane not in axes:
        lane = None
    if lane is not None and not ctx.lanes.is_contiguous(load, lane):
        better = _contiguous_axis(ctx, load, lane)
        if better is not None:
            return load_tile(ctx, load, better)
    memory = ctx.memories[load.buffer]
    guard = None if load.guard is None else ctx.tile(load.guard, lane)
    registers: dict[tuple[int, ...], Register] = {}
    for point in points(axes, lane, ctx.width):
        allowed = None if guard is None else ctx.fetch(guard, point, lane)
        if lane is None:
            address = evaluate(ctx, form, point)
            if allowed is None:
                result = ctx.b.load(memory, address)
            else:
                read = ctx.b.load(memory, ctx.b.select(allowed, address, 0))
                result = ctx.b.select(allowed, read, ctx.b.const(0, read.dtype))
        else:
            mask = _both(ctx, ctx.mask(lane, point[lane]), allowed)
            if ctx.lanes.is_contiguous(load, lane):
                result = ctx.b.load(memory, vector_address(ctx, form, point, lane), ctx.width, mask)
            else:
                addresses = _scattered(ctx, load.buffer, load.indices, point, lane)
                result = ctx.b.gather(memory, addresses, mask)
        registers[tuple(point[axis] for axis in axes)] = result
    return Tile(axes, lane, registers)


def _contiguous_axis(ctx: Context, load: Load, lane: Axis) -> Axis | None:
    """Another axis along which the load is contiguous, where loading along it and transposing is worth it."""
    for axis in load.axes:
        long = extent(axis) * 2 >= ctx.width and extent(lane) * 2 >= ctx.width
        if axis is not lane and long and ctx.lanes.is_contiguous(load, axis):
            return axis
    return None


def word_steps(ctx: Context, buffer: Buffer) -> Register:
    """Words along k of a ternary matrix (an address)."""

    def make() -> Register:
        columns = ctx.address(ctx.scalar(buffer.shape[1]))
        return ctx.b.div(ctx.b.add(columns, WEIGHTS_PER_WORD - 1), WEIGHTS_PER_WORD)

    return ctx.once(("words", buffer), make)


def word_address(ctx: Context, buffer: Buffer, row: Register, word: Register) -> Register:
    """The address of the word that holds weights 16 word .. 16 word + 15 of a row: see TernaryLayout."""
    r = ctx.target.layout.interleave
    lanes = row.lanes
    per_group = ctx.b.splat(word_steps(ctx, buffer), lanes)
    group = ctx.b.shr(row, r.bit_length() - 1)
    at = ctx.b.add(ctx.b.mul(group, per_group), word)
    return ctx.b.add(ctx.b.mul(at, r), ctx.b.and_(row, r - 1))


def ternary_tile(ctx: Context, load: Load, lane: Axis | None) -> Tile:
    """A load of ternary weights as the codes 0, 1, 2 of -1, 0, 1, in u32. Guarded elements have the code 1."""
    axes = load.axes
    if lane not in axes:
        lane = None
    memory = ctx.memories[load.buffer]
    rows, columns = (ctx.tile(value, lane) for value in load.indices)
    guard = None if load.guard is None else ctx.tile(load.guard, lane)
    b = ctx.b
    registers: dict[tuple[int, ...], Register] = {}
    for point in points(axes, lane, ctx.width):
        row, k = ctx.fetch(rows, point, lane), ctx.fetch(columns, point, lane)
        address = word_address(ctx, load.buffer, b.cast(row, index), b.cast(b.shr(k, 4), index))
        allowed = None if guard is None else ctx.fetch(guard, point, lane)
        if lane is None:
            word = b.load(memory, address if allowed is None else b.select(allowed, address, 0))
        else:
            word = b.gather(memory, address, _both(ctx, ctx.mask(lane, point[lane]), allowed))
        byte = b.shl(b.and_(k, 3), 3)
        pair = b.shl(b.shr(b.and_(k, 15), 2), 1)
        code = b.and_(b.shr(word, b.cast(b.add(byte, pair), u32)), 3)
        if allowed is not None:
            code = b.select(allowed, code, 1)
        registers[tuple(point[axis] for axis in axes)] = code
    return Tile(axes, lane, registers)


# stores


def store_tile(ctx: Context, store: Store) -> None:
    """A store. Elements that are not valid repeat a valid one's value and address, so only lanes need a mask."""
    axes = union(*(value.axes for value in store.indices), () if store.guard is None else store.guard.axes)
    form = ctx.affine.address(store.buffer, store.indices)
    lane = _store_lane(ctx, store)
    contiguous = lane is not None and ctx.lanes.is_contiguous(store, lane)
    memory = ctx.memories[store.buffer]
    value = ctx.tile(store.value, lane)
    guard = None if store.guard is None else ctx.tile(store.guard, lane)
    for point in points(axes, lane, ctx.width):
        register = ctx.fetch(value, point, lane)
        allowed = None if guard is None else ctx.fetch(guard, point, lane)
        if lane is not None:
            mask = _both(ctx, ctx.mask(lane, point[lane]), allowed)
            if contiguous:
                ctx.b.store(memory, vector_address(ctx, form, point, lane), register, mask)
            else:
                addresses = _scattered(ctx, store.buffer, store.indices, point, lane)
                ctx.b.scatter(memory, addresses, register, mask)
        elif allowed is None:
            ctx.b.store(memory, evaluate(ctx, form, point), register)
        else:
            with ctx.b.if_(allowed), ctx.scope():
                ctx.b.store(memory, evaluate(ctx, form, point), register)


def _store_lane(ctx: Context, store: Store) -> Axis | None:
    """The axis that a store is contiguous along, else the value's own lane axis, else any that is long."""
    axes = union(*(value.axes for value in store.indices))
    own = ctx.lanes.of(store.value)
    if own is not None and own in axes and ctx.lanes.is_contiguous(store, own):
        return own
    for axis in axes:
        if extent(axis) * 4 >= ctx.width and extent(axis) > 1 and ctx.lanes.is_contiguous(store, axis):
            return None if own is None and axis in store.value.axes else axis
    return own if own in axes else None
