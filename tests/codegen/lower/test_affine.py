"""Affine forms of index expressions: strides, quotients that fall away, and values as Python computes them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritloom.codegen.ir.dtypes import f32, i32
from tritloom.codegen.ir.tile import Axis, Binary, BinaryOp, Const, Index, Size, Value
from tritloom.codegen.ir.tile_builder import Builder
from tritloom.codegen.lower.affine import Affine, AffineAnalysis, Atom, Quotient, bounds, multiple_of

ADD, SUB, MUL = BinaryOp.ADD, BinaryOp.SUB, BinaryOp.MUL
FLOORDIV, MOD = BinaryOp.FLOORDIV, BinaryOp.MOD


@dataclass
class Setting:
    """A kernel under construction with two axes, one of known size, and a launch-time size."""

    b: Builder = field(default_factory=lambda: Builder("affine"))
    analysis: AffineAnalysis = field(default_factory=AffineAnalysis)

    def __post_init__(self) -> None:
        self.size = self.b.size("N", multiple_of=16)
        self.n = self.b.program_axis("n", self.size, 64)
        self.d = self.b.whole_axis("d", self.b.const(32, i32))

    def form(self, value: Value) -> Affine:
        return self.analysis.form(value)


def evaluate(form: Affine, at: dict[Axis, int], size: int) -> int:
    """The number that a form stands for."""

    def value(atom: Atom) -> int:
        if isinstance(atom, Axis):
            return at[atom]
        if isinstance(atom, Quotient):
            return evaluate(atom.numerator, at, size) // evaluate(atom.divisor, at, size)
        assert isinstance(atom, Size)
        return size

    total = 0
    for monomial, coefficient in form.terms:
        for atom in monomial:
            coefficient *= value(atom)
        total += coefficient
    return total


def interpret(value: Value, at: dict[Axis, int], size: int) -> int:
    """The number that an expression means."""
    match value:
        case Index():
            return at[value.axis]
        case Const():
            return int(value.value)
        case Size():
            return size
        case Binary():
            a, b = interpret(value.left, at, size), interpret(value.right, at, size)
            meanings = {ADD: a + b, SUB: a - b, MUL: a * b, FLOORDIV: a // (b or 1), MOD: a % (b or 1)}
            return meanings[value.op]
    raise AssertionError(value)


@st.composite
def expressions(draw: st.DrawFn, s: Setting, depth: int = 3) -> Value:
    """A random index expression."""
    if depth == 0 or draw(st.booleans()):
        leaves = [s.b.index(s.n), s.b.index(s.d), s.size, s.b.const(draw(st.integers(-40, 40)), i32)]
        return draw(st.sampled_from(leaves))
    op = draw(st.sampled_from([ADD, SUB, MUL, FLOORDIV, MOD]))
    left = draw(expressions(s, depth - 1))
    if op in (FLOORDIV, MOD):
        return s.b.binary(op, left, s.b.const(draw(st.sampled_from([1, 2, 7, 16, 32])), i32))
    if op is MUL:
        return s.b.binary(op, left, draw(st.sampled_from([s.size, s.b.const(draw(st.integers(-5, 5)), i32)])))
    return s.b.binary(op, left, draw(expressions(s, depth - 1)))


@given(data=st.data())
def test_forms_mean_what_the_expressions_mean(data: st.DataObject) -> None:
    s = Setting()
    value = data.draw(expressions(s))
    n, d, blocks = data.draw(st.integers(0, 500)), data.draw(st.integers(0, 31)), data.draw(st.integers(1, 9))
    at, size = {s.n: n, s.d: d}, 16 * blocks
    form = s.form(value)
    found = evaluate(form, at, size)
    assert found == interpret(value, at, size)
    divisor = multiple_of(form)
    assert found == 0 if divisor == 0 else found % divisor == 0
    low, high = bounds(form)
    assert low is None or low <= found
    assert high is None or found <= high


@given(data=st.data())
def test_strides_are_differences(data: st.DataObject) -> None:
    s = Setting()
    form = s.form(data.draw(expressions(s)))
    run = data.draw(st.sampled_from([1, 4, 16]))
    block = data.draw(st.integers(0, 20)) * run
    place = data.draw(st.integers(0, run - 1))
    d, size = data.draw(st.integers(0, 31)), 16 * data.draw(st.integers(1, 9))
    step = s.analysis.stride(form, s.n, run)
    if step is None:
        return
    first, later = (evaluate(form, {s.n: block + k, s.d: d}, size) for k in (0, place))
    assert later - first == place * evaluate(step, {s.n: block, s.d: d}, size)


def test_the_address_of_a_row_major_buffer() -> None:
    s = Setting()
    x = s.b.buffer("x", f32["H", "N", 32])
    head = s.b.binary(FLOORDIV, s.b.index(s.n), 64)
    address = s.analysis.address(x, (head, s.b.index(s.n), s.b.index(s.d)))
    along_d = s.analysis.stride(address, s.d)
    assert along_d is not None
    assert along_d.constant == 1
    assert s.analysis.stride(address, s.n) is None
    along_n = s.analysis.stride(address, s.n, run=16)
    assert along_n is not None
    assert along_n.constant == 32


def test_heads_of_a_flat_row_are_seen_through() -> None:
    s = Setting()
    flat = s.b.binary(ADD, s.b.binary(MUL, s.b.index(s.n), 32), s.b.index(s.d))
    assert s.form(s.b.binary(FLOORDIV, flat, 32)) == s.form(s.b.index(s.n))
    assert s.form(s.b.binary(MOD, flat, 32)) == s.form(s.b.index(s.d))


@pytest.mark.parametrize(("divisor", "unit"), [(64, True), (16, True), (24, False)])
def test_remainders_are_contiguous_within_vectors(divisor: int, unit: bool) -> None:
    s = Setting()
    step = s.analysis.stride(s.form(s.b.binary(MOD, s.b.index(s.n), divisor)), s.n, run=16)
    assert (step is not None and step.constant == 1) is unit


def test_what_is_loaded_is_opaque() -> None:
    s = Setting()
    ids = s.b.buffer("ids", i32["N"])
    form = s.form(s.b.binary(ADD, s.b.load(ids, [s.n]), s.b.index(s.d)))
    assert s.analysis.stride(form, s.n) is None
    along = s.analysis.stride(form, s.d)
    assert along is not None
    assert along.constant == 1
