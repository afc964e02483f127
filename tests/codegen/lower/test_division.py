"""Corrected quotients and roots of f32: exact from ones that are off by units in the last place, right at the edges."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.codegen.emit.harness import Array, apply, run
from tritloom.codegen.ir.dtypes import f32
from tritloom.codegen.ir.machine import Function, Op, index
from tritloom.codegen.ir.machine_builder import MachineBuilder
from tritloom.codegen.lower.division import corrected_quotient, corrected_root, expand_division

pytestmark = pytest.mark.device("cpu")
EDGES = np.array(
    [0.0, -0.0, 1.0, -3.0, np.inf, -np.inf, np.nan, 1e-45, -1e-40, 2.0**-126, 2.0**-100, 3.4028235e38, -1e38, 7.0],
    np.float32,
)  # fmt: skip
RANDOM = np.random.default_rng(11)


def floats(count: int) -> Array:
    """Normal numbers of every magnitude."""
    exponents = RANDOM.integers(-60, 60, count)
    return np.ldexp(RANDOM.uniform(1, 2, count), exponents).astype(np.float32)


def moved(exact: Array, units: int) -> Array:
    """Floats some units in the last place away."""
    return (exact.view(np.int32) + np.int32(units)).view(np.float32)


@pytest.mark.parametrize("units", [-3, -2, -1, 0, 1, 2, 3])
def test_a_quotient_is_corrected(units: int) -> None:
    a, b = floats(20_000), floats(20_000)
    exact = a / b
    made = apply("cpu", corrected_quotient, [a, b, moved(exact, units)], [f32] * 3, f32, 8)
    wrong = made != exact
    assert wrong.mean() < 1e-3
    assert np.abs(made.view(np.int32) - exact.view(np.int32)).max() <= 1


@pytest.mark.parametrize("units", [-3, -2, -1, 0, 1, 2, 3])
def test_a_root_is_corrected(units: int) -> None:
    x = floats(20_000)
    exact = np.sqrt(x)
    made = apply("cpu", corrected_root, [x, moved(exact, units)], [f32] * 2, f32, 8)
    assert (made != exact).mean() < 1e-3
    assert np.abs(made.view(np.int32) - exact.view(np.int32)).max() <= 1


def function(op: Op) -> Function:
    b = MachineBuilder("function")
    x, y, out = b.buffer("x", f32, False), b.buffer("y", f32, False), b.buffer("out", f32)
    at = b.cast(b.program(), index)
    left, right = b.load(x, at), b.load(y, at)
    b.store(out, at, b.div(left, right) if op is Op.DIV else b.unary(op, left))
    return expand_division(b.finish())


@pytest.mark.parametrize("op", [Op.DIV, Op.SQRT, Op.RSQRT], ids=lambda op: op.value)
def test_edges_stay_what_they_are(op: Op) -> None:
    pairs = np.array(list(itertools.product(EDGES, EDGES)), np.float32)
    x, y = pairs[:, 0].copy(), pairs[:, 1].copy()
    with np.errstate(all="ignore"):
        wanted = {Op.DIV: x / y, Op.SQRT: np.sqrt(x), Op.RSQRT: 1 / np.sqrt(x)}[op].astype(np.float32)
    made = run("cpu", function(op), [x, y, np.zeros_like(x)], programs=len(x))[-1]
    # A root next to halfway between two floats may be either: that of the greatest float is.
    units = np.abs(made.view(np.int32).astype(np.int64) - wanted.view(np.int32))
    near = (units <= 1) & (np.isfinite(wanted) == np.isfinite(made)) & ((made == 0) == (wanted == 0))
    same = near | (np.isnan(made) & np.isnan(wanted))
    assert same.all(), list(zip(x[~same], y[~same], made[~same], wanted[~same], strict=True))
