"""The CPU backend's code for AArch64, linked with a C main program and run under qemu-user, against NumPy."""

from __future__ import annotations

import pytest

from tests.backends.emulated import EmulatedDevice
from tests.codegen.emit import test_llvm, test_llvm_math
from tests.codegen.emit.test_llvm_math import FUNCTIONS
from tests.conformance.running import conforms
from tests.conformance.test_reductions_and_dots import integers, matmul, row_reductions
from tritloom.codegen.ir.dtypes import DType, bf16, bool_, f16, f32, i8, i32, ternary, u8
from tritloom.codegen.ir.machine import Op, index
from tritloom.codegen.ir.ternary import TernaryArray

pytestmark = pytest.mark.device("aarch64")
NAME = "aarch64"


@pytest.mark.parametrize("op", list(FUNCTIONS), ids=lambda op: op.value)
def test_functions(op: Op) -> None:
    test_llvm_math.test_function(op, NAME, 4)


@pytest.mark.parametrize("dtype", [f16, bf16], ids=str)
def test_narrow_floats(dtype: DType) -> None:
    test_llvm_math.test_narrow_floats_convert_exactly(dtype, NAME)
    test_llvm_math.test_narrow_arithmetic_is_rounded_once(Op.MUL, dtype, NAME)


@pytest.mark.parametrize("dtype", ["i8", "u32"])
def test_conversions(dtype: str) -> None:
    test_llvm_math.test_float_to_integer_truncates_and_saturates(dtype, NAME)
    test_llvm_math.test_integer_to_float(dtype, NAME)


@pytest.mark.parametrize("lanes", [1, 4, 12, 16])
@pytest.mark.parametrize("variant", ["us", "small", "ss"])
def test_dot4(variant: str, lanes: int) -> None:
    test_llvm.test_dot4_is_exact(variant, lanes, NAME)


def test_products_and_lookups() -> None:
    test_llvm.test_dot2_of_bf16(8, NAME)
    test_llvm.test_lookup(16, f32, 4, NAME)
    test_llvm.test_lookup(8, bf16, 16, NAME)


@pytest.mark.parametrize("dtype", [i8, f32], ids=str)
def test_reductions(dtype: DType) -> None:
    for kind in ("add", "min", "max"):
        test_llvm.test_reduce(kind, dtype, 16, NAME)


@pytest.mark.parametrize("dtype", [bool_, u8, bf16, f32], ids=str)
def test_memory(dtype: DType) -> None:
    test_llvm.test_masked_memory(4, dtype, NAME)
    test_llvm.test_gather_and_scatter(True, index, dtype, NAME)


@pytest.mark.parametrize("op", [Op.DIV, Op.REM], ids=lambda op: op.value)
def test_division(op: Op) -> None:
    test_llvm.test_integer_binary(op, i32, NAME)
    test_llvm.test_division_by_zero_does_not_stop_the_process(op, NAME)


def test_control_flow() -> None:
    test_llvm.test_loops_conditions_arrays_and_arguments(1, NAME)


def test_least_and_greatest() -> None:
    test_llvm.test_least_and_greatest_give_an_operand_where_one_is_nan(Op.MIN, NAME)


@pytest.fixture(scope="module")
def device() -> EmulatedDevice:
    return EmulatedDevice()


@pytest.mark.parametrize("left", [i8, bf16, f32], ids=str)
@pytest.mark.parametrize("rows", [1, 11])
def test_ternary_products(device: EmulatedDevice, left: DType, rows: int) -> None:
    x = integers(left, (rows, 75), 1)
    w = TernaryArray.pack(integers(i8, (37, 75), 2, -1, 1))
    conforms(device, matmul(left, ternary, (4, 16, 32)), {"x": x, "w": w}, {"M": rows, "N": 37, "K": 75})


@pytest.mark.parametrize("dtype", [i8, f16], ids=str)
def test_products_of_matrices(device: EmulatedDevice, dtype: DType) -> None:
    tensors = {"x": integers(dtype, (9, 40), 3), "w": integers(dtype, (13, 40), 4)}
    conforms(device, matmul(dtype, dtype, (4, 16, 16)), tensors, {"M": 9, "N": 13, "K": 40})


@pytest.mark.parametrize("dtype", [u8, bf16, f32], ids=str)
def test_kernels_with_reductions(device: EmulatedDevice, dtype: DType) -> None:
    conforms(device, row_reductions(dtype), {"x": integers(dtype, (7, 45), 5)}, {"M": 7, "K": 45})
