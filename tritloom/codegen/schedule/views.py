"""How a node reads another through movement operations: which tensors, and whether row by row."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from enum import IntEnum

from tritloom.codegen.ir.tensor import Node, Shape
from tritloom.codegen.ir.tensor_ops import BINARY, REDUCTIONS, UNARY
from tritloom.codegen.schedule.elements import broadcast_indices, permute_indices
from tritloom.codegen.schedule.expressions import Indices, Quotient, Range, Remainder, number, of, reshape

MOVEMENT = frozenset({"broadcast", "reshape", "permute", "slice", "pad", "concat"})
PLAIN = frozenset({"broadcast", "reshape", "permute", "slice"})
"""Movements after which an element is still just one element of the operand."""
LIGHT = frozenset(UNARY) | frozenset(BINARY) | {"select", "cast"}
"""Operations that may be computed again wherever their value is read."""
LEAVES = frozenset({"constant", "iota"})
COSTLY = frozenset({"exp", "log", "sin", "cos", "tanh"})


class Alignment(IntEnum):
    """How an element of a node depends on those of an operand. A row is a run along the last dimension."""

    SAME = 0
    """On the element at the same row and column."""
    ROW = 1
    """On one element of the same row, whatever the column."""
    LOCAL = 2
    """On elements of the same row."""
    OTHER = 3


def rows(shape: Shape) -> int:
    """How many rows a tensor has."""
    return math.prod(shape[:-1])


def last(shape: Shape) -> int:
    """The length of a row."""
    return shape[-1] if shape else 1


def is_row_reduction(node: Node) -> bool:
    """Whether a reduction is over the last dimension alone."""
    return node.op in REDUCTIONS and node.attribute("axes") == (len(node.inputs[0].shape) - 1,)


def storage(node: Node) -> Node:
    """The node in whose memory a reshape lies."""
    while node.op == "reshape":
        (node,) = node.inputs
    return node


def sources(node: Node, opaque: Collection[Node]) -> Iterator[tuple[Node, Alignment]]:
    """What a node reads, through movements: nodes that are no movement (or are in `opaque`), and how they align.

    For a reduction the alignment is that of its operand's elements.
    """
    if node.op in MOVEMENT:
        stack = [(operand, _through(node, operand, Alignment.SAME)) for operand in node.inputs]
    elif node.op == "gather":
        table, ids = node.inputs
        aligned = Alignment.ROW if len(table.shape) == 2 else Alignment.OTHER
        stack = [(table, Alignment.OTHER), (ids, aligned)]
    else:
        row_by_row = node.op in LIGHT or is_row_reduction(node)
        stack = [(operand, Alignment.SAME if row_by_row else Alignment.OTHER) for operand in node.inputs]
    while stack:
        found, alignment = stack.pop()
        if found.op in MOVEMENT and found not in opaque:
            stack.extend((operand, _through(found, operand, alignment)) for operand in found.inputs)
        else:
            yield found, alignment


def _through(node: Node, operand: Node, state: Alignment) -> Alignment:
    if state is Alignment.OTHER:
        return state
    shape, inner = node.shape, operand.shape
    match node.op:
        case "permute":
            moved = [axis for axis in node.attribute("order") if inner[axis] > 1]
            return _regrouped(shape, inner, state) if moved == sorted(moved) else Alignment.OTHER
        case "reshape":
            return _regrouped(shape, inner, state)
        case "broadcast":
            extended = (1,) * (len(shape) - len(inner)) + inner
            if extended[:-1] != shape[:-1]:
                return Alignment.OTHER
            return state if extended[-1:] == shape[-1:] else Alignment.ROW
        case "concat":
            is_last = node.attribute("axis") == len(shape) - 1
            return Alignment.LOCAL if is_last else Alignment.OTHER
        case _:
            return Alignment.LOCAL if shape[:-1] == inner[:-1] else Alignment.OTHER


def _regrouped(shape: Shape, inner: Shape, state: Alignment) -> Alignment:
    if state is Alignment.ROW:
        return state
    if rows(shape) == rows(inner) and last(shape) == last(inner):
        return state
    # [M] read as [M, 1] or the other way round: each is a vector of one element a row.
    if state is Alignment.SAME and 1 in (last(shape), last(inner)) and len(shape) * len(inner) > 0:
        return Alignment.ROW
    return Alignment.OTHER


def plain_base(operand: Node) -> Node | None:
    """The node that a dot may read `operand` from directly once it is stored, with one index a dimension, or None."""
    indices: Indices = tuple(of(Range(extent, "test", place)) for place, extent in enumerate(operand.shape))
    node = operand
    while node.op in PLAIN:
        (inner,) = node.inputs
        if node.op == "reshape":
            if inner.op not in PLAIN:
                return inner
            indices = reshape(indices, node.shape, inner.shape)
        elif node.op == "broadcast":
            indices = broadcast_indices(node, indices)
        elif node.op == "permute":
            indices = permute_indices(node, indices)
        else:
            starts = node.attribute("starts")
            indices = tuple(index + number(start) for index, start in zip(indices, starts, strict=True))
        if any(isinstance(atom, Quotient | Remainder) for index in indices for atom in index.atoms()):
            return None
        node = inner
    return node
