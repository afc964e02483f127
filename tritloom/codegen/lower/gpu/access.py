"""Loads and stores of tiles: addresses, masks, packed ternary elements, and the order of accesses to one buffer."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from tritloom.codegen.ir.dtypes import i8, i32, u8
from tritloom.codegen.ir.machine import Register, index
from tritloom.codegen.ir.ternary import WEIGHTS_PER_WORD
from tritloom.codegen.ir.tile import (
    Binary,
    Buffer,
    Const,
    Expand,
    Index,
    Kernel,
    Let,
    Load,
    Mode,
    Store,
    Value,
    union,
)
from tritloom.codegen.lower.gpu.context import Context
from tritloom.codegen.lower.gpu.layout import Layout
from tritloom.codegen.lower.gpu.plan import LayoutPlan


def store_layout(plan: LayoutPlan, store: Store) -> Layout:
    """The layout of all elements that a store visits."""
    guard = () if store.guard is None else store.guard.axes
    return plan.layout(union(*(value.axes for value in store.indices), guard))


def place(value: Value) -> Hashable:
    """A key that is equal for index values that are surely equal."""
    match value:
        case Const():
            return value.value
        case Index():
            return ("index", value.axis.serial)
        case Binary():
            return (value.op, place(value.left), place(value.right))
        case Expand():
            return place(value.operand)
    return id(value)


def _places(indices: Sequence[Value], layout: Layout) -> Hashable:
    axes = union(*(value.axes for value in indices))
    return (tuple(place(value) for value in indices), layout.restrict(axes))


def contended(kernel: Kernel, plan: LayoutPlan) -> frozenset[Buffer]:
    """The buffers in which two threads of a program may meet: written, and accessed at more than one place."""
    places: dict[Buffer, set[Hashable]] = {}
    written = set()
    for statement in kernel.body.walk():
        if isinstance(statement, Store):
            written.add(statement.buffer)
            key = _places(statement.indices, store_layout(plan, statement))
            places.setdefault(statement.buffer, set()).add(key)
        elif isinstance(statement, Let) and isinstance(statement.value, Load):
            load = statement.value
            places.setdefault(load.buffer, set()).add(_places(load.indices, plan.layout(load.axes)))
    return frozenset(buffer for buffer in written if len(places[buffer]) > 1)


def address(ctx: Context, buffer: Buffer, indices: Sequence[Register]) -> Register:
    """The element number in a row-major buffer."""
    b = ctx.builder
    result = b.const(0, index)
    for register, size in zip(indices, buffer.shape, strict=True):
        length = b.cast(ctx.scalar(size), index)
        result = b.add(b.mul(result, length), b.cast(register, index))
    return result


def load(ctx: Context, value: Load, layout: Layout) -> list[Register]:
    """One register for each of the layout's elements; 0 where masked."""
    b, buffer = ctx.builder, value.buffer
    memory = ctx.memories[buffer]
    if buffer in ctx.contended:
        ctx.shared.access(memory, "read", _places(value.indices, layout))
    columns = [ctx.registers(i, layout) for i in value.indices]
    masks = ctx.masks(layout)
    if value.guard is not None:
        guards = ctx.registers(value.guard, layout)
        masks = [ctx.both(mask, guard) for mask, guard in zip(masks, guards, strict=True)]
    result = []
    for position, mask in enumerate(masks):
        indices = [column[position] for column in columns]
        if buffer.dtype.is_ternary:
            result.append(_ternary_element(ctx, buffer, indices[0], indices[1], mask))
            continue
        loaded = b.load(memory, address(ctx, buffer, indices), mask=mask)
        result.append(b.compare("ne", loaded, 0) if buffer.dtype.is_bool else loaded)
    return result


def word_address(ctx: Context, buffer: Buffer, row: Register, word: Register) -> Register:
    """Where the word of W[row, 16 word ...] lies (see TernaryLayout)."""
    b = ctx.builder
    interleave = ctx.target.layout.interleave
    words = b.cast(b.shr(b.add(ctx.scalar(buffer.shape[1]), WEIGHTS_PER_WORD - 1), 4), index)
    if interleave == 1:
        return b.add(b.mul(b.cast(row, index), words), b.cast(word, index))
    block = b.cast(b.div(row, interleave), index)
    step = b.add(b.mul(block, words), b.cast(word, index))
    return b.add(b.mul(step, interleave), b.cast(b.rem(row, interleave), index))


def _ternary_element(
    ctx: Context, buffer: Buffer, row: Register, column: Register, mask: Register | None
) -> Register:
    b = ctx.builder
    word = b.load(ctx.memories[buffer], word_address(ctx, buffer, row, b.shr(column, 4)), mask=mask)
    bit = b.add(b.shl(b.and_(column, 3), 3), b.shl(b.and_(b.shr(column, 2), 3), 1))
    code = b.cast(b.and_(b.shr(word, b.cast(bit, word.dtype)), 3), i32)
    weight = b.cast(b.sub(code, 1), i8)
    return ctx.neutral(weight, mask, 0)


def store(ctx: Context, statement: Store) -> None:
    """Store a tile; of threads that hold copies one stores."""
    b, buffer = ctx.builder, statement.buffer
    memory = ctx.memories[buffer]
    layout = store_layout(ctx.plan, statement)
    columns = [ctx.registers(i, layout) for i in statement.indices]
    values = ctx.registers(statement.value, layout)
    masks = [ctx.both(ctx.owner(layout), mask) for mask in ctx.masks(layout)]
    if statement.guard is not None:
        guards = ctx.registers(statement.guard, layout)
        masks = [ctx.both(mask, guard) for mask, guard in zip(masks, guards, strict=True)]
    if buffer in ctx.contended:
        ctx.shared.access(memory, "write", _places(statement.indices, layout))
    for position, (value, mask) in enumerate(zip(values, masks, strict=True)):
        at = address(ctx, buffer, [column[position] for column in columns])
        b.store(memory, at, b.cast(value, u8) if buffer.dtype.is_bool else value, mask)


def reads_only(value: Load) -> bool:
    """Whether the load may be made more than once: nothing in the kernel writes its buffer."""
    return value.buffer.mode is Mode.IN
