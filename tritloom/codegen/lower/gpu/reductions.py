"""Reductions: within each thread, then among the threads that share the reduced axis, by way of shared memory."""

from __future__ import annotations

from tritloom.codegen.ir import numerics
from tritloom.codegen.ir.machine import Op, Register, index
from tritloom.codegen.ir.tile import Reduce, ReduceOp
from tritloom.codegen.lower.gpu.context import Context, Tile
from tritloom.codegen.lower.gpu.elementwise import widened
from tritloom.codegen.lower.gpu.layout import Spread

_OPS = {ReduceOp.SUM: Op.ADD, ReduceOp.MAX: Op.MAX, ReduceOp.MIN: Op.MIN}
_RADIX = 16
"""Partial results that a thread reads between two barriers."""
_CHUNK = 8
"""Registers of each thread that are exchanged at once: bounds the shared memory."""


def reduce(ctx: Context, value: Reduce) -> Tile:
    """The reduced tile, in the operand's layout less the axis."""
    b = ctx.builder
    operand = ctx.tile(value.operand, ctx.plan.layout(value.operand.axes))
    layout = operand.layout.restrict(value.axes)
    narrow = value.dtype
    partial: dict[int, Register] = {}
    neutral = numerics.neutral(value.op, narrow)
    op = _OPS[value.op]
    masks = ctx.masks(operand.layout, (value.axis,))
    for position, register, mask in zip(
        operand.layout.positions(value.axes), operand.registers, masks, strict=True
    ):
        element = ctx.neutral(widened(b, register), mask, neutral)
        before = partial.get(position)
        partial[position] = element if before is None else b.binary(op, before, element)
    registers = [partial[i] for i in range(layout.registers)]
    spread = operand.layout.of(value.axis)
    if spread.threads > 1:
        registers = [
            result
            for first in range(0, len(registers), _CHUNK)
            for result in _across(ctx, op, registers[first : first + _CHUNK], spread)
        ]
    return Tile(layout, tuple(b.cast(register, narrow) for register in registers))


def _across(ctx: Context, op: Op, registers: list[Register], spread: Spread) -> list[Register]:
    """All threads along the axis get the reduction of theirs: a butterfly of up to _RADIX partners a step."""
    b, threads = ctx.builder, ctx.plan.threads
    done = 1
    while done < spread.threads:
        radix = min(_RADIX, spread.threads // done)
        stride = spread.stride * done
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
