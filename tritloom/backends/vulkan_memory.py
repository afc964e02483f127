"""Device memory in few large blocks, each one buffer with an address, cut into pieces.

A driver allows some thousand allocations at most, and each is slow. Kernels get addresses, so a tensor may be larger
than a descriptor's range. Only coherent memory is mapped: nothing has to be flushed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritloom.backends import vulkan_structs as vk
from tritloom.backends.free_list import FreeList
from tritloom.backends.vulkan_api import OUT_OF_MEMORY, VulkanError
from tritloom.backends.vulkan_physical import (
    DEVICE_LOCAL,
    HOST_CACHED,
    HOST_COHERENT,
    HOST_VISIBLE,
    MemoryType,
    PhysicalDevice,
)
from tritloom.codegen.errors import OutOfMemoryError

BLOCK = 64 << 20
"""Bytes of a block that tensors share, where the heap is large."""
ALIGNMENT = 256
"""Of every piece: a line of every cache that is known."""
_HEAP_FRACTION = 16
_USAGE = 0x1 | 0x2 | 0x20 | 0x20000  # copied from, copied to, storage, device address
_ADDRESS_FLAG = 2
_PLAIN = DEVICE_LOCAL | HOST_VISIBLE | HOST_COHERENT | HOST_CACHED
_MAPPED = HOST_VISIBLE | HOST_COHERENT


class Block:
    """One allocation and the buffer over it."""

    def __init__(self, heap: Heap, type_: MemoryType, nbytes: int, shared: bool):
        functions, device = heap.functions, heap.device
        self.nbytes = nbytes
        self.shared = shared
        """Whether it is cut into pieces; else one tensor has it all."""
        self.pieces = FreeList(nbytes, ALIGNMENT)
        info = vk.BufferCreateInfo(size=nbytes, usage=_USAGE)
        buffer, memory = ctypes.c_uint64(), ctypes.c_uint64()
        place = ctypes.c_void_p()
        functions.CreateBuffer(device, ctypes.byref(info), None, ctypes.byref(buffer))
        try:
            needs = vk.MemoryRequirements()
            functions.GetBufferMemoryRequirements(device, buffer.value, ctypes.byref(needs))
            flags = vk.MemoryAllocateFlags(flags=_ADDRESS_FLAG)
            asked = vk.MemoryAllocateInfo(
                pNext=ctypes.addressof(flags), size=needs.size, memoryType=type_.index
            )
            functions.AllocateMemory(device, ctypes.byref(asked), None, ctypes.byref(memory))
            functions.BindBufferMemory(device, buffer.value, memory.value, 0)
            if type_.flags & _MAPPED == _MAPPED and heap.mapped:
                functions.MapMemory(device, memory.value, 0, 2**64 - 1, 0, ctypes.byref(place))
        except VulkanError:
            functions.DestroyBuffer(device, buffer.value, None)
            if memory.value:
                functions.FreeMemory(device, memory.value, None)
            raise
        self.buffer, self.memory = buffer.value, memory.value
        named = vk.BufferAddressInfo(buffer=self.buffer)
        self.address = int(functions.GetBufferDeviceAddress(device, ctypes.byref(named)))
        self.mapped: int | None = place.value
        """Where the host sees it."""


class Piece:
    """Memory of one tensor, or of whatever else the device must see."""

    __slots__ = ("address", "block", "last_use", "nbytes", "offset")

    def __init__(self, block: Block, offset: int, nbytes: int):
        self.block = block
        self.offset = offset
        self.nbytes = nbytes
        self.address = block.address + offset
        """On the device."""
        self.last_use = 0
        """The point on the queue's timeline after which nothing that was submitted so far uses it."""

    @property
    def mapped(self) -> bool:
        """Whether the host sees it."""
        return self.block.mapped is not None

    def view(self) -> NDArray[np.uint8]:
        """Its bytes on the host. Only of mapped memory."""
        assert self.block.mapped is not None
        array: Any = (ctypes.c_uint8 * self.nbytes).from_address(self.block.mapped + self.offset)
        return np.frombuffer(array, np.uint8)


