"""Rewrites machine form instruction by instruction: how a target that lacks an operation gets it from others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tritloom.codegen.ir.machine import Body, For, Function, IfElse, Instruction, Phi, Register
from tritloom.codegen.ir.machine_builder import MachineBuilder

Expansion = Callable[[MachineBuilder, Instruction], Register | None]
"""Builds what replaces an instruction and returns its result, or None to keep the instruction."""


def rewrite(function: Function, expand: Expansion) -> Function:
    """A new function; the old one stays as it is. `expand` sees every instruction that has a result."""
    return _Rewriter(function, expand).run()


class _Rewriter:
    def __init__(self, function: Function, expand: Expansion):
        self.function = function
        self.expand = expand
        self.builder = MachineBuilder(function.name)
        self.replaced: dict[Register, Register] = {}

    def run(self) -> Function:
        self.statements(self.function.body)
        return replace(self.function, body=self.builder.finish().body)

    def now(self, register: Register) -> Register:
        return self.replaced.get(register, register)

    def body(self, body: Body) -> Body:
        made = Body()
        with self.builder.inside(made):
            self.statements(body)
        return made

    def statements(self, body: Body) -> None:
        for statement in body.statements:
            if isinstance(statement, Instruction):
                self.instruction(statement)
            elif isinstance(statement, For):
                self.loop(statement)
            else:
                self.condition(statement)

    def instruction(self, old: Instruction) -> None:
        renamed = Instruction(old.op, old.result, tuple(map(self.now, old.args)), old.attribute)
        made = None if old.result is None else self.expand(self.builder, renamed)
        if made is None or old.result is None:
            self.builder.append(renamed)
        else:
            self.replaced[old.result] = made

    def loop(self, old: For) -> None:
        initials = [self.now(phi.initial) for phi in old.phis]
        start, stop, step = self.now(old.start), self.now(old.stop), self.now(old.step)
        body = self.body(old.body)
        phis = [
            Phi(initial, phi.inside, self.now(phi.next), phi.after)
            for initial, phi in zip(initials, old.phis, strict=True)
        ]
        self.builder.append(For(old.variable, start, stop, step, body, phis, old.unroll))

    def condition(self, old: IfElse) -> None:
        condition = self.now(old.condition)
        then, otherwise = self.body(old.then), self.body(old.otherwise)
        merges = [Phi(self.now(phi.initial), phi.inside, self.now(phi.next), phi.after) for phi in old.merges]
        self.builder.append(IfElse(condition, then, otherwise, merges))
