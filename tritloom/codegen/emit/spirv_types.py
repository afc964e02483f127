"""The types and constants of a SPIR-V module.

Integers of one width are one type, without a sign: the operations carry it (so i32 and u32 need no conversion). f16 and
bf16 are their bits, in 16-bit integers, but for the components of matrices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tritloom.codegen.emit.spirv_assembler import Id, Module
from tritloom.codegen.emit.spirv_opcodes import NUMBERS
from tritloom.codegen.errors import UnsupportedError
from tritloom.codegen.ir.dtypes import DType, Kind, bf16, f16, f32
from tritloom.codegen.ir.machine import MachineType, MatrixShape, MatrixUse, index

_USES = {
    MatrixUse.A: "MatrixAKHR",
    MatrixUse.B: "MatrixBKHR",
    MatrixUse.ACCUMULATOR: "MatrixAccumulatorKHR",
}


def storage_bits(dtype: DType) -> int:
    """The bits of an element in memory and, but for bools, in a register."""
    return 32 if dtype is index else dtype.bits


class Types:
    """Makes the types and constants of one module."""

    def __init__(self, module: Module):
        self.module = module

    @property
    def bool_(self) -> Id:
        """A truth value."""
        return self.module.once("OpTypeBool", label="bool")

    @property
    def f32(self) -> Id:
        """A 32-bit float."""
        return self.module.once("OpTypeFloat", 32, label="f32")

    @property
    def u32(self) -> Id:
        """A 32-bit integer."""
        return self.int_(32)

    def int_(self, bits: int) -> Id:
        """An integer of 8, 16 or 32 bits."""
        self._narrow(bits)
        return self.module.once("OpTypeInt", bits, 0, label=f"u{bits}")

    def _narrow(self, bits: int) -> None:
        """Ask for arithmetic of few bits. To store them takes less, but spirv-val takes a pointer to a pointer to one,
        as our arguments have, for arithmetic."""
        if bits < 32:
            self.module.capability(f"Int{bits}")

    def stored(self, dtype: DType) -> Id:
        """The type of an element in memory."""
        return self.f32 if dtype is f32 else self.int_(storage_bits(dtype))

    def words(self, lanes: int) -> Id:
        """`lanes` words of 32 bits."""
        return self.vector(self.u32, lanes, "u32")

    def vector(self, component: Id, lanes: int, label: str) -> Id:
        """A vector; the component itself for one lane."""
        if lanes == 1:
            return component
        if lanes > 4:
            raise UnsupportedError(f"SPIR-V has no vectors of {lanes} lanes")
        return self.module.once("OpTypeVector", component, lanes, label=f"{label}x{lanes}")

    def register(self, type_: MachineType) -> Id:
        """The type of a register."""
        if type_.matrix is not None:
            return self.matrix(type_.dtype, type_.matrix)
        if type_.dtype.is_bool:
            return self.vector(self.bool_, type_.lanes, "bool")
        component = self.stored(type_.dtype)
        label = "f32" if type_.dtype is f32 else f"u{storage_bits(type_.dtype)}"
        return self.vector(component, type_.lanes, label)

    def component(self, dtype: DType) -> Id:
        """The type of an element of a matrix: here integers have their sign and f16 and bf16 are floats."""
        once = self.module.once
        if dtype is f16:
            self.module.capability("Float16")
            return once("OpTypeFloat", 16, label="f16")
        if dtype is bf16:
            self.module.capability("BFloat16TypeKHR", "BFloat16CooperativeMatrixKHR")
            self.module.extension("SPV_KHR_bfloat16")
            return once("OpTypeFloat", 16, "BFloat16KHR", label="bf16")
        if dtype is f32:
            return self.f32
        self._narrow(dtype.bits)
        return once("OpTypeInt", dtype.bits, int(dtype.kind is Kind.INT), label=dtype.name)

    def matrix(self, dtype: DType, shape: MatrixShape) -> Id:
        """The type of a subgroup's matrix."""
        self.module.capability("CooperativeMatrixKHR")
        self.module.extension("SPV_KHR_cooperative_matrix")
        return self.module.once(
            "OpTypeCooperativeMatrixKHR",
            self.component(dtype),
            self.number(NUMBERS["Scope"]["Subgroup"]),
            self.number(shape.rows),
            self.number(shape.columns),
            self.number(NUMBERS["CooperativeMatrixUse"][_USES[shape.use]]),
            label=f"{dtype.name}_{shape.rows}x{shape.columns}_{shape.use.value}",
        )

    def pointer(self, storage: str, type_: Id) -> Id:
        """A pointer into a storage class."""
        return self.module.once("OpTypePointer", storage, type_)

    # constants

    def number(self, value: int) -> Id:
        """A 32-bit integer."""
        return self._literal(self.u32, value & 0xFFFFFFFF, str(value).replace("-", "minus_"))

    def real(self, value: float) -> Id:
        """A 32-bit float."""
        return self.scalar(value, f32)

    def _literal(self, type_: Id, bits: int, label: str) -> Id:
        return self.module.once("OpConstant", type_, bits, label=f"c_{label}")

    def scalar(self, value: float | bool, dtype: DType) -> Id:
        """A constant of one lane."""
        if dtype.is_bool:
            return self.module.once("OpConstantTrue" if value else "OpConstantFalse", self.bool_)
        label = f"{value:g}".replace("-", "minus_").replace(".", "_").replace("+", "")
        if dtype.is_float:
            bits = int(np.array(value, dtype.numpy).view(f"u{dtype.nbytes}"))
            return self._literal(self.stored(dtype), bits, f"{dtype.name}_{label}")
        width = storage_bits(dtype)
        if width == 32:
            return self.number(int(value))
        return self._literal(self.int_(width), int(value) & ((1 << width) - 1), f"{dtype.name}_{label}")

    def constant(self, value: float | bool | Sequence[float], type_: MachineType) -> Id:
        """A constant of a register's type: one number for all lanes (or all of a matrix), or one a lane."""
        if type_.matrix is not None:
            assert isinstance(value, int | float)
            return self.module.once(
                "OpConstantComposite", self.register(type_), self._of_matrix(value, type_.dtype)
            )
        if type_.lanes == 1:
            return self.scalar(value[0] if isinstance(value, Sequence) else value, type_.dtype)
        values = value if isinstance(value, Sequence) else [value] * type_.lanes
        parts = [self.scalar(one, type_.dtype) for one in values]
        return self.module.once("OpConstantComposite", self.register(type_), *parts)

    def _of_matrix(self, value: float, dtype: DType) -> Id:
        bits = int(np.array(value, dtype.numpy).view(f"u{dtype.nbytes}"))
        if dtype.kind is Kind.INT and value < 0:
            bits -= 1 << dtype.bits  # a literal of a signed type is sign-extended
        return self._literal(self.component(dtype), bits, f"{dtype.name}_{value:g}".replace("-", "minus_"))
