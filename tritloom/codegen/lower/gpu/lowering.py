"""Tile kernels to GPU threads: one workgroup a program, each tile dealt to its threads.

Loop bounds and conditions are scalars, the same in all threads, so barriers are never in divergent code.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from tritloom.codegen.errors import UnsupportedError
from tritloom.codegen.ir.dtypes import i32, u8, u32
from tritloom.codegen.ir.machine import Function, Register
from tritloom.codegen.ir.tile import (
    Axis,
    Binary,
    Block,
    Cast,
    Const,
    Dot,
    Expand,
    If,
    Index,
    Kernel,
    Let,
    Load,
    Loop,
    Mode,
    Reduce,
    Select,
    Size,
    Store,
    Unary,
    Value,
)
from tritloom.codegen.lower.gpu import access, accumulation, demand, elementwise, reductions
from tritloom.codegen.lower.gpu.carried import carrier
from tritloom.codegen.lower.gpu.context import Context, OpenAxis
from tritloom.codegen.lower.gpu.layout import Layout
from tritloom.codegen.lower.gpu.memory import check_budget
from tritloom.codegen.lower.gpu.plan import choose
from tritloom.codegen.lower.gpu.strategies import strategy
from tritloom.codegen.target import Target

MOST_REGISTERS = 2048
"""Elements of one tile in one thread: more are refused, since every one is a line of source."""
_FEWER_THREADS = 128
"""Of a workgroup whose arrays do not fit otherwise: odd blocks are padded less for fewer threads."""


def lower_gpu(kernel: Kernel, target: Target) -> Function:
    """The machine form of one thread of a program's workgroup.

    Raises UnsupportedError for blocks that need more shared memory or registers than the target has.
    """
    blocks = _blocks(kernel)
    fewer = replace(target, max_threads=min(target.max_threads, _FEWER_THREADS))
    for narrowed, slots in ((target, 2), (target, 1), (fewer, 1)):
        plan = choose(kernel, narrowed)
        accumulations = accumulation.find(kernel, plan)
        demands = demand.find(kernel, plan, narrowed, accumulations)
        _check_registers(kernel, demands)
        lowering = _Lowering(Context(kernel, narrowed, plan, slots), demands, accumulations)
        function = lowering.run()
        if lowering.ctx.shared.nbytes <= target.shared_bytes:
            break
    check_budget(lowering.ctx.shared, target.shared_bytes, kernel.name, blocks)
    function.width = plan.tx
    function.comment = f"{plan.tx} x {plan.ty} threads a program" + (f"; blocks: {blocks}" if blocks else "")
    return function


def _blocks(kernel: Kernel) -> str:
    """The blocks of all axes, for people."""
    axes: dict[Axis, None] = dict.fromkeys(kernel.program_axes)
    for statement in kernel.body.walk():
        if isinstance(statement, Let):
            axes.update(dict.fromkeys(statement.value.axes))
    return ", ".join(f"{axis.name}={axis.block}" for axis in axes)


def _check_registers(kernel: Kernel, demands: demand.Demands) -> None:
    for value, layouts in demands.items():
        most = max(layout.registers for layout in layouts)
        if most > MOST_REGISTERS:
            axes = ", ".join(f"{axis.name}={axis.block}" for axis in value.axes)
            raise UnsupportedError(
                f"`{kernel.name}` holds {most} elements of the tile "
                f"{value.name or type(value).__name__} in each thread",
                hint=f"make its blocks smaller ({axes})",
                location=value.location,
            )


def multiple_of(value: Value) -> int:
    """A number that surely divides a size."""
    match value:
        case Const():
            return int(value.value)
        case Size():
            return value.multiple_of
    return 1


def _split(registers: Sequence[Register], counts: Sequence[int]) -> list[Sequence[Register]]:
    """The registers in groups of so many."""
    ends = list(itertools.accumulate(counts))
    return [registers[end - count : end] for end, count in zip(ends, counts, strict=True)]


class _Lowering:
    def __init__(self, ctx: Context, demands: demand.Demands, accumulations: accumulation.Accumulations):
        self.ctx = ctx
        self.kernel = ctx.kernel
        self.plan = ctx.plan
        self.demands = demands
        self.accumulations = accumulations
        ctx.contended = access.contended(ctx.kernel, ctx.plan)

    def run(self) -> Function:
        ctx, b = self.ctx, self.ctx.builder
        for buffer in self.kernel.buffers:
            dtype = u32 if buffer.dtype.is_ternary else u8 if buffer.dtype.is_bool else buffer.dtype
            ctx.memories[buffer] = b.buffer(buffer.name, dtype, buffer.mode is not Mode.IN)
        for size in self.kernel.sizes:
            b.declare_size(size.name)
        for scalar in self.kernel.scalars:
            b.declare_scalar(scalar.name, scalar.dtype)
        self.open_program()
        self.block(self.kernel.body)
        return b.finish(self.plan.threads)

    def open_program(self) -> None:
        """Cut the program's number into block numbers; the last axis varies fastest."""
        ctx, b = self.ctx, self.ctx.builder
        rest = b.program()
        axes = self.kernel.program_axes
        for position in reversed(range(len(axes))):
            axis = axes[position]
            size = ctx.scalar(axis.size)
            block = rest
            if position > 0:
                blocks = b.div(b.add(size, axis.block - 1), axis.block)
                block, rest = b.rem(rest, blocks), b.div(rest, blocks)
            whole = multiple_of(axis.size) % axis.block == 0
            ctx.open(axis, OpenAxis(b.mul(block, axis.block), size, None, whole))

    def block(self, block: Block) -> None:
        for statement in block.statements:
            match statement:
                case Let(value):
                    for layout in self.demands.get(value, ()):
                        self.value(value, layout)
                case Store():
                    access.store(self.ctx, statement)
                case Loop():
                    self.loop(statement)
                case If():
                    self.condition(statement)

    def value(self, value: Value, layout: Layout) -> None:
        """Compute a value in one layout."""
        ctx = self.ctx
        match value:
            case Load():
                ctx.define(value, layout, access.load(ctx, value, layout))
            case Reduce():
                ctx.define(value, layout, ctx.move(reductions.reduce(ctx, value), layout))
            case Dot():
                chosen = strategy(value, self.plan, ctx.target)
                ctx.define(value, layout, chosen.lower(ctx, value))
            case Index():
                spread = layout.of(value.axis)
                ctx.define(value, layout, [ctx.index(spread, r) for (r,) in layout.combinations()])
            case _:
                operands = [ctx.registers(operand, layout) for operand in value.operands]
                ctx.define(
                    value, layout, [self.element(value, *each) for each in zip(*operands, strict=True)]
                )

    def element(self, value: Value, *operands: Register) -> Register:
        """One element of an elementwise value."""
        b = self.ctx.builder
        match value:
            case Unary():
                return elementwise.unary(b, value.op, *operands)
            case Binary():
                return elementwise.binary(b, value.op, *operands)
            case Select():
                return b.select(*operands)
            case Cast():
                return elementwise.cast(b, operands[0], value.dtype)
            case Expand():
                return operands[0]
        raise TypeError(f"{type(value).__name__} is not computed by a statement")

    # control flow

    def loop(self, loop: Loop) -> None:
        ctx, b, axis = self.ctx, self.ctx.builder, loop.axis
        size = ctx.scalar(axis.size)
        stop = size if loop.stop is None else b.min(ctx.scalar(loop.stop), size)
        start, first = None, b.const(0, i32)
        if loop.start is not None:
            start = ctx.scalar(loop.start)
            aligned = b.sub(start, b.rem(start, axis.block))
            first = b.select(b.compare("lt", start, stop), aligned, stop)
        if isinstance(loop.start, Const) and int(loop.start.value) % axis.block == 0:
            start = None
        whole = loop.stop is None and multiple_of(axis.size) % axis.block == 0
        carriers = [carrier(ctx, variable, self.accumulations) for variable in loop.variables]
        starts = [one.start(OpenAxis(first, stop, start, whole), axis) for one in carriers]
        initials = [register for registers in starts for register in registers]
        counts = [len(registers) for registers in starts]
        with ctx.shared.repeated(), ctx.scope(), b.for_(first, stop, axis.block, initials) as opened:
            opened.variable.name = axis.name
            ctx.open(axis, OpenAxis(opened.variable, stop, start, whole))
            for one, registers in zip(carriers, _split(opened.values, counts), strict=True):
                one.enter(registers)
            self.block(loop.body)
            # Past the last block the last one counts as the next: it is there to be read, and nothing reads the copy.
            following = OpenAxis(
                self.next_block(opened.variable, stop, axis.block, whole), stop, start, whole
            )
            for one in carriers:
                opened.next += one.turn(following, axis)
        for one, registers in zip(carriers, _split(opened.results, counts), strict=True):
            one.finish(registers)

    def next_block(self, current: Register, stop: Register, step: int, whole: bool) -> Register:
        """Where the next block begins; whole blocks past the end begin where the last does."""
        b = self.ctx.builder
        following = b.add(current, step)
        return b.min(following, b.sub(stop, step)) if whole else following

    def condition(self, statement: If) -> None:
        ctx, b = self.ctx, self.ctx.builder
        layouts = [self.plan.layout(merge.if_true.axes) for merge in statement.merges]
        with ctx.shared.branches() as second, b.if_(ctx.scalar(statement.condition)) as opened:
            with ctx.scope():
                self.block(statement.then)
                values = [
                    ctx.tile(m.if_true, layout).registers for m, layout in zip(statement.merges, layouts)
                ]
            second()
            with opened.otherwise(), ctx.scope():
                self.block(statement.otherwise)
                others = [
                    ctx.tile(m.if_false, layout).registers for m, layout in zip(statement.merges, layouts)
                ]
            for then, otherwise in zip(values, others, strict=True):
                opened.pairs += zip(then, otherwise, strict=True)
        after = iter(opened.results)
        for merge, layout, then in zip(statement.merges, layouts, values, strict=True):
            ctx.define(merge.result, layout, [next(after) for _ in then])
