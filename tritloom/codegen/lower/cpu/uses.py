"""What a kernel does with each of its values: how often it is used, and which sums are gathered over a loop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from tritloom.codegen.ir.tile import (
    Binary,
    BinaryOp,
    Block,
    Cast,
    Dot,
    If,
    Kernel,
    Let,
    Load,
    Loop,
    LoopVariable,
    Reduce,
    ReduceOp,
    Store,
    Value,
)

_REDUCTIONS = {BinaryOp.ADD: ReduceOp.SUM, BinaryOp.MAX: ReduceOp.MAX, BinaryOp.MIN: ReduceOp.MIN}


@dataclass(frozen=True, slots=True)
class Gathered:
    """`carried = carried (op) source` as the only use of `carried`, and of the dot or reduction `source`."""

    variable: LoopVariable
    update: Binary
    source: Dot | Reduce


class Uses:
    """Counts of uses and, for each loop, its gathered variables."""

    def __init__(self, kernel: Kernel):
        self.count: Counter[Value] = Counter()
        self.users: dict[Value, list[Value | None]] = {}
        self.gathered: dict[Loop, list[Gathered]] = {}
        self.fused: dict[Dot, Binary] = {}
        """Dots whose only use is a sum with something else: they start with that."""
        for user, value in _uses(kernel.body):
            self.count[value] += 1
            self.users.setdefault(value, []).append(user)
        self._find(kernel.body)

    def _only_user(self, value: Value) -> Value | None:
        users = self.users.get(value, [])
        return users[0] if len(users) == 1 else None

    def _find(self, block: Block) -> None:
        lets = {statement.value for statement in block.statements if isinstance(statement, Let)}
        for statement in block.statements:
            if isinstance(statement, Loop):
                self._find(statement.body)
                found = [g for v in statement.variables if (g := self._gather(v, statement.body)) is not None]
                self.gathered[statement] = found
            elif isinstance(statement, If):
                self._find(statement.then)
                self._find(statement.otherwise)
            elif isinstance(statement, Let) and isinstance(statement.value, Dot):
                dot = statement.value
                update = self._only_user(dot)
                if isinstance(update, Binary) and update.op is BinaryOp.ADD and update in lets:
                    if update.axes == dot.axes and update.left is not update.right:
                        self.fused[dot] = update

    def _gather(self, variable: LoopVariable, body: Block) -> Gathered | None:
        lets = {statement.value for statement in body.statements if isinstance(statement, Let)}
        update = variable.next
        if not isinstance(update, Binary) or update.op not in _REDUCTIONS or self.count[update] != 1:
            return None
        sides = (update.left, update.right)
        source = next((side for side in sides if isinstance(side, Dot | Reduce)), None)
        carried = next((side for side in sides if side is variable.carried), None)
        if source is None or carried is None or self.count[source] != 1 or self.count[carried] != 1:
            return None
        if source not in lets or update not in lets or source.axes != update.axes:
            return None
        op = _REDUCTIONS[update.op]
        fits = op is ReduceOp.SUM if isinstance(source, Dot) else source.op is op
        return Gathered(variable, update, source) if fits else None

    def only_in_dots(self, value: Value) -> bool:
        """Whether a value is used by dots alone, directly or through one cast."""
        users = self.users.get(value, [])
        return bool(users) and all(
            isinstance(user, Dot)
            or (isinstance(user, Cast) and isinstance(value, Load) and self.only_in_dots(user))
            for user in users
        )


def _uses(block: Block) -> Iterator[tuple[Value | None, Value]]:
    """Each use of a value with the value that uses it, None for a statement."""
    for statement in block.walk():
        match statement:
            case Let(value):
                for operand in value.operands:
                    yield value, operand
            case Store():
                used = (*statement.indices, statement.value, statement.guard)
                yield from ((None, value) for value in used if value is not None)
            case Loop():
                bounds = (statement.start, statement.stop)
                yield from ((None, value) for value in bounds if value is not None)
                for variable in statement.variables:
                    yield None, variable.initial
                    yield None, variable.next
            case If():
                yield None, statement.condition
                for merge in statement.merges:
                    yield None, merge.if_true
                    yield None, merge.if_false
