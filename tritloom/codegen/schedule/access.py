"""How kernels see memory: tensors cut into as many dimensions as their indices have, then ranges that always stand
together merged into one.

So [B, T, K] that is always read at [b, t, k] becomes a matrix [B*T, K], and a [T, H*D] that is read at [t, h*D + d]
becomes [T, H, D]: in both cases each index is one range, and no size is a constant of the kernel.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tritloom.codegen.ir.tensor import Shape
from tritloom.codegen.schedule.expressions import ZERO, Element, Expression, Indices, Range, of
from tritloom.codegen.schedule.groups import Group

Dimensions = tuple[tuple[int, Expression], ...]
"""(extent, index) of each dimension of a tensor as a kernel sees it."""


@dataclass(slots=True)
class Accesses:
    """The memory accesses of one group, over merged ranges."""

    loads: dict[Element, Dimensions]
    writes: list[Dimensions]
    merged: dict[Range, Range]
    """For each range the one that it is part of: itself, where nothing was merged."""
    program: tuple[Range, ...]


def accesses(group: Group) -> Accesses:
    """The accesses of a group."""
    elements = group.walk()
    loads = {
        element: dimensions(element.shape, element.indices, element.dtype.is_ternary)
        for element in elements
        if element.kind == "load"
    }
    writes = [dimensions(write.shape, write.indices, False) for write in group.writes]
    merged = _merge(group, elements, loads, writes)
    program = tuple(dict.fromkeys(merged.get(one, one) for one in group.program))
    return Accesses(
        {element: _merged(dims, merged) for element, dims in loads.items()},
        [_merged(dims, merged) for dims in writes],
        merged,
        program,
    )


def dimensions(shape: Shape, indices: Indices, whole: bool) -> Dimensions:
    """A tensor's dimensions, cut where the indices are (not if `whole`), without those of one element."""
    if whole:
        return tuple(zip(shape, indices, strict=True))
    found: list[tuple[int, Expression]] = []
    for extent, index in zip(shape, indices, strict=True):
        _cut(extent, index, found)
    return tuple(found) or ((1, ZERO),)


def _cut(extent: int, index: Expression, found: list[tuple[int, Expression]]) -> None:
    if extent == 1 and index == ZERO:
        return
    if index.single() is None:
        steps = {abs(coefficient) for _, coefficient in index.terms}
        for step in sorted(steps, reverse=True):
            if step > 1 and extent % step == 0 and extent > step:
                inner = Expression(index.constant % step, tuple(t for t in index.terms if t[1] % step))
                low, high = inner.bounds()
                if low >= 0 and high < step:
                    outer = Expression(
                        index.constant // step, tuple((a, c // step) for a, c in index.terms if c % step == 0)
                    )
                    _cut(extent // step, outer, found)
                    _cut(step, inner, found)
                    return
    found.append((extent, index))


def _whole(dimension: tuple[int, Expression]) -> Range | None:
    """The range that a dimension's index is, if it covers the dimension."""
    extent, index = dimension
    one = index.single()
    return one if one is not None and one.extent == extent else None


def _merge(
    group: Group, elements: Sequence[Element], loads: dict[Element, Dimensions], writes: list[Dimensions]
) -> dict[Range, Range]:
    uses: Counter[Range] = Counter()
    pairs: Counter[tuple[Range, Range]] = Counter()
    binders: dict[Range, set[int]] = {}
    for element in elements:
        if element.kind == "index":
            uses.update(element.expression.direct())
        for one in element.ranges:
            binders.setdefault(one, set()).add(element.serial)
    for element, dims in loads.items():
        _count(dims, uses, pairs if not element.dtype.is_ternary else None)
    for dims in writes:
        _count(dims, uses, pairs)
    following = {}
    for (a, b), count in pairs.items():
        same = binders.get(a) == binders.get(b) and (a in group.program) == (b in group.program)
        if count == uses[a] == uses[b] and same and _roles(a.role, b.role):
            following[a] = b
    merged: dict[Range, Range] = {}
    inner = set(following.values())
    for first in [one for one in following if one not in inner]:
        chain = [first]
        while chain[-1] in following:
            chain.append(following[chain[-1]])
        last = chain[-1]
        extent = math.prod(one.extent for one in chain)
        whole = Range(extent, last.role, ("merged", first))
        merged.update(dict.fromkeys(chain, whole))
    return merged


def _roles(a: str, b: str) -> bool:
    return a == b or (a, b) == ("outer", "lane")


def _count(dims: Dimensions, uses: Counter[Range], pairs: Counter[tuple[Range, Range]] | None) -> None:
    previous = None
    for dimension in dims:
        uses.update(dimension[1].direct())
        one = _whole(dimension)
        if pairs is not None and one is not None and previous is not None:
            pairs[previous, one] += 1
        previous = one


def _merged(dims: Dimensions, merged: dict[Range, Range]) -> Dimensions:
    found: list[tuple[int, Expression]] = []
    for dimension in dims:
        one = _whole(dimension)
        whole = merged.get(one) if one is not None else None
        if whole is None:
            found.append(dimension)
        elif isinstance(whole.key, tuple) and whole.key[1] is one:
            found.append((whole.extent, of(whole)))
    return tuple(found)
