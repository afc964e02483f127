"""Index expressions: where an element of one tensor lies in another, as sums over ranges of indices.

A :class:`Range` is one loop or one dimension of the grid of a kernel that is being made. Movement operations rewrite
expressions over ranges and leave no code; quotients and remainders appear only where a dimension is cut across the
boundaries of another, and the scheduler then splits the range so that they vanish. An index may itself be an
:class:`Element` that is read from memory, so what an element is stands here too.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tritloom.codegen.errors import SourceLocation
from tritloom.codegen.ir.dtypes import DType
from tritloom.codegen.ir.tensor import Node
from tritloom.codegen.ir.tile import BinaryOp, ReduceOp, UnaryOp

_serial = itertools.count()


@dataclass(eq=False, slots=True)
class Range:
    """Indices 0 .. extent - 1. `key` is the dimension that it is a part of, `place` its place among the parts."""

    extent: int
    role: str
    key: Hashable
    place: int = 0
    serial: int = field(default_factory=lambda: next(_serial))

    def __repr__(self) -> str:
        return f"{self.role}{self.serial}:{self.extent}"


@dataclass(frozen=True, slots=True)
class Quotient:
    """`expression // divisor`."""

    expression: Expression
    divisor: int


@dataclass(frozen=True, slots=True)
class Remainder:
    """`expression % divisor`."""

    expression: Expression
    divisor: int


@dataclass(frozen=True, slots=True)
class Data:
    """An index that is read from a tensor, 0 .. extent - 1."""

    element: Element
    extent: int


Atom = Range | Quotient | Remainder | Data


def _order(atom: Atom) -> tuple[Any, ...]:
    """Sorts atoms, in the same way in each run of a program."""
    if isinstance(atom, Range):
        return (0, atom.serial)
    if isinstance(atom, Data):
        return (1, atom.element.serial)
    inner = tuple((_order(a), c) for a, c in atom.expression.terms)
    return (2 if isinstance(atom, Quotient) else 3, atom.divisor, atom.expression.constant, inner)


@dataclass(frozen=True, slots=True)
class Expression:
    """`constant + sum(coefficient * atom)`: terms in a fixed order, no coefficient 0, no atom twice."""

    constant: int = 0
    terms: tuple[tuple[Atom, int], ...] = ()

    def __add__(self, other: Expression) -> Expression:
        if not other.terms:
            return Expression(self.constant + other.constant, self.terms)
        if not self.terms:
            return Expression(self.constant + other.constant, other.terms)
        sums: dict[Atom, int] = dict(self.terms)
        for atom, coefficient in other.terms:
            sums[atom] = sums.get(atom, 0) + coefficient
        return _collect(self.constant + other.constant, sums.items())

    def __mul__(self, factor: int) -> Expression:
        if factor == 1:
            return self
        if factor == 0:
            return ZERO
        return Expression(self.constant * factor, tuple((a, c * factor) for a, c in self.terms))

    def bounds(self) -> tuple[int, int]:
        """The least and greatest value."""
        low = high = self.constant
        for atom, coefficient in self.terms:
            first, last = _atom_bounds(atom)
            low += min(coefficient * first, coefficient * last)
            high += max(coefficient * first, coefficient * last)
        return low, high

    def __floordiv__(self, divisor: int) -> Expression:
        whole, rest = self._divide(divisor)
        low, high = rest.bounds()
        if low >= 0 and high < divisor:
            return whole
        step, inner = rest._coarsen(divisor)
        if step == divisor:
            return whole + inner
        if step > 1:
            return whole + inner // (divisor // step)
        return whole + Expression(0, ((Quotient(rest, divisor), 1),))

    def __mod__(self, divisor: int) -> Expression:
        _, rest = self._divide(divisor)
        low, high = rest.bounds()
        if low >= 0 and high < divisor:
            return rest
        step, inner = rest._coarsen(divisor)
        if step > 1:
            small = rest + inner * -step
            return (inner % (divisor // step)) * step + small if step < divisor else small
        return Expression(0, ((Remainder(rest, divisor), 1),))

    def _divide(self, divisor: int) -> tuple[Expression, Expression]:
        """(quotient, rest) of the terms that the divisor divides."""
        whole, rest = [], []
        for atom, coefficient in self.terms:
            if coefficient % divisor == 0:
                whole.append((atom, coefficient // divisor))
            else:
                rest.append((atom, coefficient))
        quotient, remainder = divmod(self.constant, divisor)
        return Expression(quotient, tuple(whole)), Expression(remainder, tuple(rest))

    def _coarsen(self, divisor: int) -> tuple[int, Expression]:
        """A step s > 1 that divides the divisor with `self // s` free of quotients, and that; or (1, self)."""
        steps = {math.gcd(coefficient, divisor) for _, coefficient in self.terms}
        for step in sorted(steps - {1}, reverse=True):
            whole, small = self._divide(step)
            low, high = small.bounds()
            if low >= 0 and high < step:
                return step, whole
        return 1, self

    def ranges(self) -> frozenset[Range]:
        """All ranges that it depends on."""
        found: set[Range] = set()
        for atom, _ in self.terms:
            if isinstance(atom, Range):
                found.add(atom)
            elif isinstance(atom, Data):
                found |= atom.element.free
            else:
                found |= atom.expression.ranges()
        return frozenset(found)

    def direct(self) -> frozenset[Range]:
        """The ranges that it depends on other than through tensors."""
        return frozenset(atom for atom in self.atoms() if isinstance(atom, Range))

    def atoms(self) -> Iterator[Atom]:
        """All atoms, those inside of quotients and remainders too."""
        for atom, _ in self.terms:
            yield atom
            if isinstance(atom, Quotient | Remainder):
                yield from atom.expression.atoms()

    def single(self) -> Range | None:
        """The range that this expression is, if it is just one."""
        if self.constant == 0 and len(self.terms) == 1:
            atom, coefficient = self.terms[0]
            if coefficient == 1 and isinstance(atom, Range):
                return atom
        return None


ZERO = Expression()


def number(value: int) -> Expression:
    """A constant."""
    return Expression(value)


def of(atom: Atom) -> Expression:
    """One atom; a range of one index is 0."""
    return Expression(0, ((atom, 1),))


def _atom_bounds(atom: Atom) -> tuple[int, int]:
    if isinstance(atom, Range | Data):
        return 0, atom.extent - 1
    if isinstance(atom, Remainder):
        return 0, atom.divisor - 1
    low, high = atom.expression.bounds()
    return low // atom.divisor, high // atom.divisor


def _collect(constant: int, terms: Iterable[tuple[Atom, int]]) -> Expression:
    kept = [(atom, coefficient) for atom, coefficient in terms if coefficient]
    kept.sort(key=lambda term: _order(term[0]))
    return Expression(constant, tuple(kept))


Indices = tuple[Expression, ...]
"""One expression for each dimension of a tensor."""

Operation = UnaryOp | BinaryOp | ReduceOp | None


@dataclass(eq=False, slots=True)
class Element:
    """One scalar as a function of the ranges in `free`.

    `kind` is "constant", "index", "load", "unary", "binary", "select", "cast", "reduce" or "dot". The last operand of a
    load is its guard, if it has one. `level` counts the reductions that must be done before it.
    """

    kind: str
    dtype: DType
    operation: Operation
    operands: tuple[Element, ...]
    free: frozenset[Range]
    level: int
    serial: int
    location: SourceLocation | None
    value: float | int | bool = 0
    expression: Expression = ZERO
    node: Node | None = None
    """Of a load: the stored tensor."""
    shape: tuple[int, ...] = ()
    """Of a load: the shape as which the tensor is read."""
    indices: Indices = ()
    ranges: tuple[Range, ...] = ()
    """Of a reduction or dot: what it binds."""


def combine(indices: Iterable[Expression], shape: Iterable[int]) -> Expression:
    """The row-major position of indices in a shape."""
    flat = ZERO
    for index, extent in zip(indices, shape, strict=True):
        flat = flat * extent + index
    return flat


def reshape(indices: Indices, shape: tuple[int, ...], into: tuple[int, ...]) -> Indices:
    """The indices into a tensor of shape `into` of the element that stands at `indices` of its reshape to `shape`.

    Dimensions are matched in groups of equal products, from the last, so that unrelated ones stay apart.
    """
    result: list[Expression] = [ZERO] * len(into)
    i, j = len(shape), len(into)
    while i > 0 or j > 0:
        last_i, last_j = i, j
        have = want = 1
        if i > 0:
            i -= 1
            have = shape[i]
        if j > 0:
            j -= 1
            want = into[j]
        while have != want:
            if have < want:
                i -= 1
                have *= shape[i]
            else:
                j -= 1
                want *= into[j]
        flat = combine(indices[i:last_i], shape[i:last_i])
        for place in range(last_j - 1, j, -1):
            result[place] = flat % into[place]
            flat = flat // into[place]
        if last_j > j:
            result[j] = flat
    return tuple(result)
