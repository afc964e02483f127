"""Every elementwise operation on every dtype, and every cast."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conformance.running import conforms, unit
from tritloom.backends.base import Device
from tritloom.codegen.ir.dtypes import (
    ALL,
    DType,
    bf16,
    bool_,
    f16,
    f32,
    i8,
    i16,
    i32,
    ternary,
    u8,
    u32,
)
from tritloom.codegen.ir.ternary import TernaryArray
from tritloom.codegen.ir.tile import BinaryOp, Mode, UnaryOp
from tritloom.codegen.ir.tile_builder import Builder

FLOATS = (f32, f16, bf16)
SIGNED = (i8, i16, i32)
INTEGERS = (*SIGNED, u8, u32)
ELEMENTS = (*FLOATS, *INTEGERS)
BLOCK = 16
Array = NDArray[Any]

TRANSCENDENTAL = {
    UnaryOp.EXP: (-9.0, 9.0),
    UnaryOp.LOG: (0.01, 100.0),
    UnaryOp.SQRT: (0.0, 100.0),
    UnaryOp.RSQRT: (0.01, 100.0),
    UnaryOp.SIN: (-20.0, 20.0),
    UnaryOp.COS: (-20.0, 20.0),
    UnaryOp.TANH: (-6.0, 6.0),
}
EXACT = (UnaryOp.NEG, UnaryOp.ABS, UnaryOp.FLOOR, UnaryOp.ROUND)
ARITHMETIC = (BinaryOp.ADD, BinaryOp.SUB, BinaryOp.MUL, BinaryOp.MIN, BinaryOp.MAX)
COMPARISONS = (BinaryOp.LT, BinaryOp.LE, BinaryOp.GT, BinaryOp.GE, BinaryOp.EQ, BinaryOp.NE)
LOGIC = (BinaryOp.AND, BinaryOp.OR, BinaryOp.XOR)


def values(dtype: DType, count: int, seed: int = 0) -> Array:
    """Numbers of both signs, halves among them, small enough that no integer product overflows."""
    random = np.random.default_rng(seed)
    if dtype.is_bool:
        return random.integers(0, 2, count).astype(np.bool_)
    low, high = (0, 11) if dtype in (u8, u32) else (-11, 11)
    numbers = random.integers(low, high + 1, count).astype(np.float64)
    if dtype.is_float:
        numbers = numbers / 2
    return numbers.astype(dtype.numpy)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_transcendental(device: Device, dtype: DType) -> None:
    b = Builder("transcendental")
    m = b.program_axis("m", b.size("M"), BLOCK)
    tensors: dict[str, Array] = {}
    tolerances = {}
    for op, (low, high) in TRANSCENDENTAL.items():
        x = b.buffer(f"x_{op.value}", dtype["M"])
        y = b.buffer(f"y_{op.value}", dtype["M"], Mode.OUT)
        b.store(y, [m], b.unary(op, b.load(x, [m])))
        tensors[x.name] = np.linspace(low, high, 67).astype(dtype.numpy)
        absolute = 2e-6 if op in (UnaryOp.SIN, UnaryOp.COS) else 0.0
        tolerances[y.name] = (4 * unit(dtype) if dtype is f32 else unit(dtype), absolute)
    conforms(device, b.finish(), tensors, {"M": 67}, tolerances=tolerances)


@pytest.mark.parametrize("dtype", [*FLOATS, *SIGNED], ids=str)
def test_exact_unary(device: Device, dtype: DType) -> None:
    b = Builder("unary")
    m = b.program_axis("m", b.size("M"), BLOCK)
    x = b.buffer("x", dtype["M"])
    for op in EXACT:
        y = b.buffer(f"y_{op.value}", dtype["M"], Mode.OUT)
        b.store(y, [m], b.unary(op, b.load(x, [m])))
    conforms(device, b.finish(), {"x": values(dtype, 37)}, {"M": 37})


@pytest.mark.parametrize("dtype", ELEMENTS, ids=str)
def test_arithmetic(device: Device, dtype: DType) -> None:
    b = Builder("arithmetic")
    m = b.program_axis("m", b.size("M"), BLOCK)
    x, z = b.buffer("x", dtype["M"]), b.buffer("z", dtype["M"])
    tensors = {"x": values(dtype, 37, 1), "z": values(dtype, 37, 2)}
    if dtype in (u8, u32):
        tensors["x"] += np.asarray(20).astype(dtype.numpy)  # so that no difference is negative
    for op in (*ARITHMETIC, *COMPARISONS):
        y = b.buffer(f"y_{op.value}", (bool_ if op.is_comparison else dtype)["M"], Mode.OUT)
        b.store(y, [m], b.binary(op, b.load(x, [m]), b.load(z, [m])))
    conforms(device, b.finish(), tensors, {"M": 37})


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_division(device: Device, dtype: DType) -> None:
    b = Builder("division")
    m = b.program_axis("m", b.size("M"), BLOCK)
    x, z, y = b.buffer("x", dtype["M"]), b.buffer("z", dtype["M"]), b.buffer("y", dtype["M"], Mode.OUT)
    b.store(y, [m], b.binary(BinaryOp.DIV, b.load(x, [m]), b.load(z, [m])))
    divisor = np.where(values(f32, 37, 4) == 0, 1.5, values(f32, 37, 4)).astype(dtype.numpy)
    tensors = {"x": values(dtype, 37, 3), "z": divisor}
    tolerance = 3 * unit(dtype) if dtype is f32 else unit(dtype)
    conforms(device, b.finish(), tensors, {"M": 37}, tolerances={"y": (tolerance, 0.0)})


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_integer_operations(device: Device, dtype: DType) -> None:
    b = Builder("integers")
    m = b.program_axis("m", b.size("M"), BLOCK)
    x, z, s = (b.buffer(name, dtype["M"]) for name in "xzs")
    for op in (BinaryOp.FLOORDIV, BinaryOp.MOD, *LOGIC):
        y = b.buffer(f"y_{op.value}", dtype["M"], Mode.OUT)
        b.store(y, [m], b.binary(op, b.load(x, [m]), b.load(z, [m])))
        other = b.buffer(f"c_{op.value}", dtype["M"], Mode.OUT)
        b.store(other, [m], b.binary(op, b.load(x, [m]), 4))
    for op in (BinaryOp.SHL, BinaryOp.SHR):
        y = b.buffer(f"y_{op.value}", dtype["M"], Mode.OUT)
        b.store(y, [m], b.binary(op, b.load(x, [m]), b.load(s, [m])))
    divisor = values(dtype, 37, 6)
    divisor[divisor == 0] = 3
    shift = np.random.default_rng(7).integers(0, 3, 37).astype(dtype.numpy)
    tensors = {"x": values(dtype, 37, 5), "z": divisor, "s": shift}
    conforms(device, b.finish(), tensors, {"M": 37})


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_integers_wrap(device: Device, dtype: DType) -> None:
    """A result that overflowed is compared as it is: no compiler may take it for one that did not."""
    b = Builder("wrapping")
    m = b.program_axis("m", b.size("M"), BLOCK)
    x, z = b.buffer("x", dtype["M"]), b.buffer("z", dtype["M"])
    left, right = b.load(x, [m]), b.load(z, [m])
    made = {
        "more": b.binary(BinaryOp.GT, b.binary(BinaryOp.ADD, left, 1), left),
        "sum": b.binary(BinaryOp.LT, b.binary(BinaryOp.ADD, left, right), left),
        "difference": b.binary(BinaryOp.LT, b.binary(BinaryOp.SUB, left, right), 0),
        "half": b.binary(BinaryOp.SHR, b.binary(BinaryOp.ADD, left, right), 1),
        "product": b.binary(BinaryOp.LT, b.binary(BinaryOp.MUL, left, right), right),
    }
    if dtype in SIGNED:
        made["negative"] = b.binary(BinaryOp.LT, b.unary(UnaryOp.NEG, left), 0)
        made["size"] = b.binary(BinaryOp.LT, b.unary(UnaryOp.ABS, left), 0)
    for name, value in made.items():
        b.store(b.buffer(f"y_{name}", value.dtype["M"], Mode.OUT), [m], value)
    low, high = dtype.limits
    edges = np.array([low, low + 1, 0, 1, 2, high // 2, high // 2 + 1, high - 1, high]).astype(dtype.numpy)
    tensors = {"x": np.repeat(edges, len(edges)), "z": np.tile(edges, len(edges))}
    conforms(device, b.finish(), tensors, {"M": len(edges) ** 2})


def test_bools(device: Device) -> None:
    b = Builder("bools")
    m = b.program_axis("m", b.size("M"), BLOCK)
    x, z = b.buffer("x", bool_["M"]), b.buffer("z", bool_["M"])
    for op in (*LOGIC, BinaryOp.EQ, BinaryOp.NE):
        y = b.buffer(f"y_{op.value}", bool_["M"], Mode.OUT)
        b.store(y, [m], b.binary(op, b.load(x, [m]), b.load(z, [m])))
    y = b.buffer("y_not", bool_["M"], Mode.OUT)
    b.store(y, [m], b.unary(UnaryOp.NOT, b.load(x, [m])))
    conforms(device, b.finish(), {"x": values(bool_, 37, 1), "z": values(bool_, 37, 2)}, {"M": 37})


@pytest.mark.parametrize("dtype", [*ELEMENTS, bool_], ids=str)
def test_select(device: Device, dtype: DType) -> None:
    b = Builder("select")
    m = b.program_axis("m", b.size("M"), BLOCK)
    c, x, z = b.buffer("c", bool_["M"]), b.buffer("x", dtype["M"]), b.buffer("z", dtype["M"])
    y = b.buffer("y", dtype["M"], Mode.OUT)
    b.store(y, [m], b.select(b.load(c, [m]), b.load(x, [m]), b.load(z, [m])))
    tensors = {"c": values(bool_, 37, 8), "x": values(dtype, 37, 9), "z": values(dtype, 37, 10)}
    conforms(device, b.finish(), tensors, {"M": 37})


def cast_inputs(source: DType) -> Array:
    """Values of a dtype that casts treat specially: limits, halves, numbers past every limit."""
    if source.is_bool:
        return np.array([False, True])
    if source.is_ternary:
        return np.array([-1, 0, 1], np.int8)
    if source.is_float:
        numbers = [
            0.0,
            -0.0,
            0.5,
            -0.5,
            1.5,
            2.5,
            -2.5,
            127.9,
            128.0,
            -128.9,
            -129.0,
            255.5,
            256.0,
            300.0,
            32767.9,
        ]
        numbers += [
            -32769.0,
            40000.0,
            1e-5,
            3.0e9,
            -3.0e9,
            4.5e9,
            65504.0,
            np.inf,
            -np.inf,
            np.nan,
            0.1,
            1 / 3,
            1.0009765,
        ]
        with np.errstate(over="ignore"):
            return np.array(numbers, np.float32).astype(source.numpy)
    low, high = (int(limit) for limit in source.limits)
    edges = {low, low + 1, high, high - 1, 0, 1, 5, 100, min(high, 257), max(low, -7), min(high, 1000)}
    return np.array(sorted(edges), np.int64).astype(source.numpy)


@pytest.mark.parametrize("source", [d for d in ALL if not d.is_ternary], ids=str)
def test_cast(device: Device, source: DType) -> None:
    given = cast_inputs(source)
    b = Builder("cast")
    m = b.program_axis("m", b.size("M"), 8)
    x = b.buffer("x", source["M"])
    for target in ALL:
        if target.is_ternary or target is source:
            continue
        y = b.buffer(f"y_{target}", target["M"], Mode.OUT)
        b.store(y, [m], b.cast(b.load(x, [m]), target))
    conforms(device, b.finish(), {"x": given}, {"M": len(given)})


@pytest.mark.parametrize("target", [i8, i32, f32, bf16, f16], ids=str)
def test_cast_from_ternary(device: Device, target: DType) -> None:
    b = Builder("unpack")
    n = b.program_axis("n", b.size("N"), 8)
    w, y = b.buffer("w", ternary["N", "K"]), b.buffer("y", target["N", "K"], Mode.OUT)
    with b.loop("k", b.size("K"), 32) as loop:
        b.store(y, [n, loop.axis], b.cast(b.load(w, [n, loop.axis]), target))
    weights = np.random.default_rng(0).integers(-1, 2, (19, 53))
    conforms(device, b.finish(), {"w": TernaryArray.pack(weights)}, {"N": 19, "K": 53})


def test_rounding_to_narrow_floats_is_to_even(device: Device) -> None:
    """Ties between neighbours of bf16 and f16 go to the even one."""
    steps = np.arange(64, dtype=np.float32)
    halves = np.concatenate([256 + steps, 2048 + steps])
    b = Builder("ties")
    m = b.program_axis("m", b.size("M"), BLOCK)
    x = b.buffer("x", f32["M"])
    for target in (bf16, f16):
        y = b.buffer(f"y_{target}", target["M"], Mode.OUT)
        b.store(y, [m], b.cast(b.load(x, [m]), target))
    assert halves.astype(ml_dtypes.bfloat16)[1] == 256
    conforms(device, b.finish(), {"x": halves}, {"M": len(halves)})
