"""OpenCL C from machine form: names, constants, and the traps of C's own rules."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tritloom.codegen.emit.c_source import literal, workgroup
from tritloom.codegen.emit.opencl import emit_opencl, kernel_name
from tritloom.codegen.errors import UnsupportedError
from tritloom.codegen.ir.dtypes import DType, bf16, bool_, f16, f32, i8, i32, u8, u32
from tritloom.codegen.ir.machine import Function, Space, index
from tritloom.codegen.ir.machine_builder import MachineBuilder
from tritloom.codegen.ir.machine_verifier import verify_machine
from tritloom.codegen.target import Target

TARGET = Target(name="opencl", emitter="opencl", max_threads=64, shared_bytes=32 << 10)


def emitted(function: Function) -> str:
    verify_machine(function)
    return emit_opencl(function, TARGET)


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        (1, f32, "1.0f"),
        (1e-30, f32, "1e-30f"),
        (16777217.0, f32, "16777216.0f"),
        (1.0000000595, f32, "1.0f"),
        (-1e39, f32, "-INFINITY"),
        (math.inf, f32, "INFINITY"),
        (-math.inf, f32, "-INFINITY"),
        (math.nan, f32, "NAN"),
        (1.0, bf16, "(ushort)0x3f80"),
        (-2.0, f16, "(ushort)0xc000"),
        (-(2**31), i32, "(-2147483647 - 1)"),
        (0x80808080, u32, "0x80808080u"),
        (7, u32, "7u"),
        (-128, i8, "(char)-128"),
        (True, bool_, "true"),
        (3, index, "3"),
    ],
)
def test_a_constant_has_exactly_its_type(value: float, dtype: DType, text: str) -> None:
    assert literal(value, dtype) == text


def test_names_of_the_language_are_not_used() -> None:
    b = MachineBuilder("kernel")
    exp, half = b.buffer("exp", f32), b.buffer("half", f32, writable=False)
    b.declare_size("int")
    at = b.cast(b.size("int"), index)
    b.store(exp, at, b.exp(b.load(half, at)))
    source = emitted(b.finish())
    assert "void kernel_(" in source
    assert "__global float *exp_2" in source
    assert "__global const float *half_2" in source
    assert "const int int_2" in source
    assert kernel_name("3d-map") == "3d_map_"


def test_names_of_functions_of_ours_are_not_used() -> None:
    b = MachineBuilder("magnitude")
    x = b.buffer("f32_to_i32", f32)
    b.declare_size("FLT_MAX")
    at = b.cast(b.size("FLT_MAX"), index)
    size = b.abs(b.cast(b.load(x, at), i32))
    size.name = "magnitude"
    b.store(x, at, b.cast(b.mul(size, size), f32))
    source = emitted(b.finish())
    assert "void magnitude_(" in source
    assert "f32_to_i32_2[FLT_MAX_2]" in source
    assert "const int magnitude_2 = (int)magnitude(" in source
    assert kernel_name("clamp") == "clamp_"


def turns(source: str) -> tuple[list[str], list[str]]:
    """The names that a loop carries and its body's lines."""
    lines = [line.strip() for line in source.splitlines()]
    start = next(i for i, line in enumerate(lines) if line.startswith("for ("))
    assert lines[start - 1] == "#pragma unroll 1"
    return [line.split()[1] for line in lines[start - 3 : start - 1]], lines[
        start + 1 : lines.index("}", start)
    ]


def test_two_carried_values_may_change_places() -> None:
    for other in (i32, index):  # which needs no conversion in C
        b = MachineBuilder("swap")
        y = b.buffer("y", i32)
        with b.for_(0, 3, initials=[b.const(1, i32), b.const(2, other)]) as loop:
            one, two = loop.values
            loop.next = [b.cast(two, i32), b.cast(one, other)]
        b.store(y, b.const(0, index), b.sub(loop.results[0], b.cast(loop.results[1], i32)))
        (first, second), body = turns(emitted(b.finish()))
        values = {first: 1, second: 2}
        for line in body:  # what C does: one assignment after the other
            target, source = (part.split()[-1] for part in line.rstrip(";").split(" = "))
            values[target] = values[source]
        assert (values[first], values[second]) == (2, 1)


def test_a_lane_of_a_carried_vector_is_that_of_this_turn() -> None:
    b = MachineBuilder("lane")
    x = b.buffer("x", f32)
    zero = b.const(0, index)
    with b.for_(0, 3, initials=[b.load(x, zero, 2), b.const(0.0, f32)]) as loop:
        pair, _ = loop.values
        loop.next = [b.shuffle(pair, pair, [1, 0]), b.extract(pair, 0)]
    b.store(x, zero, loop.results[1])
    (pair_name, lane), body = turns(emitted(b.finish()))
    kept = next(i for i, line in enumerate(body) if line.endswith(f"= {pair_name}.s0;"))
    assert kept < next(i for i, line in enumerate(body) if line.startswith(f"{pair_name} ="))
    assert body[-1] == f"{lane} = {body[kept].split()[2]};"


@pytest.mark.parametrize(("given", "made", "lanes"), [(f16, bf16, 1), (bf16, f16, 1), (f32, i8, 4)])
def test_conversions_that_c_does_not_make_as_we_do_are_refused(given: DType, made: DType, lanes: int) -> None:
    b = MachineBuilder("converted")
    x, y = b.buffer("x", given), b.buffer("y", made)
    zero = b.const(0, index)
    b.store(y, zero, b.cast(b.load(x, zero, lanes), made))
    with pytest.raises(UnsupportedError, match="`cast`"):
        emitted(b.finish())


