"""Affine analysis of index expressions: how an address moves when an axis' index moves by one.

An i32 index expression becomes a polynomial over *atoms*: axes, launch-time scalars, quotients by a divisor, and, for
what the analysis does not see through (a loaded index, a minimum), the tile itself. The address of a load or store is
the polynomial of its indices times the buffer's row-major strides. From it both lowerings learn whether an axis is
uniform (0), contiguous (1), strided, or in need of a gather. The arithmetic is that of whole numbers: an index
expression that overflows i32 is undefined.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from tritloom.codegen.ir.tile import (
    Axis,
    Binary,
    BinaryOp,
    Buffer,
    Const,
    Expand,
    Index,
    Size,
    Unary,
    UnaryOp,
    Value,
)


@dataclass(frozen=True)
class Quotient:
    """`numerator // divisor`, rounded down; `divisor` has no axes."""

    numerator: Affine
    divisor: Affine


Atom = Axis | Value | Quotient
Monomial = tuple[Atom, ...]
"""A product of atoms, in a fixed order; () is 1. At most one of them depends on axes."""


@dataclass(frozen=True)
class Affine:
    """A sum of monomials with whole coefficients, none of them 0."""

    terms: tuple[tuple[Monomial, int], ...] = ()

    @cached_property
    def constant(self) -> int | None:
        """Its value, if it is a number."""
        if not self.terms:
            return 0
        if len(self.terms) == 1 and self.terms[0][0] == ():
            return self.terms[0][1]
        return None

    @cached_property
    def axes(self) -> frozenset[Axis]:
        """The axes that it depends on."""
        return frozenset(axis for monomial, _ in self.terms for atom in monomial for axis in atom_axes(atom))


def atom_axes(atom: Atom) -> frozenset[Axis]:
    """The axes that an atom depends on."""
    if isinstance(atom, Axis):
        return frozenset((atom,))
    if isinstance(atom, Value):
        return frozenset(atom.axes)
    return atom.numerator.axes


def number(value: int) -> Affine:
    """A constant."""
    return Affine((((), value),)) if value else Affine()


def multiple_of(form: Affine) -> int:
    """A number that divides it for sure (0 if it is 0, which everything divides)."""
    result = 0
    for monomial, coefficient in form.terms:
        factor = abs(coefficient)
        for atom in monomial:
            if isinstance(atom, Size):
                factor *= atom.multiple_of
        result = math.gcd(result, factor)
    return result


class AffineAnalysis:
    """The affine forms of one kernel's values, each computed once."""

    def __init__(self) -> None:
        self._forms: dict[Value, Affine] = {}
        self._addresses: dict[tuple[Buffer, tuple[Value, ...]], Affine] = {}
        self._order: dict[Atom, int] = {}

    # polynomials

    def _rank(self, atom: Atom) -> int:
        return self._order.setdefault(atom, len(self._order))

    def _collect(self, terms: Sequence[tuple[Monomial, int]]) -> Affine:
        total: dict[Monomial, int] = {}
        for monomial, coefficient in terms:
            total[monomial] = total.get(monomial, 0) + coefficient
        return Affine(tuple((m, c) for m, c in total.items() if c))

    def atom(self, atom: Atom) -> Affine:
        """An atom by itself."""
        self._rank(atom)
        return Affine((((atom,), 1),))

    def add(self, a: Affine, b: Affine, scale: int = 1) -> Affine:
        """a + scale * b."""
        return self._collect((*a.terms, *((m, scale * c) for m, c in b.terms)))

    def multiply(self, a: Affine, b: Affine) -> Affine:
        """a * b, of which at most one depends on axes."""
        return self._collect(
            [(tuple(sorted(m + n, key=self._rank)), c * d) for m, c in a.terms for n, d in b.terms]
        )

    # values

    def form(self, value: Value) -> Affine:
        """The form of an i32 value."""
        known = self._forms.get(value)
        if known is None:
            known = self._forms[value] = self._form(value)
        return known

    def _form(self, value: Value) -> Affine:
        match value:
            case Const():
                return number(int(value.value))
            case Index():
                return self.atom(value.axis)
            case Expand():
                return self.form(value.operand)
            case Unary(op=UnaryOp.NEG):
                return self.add(number(0), self.form(value.operand), -1)
            case Binary() if value.dtype.is_integer:
                return self._binary(value)
        return self.atom(value)

    def _binary(self, value: Binary) -> Affine:
        left, right = self.form(value.left), self.form(value.right)
        shift = right.constant
        match value.op:
            case BinaryOp.ADD:
                return self.add(left, right)
            case BinaryOp.SUB:
                return self.add(left, right, -1)
            case BinaryOp.MUL if not (left.axes and right.axes):
                return self.multiply(left, right)
            case BinaryOp.SHL if shift is not None and 0 <= shift < 31:
                return self.multiply(left, number(1 << shift))
            case BinaryOp.SHR if shift is not None and 0 <= shift < 31 and value.dtype.name == "i32":
                return self.quotient(left, number(1 << shift))
            case BinaryOp.FLOORDIV if not right.axes and shift != 0:
                return self.quotient(left, right)
            case BinaryOp.MOD if not right.axes and shift != 0:
                return self.add(left, self.multiply(self.quotient(left, right), right), -1)
        return self.atom(value)

    def quotient(self, numerator: Affine, divisor: Affine) -> Affine:
        """`numerator // divisor`: the part that the divisor divides is taken out, and the rest, where it is surely
        in [0, divisor), falls away."""
        by = divisor.constant
        if by is None or by < 0:
            return self.atom(Quotient(numerator, divisor))
        whole = self._collect([(m, c // by) for m, c in numerator.terms if c % by == 0])
        rest = self._collect([(m, c) for m, c in numerator.terms if c % by])
        least, greatest = bounds(rest)
        if least is not None and greatest is not None and least // by == greatest // by:
            return self.add(whole, number(least // by))
        return self.add(whole, self.atom(Quotient(rest, divisor)))

    # addresses

    def address(self, buffer: Buffer, indices: tuple[Value, ...]) -> Affine:
        """The element number of `buffer[indices]` in the row-major buffer."""
        key = (buffer, indices)
        if key not in self._addresses:
            total, stride = number(0), number(1)
            for index, size in zip(reversed(indices), reversed(buffer.shape), strict=True):
                total = self.add(total, self.multiply(self.form(index), stride))
                stride = self.multiply(stride, self.form(size))
            self._addresses[key] = total
        return self._addresses[key]

    def stride(self, form: Affine, axis: Axis, run: int = 1) -> Affine | None:
        """What the form gains when the axis' index gains 1, or None where that depends on the index.

        With `run`, only within aligned runs of that many indices (as the lanes of a vector are), so that a quotient
        by a multiple of `run` stands still.
        """
        terms: list[tuple[Monomial, int]] = []
        for monomial, coefficient in form.terms:
            for position, atom in enumerate(monomial):
                if atom is axis:
                    terms.append((monomial[:position] + monomial[position + 1 :], coefficient))
                elif axis in atom_axes(atom) and not self._still(atom, axis, run):
                    return None
        return self._collect(terms)

    def _still(self, atom: Atom, axis: Axis, run: int) -> bool:
        """Whether a quotient has one value over each aligned run of the axis' indices."""
        if run == 1 or not isinstance(atom, Quotient):
            return False
        by = atom.divisor.constant
        moving = self.stride(atom.numerator, axis, run)
        if by is None or by % run or moving is None or moving.constant not in (0, 1):
            return False
        others = self._collect([(m, c) for m, c in atom.numerator.terms if m != (axis,)])
        return multiple_of(others) % run == 0


def bounds(form: Affine) -> tuple[int | None, int | None]:
    """The least and greatest value of a form, as far as its axes' sizes are constants; None for unbounded."""
    least: int | None = 0
    greatest: int | None = 0
    for monomial, coefficient in form.terms:
        low: int | None
        high: int | None
        if not monomial:
            low = high = coefficient
        else:
            low, high = _monomial_bounds(monomial)
            if coefficient < 0:
                low, high = high, low
            low = None if low is None else low * coefficient
            high = None if high is None else high * coefficient
        least = None if least is None or low is None else least + low
        greatest = None if greatest is None or high is None else greatest + high
    return least, greatest


def _monomial_bounds(monomial: Monomial) -> tuple[int | None, int | None]:
    if len(monomial) == 1:
        atom = monomial[0]
        if isinstance(atom, Axis):
            return 0, int(atom.size.value) - 1 if isinstance(atom.size, Const) else None
        if isinstance(atom, Size):
            return 1, None
        if isinstance(atom, Quotient):
            by = atom.divisor.constant
            if by is not None and by > 0:
                low, high = bounds(atom.numerator)
                return (None if low is None else low // by), (None if high is None else high // by)
    return None, None
