"""The shim finds what Metal leaves undefined: without that, a kernel that passes on it says little."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.metal_shim import compiler
from tests.metal_shim.compiler import ShimError

pytestmark = pytest.mark.device("metal-shim")

TEMPLATE = """#include <metal_stdlib>
using namespace metal;
[[max_total_threads_per_threadgroup(64)]]
kernel void broken(
    device int *y [[buffer(0)]],
    uint group_number [[threadgroup_position_in_grid]],
    uint simdgroup_number [[simdgroup_index_in_threadgroup]],
    uint simdgroup_lane [[thread_index_in_simdgroup]])
{
  alignas(16) threadgroup int s[64];
  const int t = (int)(simdgroup_number * 32 + simdgroup_lane);
BODY
}
"""
FIRST = TEMPLATE[: TEMPLATE.index("BODY")].count("\n") + 1
"""The line of the body's first."""
BARRIER = "threadgroup_barrier(mem_flags::mem_threadgroup);"


def run(body: str, groups: int = 1, threads: int = 64) -> list[int]:
    result = np.full(64, -1, np.int32)
    compiler.load(TEMPLATE.replace("BODY", body)).run([result.ctypes.data], groups, threads)
    return [int(number) for number in result]


def test_threads_meet() -> None:
    assert run(f"s[t] = t;\n{BARRIER}\ny[t] = s[63 - t];") == list(range(63, -1, -1))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (f"if (t < 40) {{\n{BARRIER}\n}}", "thread 32 waits for its threadgroup at line 1, thread 40 has returned"),
        (f"if (t < 32) {{\n{BARRIER}\n}}", "thread 0 waits for its threadgroup at line 1, thread 32 has returned"),
        (f"if (t == 5) {{\n{BARRIER}\n}} else {{\n{BARRIER}\n}}", "at line 3, thread 5 waits for its threadgroup"),
        (
            "if (t != 3)\ny[t] = simd_shuffle_xor(t, 1);",
            "thread 0 waits for its simdgroup at line 1, thread 3 has returned",
        ),
        ("y[t] = t < 9 ? simd_shuffle_xor(t, 1) :\nsimd_shuffle_xor(t, 2);", "waits for its simdgroup at line"),
        ("s[t + 1] = t;", "thread 63 of threadgroup 0 goes past the end of an array"),
        ("y[t] = 2147483647 - t + 2 * t;", "adds integers past their limits"),
        ("y[t] = 1 << (t + 1);", "shifts by more bits than there are"),
        ("y[t] = 1 / (t - 7);", "thread 7 of threadgroup 0 divides by zero"),
        ("if (t == 9) *(device uint4 *)&y[1] = uint4(1u);", "uses a pointer that is not aligned"),
        (
            "simdgroup_float8x8 m;\nsimdgroup_load(m, (device const float *)&y[t == 9 ? 4 : 0], 8);",
            "has a matrix at another place",
        ),
    ],
)  # fmt: skip
def test_what_is_undefined_is_told_with_its_line(body: str, told: str) -> None:
    with pytest.raises(ShimError) as error:
        run(body)
    lines = [
        int(word) for word in str(error.value).replace(",", "").replace(":", "").split() if word.isdigit()
    ]
    text = str(error.value)
    for line in lines:
        if line >= FIRST:
            text = text.replace(f"line {line}", f"line {line - FIRST}")
    assert told in text


def test_threadgroup_memory_begins_as_rubbish() -> None:
    assert run("if (group_number == 1) y[t] = s[t];\ns[t] = 7;", groups=2) == [-1] * 64


