"""Reductions: within each thread, then among the threads of a subgroup, then by way of shared memory."""

from __future__ import annotations

from tritloom.codegen.ir import numerics
from tritloom.codegen.ir.dtypes import f32, i32, u32
from tritloom.codegen.ir.machine import Op, Register, index
from tritloom.codegen.ir.tile import Reduce, ReduceOp
from tritloom.codegen.lower.gpu.context import Context, Tile
from tritloom.codegen.lower.gpu.elementwise import widened
from tritloom.codegen.lower.gpu.layout import Layout, Part
from tritloom.codegen.lower.gpu.plan import LayoutPlan

_OPS = {ReduceOp.SUM: Op.ADD, ReduceOp.MAX: Op.MAX, ReduceOp.MIN: Op.MIN}
_RADIX = 16
"""Partial results that a thread reads between two barriers."""
_CHUNK = 8
"""Registers of each thread that are exchanged at once: bounds the shared memory."""


def reduce(ctx: Context, value: Reduce) -> Tile:
    """The reduced tile, in the operand's layout less the axis."""
    return across(ctx, value, within(ctx, value))


def partial_layout(plan: LayoutPlan, value: Reduce) -> Layout:
    """The layout of the parts that threads reduce on their own: the operand's less the axis."""
    return plan.layout(value.operand.axes).restrict(value.axes)


def neutral(ctx: Context, value: Reduce) -> Register:
    """The part of a thread that has met no element."""
    return ctx.builder.const(numerics.neutral(value.op, value.dtype), value.dtype)


def combine(ctx: Context, value: Reduce, left: Register, right: Register) -> Register:
    """Two parts together."""
    return ctx.builder.binary(_OPS[value.op], left, right)


def within(ctx: Context, value: Reduce) -> list[Register]:
    """What each thread reduces of its own elements; f16 and bf16 as f32."""
    b = ctx.builder
    operand = ctx.tile(value.operand, ctx.plan.layout(value.operand.axes))
    parts: dict[int, Register] = {}
    number = numerics.neutral(value.op, value.dtype)
    masks = ctx.masks(operand.layout, (value.axis,))
    positions = operand.layout.positions(value.axes)
    for position, register, mask in zip(positions, operand.registers, masks, strict=True):
        element = ctx.neutral(widened(b, register), mask, number)
        before = parts.get(position)
        parts[position] = element if before is None else combine(ctx, value, before, element)
    return [parts[i] for i in sorted(parts)]


def across(ctx: Context, value: Reduce, parts: list[Register]) -> Tile:
    """The parts of all threads along the axis together."""
    registers, spread = parts, ctx.plan.layout(value.operand.axes).of(value.axis)
    for part in spread.parts:
        registers = _among(ctx, _OPS[value.op], registers, part)
    layout = partial_layout(ctx.plan, value)
    return Tile(layout, tuple(ctx.builder.cast(register, value.dtype) for register in registers))


def _among(ctx: Context, op: Op, registers: list[Register], part: Part) -> list[Register]:
    """All threads that differ in the part's bits get the reduction of theirs."""
    near = max(1, min(part.threads, ctx.target.exchange_width // part.stride))
    if near > 1:
        registers = [_in_subgroup(ctx, op, register, part.stride, near) for register in registers]
    far = Part(part.threads // near, part.stride * near)
    if far.threads == 1:
        return registers
    chunks = (registers[first : first + _CHUNK] for first in range(0, len(registers), _CHUNK))
    return [result for chunk in chunks for result in _in_workgroup(ctx, op, chunk, far)]


def _in_subgroup(ctx: Context, op: Op, register: Register, stride: int, threads: int) -> Register:
    """A butterfly: with each step a partner twice as far away."""
    b, bit = ctx.builder, stride
    exchanged = register.dtype if register.dtype in (f32, i32, u32) else i32
    while bit < stride * threads:
        partner = b.lane_xor(b.cast(register, exchanged), bit)
        register = b.binary(op, register, b.cast(partner, register.dtype))
        bit *= 2
    return register


def _in_workgroup(ctx: Context, op: Op, registers: list[Register], part: Part) -> list[Register]:
    """The same by way of shared memory: up to _RADIX partners a step."""
    b, threads = ctx.builder, ctx.plan.threads
    done = 1
    while done < part.threads:
        radix = min(_RADIX, part.threads // done)
        stride = part.stride * done
        dtype = registers[0].dtype
        memory = ctx.shared.scratch(dtype, threads * len(registers))
        for i, register in enumerate(registers):
            b.store(memory, b.cast(b.add(b.thread(), i * threads), index), register)
        ctx.shared.access(memory, "read")
        group = (radix - 1) * stride
        first = b.and_(b.thread(), (threads - 1) & ~group)
        results = []
        for i in range(len(registers)):
            total = None
            for partner in range(radix):
                place = b.cast(b.add(first, i * threads + partner * stride), index)
                loaded = b.load(memory, place)
                total = loaded if total is None else b.binary(op, total, loaded)
            assert total is not None
            results.append(total)
        registers = results
        done *= radix
    return registers
