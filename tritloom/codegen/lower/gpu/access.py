"""Loads and stores of tiles: addresses, masks, packed ternary elements, and the order of accesses to one buffer."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from tritloom.codegen.ir.dtypes import i8, i32, u8
from tritloom.codegen.ir.machine import Register, index
from tritloom.codegen.ir.ternary import WEIGHTS_PER_WORD
from tritloom.codegen.ir.tile import (
    Axis,
    Binary,
    BinaryOp,
    Block,
    Buffer,
    Const,
    Expand,
    If,
    Index,
    Kernel,
    Let,
    Load,
    Loop,
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


def contended(kernel: Kernel, plan: LayoutPlan) -> dict[Load | Store, Hashable]:
    """The accesses in which two threads of a program may meet, with their keys (see SharedMemory.access).

    They are those of the buffers that are written, unless all accesses to one are at the same place and each of its
    elements is one thread's alone.
    """
    varying = set(_varying(kernel.body))
    keys: dict[Buffer, dict[Load | Store, Hashable]] = {}
    loaded, written = set(), set()
    for statement in kernel.body.walk():
        if isinstance(statement, Store):
            written.add(statement.buffer)
            layout = store_layout(plan, statement)
            keys.setdefault(statement.buffer, {})[statement] = _place(statement.indices, layout, varying)
        elif isinstance(statement, Let) and isinstance(statement.value, Load):
            load = statement.value
            loaded.add(load.buffer)
            layout = plan.layout(load.axes)
            copies = (plan.threads - 1) & ~layout.thread_bits
            key = None if copies else _place(load.indices, layout, varying)
            keys.setdefault(load.buffer, {})[load] = key
    found: dict[Load | Store, Hashable] = {}
    for buffer in written:
        places = set(keys[buffer].values())
        once = buffer not in loaded and len(keys[buffer]) == 1 and not _in_loop(kernel.body, buffer)
        if len(places) > 1 or (None in places and not once):
            found.update(keys[buffer])
    return found


def _in_loop(body: Block, buffer: Buffer) -> bool:
    """Whether a loop stores to the buffer."""
    loops = (statement for statement in body.walk() if isinstance(statement, Loop))
    return any(isinstance(s, Store) and s.buffer is buffer for loop in loops for s in loop.body.walk())


def _varying(body: Block, inside: bool = False) -> Iterator[Value]:
    """The values that loops compute, or carry, anew in each turn."""
    for statement in body.statements:
        match statement:
            case Let(value) if inside:
                yield value
            case Loop():
                yield from (variable.carried for variable in statement.variables)
                yield from _varying(statement.body, True)
            case If():
                yield from _varying(statement.then, inside)
                yield from _varying(statement.otherwise, inside)
        if inside and isinstance(statement, Loop):
            yield from (variable.result for variable in statement.variables)
        elif inside and isinstance(statement, If):
            yield from (merge.result for merge in statement.merges)


def _place(indices: Sequence[Value], layout: Layout, varying: set[Value]) -> Hashable:
    """A key that is equal for accesses in which the same threads have the same elements in every turn of every loop.

    None where an element is not surely one thread's: two indices of one axis or a computed one may lead there.
    """
    parts = [_part(value, varying) for value in indices]
    axes = [part[0] for part in parts if part is not None and part[0] is not None]
    lost = any(axis.block > 1 and axis not in axes for axis in layout.axes)
    if None in parts or len(set(axes)) < len(axes) or lost:
        return None
    return (tuple(parts), layout.restrict(tuple(axes)))


def _part(value: Value, varying: set[Value]) -> tuple[Axis | None, Hashable] | None:
    """An index as its one axis, if it has any, and what tells it from others that move with the axis one by one."""
    match value:
        case Const():
            return None, value.value
        case Index():
            return value.axis, 0
        case Expand():
            return _part(value.operand, varying)
        case Binary(op=BinaryOp.ADD | BinaryOp.SUB) if value.axes:
            left, right = _part(value.left, varying), _part(value.right, varying)
            if left is None or right is None or (left[0] is not None and right[0] is not None):
                return None
            return left[0] or right[0], (value.op, left, right)
    return (None, value) if not value.axes and value not in varying else None


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
    if value in ctx.contended:
        ctx.shared.access(memory, "read", ctx.contended[value])
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
    if statement in ctx.contended:
        ctx.shared.access(memory, "write", ctx.contended[statement])
    for position, (value, mask) in enumerate(zip(values, masks, strict=True)):
        at = address(ctx, buffer, [column[position] for column in columns])
        b.store(memory, at, b.cast(value, u8) if buffer.dtype.is_bool else value, mask)


def reads_only(value: Load) -> bool:
    """Whether the load may be made more than once: nothing in the kernel writes its buffer."""
    return value.buffer.mode is Mode.IN
