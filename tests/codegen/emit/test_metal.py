"""Metal from machine form: its own names, types and traps; the shim and clang read it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.codegen.emit.test_opencl import exchanging
from tests.codegen.lower.test_gpu import matmul
from tests.metal_shim import compiler
from tests.metal_shim.spaces import complaints
from tritloom.codegen.compile import source
from tritloom.codegen.emit.metal import emit_metal, metal_name
from tritloom.codegen.errors import UnsupportedError
from tritloom.codegen.ir.dtypes import DType, bf16, f16, f32, i8, i16, i32, ternary, u8, u32
from tritloom.codegen.ir.machine import (
    Function,
    MachineType,
    MatrixAccess,
    MatrixShape,
    MatrixUse,
    Space,
    index,
)
from tritloom.codegen.ir.machine_builder import MachineBuilder
from tritloom.codegen.ir.machine_verifier import verify_machine
from tritloom.codegen.targets import target

TARGET = target("metal")
GOLDEN = sorted((Path(__file__).parents[2] / "golden").glob("*.metal"))


def emitted(function: Function) -> str:
    verify_machine(function)
    return emit_metal(function, TARGET)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_sources_have_good_types_and_address_spaces(path: Path) -> None:
    assert complaints(path.read_text()) == []


@pytest.mark.parametrize(
    ("left", "right"), [(i8, i8), (i8, ternary), (f32, f32), (f32, ternary), (f16, f16), (bf16, ternary)]
)
def test_products_have_good_types_and_address_spaces(left: DType, right: DType) -> None:
    text = source(matmul(left, right, 32, 32, 32), TARGET)
    assert complaints(text) == []
    assert ("simdgroup_multiply_accumulate" in text) == (left in (f16, f32))


def test_there_are_golden_sources() -> None:
    assert GOLDEN


MIXED = """#include <metal_stdlib>
using namespace metal;
kernel void mixed(device float *x [[buffer(0)]])
{
  alignas(16) threadgroup float s[4];
  STATEMENT
}
"""


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("device float *p = &s[0];", "cannot initialize a variable of type"),
        ("threadgroup float *p = &x[0];", "cannot initialize a variable of type"),
        ("*(device uint *)&s[0] = 1u;", "mismatching address spaces"),
        ("*(threadgroup uint4 *)&x[0] = uint4(1u);", "mismatching address spaces"),
        ("simdgroup_half8x8 m; simdgroup_load(m, &s[0], 8);", "no matching function"),
        ("const uint4 v = 1.5f * uint4(2u);", "greater rank"),
    ],
)
def test_memory_of_another_space_or_type_is_found(statement: str, found: str) -> None:
    assert complaints(MIXED.replace("STATEMENT", "s[0] = x[0]; x[1] = s[0];")) == []
    (first, *_) = complaints(MIXED.replace("STATEMENT", statement))
    assert first.startswith("6: ")
    assert found in first


def test_sizes_and_scalars_are_one_argument() -> None:
    b = MachineBuilder("scaled")
    x = b.buffer("x", f32)
    b.declare_size("N")
    b.declare_scalar("alpha", f32)
    at = b.cast(b.size("N"), index)
    b.store(x, at, b.size("alpha", f32))
    text = emitted(b.finish(threads=64))
    assert "struct scaled_arguments {\n  int N;\n  float alpha;\n};" in text
    assert "constant scaled_arguments &arguments [[buffer(1)]]" in text
    assert "x[arguments.N] = arguments.alpha;" in text
    assert "[[max_total_threads_per_threadgroup(64)]]" in text
    assert complaints(text) == []


def test_too_many_buffers_are_refused() -> None:
    b = MachineBuilder("crowded")
    for number in range(31):
        b.buffer(f"x{number}", f32)
    assert "[[buffer(30)]]" in emitted(b.finish())
    b.declare_size("N")
    with pytest.raises(UnsupportedError, match="takes 31 tensors, a Metal kernel at most 30"):
        emit_metal(b.finish(), TARGET)


def test_names_of_the_language_are_not_used() -> None:
    b = MachineBuilder("kernel")
    b.buffer("device", f32)
    b.buffer("threadgroup", f32)
    b.declare_size("template")
    text = emitted(b.finish())
    for name in ("device_2", "threadgroup_2", "template_2"):
        assert re.search(rf"\b{name}\b", text)
    assert metal_name("kernel") == "kernel_"
    assert complaints(text) == []


def test_names_of_functions_of_ours_are_not_used() -> None:
    b = MachineBuilder("magnitude")
    y = b.buffer("f32_to_i32", i32)
    zero = b.const(0, index)
    size = b.abs(b.cast(b.cast(b.load(y, zero), f32), i32))
    size.name = "magnitude"
    b.store(y, zero, b.mul(size, size))
    text = emitted(b.finish())
    assert complaints(text) == []
    assert "kernel void magnitude_(" in text


def computed(build: Callable[[MachineBuilder], None], words: int, threads: int = 1) -> list[int]:
    """Run a function that writes i32s to its one buffer `y`, on the shim."""
    b = MachineBuilder("computed")
    build(b)
    text = emitted(b.finish(threads=threads))
    assert complaints(text) == []
    result = np.zeros(words, np.int32)
    compiler.load(text).run([result.ctypes.data], 1, threads)
    return [int(number) for number in result]


@pytest.mark.device("metal-shim")
def test_signed_integers_wrap_with_no_undefined_step() -> None:
    """The shim stops at signed overflow; the numbers come from memory, so that nothing is folded."""

    def build(b: MachineBuilder) -> None:
        y = b.buffer("y", i32)
        limit = b.or_(b.load(y, b.const(0, index)), 0x7FFFFFFF)
        least = b.add(limit, 1)
        narrow = b.cast(b.sub(b.and_(limit, 1), 2), i16)
        ones = b.bitcast(b.and_(limit, 0x01010101), MachineType(i8, 4))
        results = [
            least,
            b.sub(least, 1),
            b.mul(limit, limit),
            b.neg(least),
            b.abs(least),
            b.shl(b.sub(b.const(0, i32), limit), 1),
            b.cast(b.shl(narrow, b.const(15, i16)), i32),
            b.dot4_ss(limit, ones, ones),
            b.dot4_us(limit, b.bitcast(ones, MachineType(u8, 4)), ones),
        ]
        for number, result in enumerate(results):
            b.store(y, b.const(number, index), result)

    wrapped = [-(2**31), 2**31 - 1, 1, -(2**31), -(2**31), 2, -(2**15), 3 - 2**31, 3 - 2**31]
    assert computed(build, len(wrapped)) == wrapped


@pytest.mark.device("metal-shim")
def test_vectors_and_words() -> None:
    def build(b: MachineBuilder) -> None:
        y = b.buffer("y", i32)
        s = b.array("s", i8, Space.SHARED, 32)
        four = b.const([1, -2, 3, -4], i8, 4)
        b.store(s, b.const(0, index), four)
        b.store(s, b.const(4, index), b.add(four, four))
        pair = b.load_words(s, b.const(0, index), 2)
        turned = b.shuffle(pair, pair, [1, 0, 3, 2])
        b.store_words(s, b.const(16, index), turned)
        again = b.load(s, b.const(16, index), 4)
        total = b.dot4_ss(b.const(100, i32), four, again)
        b.store_words(y, b.const(0, index), b.bitcast(total, b.const(0, u32).type))
        b.store(y, b.const(1, index), b.cast(b.extract(again, 3), i32))

    assert computed(build, 2) == [100 + 2 * (1 + 4 + 9 + 16), -8]


@pytest.mark.device("metal-shim")
def test_threads_of_a_simdgroup_exchange() -> None:
    function = replace(exchanging(), threads=64, width=8)
    text = emitted(function)
    x = np.arange(256, dtype=np.uint32)
    y = np.zeros(64, np.uint32)
    compiler.load(text).run([x.ctypes.data, y.ctypes.data], 1, 64)
    expected = np.array([4 * (t ^ 2) + 2 + t // 32 for t in range(64)])
    np.testing.assert_array_equal(y[:30], expected[:30])
    assert not y[30:].any()


@pytest.mark.device("metal-shim")
@pytest.mark.parametrize("dtype", [f16, bf16, f32], ids=str)
@pytest.mark.parametrize("transposed", [False, True])
def test_matrices(dtype: DType, transposed: bool) -> None:
    b = MachineBuilder("product")
    x, w, y = b.buffer("x", dtype), b.buffer("w", dtype), b.buffer("y", f32)
    zero = b.const(0, index)
    left = b.matrix_load(MatrixAccess(x, 9), zero, MatrixShape(8, 8, MatrixUse.A))
    right = b.matrix_load(MatrixAccess(w, 10, transposed), zero, MatrixShape(8, 8, MatrixUse.B))
    start = b.matrix_const(0.5, f32, MatrixShape(8, 8, MatrixUse.ACCUMULATOR))
    b.matrix_store(MatrixAccess(y, 11, transposed), zero, b.matrix_multiply_add(left, right, start))
    text = emitted(b.finish(threads=32))
    assert complaints(text) == []
    generator = np.random.default_rng(0)
    a, c = (generator.integers(-4, 5, (8, width)).astype(dtype.numpy) for width in (9, 10))
    result = np.zeros((8, 11), np.float32)
    compiler.load(text).run([a.ctypes.data, c.ctypes.data, result.ctypes.data], 1, 32)
    wide = c.astype(np.float32)[:, :8]
    expected = a.astype(np.float32)[:, :8] @ (wide.T if transposed else wide) + 0.5
    np.testing.assert_array_equal(result[:, :8], expected.T if transposed else expected)
    assert not result[:, 8:].any()


def test_a_matrix_of_another_shape_is_refused() -> None:
    b = MachineBuilder("large")
    x = b.buffer("x", f16)
    b.matrix_load(MatrixAccess(x, 16), b.const(0, index), MatrixShape(16, 16, MatrixUse.A))
    with pytest.raises(UnsupportedError, match="no matrix f16"):
        emit_metal(b.finish(threads=32), TARGET)


@pytest.mark.device("metal-shim")
def test_transcendental_functions_are_ours() -> None:
    """exp, log, tanh, sin and cos are arithmetic in the source, and the shim has no such functions."""
    b = MachineBuilder("functions")
    y = b.buffer("y", f32)
    inputs = [0.75, 2.5, -0.3, 30.0, 1e6]
    makes = [b.exp, b.log, b.tanh, b.sin, b.cos]
    for number, (value, make) in enumerate(zip(inputs, makes, strict=True)):
        at = b.const(number, index)
        b.store(y, at, make(b.mul(b.load(y, at), value)))
    text = emitted(b.finish())
    assert not re.search(r"\b(exp|log|tanh|sin|cos)\(", text)
    result = np.ones(5, np.float32)
    compiler.load(text).run([result.ctypes.data], 1, 1)
    expected = [math.exp(0.75), math.log(2.5), math.tanh(-0.3), math.sin(30.0), math.cos(1e6)]
    np.testing.assert_allclose(result, expected, rtol=1e-6)
