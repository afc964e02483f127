"""Chooses the thread grid of a kernel: how many threads, and which axes they run along.

A workgroup is a grid of tx by ty threads. Every axis is given to x, to y, or to neither, once for the whole kernel, so
that tiles of most axes meet without moving between threads. Where two axes of one tile want the same threads (as k and
n of the operands and the result of a matrix product do), the one of greater weight keeps them in that tile. All choices
are tried and the cheapest by a small model of memory and arithmetic is taken.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tritloom.codegen.ir.tile import (
    Axes,
    Axis,
    Block,
    Dot,
    If,
    Kernel,
    Let,
    Load,
    Loop,
    Reduce,
    Store,
    Value,
    union,
)
from tritloom.codegen.lower.affine import AffineAnalysis
from tritloom.codegen.lower.gpu.layout import Layout, power_of_two, spread
from tritloom.codegen.lower.gpu.tiling import Tiling
from tritloom.codegen.lower.gpu.tiling import find as find_tiling
from tritloom.codegen.target import Target

MOST_THREADS = 256
"""Of a workgroup: more leave too few registers for each."""
_SEARCHED_AXES = 5
_TURNS = 8
"""How often a loop is taken to turn."""
_STARTUP = 128
"""Threads' worth of time that one thread's serial work counts for: what makes a larger workgroup worth its copies."""

X, Y, NEITHER = 0, 1, 2


@dataclass
class Needs:
    """What a kernel does with its tiles, weighted by how often."""

    tiles: Counter[Axes] = field(default_factory=Counter)
    accesses: Counter[tuple[Axes, Axis | None]] = field(default_factory=Counter)
    """Loads and stores, with the axis along which the memory is contiguous."""
    reductions: Counter[tuple[Axes, Axis]] = field(default_factory=Counter)
    dots: Counter[tuple[Axes, Axes, Axis]] = field(default_factory=Counter)
    contiguous: Counter[Axis] = field(default_factory=Counter)


def _real(axes: Axes) -> Axes:
    return tuple(axis for axis in axes if axis.block > 1)


def collect(kernel: Kernel) -> Needs:
    """The needs of a kernel."""
    needs = Needs()
    analysis = AffineAnalysis()

    def access(buffer_axes: Axes, indices: tuple[Value, ...], weight: int) -> None:
        unit = None
        for axis in _real(indices[-1].axes) if indices else ():
            step = analysis.stride(analysis.form(indices[-1]), axis)
            if step is not None and step.constant == 1:
                unit = axis
        axes = _real(buffer_axes)
        needs.accesses[axes, unit] += weight
        if unit is not None:
            needs.contiguous[unit] += weight * math.prod(axis.block for axis in axes)

    def visit(block: Block, weight: int) -> None:
        for statement in block.statements:
            match statement:
                case Let(value):
                    match value:
                        case Load():
                            access(value.axes, value.indices, weight)
                        case Reduce():
                            needs.reductions[_real(value.operand.axes), value.axis] += weight
                        case Dot():
                            needs.dots[_real(value.left.axes), _real(value.right.axes), value.axis] += weight
                    needs.tiles[_real(value.axes)] += weight
                case Store():
                    guard = () if statement.guard is None else statement.guard.axes
                    axes = union(*(index.axes for index in statement.indices), guard)
                    access(axes, statement.indices, weight)
                case Loop():
                    visit(statement.body, weight * _TURNS)
                case If():
                    visit(statement.then, weight)
                    visit(statement.otherwise, weight)

    visit(kernel.body, 1)
    return needs


class LayoutPlan:
    """The thread grid of one kernel, and the layout of each of its tiles."""

    def __init__(
        self,
        tx: int,
        ty: int,
        colours: dict[Axis, int],
        contiguous: Counter[Axis],
        tiling: Tiling | None = None,
        bounded: frozenset[Axis] = frozenset(),
    ):
        self.tx = tx
        self.ty = ty
        self.colours = colours
        self.contiguous = contiguous
        self.tiling = tiling
        """How matrix units share the kernel's product: its axes' spreads are given, those of other tiles follow."""
        self.bounded = bounded
        """Axes of loops with a start or stop of their own."""
        self._layouts: dict[Axes, Layout] = {}

    @property
    def threads(self) -> int:
        return self.tx * self.ty

    def layout(self, axes: Axes) -> Layout:
        """The layout that a tile of these axes has unless its consumer asks for another."""
        known = self._layouts.get(axes)
        if known is None:
            along = self.assign(axes)
            grids = {X: (self.tx, 1), Y: (self.ty, self.tx), NEITHER: (1, 1)}
            given = {} if self.tiling is None else self.tiling.spreads
            if not all(axis in given for axis in _real(axes)):
                given = {}
            known = Layout(
                tuple(given.get(axis) or spread(axis, *grids[along.get(axis, NEITHER)]) for axis in axes)
            )
            self._layouts[axes] = known
        return known

    def assign(self, axes: Axes) -> dict[Axis, int]:
        """Which threads each axis of a tile runs along: its own, unless another axis of the tile has them."""
        result: dict[Axis, int] = {}
        displaced = []
        ranked = sorted(_real(axes), key=lambda axis: (-self.contiguous[axis], -axis.serial))
        for axis in ranked:
            colour = self.colours.get(axis, NEITHER)
            if colour is NEITHER or colour not in result.values():
                result[axis] = colour
            else:
                displaced.append(axis)
        for axis in displaced:
            free = next((colour for colour in (X, Y) if colour not in result.values()), NEITHER)
            result[axis] = free
        return result


@dataclass(frozen=True, slots=True)
class _Term:
    """A part of the cost, as numbers: `weight * product of counts`, and more by `kind`."""

    kind: str
    weight: float
    axes: tuple[tuple[int, int], ...]
    """The axes (by number) whose counts multiply, with the threads that each runs along."""
    special: tuple[int, int] = (0, NEITHER)
    """Of a load or store the contiguous axis, of a reduction or dot the one that is summed."""
    rows: tuple[tuple[int, int], ...] = ()
    columns: tuple[tuple[int, int], ...] = ()


class _Search:
    """Tries thread grids for one kernel."""

    def __init__(self, needs: Needs):
        self.needs = needs
        axes: dict[Axis, None] = {}
        for tile in (*needs.tiles, *(axes for axes, _ in needs.accesses)):
            axes.update(dict.fromkeys(tile))
        for left, right, axis in needs.dots:
            axes.update(dict.fromkeys((*left, *right, axis)))
        self.axes = list(axes)
        self.number = {axis: i for i, axis in enumerate(self.axes)}
        self._counts: dict[tuple[int, int], list[tuple[int, ...]]] = {}

    def counts(self, tx: int, ty: int) -> list[tuple[int, ...]]:
        """Of each axis its indices in one thread, where it runs along x, along y, and along neither."""
        if (tx, ty) not in self._counts:
            self._counts[tx, ty] = [
                tuple(-(-axis.block // min(width, power_of_two(axis.block))) for width in (tx, ty, 1))
                for axis in self.axes
            ]
        return self._counts[tx, ty]

    def terms(self, plan: LayoutPlan) -> list[_Term]:
        """The cost of the plan's colours, for any grid; what costs most comes first."""
        assigned: dict[Axes, dict[Axis, int]] = {}
        needs, number, found = self.needs, self.number, []

        def along(axes: Axes) -> dict[Axis, int]:
            if axes not in assigned:
                assigned[axes] = plan.assign(axes)
            return assigned[axes]

        def numbered(axes: Axes, colours: dict[Axis, int]) -> tuple[tuple[int, int], ...]:
            return tuple((number[axis], colours[axis]) for axis in axes)

        for (left, right, axis), weight in needs.dots.items():
            rows, columns = (tuple(a for a in side if a is not axis) for side in (left, right))
            result = union(rows, columns)
            here = along(result)
            sides = numbered(rows, here), numbered(columns, here)
            steps = float(weight * axis.block)
            found.append(_Term("dot", steps, numbered(result, here), (0, NEITHER), *sides))
        for (axes, unit), weight in needs.accesses.items():
            special = (-1, NEITHER) if unit is None else (number[unit], along(axes)[unit])
            found.append(_Term("access", weight, numbered(axes, along(axes)), special))
        for axes, weight in needs.tiles.items():
            found.append(_Term("tile", weight, numbered(axes, along(axes))))
        for (axes, axis), weight in needs.reductions.items():
            if axis.block > 1 and along(axes)[axis] != NEITHER:
                rest = tuple(a for a in axes if a is not axis)
                special = (number[axis], along(axes)[axis])
                found.append(_Term("reduction", weight, numbered(rest, along(axes)), special))
        return found

    def cost(self, terms: list[_Term], tx: int, ty: int, most: float) -> float:
        """A workgroup's work, in elementwise operations of one thread; any number above `most` if it is above."""
        scale = tx * ty + _STARTUP
        counts = self.counts(tx, ty)
        total = 0.0
        for term in terms:
            product = term.weight
            for axis, colour in term.axes:
                product *= counts[axis][colour]
            if term.kind == "access":
                special, colour = term.special
                scattered = 4.0 if special < 0 else 16 / min(tx, 16) if colour == X else 16.0
                product *= 2 + scattered
            elif term.kind == "dot":
                rows = columns = term.weight
                for axis, colour in term.rows:
                    rows *= counts[axis][colour]
                for axis, colour in term.columns:
                    columns *= counts[axis][colour]
                product += rows + columns + 2 * term.weight
            elif term.kind == "reduction":
                special, colour = term.special
                width = min((tx, ty)[colour], power_of_two(self.axes[special].block))
                product = 8 * term.weight + 4 * math.log2(max(width, 1)) * product
            total += product
            if total * scale > most:
                break
        return total * scale


