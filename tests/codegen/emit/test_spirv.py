"""SPIR-V from machine form: every module is valid, asks for no more than it uses, and is always the same."""

from __future__ import annotations

import pytest

from tests.codegen.test_golden import add, rms_norm, ternary_matmul
from tests.spirv_tools import validate
from tritloom.codegen.compile import spirv
from tritloom.codegen.targets import target
from tritloom.dsl.kernel import Kernel

VULKAN = target("vulkan")


@pytest.mark.parametrize("kernel", [add, rms_norm, ternary_matmul], ids=lambda kernel: kernel.name)
def test_kernels_are_valid(kernel: Kernel) -> None:
    validate(spirv(kernel.configure().build(), VULKAN).words)


def test_a_kernel_of_floats_asks_for_nothing_special() -> None:
    module = spirv(add.configure().build(), VULKAN)
    assert module.capabilities == ("PhysicalStorageBufferAddresses", "Shader")
    assert module.extensions == ()
