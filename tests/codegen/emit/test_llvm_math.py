"""Elementary functions and conversions of f32, f16 and bf16 on every level of the CPU, also at their edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.codegen.emit.harness import TARGETS, Array, apply
from tritloom.codegen.ir.dtypes import BY_NAME, DType, bf16, f16, f32
from tritloom.codegen.ir.machine import Op

pytestmark = pytest.mark.device("cpu")
SPECIAL = np.array(
    [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1e-40, 2.0**-126, 3.4028235e38, -3.4028235e38,
     88.72, 88.73, -87.3, -103.9, -104.1, 0.5, 1.5, 2.5, -0.5, -1.5, 8388607.5, 8388608.0, 16777216.0, 0.625, 4096.0],
    np.float32,
)  # fmt: skip
RANDOM = np.random.default_rng(7)
FUNCTIONS: dict[Op, Callable[[Any], Any]] = {
    Op.EXP: np.exp,
    Op.LOG: np.log,
    Op.TANH: np.tanh,
    Op.SIN: np.sin,
    Op.COS: np.cos,
    Op.SQRT: np.sqrt,
    Op.RSQRT: lambda x: 1 / np.sqrt(x),
    Op.FLOOR: np.floor,
    Op.ROUND: np.rint,
}
TOLERANCE = {Op.EXP: 2.0, Op.LOG: 2.0, Op.SQRT: 0.51, Op.RSQRT: 1.51, Op.FLOOR: 0.0, Op.ROUND: 0.0}
"""In units of the last place; 1e-6 relative where there is no entry."""


def samples() -> Array:
    """Numbers of every magnitude, many of them near 1, integers, multiples of pi / 2, and the special ones."""
    return np.concatenate(
        [
            SPECIAL,
            RANDOM.integers(0, 2**32, 6000, dtype=np.uint64).astype(np.uint32).view(np.float32),
            RANDOM.normal(0, 1, 4000).astype(np.float32),
            RANDOM.normal(0, 40, 4000).astype(np.float32),
            RANDOM.uniform(0.5, 2, 2000).astype(np.float32),
            RANDOM.uniform(-5000, 5000, 3000).astype(np.float32),
            (np.arange(-3000, 3000) * (np.pi / 2)).astype(np.float32),
            (RANDOM.integers(0, 2**40, 1000) * (np.pi / 2)).astype(np.float32),
            (np.arange(-200, 200) / 2).astype(np.float32),
        ]
    )


@pytest.mark.parametrize("lanes", [1, 16])
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("op", list(FUNCTIONS), ids=lambda op: op.value)
def test_function(op: Op, name: str, lanes: int) -> None:
    x = samples()
    made = apply(name, lambda b, v: b.unary(op, v), [x], [f32], f32, lanes)
    with np.errstate(all="ignore"):
        got = made.astype(np.float64)
        wanted = FUNCTIONS[op](x.astype(np.float64))
        rounded = wanted.astype(np.float32)
        same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
        unit = np.spacing(np.abs(rounded)).astype(np.float64)
        allowed = TOLERANCE[op] * unit if op in TOLERANCE else 1e-6 * np.abs(wanted) + unit
        bad = ~same & ~(np.abs(got - wanted) <= allowed)
    assert not bad.any(), list(zip(x[bad][:5], got[bad][:5], wanted[bad][:5], strict=True))
    if op in (Op.FLOOR, Op.ROUND, Op.SIN, Op.TANH, Op.SQRT):
        zeros = x == 0
        assert (np.signbit(got[zeros]) == np.signbit(x[zeros])).all()


def all_halves(dtype: DType) -> Array:
    return np.arange(1 << 16, dtype=np.uint16).view(dtype.numpy)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("dtype", [f16, bf16], ids=str)
def test_narrow_floats_convert_exactly(dtype: DType, name: str) -> None:
    x = all_halves(dtype)
    wide = apply(name, lambda b, v: b.cast(v, f32), [x], [dtype], f32, 8)
    np.testing.assert_array_equal(wide, x.astype(np.float32))
    finite = x.astype(np.float32)
    finite = finite[np.isfinite(finite)]
    between = finite / 2 + np.roll(finite, -1) / 2
    y = np.concatenate([finite, between, np.nextafter(between, np.inf, dtype=np.float32), samples()])
    narrow = apply(name, lambda b, v: b.cast(v, dtype), [y], [f32], dtype, 8)
    with np.errstate(over="ignore", invalid="ignore"):
        wanted = y.astype(dtype.numpy)
    nan = np.isnan(y)
    assert np.isnan(narrow[nan].astype(np.float32)).all()
    np.testing.assert_array_equal(narrow[~nan].view(np.uint16), wanted[~nan].view(np.uint16))


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("dtype", [f16, bf16], ids=str)
@pytest.mark.parametrize("op", [Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.MAX], ids=lambda op: op.value)
def test_narrow_arithmetic_is_rounded_once(op: Op, dtype: DType, name: str) -> None:
    a, c = RANDOM.permutation(all_halves(dtype))[:4000], RANDOM.permutation(all_halves(dtype))[:4000]
    keep = np.isfinite(a.astype(np.float32)) & (np.abs(c.astype(np.float32)) > 0)
    keep &= np.isfinite(c.astype(np.float32))
    a, c = a[keep], c[keep]
    got = apply(name, lambda b, x, y: b.binary(op, x, y), [a, c], [dtype, dtype], dtype, 8)
    table = {Op.ADD: np.add, Op.SUB: np.subtract, Op.MUL: np.multiply, Op.DIV: np.divide, Op.MAX: np.maximum}
    with np.errstate(all="ignore"):
        wanted = table[op](a.astype(np.float64), c.astype(np.float64)).astype(dtype.numpy)
    np.testing.assert_array_equal(got.astype(np.float32), wanted.astype(np.float32))


INTEGERS = ("i8", "i16", "i32", "u8", "u32")


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("dtype", INTEGERS)
def test_float_to_integer_truncates_and_saturates(dtype: str, name: str) -> None:
    x = np.concatenate(
        [samples(), np.array([127.9, 128.0, -128.9, -129, 255.9, 256, 2**31, 2**32], np.float32)]
    )
    target = BY_NAME[dtype]
    got = apply(name, lambda b, v: b.cast(v, target), [x], [f32], target, 16)
    low, high = target.limits
    with np.errstate(invalid="ignore"):
        whole = np.trunc(np.nan_to_num(x.astype(np.float64), nan=0.0))
    wanted = np.clip(whole, low, high).astype(target.numpy)
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("dtype", INTEGERS)
def test_integer_to_float(dtype: str, name: str) -> None:
    source = BY_NAME[dtype]
    low, high = source.limits
    x = RANDOM.integers(int(low), int(high), 1000, endpoint=True).astype(source.numpy)
    np.testing.assert_array_equal(
        apply(name, lambda b, v: b.cast(v, f32), [x], [source], f32, 8), x.astype(np.float32)
    )
    got = apply(name, lambda b, v: b.cast(v, bf16), [x], [source], bf16, 8)
    np.testing.assert_array_equal(got, x.astype(np.float32).astype(ml_dtypes.bfloat16))