def _grids(least: int, most: int) -> Iterator[tuple[int, int]]:
    largest = 1 << (most.bit_length() - 1)
    for threads in sorted({max(largest // step, least) for step in (1, 4, 16, largest)}, reverse=True):
        for tx in _powers_down(threads):
            yield tx, threads // tx


def _powers_down(most: int) -> list[int]:
    return [most >> i for i in range(most.bit_length())]


def choose(kernel: Kernel, target: Target) -> LayoutPlan:
    """The cheapest thread grid for a kernel."""
    needs = collect(kernel)
    tiling = find_tiling(kernel, target)
    loops = [statement for statement in kernel.body.walk() if isinstance(statement, Loop)]
    bounded = frozenset(loop.axis for loop in loops if loop.start is not None or loop.stop is not None)
    if tiling is None:
        most = min(target.max_threads, MOST_THREADS)
        # With few registers a tile is dealt to as many threads as there are, whatever its copies cost.
        least = 1 << (most.bit_length() - 1) if target.few_registers else target.exchange_width
        grids = list(_grids(least, most))
    else:
        grids = [(tx, tiling.threads // tx) for tx in _powers_down(tiling.threads)]
    weights: Counter[Axis] = Counter()
    for axes, weight in needs.tiles.items():
        for axis in axes:
            weights[axis] += weight * math.prod(a.block for a in axes)
    for axes, _ in needs.accesses:
        for axis in axes:
            weights[axis] += 1
    searched = [axis for axis, _ in weights.most_common(_SEARCHED_AXES)]
    search = _Search(needs)
    best = (math.inf, grids[-1], dict[Axis, int]())
    for colours in itertools.product((X, Y, NEITHER), repeat=len(searched)):
        assignment = dict(zip(searched, colours, strict=True))
        terms = search.terms(LayoutPlan(1, 1, assignment, needs.contiguous))
        for tx, ty in grids:
            if (tx > 1 and X not in colours) or (ty > 1 and Y not in colours):
                continue
            cost = search.cost(terms, tx, ty, best[0])
            if cost < best[0]:
                best = (cost, (tx, ty), assignment)
    _, (tx, ty), assignment = best
    return LayoutPlan(tx, ty, assignment, needs.contiguous, tiling, bounded)
