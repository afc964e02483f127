"""What a fused kernel computes, element by element: a graph of scalars over ranges, before there are tiles.

:class:`Elements` walks a part of a tensor program from a result to what is in memory, with one index expression a
dimension. Movement operations only rewrite the expressions; elementwise operations become operations on elements; a
reduction binds a range of its own. Equal elements are one object, so what several results need is computed once.
"""

from __future__ import annotations

import math
from collections.abc import Container, Hashable
from dataclasses import dataclass, field
from typing import Any

from tritloom.codegen.errors import SourceLocation
from tritloom.codegen.ir.dtypes import DType, bool_, f32, i32
from tritloom.codegen.ir.tensor import Node
from tritloom.codegen.ir.tensor_ops import BINARY, REDUCTIONS, UNARY
from tritloom.codegen.ir.tile import BinaryOp, ReduceOp, UnaryOp
from tritloom.codegen.schedule.expressions import (
    ZERO,
    Data,
    Element,
    Expression,
    Indices,
    Operation,
    Range,
    number,
    of,
    reshape,
)


@dataclass(slots=True)
class Cuts:
    """How dimensions are cut into ranges: key of the dimension to the extents of its parts."""

    parts: dict[Hashable, tuple[int, ...]] = field(default_factory=dict)

    def cut(self, part: Range, at: int) -> None:
        """Cut one part in two, the inner of extent `at`."""
        parts = self.parts.get(part.key, (part.extent,))
        place = part.place
        self.parts[part.key] = (*parts[:place], part.extent // at, at, *parts[place + 1 :])


class Elements:
    """The elements of one kernel.

    `stored` says which nodes are read from memory; `own` are the nodes that this kernel computes all the same.
    """

    def __init__(self, stored: Container[Node], own: frozenset[Node], cuts: Cuts):
        self._stored = stored
        self._own = own
        self._cuts = cuts
        self._interned: dict[Hashable, Element] = {}
        self._values: dict[Hashable, Element] = {}
        self._dimensions: dict[Hashable, tuple[Range, ...]] = {}

    # ranges

    def dimension(self, key: Hashable, extent: int, role: str, keep: bool = False) -> Expression:
        """The index of a dimension, made of the ranges that it is cut into. An extent of 1 needs none unless `keep`."""
        if key not in self._dimensions:
            parts = self._cuts.parts.get(key, (extent,))
            self._dimensions[key] = tuple(
                Range(part, role, key, place) for place, part in enumerate(parts) if part > 1 or keep
            )
        index = ZERO
        for one in self._dimensions[key]:
            index = index * one.extent + of(one)
        return index

    def reduced(self, extent: int, avoid: frozenset[Range], keep: bool = False) -> Expression:
        """The index that a reduction over a dimension binds: the same for all of that extent, where scopes allow it."""
        turn = 0
        while True:
            index = self.dimension(("reduced", extent, turn, keep and extent == 1), extent, "loop", keep)
            if not index.ranges() & avoid:
                return index
            turn += 1

    # elements

    def _make(
        self,
        kind: str,
        dtype: DType,
        operands: tuple[Element, ...] = (),
        *,
        operation: Operation = None,
        location: SourceLocation | None = None,
        **fields: Any,
    ) -> Element:
        key = (
            kind,
            dtype,
            operation,
            tuple(o.serial for o in operands),
            *(_hashable(v) for v in fields.values()),
        )
        found = self._interned.get(key)
        if found is None:
            free = frozenset[Range]().union(*(o.free for o in operands))
            if "expression" in fields:
                free |= fields["expression"].ranges()
            for index in fields.get("indices", ()):
                free |= index.ranges()
            level = max((o.level for o in operands), default=0)
            if kind in ("reduce", "dot"):
                free -= frozenset(fields["ranges"])
                level += 1
            for index in (*fields.get("indices", ()), fields.get("expression", ZERO)):
                for atom in index.atoms():
                    if isinstance(atom, Data):
                        level = max(level, atom.element.level)
            found = Element(
                kind, dtype, operation, operands, free, level, len(self._interned), location, **fields
            )
            self._interned[key] = found
        return found

    def constant(self, value: float | bool, dtype: DType) -> Element:
        """A constant."""
        return self._make("constant", dtype, value=value)

    def index(self, expression: Expression) -> Element:
        """An index as an i32 value."""
        if not expression.terms:
            return self.constant(expression.constant, i32)
        return self._make("index", i32, expression=expression)

    def unary(self, op: UnaryOp, x: Element, location: SourceLocation | None = None) -> Element:
        """An elementwise operation of one operand."""
        return self._make("unary", x.dtype, (x,), operation=op, location=location)

    def binary(self, op: BinaryOp, a: Element, b: Element, location: SourceLocation | None = None) -> Element:
        """An elementwise operation of two operands."""
        dtype = bool_ if op.is_comparison else a.dtype
        return self._make("binary", dtype, (a, b), operation=op, location=location)

    def select(
        self, condition: Element, a: Element, b: Element, location: SourceLocation | None = None
    ) -> Element:
        """`a` where the condition holds, else `b`."""
        return self._make("select", a.dtype, (condition, a, b), location=location)

    def cast(self, x: Element, dtype: DType, location: SourceLocation | None = None) -> Element:
        """Conversion by value."""
        return x if x.dtype is dtype else self._make("cast", dtype, (x,), location=location)

    def both(self, a: Element | None, b: Element) -> Element:
        """`a and b`, where no `a` is true."""
        return b if a is None or a is b else self.binary(BinaryOp.AND, a, b)

    def within(self, index: Expression, start: int, stop: int) -> Element | None:
        """Whether start <= index < stop; None if it always is."""
        low, high = index.bounds()
        result = None
        if low < start:
            result = self.binary(BinaryOp.GE, self.index(index), self.constant(start, i32))
        if high >= stop:
            below = self.binary(BinaryOp.LT, self.index(index), self.constant(stop, i32))
            result = self.both(result, below)
        return result

    def load(self, node: Node, shape: tuple[int, ...], indices: Indices, guard: Element | None) -> Element:
        """An element of a stored tensor, read as `shape`; 0 where the guard does not hold."""
        return self._make(
            "load",
            node.dtype,
            () if guard is None else (guard,),
            location=node.location,
            node=node,
            shape=shape,
            indices=indices,
        )

    def reduction(
        self, op: ReduceOp, body: Element, ranges: tuple[Range, ...], location: SourceLocation | None = None
    ) -> Element:
        """The body reduced over ranges."""
        return self._make("reduce", body.dtype, (body,), operation=op, location=location, ranges=ranges)

    # the walk

    def value(self, node: Node, indices: Indices, guard: Element | None = None) -> Element:
        """The element of a node at indices. Only where `guard` holds is memory read; elsewhere the value is any."""
        key = (node, indices, None if guard is None else guard.serial)
        found = self._values.get(key)
        if found is None:
            if node in self._stored and node not in self._own:
                found = self.load(node, node.shape, indices, guard)
            else:
                found = self._compute(node, indices, guard)
            self._values[key] = found
        return found

    def _compute(self, node: Node, indices: Indices, guard: Element | None) -> Element:
        operation = node.op
        where = node.location
        if operation in UNARY:
            return self.unary(UNARY[operation], self.value(node.inputs[0], indices, guard), where)
        if operation in BINARY:
            a, b = (self.value(operand, indices, guard) for operand in node.inputs)
            return self.binary(BINARY[operation], a, b, where)
        if operation in REDUCTIONS:
            return self._reduce(node, indices, guard)
        method = getattr(self, f"_{operation}", None)
        if method is None:
            raise KeyError(f"`{operation}` is not computed element by element")
        made: Element = method(node, indices, guard)
        return made

    def _select(self, node: Node, indices: Indices, guard: Element | None) -> Element:
        condition, a, b = (self.value(operand, indices, guard) for operand in node.inputs)
        return self.select(condition, a, b, node.location)

    def _cast(self, node: Node, indices: Indices, guard: Element | None) -> Element:
        return self.cast(self.value(node.inputs[0], indices, guard), node.dtype, node.location)

    def _constant(self, node: Node, indices: Indices, guard: Element | None) -> Element:
        return self.constant(node.attribute("value"), node.dtype)

    def _iota(self, node: Node, indices: Indices, guard: Element | None) -> Element:
        return self.index(indices[0])

    def _broadcast(self, node: Node, indices: Indices, guard: Element | None) -> Element:
        (operand,) = node.inputs
        return self.value(operand, broadcast_indices(node, indices), guard)

    def _reshape(self, node: Node, indices: Indices, guard: Element | None) -> Element:
        (operand,) = node.inputs
        if operand in self._stored and operand not in self._own and not operand.dtype.is_ternary:
            return self.load(operand, node.shape, indices, guard)
        return self.value(operand, reshape(indices, node.shape, operand.shape), guard)

    def _permute(self, node: Node, indices: Indices, guard: Element | None) -> Element:
        return self.value(node.inputs[0], permute_indices(node, indices), guard)

    def _slice(self, node: Node, indices: Indices, guard: Element | None) -> Element:
        starts = node.attribute("starts")
        moved = tuple(index + number(start) for index, start in zip(indices, starts, strict=True))
        return self.value(node.inputs[0], moved, guard)

    def _pad(self, node: Node, indices: Indices, guard: Element | None) -> Element:
        (operand,) = node.inputs
        inside: Element | None = None
        moved = []
        for index, before, extent in zip(indices, node.attribute("before"), operand.shape, strict=True):
            shifted = index + number(-before)
            moved.append(shifted)
            test = self.within(shifted, 0, extent)
            inside = inside if test is None else self.both(inside, test)
        if inside is None:
            return self.value(operand, tuple(moved), guard)
        value = self.value(operand, tuple(moved), self.both(guard, inside))
        return self.select(inside, value, self.constant(0, node.dtype), node.location)

    def _concat(self, node: Node, indices: Indices, guard: Element | None) -> Element:
        axis = node.attribute("axis")
        low, high = indices[axis].bounds()
        result: Element | None = None
        end = node.shape[axis]
        for operand in reversed(node.inputs):
            start = end - operand.shape[axis]
            if start <= high and end > low:
                shifted = indices[axis] + number(-start)
                moved = (*indices[:axis], shifted, *indices[axis + 1 :])
                test = self.within(shifted, 0, operand.shape[axis])
                inner = guard if test is None else self.both(guard, test)
                value = self.value(operand, moved, inner)
                if result is None:
                    result = value
                else:
                    first = self.binary(BinaryOp.LT, self.index(indices[axis]), self.constant(end, i32))
                    result = self.select(first, value, result, node.location)
            end = start
        assert result is not None
        return result

    def _gather(self, node: Node, indices: Indices, guard: Element | None) -> Element:
        table, ids = node.inputs
        rank = len(ids.shape)
        row = self.value(ids, indices[:rank], guard)
        valid = self.binary(
            BinaryOp.AND,
            self.binary(BinaryOp.GE, row, self.constant(0, i32)),
            self.binary(BinaryOp.LT, row, self.constant(table.shape[0], i32)),
        )
        there = of(Data(row, table.shape[0]))
        return self.value(table, (there, *indices[rank:]), self.both(guard, valid))

    def _reduce(self, node: Node, indices: Indices, guard: Element | None) -> Element:
        (operand,) = node.inputs
        free = frozenset[Range]().union(*(index.ranges() for index in indices))
        if guard is not None:
            free |= guard.free
        inner = list(indices)
        bound: list[Range] = []
        for axis in node.attribute("axes"):
            index = self.reduced(operand.shape[axis], free)
            inner[axis] = index
            free |= index.ranges()
            bound.extend(sorted(index.ranges(), key=lambda r: r.serial))
        body = self.value(operand, tuple(inner), guard)
        if not bound:
            return body
        dtype = node.dtype
        if REDUCTIONS[node.op] is ReduceOp.SUM and dtype.is_float:
            body = self.cast(body, f32, node.location)
        reduced = self.reduction(REDUCTIONS[node.op], body, tuple(bound), node.location)
        return self.cast(reduced, dtype, node.location)

    def _dot(self, node: Node, indices: Indices, guard: Element | None) -> Element:
        left, right = node.inputs
        *batch, m, n = indices
        free = frozenset[Range]().union(*(index.ranges() for index in indices))
        k = self.reduced(left.shape[-1], free, keep=True)
        a = self.value(left, (*batch, m, k), guard)
        b = self.value(right, (*(batch if len(right.shape) > 2 else ()), n, k), guard)
        bound = tuple(sorted(k.ranges(), key=lambda r: r.serial))
        return self._make("dot", node.dtype, (a, b), location=node.location, ranges=bound)


def broadcast_indices(node: Node, indices: Indices) -> Indices:
    """The indices into a broadcast's operand."""
    (operand,) = node.inputs
    skipped = len(indices) - len(operand.shape)
    return tuple(
        ZERO if extent == 1 else index for index, extent in zip(indices[skipped:], operand.shape, strict=True)
    )


def permute_indices(node: Node, indices: Indices) -> Indices:
    """The indices into a permute's operand."""
    moved = [ZERO] * len(indices)
    for position, source in enumerate(node.attribute("order")):
        moved[source] = indices[position]
    return tuple(moved)


def _hashable(value: Any) -> Hashable:
    """A key for a field: floats by their bits, since -0.0 == 0.0 and NaN != NaN."""
    if isinstance(value, float):
        return ("float", value.hex() if not math.isnan(value) else "nan")
    if isinstance(value, bool):
        return ("bool", value)
    found: Hashable = value
    return found
