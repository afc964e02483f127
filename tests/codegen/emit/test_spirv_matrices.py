"""A subgroup's matrices in SPIR-V: KHR cooperative matrices of bytes, f16 and bf16, in shared memory and buffers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.spirv_tools import validate
from tritloom.codegen.emit.spirv import SpirvModule, emit_spirv
from tritloom.codegen.errors import UnsupportedError
from tritloom.codegen.ir.dtypes import DType, bf16, f16, f32, i8, i32
from tritloom.codegen.ir.machine import Function, MatrixAccess, MatrixShape, MatrixUse, Space, index
from tritloom.codegen.ir.machine_builder import MachineBuilder
from tritloom.codegen.ir.machine_verifier import verify_machine
from tritloom.codegen.targets import target

DEVICE = replace(target("vulkan"), features=frozenset({"subgroups"}), subgroup_size=32)
UNITS = [(16, 16, 32, i8, i32), (16, 16, 16, f16, f32), (16, 16, 16, bf16, f32), (16, 16, 16, f16, f16)]


def product(
    m: int,
    n: int,
    k: int,
    operand: DType,
    accumulator: DType,
    *,
    b_in_buffer: bool = False,
    elements: bool = False,
) -> Function:
    """y = a . b by one subgroup, over two steps along k. `elements`: `a` is written one element at a time."""
    b = MachineBuilder("product")
    x, w = b.buffer("x", operand, writable=False), b.buffer("w", operand, writable=False)
    y = b.buffer("y", accumulator)
    left = b.array("left", operand, Space.SHARED, m * k)
    right = b.array("right", operand, Space.SHARED, n * k)
    words = 16 // operand.nbytes
    start = b.const(0, index)
    shape = MatrixShape(m, n, MatrixUse.ACCUMULATOR)
    total = b.matrix_const(0, accumulator, shape)
    with b.for_(0, 2, initials=[total]) as loop:
        source = b.cast(b.add(b.mul(loop.variable, m * k), b.mul(b.thread(), words)), index)
        here = b.cast(b.mul(b.thread(), words), index)
        b.barrier()
        if elements:
            for i in range(words):
                b.store(left, b.add(here, i), b.load(x, b.add(source, i)))
        else:
            b.store_words(left, here, b.load_words(x, source, 4))
        b.store_words(right, here, b.load_words(w, source, 4))
        b.barrier()
        first = b.matrix_load(MatrixAccess(left, k), start, MatrixShape(m, k, MatrixUse.A))
        place = w if b_in_buffer else right
        second = b.matrix_load(MatrixAccess(place, k, transposed=True), start, MatrixShape(k, n, MatrixUse.B))
        loop.next = [b.matrix_multiply_add(first, second, loop.values[0])]
    with b.if_(b.compare("eq", b.subgroup(), 0)):
        b.matrix_store(MatrixAccess(y, n), start, loop.results[0])
    return b.finish(threads=32)


def emitted(function: Function) -> SpirvModule:
    verify_machine(function)
    module = emit_spirv(function, DEVICE)
    validate(module.words)
    return module


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: f"{unit[3]}-{unit[4]}")
@pytest.mark.parametrize("b_in_buffer", [False, True])
@pytest.mark.parametrize("elements", [False, True])
def test_products(unit: tuple[int, int, int, DType, DType], b_in_buffer: bool, elements: bool) -> None:
    module = emitted(product(*unit, b_in_buffer=b_in_buffer, elements=elements))
    assert {"CooperativeMatrixKHR", "VulkanMemoryModel"} <= set(module.capabilities)
    assert ("BFloat16CooperativeMatrixKHR" in module.capabilities) == (unit[3] is bf16)
    assert ("Float16" in module.capabilities) == (unit[3] is f16)
    assert "SPV_KHR_cooperative_matrix" in module.extensions
    assert module.uses_subgroups


def test_rows_in_shared_memory_are_read_sixteen_bytes_at_once() -> None:
    text = emitted(product(16, 16, 32, i8, i32)).text
    assert "OpTypeArray %u32x4 %c_32" in text
    loads = [line for line in text.splitlines() if "OpCooperativeMatrixLoadKHR" in line]
    # By rows and by columns, two of four words apart.
    assert [line.split()[-3:] for line in loads] == [
        ["%c_0", "%c_2", "NonPrivatePointer"],
        ["%c_1", "%c_2", "NonPrivatePointer"],
    ]


def test_bytes_have_a_sign() -> None:
    text = emitted(product(16, 16, 32, i8, i32)).text
    line = next(line for line in text.splitlines() if "MulAdd" in line)
    assert line.endswith(
        "MatrixASignedComponentsKHR|MatrixBSignedComponentsKHR|MatrixCSignedComponentsKHR|"
        "MatrixResultSignedComponentsKHR"
    )
    assert "OpTypeInt 8 1" in text


def test_shared_memory_is_exchanged_under_vulkans_memory_model() -> None:
    text = emitted(product(16, 16, 16, f16, f32)).text
    assert "OpMemoryModel PhysicalStorageBuffer64 Vulkan" in text
    # Acquire and release of shared memory, made available and visible.
    assert f"OpControlBarrier %c_2 %c_2 %c_{0x8 | 0x100 | 0x2000 | 0x4000}" in text


def test_a_matrix_needs_a_subgroup_of_known_size() -> None:
    with pytest.raises(UnsupportedError, match="subgroup's size"):
        emit_spirv(product(16, 16, 32, i8, i32), target("vulkan"))
