"""Decides which values are stored, and which are computed again where they are read.

A value that crosses from one kernel to another costs its bytes once for the writer and once for each reader;
computing it again costs the bytes of what it is made of, less what a reader has at hand anyway. Small values (a row's
sum) may be stored so that a large one need not be.
"""

from __future__ import annotations

from dataclasses import dataclass

from tritloom.codegen.ir.tensor import Node
from tritloom.codegen.ir.tensor_ops import REDUCTIONS
from tritloom.codegen.schedule.fuse import Cluster, Kind, Program
from tritloom.codegen.schedule.views import COSTLY, LIGHT, Alignment

SMALL = 8
"""A value is small beside another of this many times its size."""
MAX_OPERATIONS = 48
"""Operations that may be done again for one value."""
COSTLY_BYTES = 8.0
CHEAP_BYTES = 0.25
"""What one element of a transcendental and of any other operation costs, in bytes of memory traffic."""


def nbytes(node: Node) -> int:
    """Bytes of a tensor, roughly for ternary ones."""
    return max(node.size * node.dtype.bits // 8, 1)


MAX_PASSES = 3


def _passes(cluster: Cluster) -> int:
    """How often a kernel goes over its rows, roughly: once for each reduction that waits for another, and to store."""
    reductions = sum(node.op in REDUCTIONS for node in cluster.nodes)
    return min(1 + reductions, MAX_PASSES) if cluster.kind is Kind.ROW else 1


@dataclass(slots=True)
class _Recipe:
    """What it takes to compute a value again."""

    leaves: set[Node]
    """Stored tensors that it is made of."""
    extra: set[Node]
    """Small values among them that are not stored yet."""
    operations: int
    cost: float
    """Of the operations on one element, in bytes."""


class Storing:
    """The decision for one program: `stored` holds the nodes that kernels write to memory."""

    def __init__(self, program: Program):
        self._program = program
        self.stored: set[Node] = set(program.mandatory)
        self._readers: dict[Node, dict[Cluster, float]] = {}
        """For each node, the clusters that read it, and how many elements they compute for each of its own."""
        self._at_hand: dict[Cluster, set[Node]] = {}
        for node in program.nodes:
            if node.op in ("kernel", "item"):
                self.stored.add(node)
        for node in program.nodes:
            own = program.of(node)
            for source, alignment in program.reads[node]:
                inside = source in program.cluster and program.of(source) is own
                if inside:
                    continue
                size = (
                    max(node.size, *(operand.size for operand in node.inputs)) if node.inputs else node.size
                )
                again = 1.0 if alignment is Alignment.ROW else size / source.size * _passes(own)
                users = self._readers.setdefault(source, {})
                users[own] = max(users.get(own, 1.0), again)
                self._at_hand.setdefault(own, set()).add(source)
                if source in program.cluster:
                    self.stored.add(source)
        self._stored_of: dict[Cluster, set[Node]] = {}
        for node in program.nodes:
            if node in self.stored:
                self._stored_of.setdefault(program.of(node), set()).add(node)
        for node in program.nodes:
            if node in self.stored and node not in program.mandatory and node.op in LIGHT:
                self._consider(node)

    def _consider(self, node: Node) -> None:
        program = self._program
        own = program.of(node)
        readers = self._readers.get(node, {})
        if not readers:
            return
        recipe = self._recipe(node)
        if recipe is None:
            return
        size = nbytes(node)
        alone = self._stored_of[own] == {node}
        inside = [user for user in program.users.get(node, ()) if program.of(user) is own]
        writing = size * (1 + len(readers)) + recipe.cost * node.size
        if alone:
            writing += sum(nbytes(leaf) for leaf in recipe.leaves)
        elif not inside:
            # What its own kernel reads for it alone.
            writing += sum(
                nbytes(leaf)
                for leaf in recipe.leaves
                if [user for user in program.users[leaf] if program.of(user) is own] == [node]
            )
        again = 0.0
        for reader, times in readers.items():
            at_hand = self._at_hand[reader]
            again += sum(nbytes(leaf) for leaf in recipe.leaves if leaf not in at_hand)
            again += recipe.cost * node.size * times
        again += sum(nbytes(leaf) for leaf in recipe.extra)
        if inside:
            again += recipe.cost * node.size
        if again <= writing:
            self._inline(node, recipe)

    def _inline(self, node: Node, recipe: _Recipe) -> None:
        self.stored.discard(node)
        self._stored_of[self._program.of(node)].discard(node)
        for leaf in recipe.extra:
            self.stored.add(leaf)
            self._stored_of.setdefault(self._program.of(leaf), set()).add(leaf)
        readers = self._readers.pop(node)
        for reader, times in readers.items():
            at_hand = self._at_hand[reader]
            at_hand.discard(node)
            for leaf in recipe.leaves:
                if leaf in self._program.cluster and self._program.of(leaf) is reader:
                    continue
                at_hand.add(leaf)
                users = self._readers.setdefault(leaf, {})
                users[reader] = max(users.get(reader, 1.0), times * node.size / leaf.size)

    def _recipe(self, node: Node) -> _Recipe | None:
        program = self._program
        own = program.of(node)
        recipe = _Recipe(set(), set(), 0, 0.0)
        seen: set[Node] = set()
        stack = [node]
        while stack:
            one = stack.pop()
            if one in seen:
                continue
            seen.add(one)
            if one is not node:
                if one.op == "input" or one in self.stored:
                    recipe.leaves.add(one)
                    continue
                if one in program.rooted:
                    if program.of(one) is own and one.size * SMALL <= node.size and one.op != "gather":
                        recipe.leaves.add(one)
                        recipe.extra.add(one)
                        continue
                if one.op not in LIGHT:
                    return None
            recipe.operations += 1
            recipe.cost += (COSTLY_BYTES if one.op in COSTLY else CHEAP_BYTES) * one.size / node.size
            if recipe.operations > MAX_OPERATIONS:
                return None
            stack.extend(source for source, _ in program.reads[one])
        if any(program.of(leaf).kind is Kind.SINGLE and leaf not in self.stored for leaf in recipe.extra):
            return None
        return recipe
