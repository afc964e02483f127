"""Element types: what one element of a tensor, a tile or a register is.

Packed ternary is a dtype like the others: its elements are -1, 0 and 1, and how they lie in memory is a
:class:`TernaryLayout` that the device chooses. See :mod:`tritloom.codegen.ir.ternary` for packing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import ml_dtypes
import numpy as np

from tritloom.codegen.errors import DTypeError


class Kind(Enum):
    """The family of a dtype: decides which operations take it."""

    BOOL = "bool"
    INT = "int"
    UINT = "uint"
    FLOAT = "float"
    TERNARY = "ternary"


@dataclass(frozen=True, slots=True)
class DType:
    """An element type. `bits` is its width in memory, `numpy` the dtype of its host arrays."""

    name: str
    kind: Kind
    bits: int
    numpy: np.dtype[Any]

    @property
    def is_float(self) -> bool:
        return self.kind is Kind.FLOAT

    @property
    def is_integer(self) -> bool:
        return self.kind in (Kind.INT, Kind.UINT)

    @property
    def is_ternary(self) -> bool:
        return self.kind is Kind.TERNARY

    @property
    def is_bool(self) -> bool:
        return self.kind is Kind.BOOL

    @property
    def nbytes(self) -> int:
        """Bytes of one element. Ternary has none of its own: ask its layout."""
        if self.is_ternary:
            raise DTypeError(
                "a ternary element is less than a byte", hint="ask TernaryLayout.words for its storage"
            )
        return max(self.bits // 8, 1)

    @property
    def accumulator(self) -> DType:
        """The dtype in which sums and products of this dtype are accumulated."""
        if self.is_float:
            return f32
        return u32 if self.kind is Kind.UINT else i32

    @property
    def limits(self) -> tuple[float, float]:
        """The least and greatest finite value."""
        if self.is_float:
            info = ml_dtypes.finfo(self.numpy)
            return float(info.min), float(info.max)
        if self.is_bool:
            return 0, 1
        if self.is_ternary:
            return -1, 1
        integer = np.iinfo(self.numpy)
        return int(integer.min), int(integer.max)

    def __getitem__(self, dims: Any) -> TensorSpec:
        """`f32["M", "K"]`: the annotation of a kernel's parameter."""
        return TensorSpec(self, dims if isinstance(dims, tuple) else (dims,))

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A parameter's dtype and dimensions; a dimension is a name (checked at call time) or a number."""

    dtype: DType
    dims: tuple[str | int, ...]
    mode: str = "in"

    def __repr__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.dims))}]"


bool_ = DType("bool", Kind.BOOL, 8, np.dtype(np.bool_))
i8 = DType("i8", Kind.INT, 8, np.dtype(np.int8))
i16 = DType("i16", Kind.INT, 16, np.dtype(np.int16))
i32 = DType("i32", Kind.INT, 32, np.dtype(np.int32))
u8 = DType("u8", Kind.UINT, 8, np.dtype(np.uint8))
u32 = DType("u32", Kind.UINT, 32, np.dtype(np.uint32))
f16 = DType("f16", Kind.FLOAT, 16, np.dtype(np.float16))
bf16 = DType("bf16", Kind.FLOAT, 16, np.dtype(ml_dtypes.bfloat16))
f32 = DType("f32", Kind.FLOAT, 32, np.dtype(np.float32))
ternary = DType("ternary", Kind.TERNARY, 2, np.dtype(np.int8))

ALL: tuple[DType, ...] = (bool_, i8, i16, i32, u8, u32, f16, bf16, f32, ternary)
BY_NAME: dict[str, DType] = {dtype.name: dtype for dtype in ALL}
_BY_NUMPY: dict[np.dtype[Any], DType] = {dtype.numpy: dtype for dtype in ALL if not dtype.is_ternary}


def from_numpy(dtype: Any) -> DType:
    """The DType of a NumPy dtype. Raises DTypeError for one that no device has (f64, i64...)."""
    try:
        return _BY_NUMPY[np.dtype(dtype)]
    except KeyError:
        names = ", ".join(d.name for d in ALL if not d.is_ternary)
        raise DTypeError(
            f"NumPy's {np.dtype(dtype)} is no dtype of Tritloom", hint=f"convert the array to one of {names}"
        ) from None
