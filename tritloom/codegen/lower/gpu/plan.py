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

    def __init__(self, tx: int, ty: int, colours: dict[Axis, int], contiguous: Counter[Axis]):
        self.tx = tx
        self.ty = ty
        self.colours = colours
        self.contiguous = contiguous
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
            known = Layout(tuple(spread(axis, *grids[along.get(axis, NEITHER)]) for axis in axes))
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

    def count(self, along: dict[Axis, int], axes: Axes) -> int:
        """Elements of a tile in one thread."""
        widths = (self.tx, self.ty, 1)
        return math.prod(-(-a.block // min(widths[along[a]], power_of_two(a.block))) for a in axes)


def _cost(plan: LayoutPlan, needs: Needs) -> float:
    """A workgroup's work, in elementwise operations of one thread."""
    assigned: dict[Axes, dict[Axis, int]] = {}

    def along(axes: Axes) -> dict[Axis, int]:
        if axes not in assigned:
            assigned[axes] = plan.assign(axes)
        return assigned[axes]

    total = 0.0
    for axes, weight in needs.tiles.items():
        total += weight * plan.count(along(axes), axes)
    for (axes, unit), weight in needs.accesses.items():
        run = plan.tx if unit is not None and along(axes)[unit] == X else 1
        scattered = 16 / min(run, 16) if unit is not None else 4
        total += weight * plan.count(along(axes), axes) * (2 + scattered)
    for (axes, axis), weight in needs.reductions.items():
        if axis.block > 1 and along(axes)[axis] != NEITHER:
            width = min(plan.tx if along(axes)[axis] == X else plan.ty, power_of_two(axis.block))
            rest = tuple(a for a in axes if a is not axis)
            total += weight * (8 + 4 * math.log2(max(width, 1)) * plan.count(along(axes), rest))
    for (left, right, axis), weight in needs.dots.items():
        result = union(tuple(a for a in (*left, *right) if a is not axis))
        here = along(result)
        rows = plan.count(here, tuple(a for a in left if a is not axis))
        columns = plan.count(here, tuple(a for a in right if a is not axis))
        products = plan.count(here, result)
        total += weight * axis.block * (products + rows + columns + 2)
    return total * (plan.threads + _STARTUP)


def _grids(most: int) -> Iterator[tuple[int, int]]:
    for threads in (256, 128, 64, 32, 8, 1):
        tx = threads if threads <= most else 0
        while tx:
            yield tx, threads // tx
            tx //= 2


def choose(kernel: Kernel, target: Target) -> LayoutPlan:
    """The cheapest thread grid for a kernel."""
    needs = collect(kernel)
    most = min(target.max_threads, MOST_THREADS)
    weights: Counter[Axis] = Counter()
    for axes, weight in needs.tiles.items():
        for axis in axes:
            weights[axis] += weight * math.prod(a.block for a in axes)
    for axes, _ in needs.accesses:
        for axis in axes:
            weights[axis] += 1
    searched = [axis for axis, _ in weights.most_common(_SEARCHED_AXES)]
    best: tuple[float, LayoutPlan] | None = None
    for colours in itertools.product((X, Y, NEITHER), repeat=len(searched)):
        assignment = dict(zip(searched, colours, strict=True))
        for tx, ty in _grids(most):
            if (tx > 1 and X not in colours) or (ty > 1 and Y not in colours):
                continue
            plan = LayoutPlan(tx, ty, assignment, needs.contiguous)
            cost = _cost(plan, needs)
            if best is None or cost < best[0]:
                best = (cost, plan)
    return best[1] if best is not None else LayoutPlan(1, 1, {}, needs.contiguous)
