"""What a launch under Vulkan is made of: an argument block, a grid of workgroups, the bytes that it touches.

An argument block is what the one push constant points to: u32 number of programs, u32 zero, the buffers' addresses
(8 bytes each), then sizes (i32) and scalars (i32 or f32), all in the kernel's order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tritloom.backends.base import Device, Executable
from tritloom.codegen.errors import UnsupportedError
from tritloom.codegen.ir.dtypes import f32
from tritloom.codegen.ir.tile import Kernel, Mode

Range = tuple[int, int]
"""Start and end of bytes."""
HEADER = 8
"""Bytes before the addresses."""


class VulkanExecutable(Executable):
    """A pipeline."""

    def __init__(self, device: Device, kernel: Kernel, source: str, words: bytes, pipeline: int):
        self.device = device
        self.kernel = kernel
        self.source = source
        self.words = words
        """The SPIR-V module."""
        self.pipeline = pipeline


def program_count(kernel: Kernel, sizes: Mapping[str, int]) -> int:
    """Programs of a launch."""
    total = 1
    for count in kernel.grid(dict(sizes)):
        total *= count
    return total


def workgroups(programs: int, most: Sequence[int]) -> tuple[int, int]:
    """Workgroups along x and y, at least as many as programs, within what the device allows along each.

    Raises UnsupportedError.
    """
    if programs <= most[0]:
        return programs, 1
    rows = -(-programs // most[0])
    if rows > most[1]:
        raise UnsupportedError(
            f"{programs} programs are more than the device's {most[0]} x {most[1]} workgroups",
            hint="give each program a greater share of the work",
        )
    return -(-programs // rows), rows


def argument_block(
    kernel: Kernel,
    addresses: Sequence[int],
    sizes: Mapping[str, int],
    scalars: Sequence[float | int],
    programs: int,
) -> NDArray[np.uint8]:
    """The argument block of a launch."""
    numbers = np.zeros(len(kernel.sizes) + len(kernel.scalars), np.int32)
    numbers[: len(kernel.sizes)] = [sizes[size.name] for size in kernel.sizes]
    for slot, (scalar, value) in enumerate(zip(kernel.scalars, scalars, strict=True), len(kernel.sizes)):
        numbers[slot] = np.float32(value).view(np.int32) if scalar.dtype is f32 else np.int32(value)
    parts = (np.array([programs, 0], np.uint32), np.array(addresses, np.uint64), numbers)
    return np.concatenate([part.view(np.uint8) for part in parts])


def accesses(kernel: Kernel, ranges: Sequence[Range]) -> tuple[list[Range], list[Range]]:
    """The bytes that a launch reads and those that it writes, from those of its buffers."""
    pairs = list(zip(kernel.buffers, ranges, strict=True))
    reads = [range_ for buffer, range_ in pairs if buffer.mode is not Mode.OUT]
    return reads, [range_ for buffer, range_ in pairs if buffer.mode is not Mode.IN]
