"""Every operation of machine form as machine code, against NumPy, on every level of the CPU."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.codegen.emit.harness import TARGETS, Array, apply, compiler, run
from tritloom.backends.cache import Cache
from tritloom.backends.cpu_compiler import Compiler
from tritloom.codegen.emit.llvm import emit_llvm
from tritloom.codegen.errors import UnsupportedError
from tritloom.codegen.ir.dtypes import ALL, DType, bf16, bool_, f16, f32, i8, i16, i32, u8, u32
from tritloom.codegen.ir.machine import MachineType, Op, Register, Space, index
from tritloom.codegen.ir.machine_builder import MachineBuilder
from tritloom.codegen.targets import target

pytestmark = pytest.mark.device("cpu")
RANDOM = np.random.default_rng(11)
INTEGERS = (i8, i16, i32, u8, u32)
each_target = pytest.mark.parametrize("name", TARGETS)


def numbers(dtype: DType, length: int = 200) -> Array:
    """Random numbers of a dtype, its limits among them."""
    if dtype.is_bool:
        return RANDOM.integers(0, 2, length).astype(np.uint8)
    if dtype.is_float:
        return RANDOM.normal(0, 10, length).astype(dtype.numpy)
    low, high = (int(limit) for limit in dtype.limits)
    made = RANDOM.integers(low, high, length, endpoint=True)
    made[:3] = low, high, 0
    return made.astype(dtype.numpy)


def truncated(a: Array, c: Array) -> Array:
    """a / c toward zero."""
    quotient = np.abs(a.astype(np.int64)) // np.abs(c.astype(np.int64))
    signed: Array = np.sign(a).astype(np.int64) * np.sign(c) * quotient
    return signed


BINARY: dict[Op, Callable[[Array, Array], Any]] = {
    Op.ADD: np.add,
    Op.SUB: np.subtract,
    Op.MUL: np.multiply,
    Op.MIN: np.minimum,
    Op.MAX: np.maximum,
    Op.AND: np.bitwise_and,
    Op.OR: np.bitwise_or,
    Op.XOR: np.bitwise_xor,
    Op.DIV: truncated,
    Op.REM: lambda a, c: a - truncated(a, c) * c,
}


@each_target
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
@pytest.mark.parametrize("op", list(BINARY), ids=lambda op: op.value)
def test_integer_binary(op: Op, dtype: DType, name: str) -> None:
    a, c = numbers(dtype), RANDOM.permutation(numbers(dtype))
    if op in (Op.DIV, Op.REM):
        c[c == 0] = 3
        a[:2], c[:2] = dtype.limits[0], dtype.numpy.type(-1) if dtype.limits[0] < 0 else 1
    got = apply(name, lambda b, x, y: b.binary(op, x, y), [a, c], [dtype, dtype], dtype, 8)
    with np.errstate(over="ignore"):
        wanted = BINARY[op](a.astype(np.int64), c.astype(np.int64)).astype(dtype.numpy)
    np.testing.assert_array_equal(got, wanted)


@each_target
@pytest.mark.parametrize("op", [Op.DIV, Op.REM], ids=lambda op: op.value)
def test_division_by_zero_does_not_stop_the_process(op: Op, name: str) -> None:
    a = np.array([1, -5, 7, -(2**31)], np.int32)
    c = np.array([0, 2, 0, -1], np.int32)
    got = apply(name, lambda b, x, y: b.binary(op, x, y), [a, c], [i32, i32], i32, 4)
    assert got[1] == (-2 if op is Op.DIV else -1)


@each_target
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_shifts(dtype: DType, name: str) -> None:
    a = numbers(dtype)
    by = RANDOM.integers(0, dtype.bits, len(a)).astype(dtype.numpy)
    left = apply(name, lambda b, x, y: b.shl(x, y), [a, by], [dtype, dtype], dtype, 8)
    np.testing.assert_array_equal(left, np.left_shift(a, by))
    right = apply(name, lambda b, x, y: b.shr(x, y), [a, by], [dtype, dtype], dtype, 8)
    np.testing.assert_array_equal(right, np.right_shift(a, by))


@each_target
@pytest.mark.parametrize("dtype", [i8, i16, i32, f32, bf16, f16], ids=str)
def test_unary(dtype: DType, name: str) -> None:
    a = numbers(dtype)
    with np.errstate(over="ignore"):
        for op, meaning in ((Op.NEG, np.negative), (Op.ABS, np.abs)):
            got = apply(name, lambda b, x, op=op: b.unary(op, x), [a], [dtype], dtype, 8)
            np.testing.assert_array_equal(got, meaning(a))
    if dtype.is_integer:
        np.testing.assert_array_equal(apply(name, lambda b, x: b.not_(x), [a], [dtype], dtype, 8), ~a)


@each_target
@pytest.mark.parametrize("op", [Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.MIN, Op.MAX], ids=lambda op: op.value)
@pytest.mark.parametrize("lanes", [1, 3, 16])
def test_float_binary(op: Op, lanes: int, name: str) -> None:
    a, c = numbers(f32), numbers(f32)
    meaning = BINARY[op] if op is not Op.DIV else np.divide
    got = apply(name, lambda b, x, y: b.binary(op, x, y), [a, c], [f32, f32], f32, lanes)
    np.testing.assert_array_equal(got, meaning(a, c))


@each_target
@pytest.mark.parametrize("op", [Op.MIN, Op.MAX], ids=lambda op: op.value)
def test_least_and_greatest_give_an_operand_where_one_is_nan(op: Op, name: str) -> None:
    a = np.array([np.nan, 1, np.nan, np.inf, -np.inf], np.float32)
    c = np.array([2, np.nan, np.nan, 1, 1], np.float32)
    got = apply(name, lambda b, x, y: b.binary(op, x, y), [a, c], [f32, f32], f32, 4)
    for one, x, y in zip(got, a, c, strict=True):
        assert any(one == z or (np.isnan(one) and np.isnan(z)) for z in (x, y))
    assert got[3] == (1 if op is Op.MIN else np.inf)


@each_target
@pytest.mark.parametrize("dtype", [i8, u8, i32, u32, f32, bf16], ids=str)
@pytest.mark.parametrize("predicate", ["lt", "le", "gt", "ge", "eq", "ne"])
def test_compare_and_select(predicate: str, dtype: DType, name: str) -> None:
    a, c = numbers(dtype), numbers(dtype)
    c[::3] = a[::3]
    if dtype.is_float:
        a[5], c[6] = np.nan, np.nan
    meaning = getattr(np, {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal",
                           "eq": "equal", "ne": "not_equal"}[predicate])  # fmt: skip
    got = apply(name, lambda b, x, y: b.compare(predicate, x, y), [a, c], [dtype, dtype], bool_, 8)
    wide = (a.astype(np.float64), c.astype(np.float64))
    with np.errstate(invalid="ignore"):
        held = meaning(*wide)
    np.testing.assert_array_equal(got.astype(bool), held)
    chosen = apply(
        name, lambda b, x, y: b.select(b.compare(predicate, x, y), x, y), [a, c], [dtype, dtype], dtype, 8
    )
    np.testing.assert_array_equal(chosen.astype(np.float64), np.where(held, *wide))


@each_target
@pytest.mark.parametrize("source", INTEGERS, ids=str)
@pytest.mark.parametrize("result", [*INTEGERS, bool_], ids=str)
def test_integer_casts_wrap(source: DType, result: DType, name: str) -> None:
    a = numbers(source)
    got = apply(name, lambda b, x: b.cast(x, result), [a], [source], result, 8)
    wanted = (a != 0) if result is bool_ else a.astype(result.numpy)
    np.testing.assert_array_equal(got.astype(wanted.dtype), wanted)


@each_target
def test_bools(name: str) -> None:
    a, c = numbers(bool_), numbers(bool_)
    for op, meaning in ((Op.AND, np.bitwise_and), (Op.OR, np.bitwise_or), (Op.XOR, np.bitwise_xor)):
        got = apply(name, lambda b, x, y, op=op: b.binary(op, x, y), [a, c], [bool_, bool_], bool_, 8)
        np.testing.assert_array_equal(got, meaning(a, c))
    np.testing.assert_array_equal(apply(name, lambda b, x: b.not_(x), [a], [bool_], bool_, 8), 1 - a)
    np.testing.assert_array_equal(apply(name, lambda b, x: b.cast(x, f32), [a], [bool_], f32, 8), a)


@each_target
@pytest.mark.parametrize("lanes", [2, 3, 5, 8, 16, 24])
@pytest.mark.parametrize("dtype", [i32, u32, f32, i8, bf16], ids=str)
@pytest.mark.parametrize("kind", ["add", "min", "max"])
def test_reduce(kind: str, dtype: DType, lanes: int, name: str) -> None:
    a = numbers(dtype, lanes * 6)

    def compute(b: MachineBuilder, x: Register) -> Register:
        return b.splat(b.reduce(kind, x), lanes)

    got = apply(name, compute, [a], [dtype], dtype, lanes).reshape(-1, lanes)[:, 0]
    rows = a.reshape(-1, lanes)
    if kind == "add":
        wanted = rows.astype(np.float64).sum(1) if dtype.is_float else rows.astype(np.int64).sum(1)
        if dtype.is_float:
            np.testing.assert_allclose(
                got.astype(np.float64), wanted, rtol=1e-2 if dtype is bf16 else 1e-5, atol=1e-4
            )
        else:
            np.testing.assert_array_equal(got, wanted.astype(dtype.numpy))
    else:
        np.testing.assert_array_equal(got, getattr(rows, kind)(axis=1))


@each_target
def test_lanes_move(name: str) -> None:
    a, c = numbers(i32, 64), numbers(i32, 64)
    reverse = tuple(range(15, -1, -2))
    rows_a, rows_c = a.reshape(-1, 8), c.reshape(-1, 8)
    got = apply(name, lambda b, x, y: b.shuffle(x, y, reverse), [a, c], [i32, i32], i32, 8)
    np.testing.assert_array_equal(got.reshape(-1, 8), np.hstack([rows_a, rows_c])[:, reverse])
    got = apply(name, lambda b, x, y: b.insert(x, b.extract(y, 3), 5), [a, c], [i32, i32], i32, 8)
    rows_a[:, 5] = rows_c[:, 3]
    np.testing.assert_array_equal(got.reshape(-1, 8), rows_a)
    pair = apply(name, lambda b, x, y: b.shuffle(x, y, (1,)), [a, c], [i32, i32], i32, 1)
    np.testing.assert_array_equal(pair, c)


@each_target
def test_bitcast(name: str) -> None:
    a = numbers(f32)
    got = apply(name, lambda b, x: b.bitcast(x, MachineType(u32, 8)), [a], [f32], u32, 8)
    np.testing.assert_array_equal(got, a.view(np.uint32))
    halves = apply(
        name,
        lambda b, x: b.bitcast(b.bitcast(x, MachineType(bf16, 16)), MachineType(f32, 8)),
        [a], [f32], f32, 8,
    )  # fmt: skip
    np.testing.assert_array_equal(halves, a)


@each_target
@pytest.mark.parametrize("lanes", [1, 2, 4, 8, 12, 16, 20, 32])
@pytest.mark.parametrize("variant", ["us", "small", "ss"])
def test_dot4_is_exact(variant: str, lanes: int, name: str) -> None:
    top = {"us": (0, 256), "small": (0, 128), "ss": (-128, 128)}[variant]
    left = u8 if variant != "ss" else i8
    count = 5
    a = RANDOM.integers(*top, (count, 4 * lanes)).astype(left.numpy)
    c = RANDOM.integers(-128, 128, (count, 4 * lanes)).astype(np.int8)
    a[0], c[0] = top[1] - 1, -128
    a[1], c[1] = top[0], -128
    c[2] = 127
    a[2] = top[1] - 1
    acc = RANDOM.integers(-(2**31), 2**31, (count, lanes)).astype(np.int32)
    b = MachineBuilder("dot4")
    x, y, z = b.buffer("a", left, False), b.buffer("b", i8, False), b.buffer("acc", i32)
    p = b.cast(b.program(), index)
    loaded = b.load(z, b.mul(p, lanes), lanes)
    wide = b.mul(p, 4 * lanes)
    va, vc = b.load(x, wide, 4 * lanes), b.load(y, wide, 4 * lanes)
    made = (
        b.dot4_ss(loaded, va, vc) if variant == "ss" else b.dot4_us(loaded, va, vc, small=variant == "small")
    )
    b.store(z, b.mul(p, lanes), made)
    got = run(name, b.finish(), [a, c, acc], programs=count)[2]
    products = (a.astype(np.int64) * c.astype(np.int64)).reshape(count, lanes, 4).sum(2)
    np.testing.assert_array_equal(got, (acc + products).astype(np.int32))


@each_target
@pytest.mark.parametrize("lanes", [1, 4, 8, 12, 16, 32])
def test_dot2_of_bf16(lanes: int, name: str) -> None:
    count = 6
    a = RANDOM.normal(0, 1, (count, 2 * lanes)).astype(ml_dtypes.bfloat16)
    c = RANDOM.integers(-1, 2, (count, 2 * lanes)).astype(ml_dtypes.bfloat16)
    acc = RANDOM.normal(0, 1, (count, lanes)).astype(np.float32)
    b = MachineBuilder("dot2")
    x, y, z = b.buffer("a", bf16, False), b.buffer("b", bf16, False), b.buffer("acc", f32)
    p = b.cast(b.program(), index)
    wide = b.mul(p, 2 * lanes)
    made = b.dot2_bf16(
        b.load(z, b.mul(p, lanes), lanes), b.load(x, wide, 2 * lanes), b.load(y, wide, 2 * lanes)
    )
    b.store(z, b.mul(p, lanes), made)
    got = run(name, b.finish(), [a, c, acc], programs=count)[2]
    products = (a.astype(np.float64) * c.astype(np.float64)).reshape(count, lanes, 2).sum(2)
    np.testing.assert_allclose(got, acc + products, rtol=1e-6, atol=1e-6)


@each_target
@pytest.mark.parametrize("entries", [4, 16])
@pytest.mark.parametrize("dtype", [f32, u32, i8, bf16], ids=str)
@pytest.mark.parametrize("lanes", [1, 4, 6, 8, 16, 24])
def test_lookup(lanes: int, dtype: DType, entries: int, name: str) -> None:
    table = numbers(dtype, entries)
    a = numbers(i32, lanes * 7)
    listed = [entry.item() if dtype is not bf16 else float(entry) for entry in table]
    got = apply(name, lambda b, x: b.lookup(listed, x, dtype), [a], [i32], dtype, lanes)
    np.testing.assert_array_equal(got, table[a & (entries - 1)])


MEMORY = [dtype for dtype in ALL if not dtype.is_ternary]


@each_target
@pytest.mark.parametrize("dtype", MEMORY, ids=str)
@pytest.mark.parametrize("lanes", [1, 4, 16])
def test_masked_memory(lanes: int, dtype: DType, name: str) -> None:
    """Lanes beyond the mask are neither read nor written: the arrays end there."""
    length = 13
    source, old = numbers(dtype, length), numbers(dtype, 32)
    b = MachineBuilder("masked")
    x, y = b.buffer("x", dtype, False), b.buffer("y", dtype)
    b.declare_size("n")
    start = b.mul(b.program(), lanes)
    lane = b.add(b.splat(start, lanes), b.const(tuple(range(lanes)), i32, lanes))
    mask = b.compare("lt", lane, b.splat(b.size("n"), lanes))
    b.store(y, b.cast(start, index), b.load(x, b.cast(start, index), lanes, mask), mask)
    programs = -(-length // lanes)
    got = run(name, b.finish(), [source, old], [np.int32(length)], programs)[1]
    np.testing.assert_array_equal(got[:length], source)
    np.testing.assert_array_equal(got[length:], old[length:])


@each_target
@pytest.mark.parametrize("dtype", MEMORY, ids=str)
@pytest.mark.parametrize("address", [i32, index], ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_gather_and_scatter(masked: bool, address: DType, dtype: DType, name: str) -> None:
    lanes = 8
    source, where = numbers(dtype, 64), RANDOM.permutation(64)[:lanes]
    b = MachineBuilder("scattered")
    x, y = b.buffer("x", dtype, False), b.buffer("y", dtype)
    indices = b.const(tuple(int(i) for i in where), address, lanes)
    mask = b.const(tuple(i % 3 != 1 for i in range(lanes)), bool_, lanes) if masked else None
    b.scatter(y, b.const(tuple(range(lanes)), address, lanes), b.gather(x, indices, mask))
    b.scatter(y, b.add(b.const(tuple(range(lanes)), address, lanes), lanes), b.gather(x, indices), mask)
    got = run(name, b.finish(), [source, np.ones(2 * lanes, source.dtype)])[1]
    held = np.array([i % 3 != 1 or not masked for i in range(lanes)])
    np.testing.assert_array_equal(got[:lanes], np.where(held, source[where], np.zeros(1, source.dtype)))
    np.testing.assert_array_equal(got[lanes:], np.where(held, source[where], np.ones(1, source.dtype)))


@each_target
def test_a_scalar_load_under_a_false_mask_reads_nothing(name: str) -> None:
    b = MachineBuilder("far")
    x, y = b.buffer("x", f32, False), b.buffer("y", f32)
    far = b.const(1 << 40, index)
    no = b.compare("lt", b.program(), 0)
    b.store(y, b.const(0, index), b.load(x, far, mask=no))
    b.store(y, far, b.const(3.0, f32), no)
    got = run(name, b.finish(), [np.ones(4, np.float32), np.ones(4, np.float32)])[1]
    np.testing.assert_array_equal(got, [0, 1, 1, 1])


@each_target
@pytest.mark.parametrize("unroll", [1, 4])
def test_loops_conditions_arrays_and_arguments(unroll: int, name: str) -> None:
    """Each program: the sum of n squares in a private array, negated where the scalar is over the program's number."""
    b = MachineBuilder("loops")
    out = b.buffer("out", f32)
    squares = b.array("squares", i32, Space.PRIVATE, 64)
    b.declare_size("n")
    b.declare_scalar("limit", f32)
    n = b.size("n")
    with b.for_(0, n, 1, unroll=unroll) as fill:
        b.store(squares, b.cast(fill.variable, index), b.mul(fill.variable, fill.variable))
    with b.for_(0, n, 1, [b.const(0, i32), b.const(0, i32)], unroll=unroll) as loop:
        with b.for_(0, b.add(loop.variable, 1), 1, [loop.values[1]]) as inner:
            inner.next = [b.add(inner.values[0], 1)]
        value = b.load(squares, b.cast(loop.variable, index))
        loop.next = [b.add(loop.values[0], value), inner.results[0]]
    total = b.cast(b.add(loop.results[0], loop.results[1]), f32)
    with b.if_(b.compare("gt", b.size("limit", f32), b.cast(b.program(), f32))) as branch:
        negative = b.neg(total)
        with branch.otherwise():
            other = b.add(total, 0.5)
        branch.pairs = [(negative, other)]
    b.store(out, b.cast(b.program(), index), branch.results[0])
    got = run(name, b.finish(), [np.zeros(4, np.float32)], [np.int32(37), np.float32(1.5)], 4)[0]
    total_wanted = sum(i * i for i in range(37)) + sum(range(1, 38))
    np.testing.assert_array_equal(got, [-total_wanted, -total_wanted, total_wanted + 0.5, total_wanted + 0.5])


