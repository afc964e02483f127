"""Which names of a kernel are read later: decides what a loop carries and what the branches of a condition merge."""

from __future__ import annotations

import ast
from collections.abc import Sequence


def assigned(statements: Sequence[ast.stmt]) -> list[str]:
    """The names that the statements assign at any depth, in the order of their first assignment."""
    names: dict[str, None] = {}
    for statement in statements:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.setdefault(node.id)
    return list(names)


def read(node: ast.AST | None) -> set[str]:
    """The names that an expression reads."""
    if node is None:
        return set()
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def live_before(statements: Sequence[ast.stmt], live_after: set[str]) -> set[str]:
    """The names whose value at the start of the statements may be read, given those that are read after them."""
    live = set(live_after)
    for statement in reversed(statements):
        live = _before(statement, live)
    return live


def live_at_head(loop: ast.For, live_after: set[str]) -> set[str]:
    """The names whose value at the start of a turn of the loop may be read, in that turn or later."""
    live = set(live_after)
    while True:
        grown = live | (live_before(loop.body, live) - _targets(loop.target))
        if grown == live:
            return live
        live = grown


def _targets(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def _before(statement: ast.stmt, live: set[str]) -> set[str]:
    match statement:
        case ast.Assign(targets=targets, value=value):
            killed = set().union(*(_targets(t) for t in targets))
            return (live - killed) | read(value) | set().union(*(read(t) for t in targets))
        case ast.AugAssign(target=ast.Name(id=name), value=value):
            return live | {name} | read(value)
        case ast.If(test=test, body=body, orelse=orelse):
            return read(test) | live_before(body, live) | live_before(orelse, live)
        case ast.For(iter=iterated):
            return read(iterated) | live_at_head(statement, live)
        case _:
            return live | read(statement)
