"""Sums that a loop carries, `total += sum(tile)`: each thread keeps its own part, and the threads meet once, after it.

The same holds for greatest and least values, and for products, `total += dot(x, w)`, whose sums are carried as their
strategy holds them. Where the parts are rounded (f16, bf16) or the running total is read in the loop (as a streaming
softmax does), the reduction stays where it is.
"""

from __future__ import annotations

from collections import Counter

from tritloom.codegen.ir.dtypes import f32, i32
from tritloom.codegen.ir.tile import (
    Binary,
    BinaryOp,
    Carried,
    Dot,
    If,
    Kernel,
    Let,
    Loop,
    LoopVariable,
    Reduce,
    ReduceOp,
    Store,
    Value,
)
from tritloom.codegen.lower.gpu.plan import LayoutPlan

Accumulations = dict[Carried, Reduce | Dot]
"""The reduction or product that a carried value accumulates."""

_COMBINES = {ReduceOp.SUM: BinaryOp.ADD, ReduceOp.MAX: BinaryOp.MAX, ReduceOp.MIN: BinaryOp.MIN}


def find(kernel: Kernel, plan: LayoutPlan) -> Accumulations:
    """The carried values of a kernel whose threads need to meet only after the loop."""
    uses = _uses(kernel)
    found: Accumulations = {}
    for statement in kernel.body.walk():
        if isinstance(statement, Loop):
            inside = {s.value for s in statement.body.statements if isinstance(s, Let)}
            for variable in statement.variables:
                reduction = _accumulated(variable, uses, plan)
                if reduction is not None and reduction in inside:
                    found[variable.carried] = reduction
    return found


def _uses(kernel: Kernel) -> Counter[Value]:
    """How often each value is an operand of anything."""
    uses: Counter[Value] = Counter()
    for statement in kernel.body.walk():
        match statement:
            case Let(value):
                uses.update(value.operands)
            case Store():
                uses.update((*statement.indices, statement.value))
                uses.update(() if statement.guard is None else (statement.guard,))
            case Loop():
                uses.update(v for variable in statement.variables for v in (variable.initial, variable.next))
                uses.update(bound for bound in (statement.start, statement.stop) if bound is not None)
            case If():
                uses[statement.condition] += 1
                uses.update(v for merge in statement.merges for v in (merge.if_true, merge.if_false))
    return uses


def _accumulated(variable: LoopVariable, uses: Counter[Value], plan: LayoutPlan) -> Reduce | Dot | None:
    following = variable.next
    if not isinstance(following, Binary) or following.dtype not in (f32, i32):
        return None
    sides = (following.left, following.right)
    reduction = next((side for side in sides if isinstance(side, Reduce | Dot)), None)
    if reduction is None or variable.carried not in sides:
        return None
    if following.op is not (BinaryOp.ADD if isinstance(reduction, Dot) else _COMBINES[reduction.op]):
        return None
    if any(uses[value] != 1 for value in (following, reduction, variable.carried)):
        return None
    if isinstance(reduction, Dot):
        return reduction if reduction.axes == following.axes else None
    threads = plan.layout(reduction.operand.axes).of(reduction.axis).threads
    return reduction if reduction.axes == following.axes and threads > 1 else None