def test_too_many_private_arrays() -> None:
    b = MachineBuilder("big")
    b.array("a", f32, Space.PRIVATE, 1 << 20)
    with pytest.raises(UnsupportedError, match="`big` needs 4194304 bytes"):
        emit_llvm(b.finish(), target("cpu:avx2"))


@pytest.mark.parametrize(
    ("name", "instruction"),
    [("cpu:avx512", "vpdpbusd"), ("cpu:avx2", "vpmaddubsw"), ("cpu:plain", "pmaddwd")],
)
def test_the_instruction_for_small_products(name: str, instruction: str) -> None:
    b = MachineBuilder("small")
    x, y, z = b.buffer("a", u8, False), b.buffer("b", i8, False), b.buffer("acc", i32)
    zero = b.const(0, index)
    b.store(z, zero, b.dot4_us(b.load(z, zero, 16), b.load(x, zero, 64), b.load(y, zero, 64), small=True))
    chosen = compiler(name)
    assert instruction in chosen.assembly("small", emit_llvm(b.finish(), chosen.target))


@pytest.mark.parametrize("name", ["cpu:avx512", "cpu:avx2", "cpu:plain", "aarch64"])
def test_no_calls_of_a_runtime_library(name: str, tmp_path: Path) -> None:
    """Everything that processors lack is expanded: the code needs no library of conversions or elementary functions."""
    b = MachineBuilder("closed")
    x, y, z = b.buffer("x", f16), b.buffer("y", bf16), b.buffer("z", f32)
    zero = b.const(0, index)
    value = b.add(b.load(x, zero, 8), b.cast(b.load(y, zero, 8), f16))
    for op in (Op.EXP, Op.LOG, Op.TANH, Op.SIN, Op.COS, Op.SQRT, Op.RSQRT, Op.FLOOR, Op.ROUND):
        value = b.unary(op, value)
    b.store(x, zero, value)
    b.store(y, zero, b.cast(value, bf16))
    wide = b.cast(value, f32)
    for dtype in (i8, u32):
        wide = b.fma(wide, b.cast(b.cast(wide, dtype), f32), wide)
    b.store(z, zero, wide)
    chosen = Compiler(target(name), Cache("cpu", tmp_path))
    text = chosen.assembly("closed", emit_llvm(b.finish(), chosen.target))
    assert not re.search(r"\b(call|callq|bl)\b", text)
