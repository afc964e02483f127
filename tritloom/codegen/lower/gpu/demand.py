"""Which layouts each value is wanted in, found from its uses backwards.

A value is computed in its usual layout (the plan's), and moved between threads where a use wants another. Values that
cost next to nothing (indices and arithmetic on them, loads of one axis from buffers that are only read) are computed
again in each layout instead. A value that no one wants is not computed.
"""

from __future__ import annotations

from tritloom.codegen.ir.tile import (
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
    Reduce,
    Scalar,
    Select,
    Size,
    Store,
    Unary,
    Value,
)
from tritloom.codegen.lower.gpu.access import reads_only, store_layout
from tritloom.codegen.lower.gpu.accumulation import Accumulations
from tritloom.codegen.lower.gpu.layout import Layout
from tritloom.codegen.lower.gpu.plan import LayoutPlan
from tritloom.codegen.lower.gpu.strategies import operands
from tritloom.codegen.target import Target

Demands = dict[Value, dict[Layout, None]]
"""Layouts of each value, in order of first use."""


def find(kernel: Kernel, plan: LayoutPlan, target: Target, accumulations: Accumulations) -> Demands:
    """The demands of a kernel."""
    finder = _Finder(plan, target, accumulations)
    finder.block(kernel.body)
    return finder.demands


class _Finder:
    def __init__(self, plan: LayoutPlan, target: Target, accumulations: Accumulations):
        self.accumulations = accumulations
        self.plan = plan
        self.target = target
        self.demands: Demands = {}
        self._cheap: dict[Value, bool] = {}

    def cheap(self, value: Value) -> bool:
        """Whether computing it twice costs less than moving it."""
        if value not in self._cheap:
            match value:
                case Const() | Size() | Scalar() | Index():
                    result = True
                case Load():
                    wide = sum(axis.block > 1 for axis in value.axes) > 1
                    result = reads_only(value) and not wide and all(map(self.cheap, value.operands))
                case Unary() | Binary() | Cast() | Select() | Expand():
                    result = all(map(self.cheap, value.operands))
                case _:
                    result = False
            self._cheap[value] = result
        return self._cheap[value]

    def want(self, value: Value, layout: Layout) -> None:
        """Some use wants the value in a layout of at least its axes."""
        wanted = layout.restrict(value.axes)
        if not self.cheap(value):
            wanted = self.plan.layout(value.axes)
        self.demands.setdefault(value, {})[wanted] = None

    def want_usual(self, value: Value) -> None:
        self.want(value, self.plan.layout(value.axes))

    def want_operands(self, dot: Dot) -> None:
        for operand, wanted in operands(dot, self.plan, self.target):
            self.want(operand, wanted)

    def block(self, block: Block) -> None:
        for statement in reversed(block.statements):
            match statement:
                case Let(value):
                    for layout in self.demands.get(value, ()):
                        self.value(value, layout)
                case Store():
                    layout = store_layout(self.plan, statement)
                    guards = () if statement.guard is None else (statement.guard,)
                    for value in (*statement.indices, statement.value, *guards):
                        self.want(value, layout)
                case Loop():
                    self.loop(statement)
                case If():
                    for merge in statement.merges:
                        self.want_usual(merge.if_true)
                        self.want_usual(merge.if_false)
                    self.block(statement.then)
                    self.block(statement.otherwise)
                    self.want_usual(statement.condition)

    def loop(self, loop: Loop) -> None:
        for variable in loop.variables:
            match self.accumulations.get(variable.carried):
                case None:
                    self.want_usual(variable.next)
                case Reduce(operand=operand):
                    self.want_usual(operand)
                case Dot() as dot:
                    self.want_operands(dot)
        self.block(loop.body)
        for variable in loop.variables:
            self.want_usual(variable.initial)
        for bound in (loop.axis.size, loop.start, loop.stop):
            if bound is not None:
                self.want_usual(bound)

    def value(self, value: Value, layout: Layout) -> None:
        """The value is computed in the layout: want its operands."""
        match value:
            case Reduce():
                self.want_usual(value.operand)
            case Dot():
                self.want_operands(value)
            case _:
                for operand in value.operands:
                    self.want(operand, layout)
