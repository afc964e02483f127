"""Packed ternary storage: sixteen weights of two bits in a 32-bit word.

A ternary matrix W[N, K] holds, in each word, sixteen neighbours along K of one row; weight k = 4i + b of the sixteen
stands as the code w + 1 at bit 8b + 2i, so `(word >> 2i) & 0x03030303` is four bytes in the order of k. The words lie
as `words[ceil(N / R), ceil(K / 16), R]`, where R is the layout's `interleave`: a vector load of R words then gives R
neighbouring rows (what a CPU wants), and R = 1 gives plain rows (what a GPU wants). Both paddings hold the code 1, the
weight 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritloom.codegen.errors import DTypeError, ShapeError

WEIGHTS_PER_WORD = 16
ZERO_WORD = np.uint32(0x55555555)
"""A word of sixteen zero weights (code 1 in each field)."""


@dataclass(frozen=True, slots=True)
class TernaryLayout:
    """Where the word of W[n, 16w .. 16w+15] lies: `((n // R) * ceil(K / 16) + w) * R + n % R`."""

    interleave: int = 1

    def words_shape(self, rows: int, columns: int) -> tuple[int, int, int]:
        """The shape of the uint32 array that stores a [rows, columns] matrix."""
        return (-(-rows // self.interleave), -(-columns // WEIGHTS_PER_WORD), self.interleave)

    def nbytes(self, rows: int, columns: int) -> int:
        """Bytes of storage of a [rows, columns] matrix."""
        a, b, c = self.words_shape(rows, columns)
        return 4 * a * b * c


ROWS = TernaryLayout(1)


def bit_of(k: int) -> int:
    """The bit at which weight k (mod 16) stands in its word."""
    return 8 * (k % 4) + 2 * ((k % 16) // 4)


_SHIFTS = np.array([bit_of(k) for k in range(WEIGHTS_PER_WORD)], dtype=np.uint32)


class TernaryArray:
    """A host matrix of weights in {-1, 0, 1}, stored packed. Immutable.

    `shape` is (N, K); `words` the uint32 storage in `layout`.
    """

    __slots__ = ("layout", "shape", "words")

    def __init__(self, words: NDArray[np.uint32], shape: tuple[int, int], layout: TernaryLayout = ROWS):
        if words.dtype != np.uint32 or words.shape != layout.words_shape(*shape):
            raise ShapeError(
                f"ternary words have shape {words.shape} of {words.dtype}, a {shape} matrix in {layout} needs "
                f"{layout.words_shape(*shape)} of uint32",
                hint="make ternary arrays with TernaryArray.pack",
            )
        self.words = words
        self.shape = shape
        self.layout = layout

    @classmethod
    def pack(cls, weights: NDArray[Any], layout: TernaryLayout = ROWS) -> TernaryArray:
        """Pack an [N, K] array whose values are -1, 0 or 1. Raises DTypeError for any other value."""
        if weights.ndim != 2:
            raise ShapeError(f"a ternary array is a matrix, not {weights.ndim}-dimensional")
        signed = weights.astype(np.int8)
        if not (np.isin(signed, (-1, 0, 1)).all() and (signed == weights).all()):
            raise DTypeError(
                "the array holds values other than -1, 0 and 1",
                hint="quantise first: clip(round(w / mean(abs(w))), -1, 1)",
            )
        rows, columns = weights.shape
        blocks, steps, interleave = layout.words_shape(rows, columns)
        codes = np.ones((blocks * interleave, steps * WEIGHTS_PER_WORD), np.uint32)
        codes[:rows, :columns] = signed + 1
        fields = codes.reshape(blocks, interleave, steps, WEIGHTS_PER_WORD) << _SHIFTS
        words = np.bitwise_or.reduce(fields, axis=-1)
        return cls(np.ascontiguousarray(words.transpose(0, 2, 1)), (rows, columns), layout)

    def unpack(self) -> NDArray[np.int8]:
        """The weights as an int8 array [N, K] of -1, 0, 1."""
        rows, columns = self.shape
        words = self.words.transpose(0, 2, 1)[..., None]
        codes = ((words >> _SHIFTS) & np.uint32(3)).astype(np.int8) - np.int8(1)
        return np.ascontiguousarray(codes.reshape(codes.shape[0] * codes.shape[1], -1)[:rows, :columns])

    def with_layout(self, layout: TernaryLayout) -> TernaryArray:
        """The same matrix in another layout."""
        if layout == self.layout:
            return self
        rows, columns = self.shape
        plain = self.words.transpose(0, 2, 1).reshape(-1, self.words.shape[1])[:rows]
        blocks, steps, interleave = layout.words_shape(rows, columns)
        padded = np.full((blocks * interleave, steps), ZERO_WORD, np.uint32)
        padded[:rows] = plain
        words = padded.reshape(blocks, interleave, steps).transpose(0, 2, 1)
        return TernaryArray(np.ascontiguousarray(words), self.shape, layout)

    def transposed(self, layout: TernaryLayout | None = None) -> TernaryArray:
        """The [K, N] matrix, packed along N."""
        return TernaryArray.pack(self.unpack().T, layout or self.layout)

    def __repr__(self) -> str:
        return f"TernaryArray(shape={self.shape}, {self.layout})"