class Heap:
    """Pieces of memory for one use, of the first of its kinds that has room. Not safe with threads: the device's lock
    is held."""

    def __init__(
        self,
        physical: PhysicalDevice,
        functions: Any,
        device: int,
        types: Sequence[MemoryType],
        *,
        mapped: bool,
    ):
        self.physical = physical
        self.functions = functions
        self.device = device
        self.types = types
        self.mapped = mapped
        self.blocks: list[Block] = []
        self.block_bytes = min(BLOCK, max(types[0].heap_bytes // _HEAP_FRACTION, 1 << 20))
        self.reclaim: Callable[[], None] = lambda: None
        """Called before giving up: to free what is no longer used."""

    def allocate(self, nbytes: int) -> Piece:
        """A new piece. Raises OutOfMemoryError."""
        wanted = max(nbytes, 1)
        most = min(self.physical.max_allocation, max(type_.heap_bytes for type_ in self.types))
        if wanted > most:
            raise OutOfMemoryError(
                f"{nbytes} bytes were asked for in one piece, {self.physical.description} gives at most {most}",
                hint="use a smaller batch or context, or another device",
            )
        own = wanted > self.block_bytes // 2
        for attempt in (0, 1):
            if not own:
                for block in self.blocks:
                    offset = block.pieces.take(wanted) if block.shared else None
                    if offset is not None:
                        return Piece(block, offset, nbytes)
            alone = own or attempt == 1  # with no room for another block that is shared there may be for this
            try:
                size = -(-wanted // ALIGNMENT) * ALIGNMENT if alone else self.block_bytes
                block = self._block(min(size, most), shared=not alone)
            except VulkanError as error:
                if error.result not in OUT_OF_MEMORY:
                    raise
                if attempt == 0:
                    self.reclaim()
                    continue
                raise OutOfMemoryError(
                    f"{self.physical.description} has no {nbytes} bytes left: {error.message}",
                    hint="use a smaller batch or context, or free what is no longer used",
                ) from error
            self.blocks.append(block)
            return Piece(block, 0 if alone else block.pieces.take(wanted) or 0, nbytes)
        raise OutOfMemoryError(f"{self.physical.description} has no {nbytes} bytes left")

    def _block(self, nbytes: int, *, shared: bool) -> Block:
        """A new block of the first kind that has room. Raises VulkanError if none has."""
        fitting = [type_ for type_ in self.types if type_.heap_bytes >= nbytes]
        for type_ in fitting[:-1]:
            try:
                return Block(self, type_, nbytes, shared)
            except VulkanError as error:
                if error.result not in OUT_OF_MEMORY:
                    raise
        return Block(self, fitting[-1], nbytes, shared)

    def free(self, piece: Piece) -> None:
        """Give a piece back that no submitted work uses any more."""
        block = piece.block
        if block.shared:
            block.pieces.give(piece.offset, max(piece.nbytes, 1))
            if not block.pieces.empty or not any(b.shared and b is not block for b in self.blocks):
                return
        self.blocks.remove(block)
        self.functions.DestroyBuffer(self.device, block.buffer, None)
        self.functions.FreeMemory(self.device, block.memory, None)

    @property
    def reserved(self) -> int:
        """Bytes of all blocks."""
        return sum(block.nbytes for block in self.blocks)


def usable_types(physical: PhysicalDevice, functions: Any, device: int) -> list[MemoryType]:
    """The kinds of memory that a buffer of ours may have."""
    buffer, needs = ctypes.c_uint64(), vk.MemoryRequirements()
    functions.CreateBuffer(
        device, ctypes.byref(vk.BufferCreateInfo(size=ALIGNMENT, usage=_USAGE)), None, ctypes.byref(buffer)
    )
    functions.GetBufferMemoryRequirements(device, buffer.value, ctypes.byref(needs))
    functions.DestroyBuffer(device, buffer.value, None)
    return [t for t in physical.memory_types if needs.typeBits >> t.index & 1 and not t.flags & ~_PLAIN]


def choose_types(
    types: Sequence[MemoryType],
) -> tuple[list[MemoryType], list[MemoryType], list[MemoryType]]:
    """The kinds of memory for tensors, for what the host writes, and for what the host reads, each the best first.

    Tensors are device-local, and mapped where that costs no room: where the mapped kind's heap is no smaller. They have
    one kind: in any other they would be slow without a word. What the host writes is device-local too while the window
    on the device has room, which on many cards is small.
    """

    def fitting(needed: int, liked: int, least: int = 0) -> list[MemoryType]:
        found = [t for t in types if t.flags & needed == needed and t.heap_bytes >= least]
        # The most of the liked flags; else the first, which the driver put there for its speed.
        return sorted(found, key=lambda t: (-(t.flags & liked).bit_count(), t.index))

    local = max((t.heap_bytes for t in types if t.flags & DEVICE_LOCAL), default=0)
    tensors = fitting(DEVICE_LOCAL | _MAPPED, HOST_CACHED, local) or fitting(DEVICE_LOCAL, 0, local)
    some = list(types[:1])
    return tensors[:1] or some, fitting(_MAPPED, DEVICE_LOCAL) or some, fitting(_MAPPED, HOST_CACHED) or some
