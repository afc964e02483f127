"""Reading safetensors files as lazy, read-only views of a mapped file. All damage becomes the caller's error class.

The safetensors library parses and checks the header (lengths, offsets, overlaps, sizes); the arrays are then views of
the mapped file, so nothing is read before it is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import safetensors
from safetensors.numpy import save_file

from tritloom.codegen.errors import TritloomError

_DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "U8": np.dtype(np.uint8),
}
# Bits of the exponent; all set means infinity or NaN.
_EXPONENT: dict[np.dtype[Any], tuple[type[np.unsignedinteger[Any]], int]] = {
    _DTYPES["F32"]: (np.uint32, 0x7F800000),
    _DTYPES["F16"]: (np.uint16, 0x7C00),
    _DTYPES["BF16"]: (np.uint16, 0x7F80),
}
_CHUNK = 1 << 22

ArrayView = npt.NDArray[Any]


def read_tensors(file: Path, error: type[TritloomError]) -> dict[str, ArrayView]:
    """Name -> read-only view of each tensor of `file`: float32, float16, bfloat16 (ml_dtypes) or uint8.

    Raises `error` where the file cannot be read, is damaged, or holds another dtype.
    """
    try:
        with file.open("rb") as stream:
            header_bytes = int.from_bytes(stream.read(8), "little")
        with safetensors.safe_open(file, framework="np") as opened:
            names = opened.offset_keys()
            slices = {name: opened.get_slice(name) for name in names}
            described = [(name, slices[name].get_dtype(), tuple(slices[name].get_shape())) for name in names]
    except OSError as failure:
        raise error(f"cannot read {file}: {failure.strerror or failure}") from None
    except (safetensors.SafetensorError, ValueError) as failure:
        raise error(
            f"{file} is not a whole safetensors file: {failure}", hint="copy or download it again"
        ) from None
    for name, dtype, _ in described:
        if dtype not in _DTYPES:
            raise error(f"{file}: tensor {name} has dtype {dtype}; supported: {', '.join(_DTYPES)}")
    try:
        data = np.memmap(file, dtype=np.uint8, mode="r").view(np.ndarray)
    except (OSError, ValueError) as failure:
        raise error(f"cannot map {file}: {failure}") from None
    tensors: dict[str, ArrayView] = {}
    start = 8 + header_bytes
    for name, code, shape in described:
        dtype = _DTYPES[code]
        stop = start + math.prod(shape) * dtype.itemsize
        tensors[name] = data[start:stop].view(dtype).reshape(shape)
        start = stop
    if start != len(data):
        raise error(f"{file} changed while it was read")
    return tensors


def is_finite(array: ArrayView) -> bool:
    """Whether a float array holds neither infinity nor NaN; reads it once, in pieces."""
    if array.dtype not in _EXPONENT:
        return True
    word, exponent = _EXPONENT[array.dtype]
    bits = array.reshape(-1).view(word)
    mask = word(exponent)
    pieces = (bits[start : start + _CHUNK] for start in range(0, bits.size, _CHUNK))
    return not any(bool(((piece & mask) == mask).any()) for piece in pieces)


def tensor_writer(tensors: dict[str, ArrayView]) -> Callable[[Path], None]:
    """A function that writes `tensors` to a path, with the metadata that PyTorch's loaders expect."""

    def write(path: Path) -> None:
        save_file(
            {name: np.ascontiguousarray(array) for name, array in tensors.items()}, path, {"format": "pt"}
        )

    return write


def shown(names: Sequence[str], limit: int = 4) -> str:
    """A few names for a message, and how many more there are."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")
