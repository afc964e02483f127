"""Prints machine form for people: one line a statement, registers numbered from 0, loops and conditions indented."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tritloom.codegen.ir.machine import (
    Body,
    For,
    Function,
    IfElse,
    Instruction,
    MatrixAccess,
    Memory,
    Op,
    Register,
)


def format_machine(function: Function) -> str:
    """The function as text, for people and for tests of lowerings; nothing parses it."""
    return "\n".join(_Printer(function).lines()) + "\n"


class _Printer:
    def __init__(self, function: Function):
        self.function = function
        self.names: dict[Register, str] = {}

    def lines(self) -> Iterator[str]:
        function = self.function
        arguments = [f"{'' if b.writable else 'const '}{b.dtype}* {b.name}" for b in function.buffers]
        arguments += [f"i32 {name}" for name in function.sizes]
        arguments += [f"{dtype} {name}" for name, dtype in function.scalars]
        threads = f" threads {function.threads}" if function.threads > 1 else ""
        yield f"function {function.name}({', '.join(arguments)}){threads}:"
        for array in function.arrays:
            yield f"    {array.space.value} {array.dtype} {array.name}[{array.length}]"
        yield from self.body(function.body, 1)

    def name(self, register: Register) -> str:
        return self.names.setdefault(register, f"%{len(self.names)}")

    def list(self, registers: Any) -> str:
        return ", ".join(self.name(register) for register in registers)

    def body(self, body: Body, depth: int) -> Iterator[str]:
        indent = "    " * depth
        if not body.statements:
            yield f"{indent}pass"
        for statement in body.statements:
            if isinstance(statement, Instruction):
                yield indent + self.instruction(statement)
            elif isinstance(statement, For):
                yield from self.loop(statement, depth)
            else:
                yield from self.condition(statement, depth)

    def instruction(self, instruction: Instruction) -> str:
        op, attribute = instruction.op, instruction.attribute
        args = self.list(instruction.args)
        if isinstance(attribute, Memory):
            text = f"{op.value} {attribute.name}[{args}]"
        elif isinstance(attribute, MatrixAccess):
            order = " transposed" if attribute.transposed else ""
            text = f"{op.value} {attribute.memory.name}[{args}] stride {attribute.stride}{order}"
        elif op in (Op.CONST, Op.SIZE):
            text = str(attribute) if op is Op.CONST else f"size {attribute}"
        else:
            kind = (
                ""
                if attribute is None
                else f".{attribute}"
                if isinstance(attribute, str)
                else f" {attribute}"
            )
            text = f"{op.value}{kind} {args}".rstrip()
        if instruction.result is None:
            return text
        return f"{self.name(instruction.result)}: {instruction.result.type} = {text}"

    def loop(self, loop: For, depth: int) -> Iterator[str]:
        indent = "    " * depth
        unroll = f" unroll {loop.unroll}" if loop.unroll > 1 else ""
        head = f"for {self.name(loop.variable)} in {self.list((loop.start, loop.stop, loop.step))}{unroll}"
        carried = ", ".join(
            f"{self.name(p.inside)}: {p.inside.type} = {self.name(p.initial)}" for p in loop.phis
        )
        yield f"{indent}{head}{' carrying ' + carried if carried else ''}:"
        yield from self.body(loop.body, depth + 1)
        for phi in loop.phis:
            yield f"{indent}    {self.name(phi.inside)} <- {self.name(phi.next)}"
        if loop.phis:
            yield f"{indent}{self.list(p.after for p in loop.phis)} = {self.list(p.inside for p in loop.phis)}"

    def condition(self, condition: IfElse, depth: int) -> Iterator[str]:
        indent = "    " * depth
        yield f"{indent}if {self.name(condition.condition)}:"
        yield from self.body(condition.then, depth + 1)
        if condition.otherwise.statements:
            yield f"{indent}else:"
            yield from self.body(condition.otherwise, depth + 1)
        for phi in condition.merges:
            yield (
                f"{indent}{self.name(phi.after)}: {phi.after.type} = "
                f"{self.name(phi.initial)} if {self.name(condition.condition)} else {self.name(phi.next)}"
            )
