"""Rewrites a tensor program into the operations that kernels are made of, without changing a value.

Gradient markers vanish, reductions are cut into one over the last dimension and one over the others, long reductions
to a single element get a stage with rows, and a transposed ternary matrix is packed anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from tritloom.codegen.ir.dtypes import f32, i8
from tritloom.codegen.ir.tensor import Node
from tritloom.codegen.ir.tensor_ops import OPS, REDUCTIONS, make

LONG = 4096
"""Elements that one program may reduce to a single one without a stage before it."""


def reads(node: Node) -> tuple[Node, ...]:
    """The operands whose values a node needs."""
    return node.inputs[:1] if node.op in ("straight_through", "stop_gradient") else node.inputs


def live(outputs: Sequence[Node]) -> Iterator[Node]:
    """All nodes whose values are needed, operands before users."""
    done: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(node, False) for node in reversed(outputs)]
    while stack:
        node, ready = stack.pop()
        if node in done:
            continue
        if ready:
            done.add(node)
            yield node
            continue
        stack.append((node, True))
        stack.extend((operand, False) for operand in reversed(reads(node)) if operand not in done)


def normalise(outputs: Sequence[Node]) -> list[Node]:
    """The outputs of the rewritten program."""
    new: dict[Node, Node] = {}
    for node in live(outputs):
        operands = [new[operand] for operand in reads(node)]
        new[node] = _rewrite(node, operands)
    return [new[node] for node in outputs]


def _rewrite(node: Node, operands: list[Node]) -> Node:
    if node.op in ("straight_through", "stop_gradient"):
        return operands[0]
    if node.op in REDUCTIONS:
        return _reduction(node, operands[0])
    if node.op == "permute" and operands[0].op == "pack":
        (matrix,) = operands[0].inputs
        moved = make("permute", [matrix], order=node.attribute("order"), location=node.location)
        return make("pack", [moved], location=node.location)
    if node.op == "permute" and node.dtype.is_ternary:
        # The front end binds transposed weights that it made once; this is for a program that comes without them.
        values = make("cast", [make("cast", operands, dtype=i8)], dtype=f32, location=node.location)
        moved = make("permute", [values], order=node.attribute("order"), location=node.location)
        return make("pack", [moved], location=node.location)
    if all(a is b for a, b in zip(operands, node.inputs, strict=True)):
        return node
    return make(node.op, operands, location=node.location, **_parameters(node))


def _parameters(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in OPS[node.op].parameters:
        if name in ("shape", "dtype"):
            found[name] = getattr(node, name)
        else:
            found[name] = node.attribute(name)
    if found.get("configuration") is not None:
        found["configuration"] = dict(found["configuration"])
    return found


def _reduction(node: Node, x: Node) -> Node:
    where = node.location
    axes = tuple(axis for axis in node.attribute("axes") if x.shape[axis] > 1)
    if not axes:
        return x
    last = len(x.shape) - 1
    rows = math.prod(x.shape[:-1])
    mixed = last in axes and len(axes) > 1
    divisor = 1
    if math.prod(x.shape[axis] for axis in axes) == x.size > LONG and (not mixed or rows > LONG):
        divisor = _divisor(x.size)
    if not mixed and divisor == 1:
        return make(node.op, [x], axes=axes, location=where)
    wide = x
    if node.op == "reduce_sum" and x.dtype.is_float:
        wide = make("cast", [x], dtype=f32, location=where)
    if divisor > 1:
        matrix = make("reshape", [wide], shape=(x.size // divisor, divisor), location=where)
        partial = make(node.op, [matrix], axes=(1,), location=where)
        result = _whole(node.op, partial, node)
        result = make("reshape", [result], shape=node.shape, location=where)
    else:
        partial = make(node.op, [wide], axes=(last,), location=where)
        result = make(node.op, [partial], axes=axes[:-1], location=where)
    return make("cast", [result], dtype=node.dtype, location=where)


def _whole(op: str, x: Node, node: Node) -> Node:
    """The reduction of [n, 1] to [1, 1], in stages."""
    divisor = _divisor(x.size) if x.size > LONG else 1
    if divisor == 1:
        return make(op, [x], axes=(0,), location=node.location)
    matrix = make("reshape", [x], shape=(x.size // divisor, divisor), location=node.location)
    return _whole(op, make(op, [matrix], axes=(1,), location=node.location), node)


def _divisor(size: int) -> int:
    """The divisor of `size` in 64 .. 2048 that is closest to its square root, or 1 if there is none."""
    found = [d for d in range(64, 2049) if size % d == 0]
    return min(found, key=lambda d: abs(d - math.sqrt(size)), default=1)
