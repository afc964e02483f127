"""One ternary weight matrix in the packed form of model files, and how float weights become one.

The form is that of transformers' BitNet integration: code = w + 1 in 2 bits, uint8 [ceil(out / 4), in]; with
R = ceil(out / 4), byte row r holds output rows r, R + r, 2R + r and 3R + r in bits 0-1, 2-3, 4-5 and 6-7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tritloom.models.errors import CheckpointError

FloatArray = npt.NDArray[Any]
"""float32, float16 or bfloat16 (ml_dtypes) values."""

_ROWS_PER_BYTE = 4
_CHUNK_ROWS = 1 << 10
_MIN_SCALE = np.float32(1e-5)


@dataclass(frozen=True, slots=True, eq=False)
class TernaryWeight:
    """A matrix [out, in] of {-1, 0, 1} times one `scale`: W = codes() * scale, y = x W^T.

    `packed` is uint8 [ceil(out / 4), in] as in files (see the module's text), possibly a read-only view of a mapped
    file; `scale` always multiplies, whatever the file's convention was.
    """

    packed: npt.NDArray[np.uint8]
    scale: float
    out_features: int

    def __post_init__(self) -> None:
        rows = -(-self.out_features // _ROWS_PER_BYTE)
        if self.packed.dtype != np.uint8 or self.packed.ndim != 2 or self.packed.shape[0] != rows:
            raise CheckpointError(
                f"packed weights of {self.out_features} rows must be uint8 [{rows}, in], "
                f"not {self.packed.dtype} {list(self.packed.shape)}"
            )
        if not np.isfinite(self.scale):
            raise CheckpointError(f"the scale of packed weights is {self.scale}, not a finite number")

    @property
    def in_features(self) -> int:
        return int(self.packed.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in)."""
        return self.out_features, self.in_features

    def codes(self) -> npt.NDArray[np.int8]:
        """The weights without their scale, int8 [out, in] of {-1, 0, 1}."""
        return unpack(self.packed, self.out_features)

    def dequantized(self) -> npt.NDArray[np.float32]:
        """codes() * scale, float32 [out, in]."""
        return self.codes() * np.float32(self.scale)


def pack(codes: npt.NDArray[np.int8]) -> npt.NDArray[np.uint8]:
    """Pack int8 [out, in] of {-1, 0, 1} to uint8 [ceil(out / 4), in]. Bits past the last row are 0."""
    out, width = codes.shape
    rows = -(-out // _ROWS_PER_BYTE)
    packed = np.zeros((rows, width), np.uint8)
    for lane in range(_ROWS_PER_BYTE):
        part = codes[lane * rows : min((lane + 1) * rows, out)]
        packed[: len(part)] |= (part + 1).astype(np.uint8) << np.uint8(2 * lane)
    return packed


def unpack(packed: npt.NDArray[np.uint8], out_features: int) -> npt.NDArray[np.int8]:
    """Undo :func:`pack`: int8 [out_features, in]."""
    rows = len(packed)
    codes = np.empty((out_features, packed.shape[1]), np.int8)
    for lane in range(_ROWS_PER_BYTE):
        part = codes[lane * rows : min((lane + 1) * rows, out_features)]
        np.subtract((packed[: len(part)] >> np.uint8(2 * lane)) & np.uint8(3), 1, out=part, dtype=np.int8)
    return codes


def has_invalid_code(packed: npt.NDArray[np.uint8]) -> bool:
    """Whether some 2-bit code is 3, which stands for no weight."""
    for start in range(0, len(packed), _CHUNK_ROWS):
        chunk = packed[start : start + _CHUNK_ROWS]
        if np.any(chunk & (chunk >> np.uint8(1)) & np.uint8(0b01010101)):
            return True
    return False


def ternarise(master: FloatArray) -> TernaryWeight:
    """The ternary weight of float master weights [out, in], as transformers' AutoBitLinear forms it on the fly.

    In float32: s = max(mean|W|, 1e-5); w = clamp(round_half_even(W * (1 / s)), -1, 1); the scale is 1 / (1 / s).
    The mean is accumulated in float64. Raises CheckpointError where a weight is not finite.
    """
    out = master.shape[0]
    total = 0.0
    for start in range(0, out, _CHUNK_ROWS):
        total += float(np.abs(master[start : start + _CHUNK_ROWS].astype(np.float32)).sum(dtype=np.float64))
    if not np.isfinite(total):
        raise CheckpointError("master weights hold a value that is not finite")
    inverse = np.float32(1) / max(np.float32(total / max(master.size, 1)), _MIN_SCALE)
    codes = np.empty(master.shape, np.int8)
    for start in range(0, out, _CHUNK_ROWS):
        scaled = master[start : start + _CHUNK_ROWS].astype(np.float32) * inverse
        codes[start : start + _CHUNK_ROWS] = np.clip(np.rint(scaled), -1, 1)
    return TernaryWeight(pack(codes), float(np.float32(1) / inverse), out)
