"""Along which axis each tile is cut into vectors.

Axes are ranked by how the kernel's loads and stores move along them: an axis along which much is contiguous ranks
above one that is strided. A tile takes the highest of its own axes. A tile of one axis that meets only tiles with
another lane axis (the scale of each row, the sum of each row) is kept as scalars.
"""

from __future__ import annotations

from collections.abc import Iterator

from tritloom.codegen.ir.tile import (
    Axis,
    Binary,
    Block,
    Cast,
    Expand,
    If,
    Kernel,
    Let,
    Load,
    Loop,
    Reduce,
    Select,
    Store,
    Unary,
    Value,
    union,
)
from tritloom.codegen.lower.affine import AffineAnalysis
from tritloom.codegen.lower.cpu.tiles import extent
from tritloom.codegen.lower.cpu.uses import Uses

_LOOP_WEIGHT = 16
"""How often a loop's body is taken to run."""
_STRIDED = -0.25
"""What an element that is not contiguous along an axis counts for it, where a contiguous one counts 1."""


class Lanes:
    """The lane axis of each value of a kernel, for vectors of `width` lanes."""

    def __init__(self, kernel: Kernel, width: int, affine: AffineAnalysis, uses: Uses):
        self.width = width
        self._uses = uses
        self._affine = affine
        self._score: dict[Axis, float] = {}
        self._parent: dict[Value, Value] = {}
        for statement, weight in _weighted(kernel.body, 1):
            if isinstance(statement, Let):
                self._join(statement.value)
                if isinstance(statement.value, Load):
                    self._count(statement.value, weight)
            elif isinstance(statement, Store):
                self._count(statement, weight)
            elif isinstance(statement, Loop):
                for variable in statement.variables:
                    for value in (variable.initial, variable.next, variable.result):
                        self._union(variable.carried, value)
            else:
                for merge in statement.merges:
                    self._union(merge.result, merge.if_true)
                    self._union(merge.result, merge.if_false)
        self._vectors: dict[Value, set[Axis]] = {}
        self._companions: dict[Value, set[Axis]] = {}
        for value in list(self._parent):
            top = self.best(value.axes)
            wide = [axis for axis in value.axes if extent(axis) > 1]
            if top is not None and len(wide) > 1:
                root = self._find(value)
                self._vectors.setdefault(root, set()).add(top)
                self._companions.setdefault(root, set()).update(axis for axis in wide if axis is not top)
        self._chosen: dict[Value, Axis | None] = {}

    def _count(self, access: Load | Store, weight: float) -> None:
        """Add what an access says about its axes to their scores.

        What only a dot reads says little: dots read an operand along any axis.
        """
        strided = _STRIDED
        if isinstance(access, Load) and self._uses.only_in_dots(access):
            strided = 0.0
        axes = union(*(index.axes for index in access.indices))
        elements = weight
        for axis in axes:
            elements *= extent(axis)
        for axis in axes:
            used = extent(axis) / (-(-extent(axis) // self.width) * self.width)
            worth = used if self.is_contiguous(access, axis) else strided
            self._score[axis] = self._score.get(axis, 0.0) + worth * elements

    def is_contiguous(self, access: Load | Store, axis: Axis) -> bool:
        """Whether the access moves by one element of memory from lane to lane of the axis.

        Along the rows of a ternary matrix it does: their words are interleaved.
        """
        run = self.width if axis.block % self.width == 0 else 1
        form = self._affine.address(access.buffer, access.indices)
        if access.buffer.dtype.is_ternary:
            form = self._affine.form(access.indices[0])
            if axis in self._affine.form(access.indices[1]).axes:
                return False
        step = self._affine.stride(form, axis, run)
        return step is not None and step.constant == 1

    # components: values that are computed together

    def _find(self, value: Value) -> Value:
        root = value
        while self._parent.setdefault(root, root) is not root:
            root = self._parent[root]
        while self._parent[value] is not root:
            self._parent[value], value = root, self._parent[value]
        return root

    def _union(self, a: Value, b: Value) -> None:
        if a.axes and b.axes:
            self._parent[self._find(a)] = self._find(b)

    def _join(self, value: Value) -> None:
        if not value.axes:
            return
        self._find(value)
        if isinstance(value, Unary | Binary | Select | Cast | Expand | Reduce):
            for operand in value.operands:
                self._union(value, operand)
        elif isinstance(value, Load) and value.guard is not None:
            self._union(value, value.guard)

    # answers

    def best(self, axes: tuple[Axis, ...]) -> Axis | None:
        """The highest ranked of some axes that are long enough to be worth vectors."""
        worthy = [axis for axis in axes if extent(axis) > 1 and extent(axis) * 4 >= self.width]
        return max(worthy, key=lambda axis: (self._score.get(axis, 0.0), axis.serial), default=None)

    def of(self, value: Value) -> Axis | None:
        """The lane axis of a value; None for scalars."""
        if value not in self._chosen:
            self._chosen[value] = self._choose(value)
        return self._chosen[value]

    def _choose(self, value: Value) -> Axis | None:
        top = self.best(value.axes)
        if top is None or sum(extent(axis) > 1 for axis in value.axes) > 1:
            return top
        root = self._find(value)
        served = top in self._vectors.get(root, ())
        return top if served or top not in self._companions.get(root, ()) else None


def _weighted(block: Block, weight: float) -> Iterator[tuple[Let | Store | Loop | If, float]]:
    """All statements with how often they run, as far as one can tell."""
    for statement in block.statements:
        yield statement, weight
        if isinstance(statement, Loop):
            yield from _weighted(statement.body, weight * _LOOP_WEIGHT)
        elif isinstance(statement, If):
            yield from _weighted(statement.then, weight)
            yield from _weighted(statement.otherwise, weight)