def test_bytes_stay_bytes_in_a_choice_and_in_sums() -> None:
    b = MachineBuilder("narrow")
    x, y = b.buffer("x", u8, writable=False), b.buffer("y", u8)
    zero = b.const(0, index)
    v = b.load(x, zero)
    chosen = b.select(b.compare("lt", v, 3), v, b.add(v, 250))
    b.store(y, zero, b.max(chosen, v))
    source = emitted(b.finish())
    assert "(uchar)(v + ((uchar)250))" in source
    assert "(uchar)((v < ((uchar)3)) ? v : " in source


def test_products_of_integers_wrap() -> None:
    b = MachineBuilder("wrap")
    y = b.buffer("y", i32)
    t = b.thread()
    b.store(y, b.const(0, index), b.mul(t, t))
    assert "(int)((uint)v * v)" in emitted(b.finish())


def test_sums_of_data_wrap_and_sums_of_places_do_not() -> None:
    """Signed overflow is undefined in C; where it cannot happen, compilers add to addresses instead."""
    b = MachineBuilder("wrap")
    x, y = b.buffer("x", i32), b.buffer("y", i32)
    b.declare_size("N")
    b.declare_scalar("seed", i32)
    t = b.thread()
    place = b.add(t, b.size("N"))
    data = b.load(x, b.cast(place, index))
    with b.for_(0, b.sub(b.size("N"), 2), initials=[b.const(0, i32)]) as loop:
        b.store(y, b.cast(b.add(loop.variable, 7), index), b.sub(loop.values[0], 1))
        loop.next = [data]
    results = [b.sub(data, 3), b.neg(data), b.add(t, b.size("seed")), b.add(t, 1013904223), b.add(t, 1)]
    for number, result in enumerate(results):
        b.store(y, b.const(number, index), result)
    source = emitted(b.finish())
    for text in ("x[(v + N)]", "k < (N - 2)", "y[(k + 7)]", "y[4] = v + 1;"):
        assert text in source
    carried = source.split(" = 0;\n")[0].split()[-1]
    for text in (
        f"y[(k + 7)] = (int)((uint){carried} - 1);",
        "y[0] = (int)((uint)v_2 - 3);",
        "y[1] = (int)(0u - (uint)v_2);",
        "y[2] = (int)((uint)v + seed);",
        "y[3] = (int)((uint)v + 1013904223);",
    ):
        assert text in source


def test_shared_arrays_and_vectors() -> None:
    b = MachineBuilder("shared")
    y = b.buffer("y", i32)
    s = b.array("s", i8, Space.SHARED, 64)
    zero = b.const(0, index)
    b.store(s, zero, b.const(1, i8, 4))
    b.barrier()
    four = b.load(s, zero, 4)
    b.store(y, zero, b.dot4_ss(b.const(0, i32), four, four))
    function = b.finish(threads=8)
    function.width = 4
    source = emitted(function)
    assert workgroup(function) == (4, 2)
    assert "reqd_work_group_size(4, 2, 1)" in source
    assert "__local char s[64] __attribute__((aligned(16)));" in source
    assert "*(__local char4 *)&s[0] = ((char4)((char)1));" in source
    assert "barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);" in source
    assert source.count("inline int dot4_ss(") == 1


def test_a_masked_load_reads_nothing_outside() -> None:
    b = MachineBuilder("masked")
    x, y = b.buffer("x", f32, writable=False), b.buffer("y", f32)
    b.declare_size("N")
    t = b.thread()
    at, inside = b.cast(t, index), b.compare("lt", t, b.size("N"))
    b.store(y, at, b.load(x, at, mask=inside), inside)
    source = emitted(b.finish(threads=4))
    assert "ok ? x[v] : 0.0f" in source
    assert "if (ok) y[v] = " in source


def test_what_c_does_not_have_is_refused() -> None:
    b = MachineBuilder("reduced")
    y = b.buffer("y", i32)
    b.store(y, b.const(0, index), b.reduce("add", b.const([1, 2, 3, 4], i32, 4)))
    with pytest.raises(UnsupportedError, match="`reduce`"):
        emit_opencl(b.finish(), TARGET)


def exchanging() -> Function:
    """Each thread of 4 x 8 adds its subgroup's number to what the thread of the other half of a pair has read."""
    b = MachineBuilder("exchange")
    x, y = b.buffer("x", u32, writable=False), b.buffer("y", u32)
    at = b.cast(b.thread(), index)
    word = b.load_words(x, b.cast(b.mul(b.thread(), 4), index), 4)
    turned = b.shuffle(word, word, [3, 2, 1, 0])
    b.subgroup_barrier()
    other = b.lane_xor(b.extract(turned, 1), 2)
    b.store_words(y, at, b.add(other, b.cast(b.subgroup(), u32)), b.compare("lt", b.thread(), 30))
    function = b.finish(threads=32)
    function.width = 4
    return function


def test_threads_of_a_subgroup_are_neighbours_and_of_the_targets_number() -> None:
    function = exchanging()
    verify_machine(function)
    assert workgroup(function) == (32, 1)
    source = emit_opencl(function, replace(TARGET, features=frozenset({"subgroups"}), subgroup_size=8))
    assert "intel_reqd_sub_group_size(8)" in source
    assert "(int)(get_sub_group_id() * 8 + get_sub_group_local_id())" in source
    assert "(uint4)(v_2.s3, v_2.s2, v_2.s1, v_2.s0)" in source
    assert "intel_sub_group_shuffle_xor(v_3.s1, 2u)" in source
    assert "*(__global const uint4 *)&x[" in source
    assert "if (v < 30) *(__global uint *)&y[v] = " in source
    assert "sub_group_barrier(" in source
