"""Groups the nodes of a tensor program into kernels.

Nodes join, operands before users, the cluster of an operand that they read row by row: elementwise operations and row
reductions make row kernels, and a matrix product or a column reduction takes the elementwise operations that follow it.
A join that would make two clusters wait for each other is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from tritloom.codegen.ir.tensor import Node
from tritloom.codegen.ir.tensor_ops import REDUCTIONS
from tritloom.codegen.schedule.normalise import live
from tritloom.codegen.schedule.views import (
    LEAVES,
    LIGHT,
    MOVEMENT,
    Alignment,
    is_row_reduction,
    last,
    plain_base,
    rows,
    sources,
    storage,
)

MAX_NODES = 64
"""Of a cluster: more would spill registers and pass too many tensors."""
MAX_SEARCH = 400
"""Clusters that the search for a cycle looks at before it gives up and refuses the join."""
SMALL_CONTRACTION = 128
"""A product with a contraction of at most this may be computed in the kernel of a larger one (LoRA)."""


class Kind(Enum):
    """What kind of kernel a cluster becomes."""

    ROW = "row"
    """Elementwise operations and reductions over the last dimension."""
    DOT = "dot"
    COLUMN = "column"
    SINGLE = "single"
    """One operation with a kernel of its own kind: scatter_add, pack, kernel."""


@dataclass(eq=False, slots=True)
class Cluster:
    """Nodes that become one kernel."""

    kind: Kind
    nodes: list[Node]
    rows: int
    size: int
    last: int
    first: int
    """Positions, among all nodes, of its first and last node."""
    final: int
    contraction: int = 0
    sources: set[Node] = field(default_factory=set)
    """What its nodes read."""
    into: Cluster | None = None
    """The cluster that it was merged into."""


class Program:
    """A normalised tensor program, cut into clusters.

    `nodes` are those that are computed, operands first: all but inputs, constants, and movements that no one stores.
    """

    def __init__(self, outputs: Sequence[Node]):
        self.mandatory: set[Node] = set()
        """Nodes that must be stored."""
        self.nodes: list[Node] = []
        self.reads: dict[Node, list[tuple[Node, Alignment]]] = {}
        self.users: dict[Node, list[Node]] = {}
        self.cluster: dict[Node, Cluster] = {}
        self.rooted: set[Node] = set()
        """Nodes that depend on a reduction or product of their own cluster, or are one."""
        everything = list(live(outputs))
        self._demand(outputs, everything)
        self._collect(everything)
        self._position = {node: position for position, node in enumerate(self.nodes)}
        for node in self.nodes:
            self._place(node)

    def of(self, node: Node) -> Cluster:
        """The cluster that computes a node."""
        found = self.cluster[node]
        while found.into is not None:
            found = found.into
        return found

    def clusters(self) -> list[Cluster]:
        """All clusters, in the order of their first nodes."""
        return list(dict.fromkeys(self.of(node) for node in self.nodes))

    # what is stored for sure, and what is computed

    def _demand(self, outputs: Sequence[Node], everything: Iterable[Node]) -> None:
        for node in outputs:
            self._store(node)
        for node in everything:
            if node.op == "dot":
                for operand in node.inputs:
                    base = plain_base(operand)
                    self._store(operand if base is None or base.op in LEAVES else base)
            elif node.op in ("kernel", "scatter_add"):
                for operand in node.inputs:
                    self._store(operand)
            elif node.op == "gather":
                self._store(node.inputs[0])

    def _store(self, node: Node) -> None:
        base = storage(node)
        if base.op in LEAVES or (base.op == "input" and base is not node):
            # A reshape of an input lies in the input's memory; only a constant must be written out.
            base = node if base.op in LEAVES else base
        if base.op != "input":
            self.mandatory.add(base)

    def _collect(self, everything: Iterable[Node]) -> None:
        for node in everything:
            computed = node in self.mandatory or node.op not in MOVEMENT | LEAVES | {"input"}
            if not computed:
                continue
            self.nodes.append(node)
            found = [
                (source, alignment)
                for source, alignment in sources(node, self.mandatory)
                if source.op not in LEAVES or source in self.mandatory
            ]
            self.reads[node] = found
            for source, _ in found:
                self.users.setdefault(source, []).append(node)

    # clustering

    def _place(self, node: Node) -> None:
        position = self._position[node]
        if node.op == "item":
            own = self.of(node.inputs[0])
            own.nodes.append(node)
            self.cluster[node] = own
            self.rooted.add(node)
            return
        reads = {source for source, _ in self.reads[node]}
        kind, shape = self._kind(node)
        own = Cluster(kind, [node], rows(shape), node.size, last(shape), position, position, sources=reads)
        if node.op == "dot":
            own.contraction = node.inputs[0].shape[-1]
        self.cluster[node] = own
        if kind is not Kind.ROW or node.op in REDUCTIONS or node.op == "gather":
            self.rooted.add(node)
        if kind is Kind.ROW:
            self._join(node, own)
        if any(s in self.rooted and self._computed_with(s, node) for s in reads):
            self.rooted.add(node)

    def _computed_with(self, source: Node, node: Node) -> bool:
        return source in self.cluster and self.of(source) is self.of(node)

    @staticmethod
    def _kind(node: Node) -> tuple[Kind, tuple[int, ...]]:
        """The kind of cluster that a node starts, and the shape that its rows are counted in."""
        if node.op == "dot":
            return Kind.DOT, node.shape
        if node.op in REDUCTIONS:
            return (Kind.ROW, node.inputs[0].shape) if is_row_reduction(node) else (Kind.COLUMN, node.shape)
        if node.op in LIGHT or node.op in MOVEMENT or node.op in LEAVES or node.op == "gather":
            return Kind.ROW, node.shape
        return Kind.SINGLE, node.shape

    def _join(self, node: Node, own: Cluster) -> None:
        """Merge the node's new cluster with those of its operands, products first."""
        wanted: list[Cluster] = []
        for source, alignment in self.reads[node]:
            if source in self.cluster:
                cluster = self.of(source)
                if cluster not in wanted and self._fits(node, source, alignment, cluster):
                    wanted.append(cluster)
        wanted.sort(key=lambda c: (c.kind is Kind.ROW, c.kind is Kind.COLUMN, -c.contraction, -c.final))
        joined = own
        for cluster in wanted:
            if cluster is joined or not self._compatible(node, joined, cluster):
                continue
            small = len(cluster.nodes) + len(joined.nodes) <= MAX_NODES
            aligned = self._aligned(joined, cluster) and self._aligned(cluster, joined)
            if small and aligned and not self._waits(joined, cluster):
                joined = self._merge(joined, cluster)

    def _fits(self, node: Node, source: Node, alignment: Alignment, cluster: Cluster) -> bool:
        """Whether a node may be computed in the kernel that computes one of its sources."""
        if cluster.kind is Kind.SINGLE or alignment is Alignment.OTHER:
            return False
        if cluster.kind is not Kind.ROW:
            light = node.op in LIGHT
            return (
                light
                and alignment is Alignment.SAME
                and cluster.size == node.size
                and cluster.last == last(node.shape)
            )
        if alignment is Alignment.ROW and source not in self.rooted:
            return False
        shape = node.inputs[0].shape if node.op in REDUCTIONS else node.shape
        if rows(shape) == cluster.rows:
            return True
        return node.size == cluster.rows and alignment is not Alignment.LOCAL and node.op not in REDUCTIONS

    def _compatible(self, node: Node, joined: Cluster, other: Cluster) -> bool:
        """Whether the cluster that the node is in already may take another one."""
        mine = joined.kind
        if mine is Kind.ROW and other.kind is Kind.ROW:
            # A vector that joins a matrix takes its rows; two matrices must have the same.
            return joined.rows == other.rows or joined.nodes == [node]
        if mine is Kind.ROW:
            return joined.nodes == [node]
        if mine is Kind.DOT and other.kind is Kind.DOT:
            return other.contraction <= SMALL_CONTRACTION
        return False

    def _aligned(self, reader: Cluster, other: Cluster) -> bool:
        """Whether all that a cluster reads of another may be computed in one kernel with it.

        What depends on no reduction or product may be computed again at any index; the rest only row by row.
        """
        return all(
            source not in self.rooted or self._fits(node, source, alignment, other)
            for node in reader.nodes
            for source, alignment in self.reads[node]
            if source in self.cluster and self.of(source) is other
        )

    def _merge(self, joined: Cluster, other: Cluster) -> Cluster:
        """`joined` merged into `other` or, for a product in the kernel of a larger one, `other` into `joined`."""
        if joined.kind is Kind.DOT:
            joined, other = other, joined
        other.nodes = sorted({*other.nodes, *joined.nodes}, key=self._position.__getitem__)
        other.first = min(other.first, joined.first)
        other.final = max(other.final, joined.final)
        other.sources |= joined.sources
        joined.into = other
        for node in other.nodes:
            reads = (source for source, _ in self.reads[node]) if node in self.reads else ()
            if any(source in self.rooted and self._computed_with(source, node) for source in reads):
                self.rooted.add(node)
        return other

    # cycles

    def _waits(self, a: Cluster, b: Cluster) -> bool:
        """Whether one of two clusters waits for the other through a third one (or may, as far as the search goes)."""
        return self._reaches(a, b) or self._reaches(b, a)

    def _reaches(self, start: Cluster, goal: Cluster) -> bool:
        stack = [c for c in self._before(start) if c is not goal and c is not start]
        seen = set(stack)
        while stack:
            cluster = stack.pop()
            if cluster.final < goal.first:
                continue
            for previous in self._before(cluster):
                if previous is goal:
                    return True
                if previous not in seen and previous is not start:
                    seen.add(previous)
                    stack.append(previous)
            if len(seen) > MAX_SEARCH:
                return True
        return False

    def _before(self, cluster: Cluster) -> set[Cluster]:
        """The clusters that a cluster reads from."""
        return {self.of(source) for source in cluster.sources if source in self.cluster} - {cluster}
