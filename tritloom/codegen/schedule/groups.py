"""From a cluster of nodes to the elements that its kernel computes and stores, and the ranges of its grid."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field

from tritloom.codegen.ir.tensor import Node, Shape
from tritloom.codegen.ir.tensor_ops import REDUCTIONS
from tritloom.codegen.schedule.elements import Cuts, Elements
from tritloom.codegen.schedule.expressions import (
    ZERO,
    Data,
    Element,
    Expression,
    Indices,
    Quotient,
    Range,
    Remainder,
    reshape,
)
from tritloom.codegen.schedule.fuse import Cluster, Kind
from tritloom.codegen.schedule.views import last, rows

MAX_CUTS = 12
"""Dimensions that are cut for one kernel before quotients and remainders are computed in it instead."""


@dataclass(slots=True)
class Write:
    """One result of a kernel: `node[indices] = value`, the node's memory seen as `shape`."""

    node: Node
    shape: Shape
    indices: Indices
    value: Element


@dataclass(slots=True)
class Group:
    """What one kernel computes. `program` are the ranges of its grid, the last fastest; `kind` chooses its blocks."""

    kind: str
    program: tuple[Range, ...]
    writes: list[Write]
    _elements: list[Element] = field(default_factory=list)

    def walk(self) -> Sequence[Element]:
        """All elements, each once, operands before users."""
        if not self._elements:
            self._elements.extend(self._visit())
        return self._elements

    def _visit(self) -> Iterator[Element]:
        done: set[Element] = set()
        stack = [(write.value, False) for write in reversed(self.writes)]
        for write in self.writes:
            stack.extend((element, False) for index in write.indices for element in data(index))
        while stack:
            element, ready = stack.pop()
            if element in done:
                continue
            if ready:
                done.add(element)
                yield element
                continue
            stack.append((element, True))
            stack.extend((child, False) for child in reversed(children(element)) if child not in done)


def data(index: Expression) -> list[Element]:
    """The elements that an index reads its value from."""
    return [atom.element for atom in index.atoms() if isinstance(atom, Data)]


def children(element: Element) -> list[Element]:
    """What an element is computed from: its operands, and what its indices read."""
    found = list(element.operands)
    for index in (*element.indices, element.expression):
        if index.terms:
            found.extend(data(index))
    return found


def group(cluster: Cluster, results: Sequence[Node], stored: Container[Node]) -> Group:
    """The group of a cluster that stores `results`. Dimensions are cut until every index is a sum, if they can be."""
    cuts = Cuts()
    own = frozenset(results)
    for _ in range(MAX_CUTS):
        made = _attempt(cluster, results, Elements(stored, own, cuts))
        found = _uneven(made)
        if found is None:
            break
        cuts.cut(*found)
    return made


def _attempt(cluster: Cluster, results: Sequence[Node], elements: Elements) -> Group:
    if cluster.kind is Kind.DOT:
        return _dot(cluster, results, elements)
    if cluster.kind is Kind.COLUMN:
        leader = next(node for node in cluster.nodes if node.op in REDUCTIONS)
        return _map(leader.shape, results, elements, "column")
    if all(node.size == results[0].size for node in results) and not any(
        node.op in REDUCTIONS for node in cluster.nodes
    ):
        return _map(max((node.shape for node in results), key=len), results, elements, "map")
    return _row(cluster, results, elements)


def _uneven(made: Group) -> tuple[Range, int] | None:
    """A range that some index divides, and where to cut it so that the division vanishes."""
    expressions = [index for write in made.writes for index in write.indices]
    for element in made.walk():
        expressions.extend(element.indices)
        if element.expression.terms:
            expressions.append(element.expression)
    for expression in expressions:
        for atom in expression.atoms():
            if isinstance(atom, Quotient | Remainder):
                one = atom.expression.single()
                if one is not None and one.extent % atom.divisor == 0:
                    return one, atom.divisor
    return None


def _ranges(indices: Sequence[Expression]) -> tuple[Range, ...]:
    """The ranges of dimensions, outer first."""
    found: list[Range] = []
    for index in indices:
        found.extend(sorted(index.ranges(), key=lambda one: one.place))
    return tuple(found)


def _writes(shape: Shape, indices: Indices, results: Sequence[Node], elements: Elements) -> list[Write]:
    writes = []
    for node in results:
        at = indices if node.shape == shape else reshape(indices, shape, node.shape)
        writes.append(Write(node, node.shape, at, elements.value(node, at)))
    return writes


def _map(shape: Shape, results: Sequence[Node], elements: Elements, kind: str) -> Group:
    long = [place for place, extent in enumerate(shape) if extent > 1]
    indices = tuple(
        elements.dimension(("grid", place), extent, "lane" if long and place == long[-1] else "outer")
        for place, extent in enumerate(shape)
    )
    return Group(kind, _ranges(indices), _writes(shape, indices, results, elements))


def _row(cluster: Cluster, results: Sequence[Node], elements: Elements) -> Group:
    matrices = [node for node in results if rows(node.shape) == cluster.rows]
    leading = max((node.shape[:-1] for node in matrices), key=len, default=(cluster.rows,))
    row = tuple(elements.dimension(("row", place), extent, "row") for place, extent in enumerate(leading))
    program = _ranges(row)
    writes = []
    for node in results:
        if rows(node.shape) == cluster.rows:
            columns = last(node.shape)
            column = elements.reduced(columns, frozenset(program)) if columns > 1 else ZERO
            at = reshape(row, leading, node.shape[:-1])
            if node.shape:
                at = (*at, column)
        else:
            at = reshape(row, leading, node.shape)
        writes.append(Write(node, node.shape, at, elements.value(node, at)))
    return Group("row", program, writes)


def _dot(cluster: Cluster, results: Sequence[Node], elements: Elements) -> Group:
    dots = [node for node in cluster.nodes if node.op == "dot"]
    leader = max(dots, key=lambda node: node.inputs[0].shape[-1])
    *leading, m, n = leader.shape
    batched = len(leader.inputs[1].shape) > 2
    role = "batch" if batched else "m"
    alone = batched or max(leading, default=1) == 1
    outer = [elements.dimension(("lead", place), extent, role) for place, extent in enumerate(leading)]
    across = elements.dimension("m", m, "m", keep=alone)
    along = elements.dimension("n", n, "n", keep=True)
    indices = (*outer, across, along)
    batches = _ranges(outer) if batched else ()
    program = (*batches, *_ranges([along]), *(() if batched else _ranges(outer)), *_ranges([across]))
    return Group("dot", program, _writes(leader.shape, indices, results, elements))
