"""Index expressions mean what integer arithmetic means, whatever is simplified."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritloom.codegen.schedule.expressions import (
    Expression,
    Quotient,
    Range,
    Remainder,
    combine,
    number,
    of,
    reshape,
)

RANGES = tuple(Range(extent, "test", place) for place, extent in enumerate((2, 3, 4, 6)))


def value(expression: Expression, at: dict[Range, int]) -> int:
    """What an expression is for indices."""
    total = expression.constant
    for atom, coefficient in expression.terms:
        if isinstance(atom, Range):
            inner = at[atom]
        elif isinstance(atom, Quotient):
            inner = value(atom.expression, at) // atom.divisor
        else:
            assert isinstance(atom, Remainder)
            inner = value(atom.expression, at) % atom.divisor
        total += coefficient * inner
    return total


POINTS = [dict(zip(RANGES, at, strict=True)) for at in itertools.product(*(range(r.extent) for r in RANGES))]
STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "mul", "div", "mod", "range"]), st.integers(-7, 12), st.integers(0, 3)),
    max_size=8,
)


@given(STEPS)
def test_arithmetic(steps: list[tuple[str, int, int]]) -> None:
    expression, expected = number(0), [0] * len(POINTS)
    for kind, amount, which in steps:
        match kind:
            case "add":
                expression, expected = expression + number(amount), [v + amount for v in expected]
            case "mul":
                expression, expected = expression * amount, [v * amount for v in expected]
            case "div":
                divisor = abs(amount) + 1
                expression, expected = expression // divisor, [v // divisor for v in expected]
            case "mod":
                divisor = abs(amount) + 1
                expression, expected = expression % divisor, [v % divisor for v in expected]
            case _:
                expression = expression + of(RANGES[which]) * amount
                expected = [v + amount * p[RANGES[which]] for v, p in zip(expected, POINTS, strict=True)]
    found = [value(expression, at) for at in POINTS]
    assert found == expected
    low, high = expression.bounds()
    assert low <= min(found)
    assert max(found) <= high


@pytest.mark.parametrize(
    ("shape", "into"),
    [
        ((2, 3, 4, 6), (6, 24)),
        ((6, 24), (2, 3, 4, 6)),
        ((4, 6), (24,)),
        ((24,), (1, 4, 1, 6, 1)),
        ((2, 6), (3, 4)),
        ((1, 5), (5, 1)),
        ((), (1, 1)),
    ],
)
def test_reshape(shape: tuple[int, ...], into: tuple[int, ...]) -> None:
    ranges = [Range(extent, "test", place) for place, extent in enumerate(shape)]
    moved = reshape(tuple(of(one) for one in ranges), shape, into)
    array = np.arange(math.prod(into)).reshape(into)
    for at in itertools.product(*(range(extent) for extent in shape)):
        point = dict(zip(ranges, at, strict=True))
        there = tuple(value(index, point) for index in moved)
        assert array[there] == array.reshape(shape)[at]


def test_splitting_and_joining_leaves_no_division() -> None:
    head, column = Range(12, "test", 0), Range(64, "test", 1)
    flat = combine((of(head), of(column)), (12, 64))
    assert (flat // 64, flat % 64) == (of(head), of(column))
    assert reshape((flat,), (768,), (12, 64)) == (of(head), of(column))
