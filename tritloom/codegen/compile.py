"""From a tile kernel to code: the lowering and the emitter that a target calls for."""

from __future__ import annotations

from collections.abc import Callable

from tritloom.codegen.emit.llvm import emit_llvm
from tritloom.codegen.emit.metal import emit_metal
from tritloom.codegen.emit.opencl import emit_opencl
from tritloom.codegen.emit.spirv import SpirvModule, emit_spirv
from tritloom.codegen.errors import UnsupportedError
from tritloom.codegen.ir.machine import Function
from tritloom.codegen.ir.machine_verifier import verify_machine
from tritloom.codegen.ir.tile import Kernel
from tritloom.codegen.lower.cpu import lower_cpu
from tritloom.codegen.lower.gpu import lower_gpu
from tritloom.codegen.target import Target

_LOWERINGS: dict[str, Callable[[Kernel, Target], Function]] = {
    "llvm": lower_cpu,
    "opencl": lower_gpu,
    "spirv": lower_gpu,
    "metal": lower_gpu,
}
"""By the language that a target's code is emitted in."""


def lower(kernel: Kernel, target: Target) -> Function:
    """The kernel in machine form, verified. Raises UnsupportedError for what the target cannot run."""
    lowering = _LOWERINGS.get(target.emitter)
    if lowering is None:
        raise UnsupportedError(
            f"the target {target.name} interprets `{kernel.name}` and has no code",
            hint="print the kernel's ir",
        )
    function = lowering(kernel, target)
    verify_machine(function)
    return function


def emit(function: Function, target: Target, *, may_alias: bool = False) -> str:
    """The target's source text of a function. `may_alias`: buffers may overlap (in-place launches on a CPU)."""
    if target.emitter == "llvm":
        return emit_llvm(function, target, may_alias=may_alias)
    if target.emitter == "opencl":
        return emit_opencl(function, target)
    if target.emitter == "metal":
        return emit_metal(function, target)
    if target.emitter == "spirv":
        return emit_spirv(function, target).text
    raise UnsupportedError(f"nothing emits code for the target {target.name}")


def source(kernel: Kernel, target: Target) -> str:
    """The source text that a kernel becomes on a target: LLVM IR, OpenCL C, Metal or SPIR-V."""
    return emit(lower(kernel, target), target)


def spirv(kernel: Kernel, target: Target) -> SpirvModule:
    """The SPIR-V module, words and all, that a kernel becomes on a target of Vulkan."""
    return emit_spirv(lower(kernel, target), target)