MEETING = "simdgroup_barrier(mem_flags::mem_threadgroup);"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            f"s[t] = t;\n{BARRIER}\ns[t] = 2 * t;\ny[t] =\ns[t ^ 1];",
            "62 of 0 writes threadgroup 2, 63 read 4",
        ),
        ("y[t] = s[t ^ 1];\ns[t] = t;", "1 of 0 reads threadgroup 0, 0 wrote 1"),
        ("s[0] = 1;", "1 of 0 writes threadgroup 0, 0 wrote 0"),
        ("y[0] = t / 2;", "2 of 0 writes device 0, 1 wrote 0"),
        ("y[0] = y[0] + 1;", "1 of 0 reads device 0, 0 wrote 0"),
        ("if (t == 0) y[0] = (int)group_number;", "0 of 1 writes device 0, another wrote 0"),
        (
            f"int kept = y[0];\n{BARRIER}\nif (group_number == 1 && t == 9) y[0] = kept;",
            "9 of 1 writes device 2, another read 0",
        ),
        (f"s[t] = t;\n{MEETING}\ny[t] =\ns[63 - t];", "63 of 0 reads threadgroup 3, 0 wrote 0"),
        (f"y[t] = s[63 - t];\n{MEETING}\ns[t] = t;", "63 of 0 writes threadgroup 2, 0 read 0"),
        ("s[t] = t;\nsimd_shuffle_xor(t, 1);\ny[t] =\ns[t ^ 1];", "63 of 0 reads threadgroup 3, 62 wrote 0"),
    ],
)
def test_a_race_is_told_with_both_lines(body: str, told: str) -> None:
    with pytest.raises(ShimError) as error:
        run(body, groups=2)
    found = re.search(
        r"thread (\d+) of threadgroup (\d) (\w+) (\w+) memory at line (\d+) which (?:thread)?(.*?)(?: threadgroup)? "
        r"(\w+) at line (\d+)",
        str(error.value),
    )
    assert found is not None, error.value
    thread, group, does, space, here, other, did, there = map(str.strip, found.groups())
    assert (
        f"{thread} of {group} {does} {space} {int(here) - FIRST}, {other} {did} {int(there) - FIRST}" == told
    )


def test_matrices_race_too() -> None:
    load = "simdgroup_load(m, (threadgroup float *)s, 8);"
    store = "simdgroup_store(m, (threadgroup float *)s, 8, ulong2(0), true);"
    with pytest.raises(ShimError, match=r"threadgroup memory at line .* and nothing orders them"):
        run(f"simdgroup_float8x8 m;\n{load}\n{store}", threads=32)
    run(f"simdgroup_float8x8 m;\n{load}\n{MEETING}\n{store}", threads=32)


@pytest.mark.parametrize(
    "body",
    [
        f"s[t] = t;\n{BARRIER}\nif (group_number == 0) y[t] = s[t ^ 1] + s[t ^ 2];\n{BARRIER}\ns[t] = 0;",
        f"s[t] = t;\n{MEETING}\nint kept = s[t ^ 1];\n{MEETING}\ns[t] = kept;",
        "y[t / 2] = t / 2;",
        f"if (group_number == 1) {{\nint kept = y[t / 2];\n{BARRIER}\ny[t / 2] = kept;\n}}",
    ],
)
def test_what_is_ordered_is_no_race(body: str) -> None:
    run(body, groups=2)


def test_half_a_simdgroup_has_no_matrices() -> None:
    with pytest.raises(ShimError, match="fewer than 32 threads"):
        run("simdgroup_float8x8 m;\nsimdgroup_load(m, (device const float *)y, 8);", threads=16)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("int x;", "no kernel"),
        (TEMPLATE.replace("[[max_total_threads_per_threadgroup(64)]]", ""), "how many threads"),
        (TEMPLATE.replace("BODY", "  threadgroup int r[2];"), "in another way"),
        (TEMPLATE.replace(" [[buffer(0)]]", ""), "without an attribute"),
        (TEMPLATE.replace("thread_index_in_simdgroup", "thread_index_in_moon"), "does not know"),
        (TEMPLATE.replace("BODY", "  y[t] = nothing;"), "nothing"),
    ],
)
def test_a_source_that_it_does_not_know_is_refused(source: str, told: str) -> None:
    with pytest.raises(ShimError, match=told):
        compiler.load(source)
