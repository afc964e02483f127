"""What code is made for: a description of a processor, never a vendor's name.

A lowering picks its strategies from these numbers alone, so a target may be described by hand and compiled for on a
machine that has no such device.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tritloom.codegen.ir.dtypes import DType
from tritloom.codegen.ir.ternary import TernaryLayout


@dataclass(frozen=True, slots=True)
class MatrixUnit:
    """A product of matrices that a subgroup does in one instruction: [rows, depth] . [depth, columns] + accumulator."""

    rows: int
    columns: int
    depth: int
    operand: DType
    """The dtype of both factors."""
    accumulator: DType


@dataclass(frozen=True, slots=True)
class Target:
    """A processor, as the lowerings and emitters see it. Immutable, and part of every cache key."""

    name: str
    """How errors and `k.source(target=...)` name it, as in "cpu", "cpu:avx2", "aarch64", "opencl"."""
    emitter: str
    """The language that code is emitted in: "llvm", "opencl", "spirv", "metal", or "none" (the interpreter)."""
    layout: TernaryLayout = field(default_factory=TernaryLayout)
    """How ternary matrices lie in this target's memory."""
    features: frozenset[str] = frozenset()
    """What it has, of FEATURES."""
    vector_bits: int = 0
    """CPU: width of a vector register."""
    vector_registers: int = 16
    """CPU: how many of them."""
    llvm_triple: str = ""
    llvm_cpu: str = ""
    llvm_features: str = ""
    max_threads: int = 1
    """GPU: threads of a workgroup."""
    subgroup_size: int = 1
    """GPU: threads of a subgroup, a power of two; 1 where it is not known."""
    shared_bytes: int = 0
    """GPU: shared memory of a workgroup."""
    registers: int = 128
    """GPU: 32-bit registers that a thread may have without spilling or starving its neighbours."""
    matrices: tuple[MatrixUnit, ...] = ()
    """GPU: what its matrix units do, best first."""

    @property
    def is_gpu(self) -> bool:
        """Whether code for it is threads of workgroups."""
        return self.emitter not in ("llvm", "none")

    @property
    def few_registers(self) -> bool:
        """GPU: whether a thread has so few registers that half the usual blocks suit it better."""
        return self.registers <= 64

    @property
    def exchange_width(self) -> int:
        """GPU: neighbouring threads that can exchange registers; 1 where none can."""
        return self.subgroup_size if self.has("subgroups") else 1

    def has(self, feature: str) -> bool:
        """Whether the processor has one of FEATURES."""
        if feature not in FEATURES:
            raise KeyError(feature)
        return feature in self.features


FEATURES: dict[str, str] = {
    "int8-dot": "sums of four 8-bit products in one instruction (VNNI, sdot, integer dot of a GPU)",
    "bf16-dot": "sums of two bf16 products in one instruction",
    "lookup": "a register's lanes indexed by another's (vpermd and the like)",
    "masked-memory": "vector loads and stores under a mask at no extra cost",
    "gather": "vector loads from scattered addresses",
    "f16": "arithmetic and storage of f16",
    "subgroups": "exchange among the threads of a subgroup, whose size is known",
    "fused-multiply-add": "a * b + c of f32 is rounded once, quotients and roots may be off (GPUs under Vulkan)",
    "keeps-denormals": "denormals of f32 are kept, if the code asks for it",
    "keeps-nan": "NaN, infinities and the sign of zero are kept, if the code asks for it",
    "rounds-to-even": "f32 arithmetic is rounded to nearest, if the code asks for it",
}
