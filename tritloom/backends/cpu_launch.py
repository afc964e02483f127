"""What a launch on the CPU is made of: buffers, machine code, and arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritloom.backends.base import Device, DeviceBuffer, Executable
from tritloom.backends.cpu_compiler import NativeFunction
from tritloom.codegen.compile import emit, lower
from tritloom.codegen.errors import OutOfMemoryError
from tritloom.codegen.ir.dtypes import f32
from tritloom.codegen.ir.tile import Kernel, Mode
from tritloom.codegen.target import Target

ALIGNMENT = 64
Range = tuple[int, int]
"""An address (or offset) and a number of bytes."""


class CPUBuffer(DeviceBuffer):
    """Host memory."""

    def __init__(self, device: Device, data: NDArray[np.uint8]):
        self.device = device
        self.data = data
        self.nbytes = data.nbytes
        self.address: int = data.ctypes.data

    def view(self, dtype: Any, shape: tuple[int, ...]) -> NDArray[Any]:
        """The memory itself as an array, without a copy."""
        count = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        array: NDArray[Any] = self.data[:count].view(dtype).reshape(shape)
        return array


class CPUExecutable(Executable):
    """Machine code of a kernel."""

    def __init__(self, device: Device, kernel: Kernel, may_alias: bool, function: NativeFunction):
        self.device = device
        self.kernel = kernel
        self.function = function
        self._may_alias = may_alias

    @property
    def source(self) -> str:  # type: ignore[override]
        """The LLVM IR, made anew: machine code from the cache comes without it."""
        return llvm_source(self.kernel, self.device.target, self._may_alias)


def llvm_source(kernel: Kernel, target: Target, may_alias: bool) -> str:
    """The LLVM IR of a kernel; `may_alias` if some of its buffers will overlap."""
    return emit(lower(kernel, target), target, may_alias=may_alias)


def allocate(device: Device, nbytes: int) -> CPUBuffer:
    """Uninitialised memory on a cache line's boundary. Raises OutOfMemoryError."""
    try:
        data = np.empty(nbytes + ALIGNMENT, np.uint8)
    except (MemoryError, ValueError):
        raise OutOfMemoryError(
            f"no memory for {nbytes} bytes on {device.name}", hint="use a smaller batch or context"
        ) from None
    start = -data.ctypes.data % ALIGNMENT
    return CPUBuffer(device, data[start : start + nbytes])


def memory_of(device: Device, buffer: DeviceBuffer) -> CPUBuffer:
    """The buffer, if it is the device's. Raises DeviceError."""
    device.own((buffer,))
    assert isinstance(buffer, CPUBuffer)
    return buffer


def overlapping(kernel: Kernel, ranges: Sequence[Range]) -> bool:
    """Whether a buffer that the kernel writes shares memory with another of its buffers."""
    for i, buffer in enumerate(kernel.buffers):
        if buffer.mode is Mode.IN:
            continue
        start, size = ranges[i]
        for j, (other, other_size) in enumerate(ranges):
            if i != j and start < other + other_size and other < start + size:
                return True
    return False


def argument_words(
    kernel: Kernel, addresses: Sequence[int], sizes: Mapping[str, int], scalars: Sequence[float | int]
) -> NDArray[np.uint64]:
    """The argument slots of a compiled kernel: addresses, sizes, scalars."""
    words = np.zeros(max(len(addresses) + len(kernel.sizes) + len(kernel.scalars), 1), np.uint64)
    words[: len(addresses)] = addresses
    low = words.view(np.uint32)[::2] if np.little_endian else words.view(np.uint32)[1::2]
    slot = len(addresses)
    for size in kernel.sizes:
        low[slot] = np.int32(sizes[size.name]).view(np.uint32)
        slot += 1
    for scalar, value in zip(kernel.scalars, scalars, strict=True):
        number: Any = np.float32(value) if scalar.dtype is f32 else np.int32(value)
        low[slot] = number.view(np.uint32)
        slot += 1
    return words
