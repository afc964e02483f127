"""Which memory a use gets, on machines of every make, and what happens where it is full."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tritloom.backends.vulkan_api import VulkanError
from tritloom.backends.vulkan_memory import Heap, choose_types
from tritloom.backends.vulkan_physical import (
    DEVICE_LOCAL,
    HOST_CACHED,
    HOST_COHERENT,
    HOST_VISIBLE,
    MemoryType,
)
from tritloom.codegen.errors import OutOfMemoryError

MAPPED = HOST_VISIBLE | HOST_COHERENT
GIB = 1 << 30
FULL = -2
"""VK_ERROR_OUT_OF_DEVICE_MEMORY"""


def kinds(*listed: tuple[int, int]) -> list[MemoryType]:
    """Kinds by their flags and their heap's bytes."""
    return [MemoryType(i, flags, i, nbytes) for i, (flags, nbytes) in enumerate(listed)]


CARD = kinds(
    (DEVICE_LOCAL, 8 * GIB),
    (MAPPED, 16 * GIB),
    (DEVICE_LOCAL | MAPPED, GIB // 4),
    (MAPPED | HOST_CACHED, 16 * GIB),
)


def test_a_card_with_a_small_window() -> None:
    tensors, written, read = choose_types(CARD)
    assert [t.index for t in tensors] == [0]
    assert [t.index for t in written] == [2, 1, 3]
    assert [t.index for t in read] == [3, 1, 2]


def test_a_card_whose_memory_the_host_sees_whole() -> None:
    tensors, written, _ = choose_types(kinds(*((t.flags, 8 * GIB) for t in CARD)))
    assert [t.index for t in tensors] == [2]
    assert written[0].index == 2


def test_memory_that_is_shared_with_the_host() -> None:
    shared = DEVICE_LOCAL | MAPPED
    chosen = choose_types(kinds((shared, 4 * GIB), (shared | HOST_CACHED, 4 * GIB)))
    assert [use[0].index for use in chosen] == [1, 0, 1]


class Driver:
    """Counts bytes by kind, and has no more than each one's heap."""

    def __init__(self, types: list[MemoryType]):
        self.left = [type_.heap_bytes for type_ in types]
        self.sizes: dict[int, int] = {}
        self.kind_of: dict[int, int] = {}

    def CreateBuffer(self, device: int, info: Any, allocator: None, buffer: Any) -> None:
        buffer._obj.value = len(self.sizes) + 1
        self.sizes[buffer._obj.value] = info._obj.size

    def GetBufferMemoryRequirements(self, device: int, buffer: int, needs: Any) -> None:
        needs._obj.size = self.sizes[buffer]

    def AllocateMemory(self, device: int, info: Any, allocator: None, memory: Any) -> None:
        kind, nbytes = info._obj.memoryType, info._obj.size
        if self.left[kind] < nbytes:
            raise VulkanError("vkAllocateMemory", FULL)
        self.left[kind] -= nbytes
        memory._obj.value = len(self.kind_of) + 1
        self.kind_of[memory._obj.value] = kind

    def GetBufferDeviceAddress(self, device: int, named: Any) -> int:
        return 1 << 40

    def MapMemory(self, device: int, memory: int, start: int, size: int, flags: int, place: Any) -> None:
        place._obj.value = 1 << 20

    def BindBufferMemory(self, *_: object) -> None: ...

    def DestroyBuffer(self, *_: object) -> None: ...


def heap_of(types: list[MemoryType], driver: Driver) -> Heap:
    physical: Any = SimpleNamespace(max_allocation=4 * GIB, description="a card")
    return Heap(physical, driver, 0, types, mapped=True)


def test_what_the_host_writes_goes_elsewhere_once_the_window_is_full() -> None:
    _, written, _ = choose_types(CARD)
    driver = Driver(CARD)
    heap = heap_of(written, driver)
    pieces = [heap.allocate(GIB // 16) for _ in range(6)]
    assert [driver.kind_of[piece.block.memory] for piece in pieces] == [2, 2, 2, 2, 1, 1]
    assert heap.allocate(GIB).block.memory in driver.kind_of  # more than the window ever has


def test_tensors_have_one_kind() -> None:
    tensors, _, _ = choose_types(CARD)
    driver = Driver(CARD)
    driver.left[0] = 0
    with pytest.raises(OutOfMemoryError, match="a card has no 1024 bytes left"):
        heap_of(tensors, driver).allocate(1024)
