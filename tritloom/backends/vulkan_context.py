"""A Vulkan device at work: its queue, its memory and copies to and from it, under one lock."""

from __future__ import annotations

import ctypes
import gc
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritloom.backends import vulkan_structs as vk
from tritloom.backends.base import DeviceBuffer
from tritloom.backends.vulkan_launch import accesses
from tritloom.backends.vulkan_memory import Heap, Piece, choose_types, usable_types
from tritloom.backends.vulkan_physical import PhysicalDevice
from tritloom.backends.vulkan_pipeline import COMPUTE, PUSHED, LogicalDevice
from tritloom.backends.vulkan_queue import Queue
from tritloom.codegen.ir.tile import Kernel

STAGING = 8 << 20
"""Bytes of a step of a copy through staging memory."""
ARGUMENTS = 64 << 10
"""Bytes that argument blocks of single launches are cut from."""
BLOCK_ALIGNMENT = 64
"""Of an argument block."""
_BIND_COMPUTE = 1


class Context:
    """What exists once a device is in use."""

    def __init__(self, physical: PhysicalDevice, *, staging: bool = False):
        self.physical = physical
        self.lock = threading.RLock()
        self.logical = LogicalDevice(physical)
        self.functions = self.logical.functions
        assert physical.queue_family is not None
        self.queue = Queue(self.functions, self.logical.handle, physical.queue_family, physical.description)
        types = choose_types(usable_types(physical, self.functions, self.logical.handle))
        self.tensors, self.written, self.read_back = (
            Heap(physical, self.functions, self.logical.handle, one, mapped=mapped)
            for one, mapped in zip(types, (not staging, True, True), strict=True)
        )
        for heap in (self.tensors, self.written, self.read_back):
            heap.reclaim = self.reclaim
        self._dead: deque[Callable[[], None]] = deque()
        """What the garbage collector found: it may run at any time, so nothing else is done then."""
        self._arguments: Piece | None = None
        self._cursor = 0

    # memory

    def allocate(self, heap: Heap, nbytes: int) -> Piece:
        """Memory of a heap."""
        self.bury()
        return heap.allocate(nbytes)

    def release(self, heap: Heap, piece: Piece) -> None:
        """Free memory once all work that uses it is done."""
        self.queue.retire(piece.last_use, lambda: heap.free(piece))

    def when_collected(self, owner: object, action: Callable[[], None]) -> None:
        """Do something, with the lock held, after an object is gone."""
        weakref.finalize(owner, self._dead.append, action).atexit = False

    def bury(self) -> None:
        """Do what waits for objects that are gone."""
        while self._dead:
            self._dead.popleft()()
        self.queue.clean_up()

    def reclaim(self) -> None:
        """Free all that can be freed, at any cost of time."""
        gc.collect()
        self.bury()
        self.queue.wait(self.queue.point)

    # copies

    def write(self, piece: Piece, data: NDArray[np.uint8]) -> None:
        """Copy bytes to the start of a tensor's memory."""
        if piece.mapped:
            self.queue.wait(piece.last_use)
            piece.view()[: data.nbytes] = data
            return
        for start in range(0, data.nbytes, STAGING):
            part = data[start : start + STAGING]
            stage = self.allocate(self.written, part.nbytes)
            stage.view()[:] = part
            try:
                self._copy(stage, 0, piece, start, part.nbytes)
            finally:
                self.release(self.written, stage)
            if start:  # two steps at a time: one that the device copies and one that the host fills
                self.queue.flush()
                self.queue.wait(self.queue.submitted - 1)

    def read(self, piece: Piece, data: NDArray[np.uint8]) -> None:
        """Copy bytes from the start of a tensor's memory, after all that was submitted to it."""
        if piece.mapped:
            self.queue.wait(piece.last_use)
            data[:] = piece.view()[: data.nbytes]
            return
        for start in range(0, data.nbytes, STAGING):
            part = data[start : start + STAGING]
            stage = self.allocate(self.read_back, part.nbytes)
            try:
                self._copy(piece, start, stage, 0, part.nbytes)
                self.queue.wait(stage.last_use)
                part[:] = stage.view()
            finally:
                self.release(self.read_back, stage)

    def _copy(self, source: Piece, start: int, destination: Piece, to: int, nbytes: int) -> None:
        reads = [(source.address + start, source.address + start + nbytes)]
        writes = [(destination.address + to, destination.address + to + nbytes)]
        commands = self.queue.record(reads, writes)
        region = vk.BufferCopy(source=source.offset + start, destination=destination.offset + to, size=nbytes)
        self.functions.CmdCopyBuffer(
            commands, source.block.buffer, destination.block.buffer, 1, ctypes.byref(region)
        )
        source.last_use = destination.last_use = self.queue.point

    # launches

    def launch(
        self,
        pipeline: int,
        kernel: Kernel,
        pieces: Sequence[Piece],
        values: NDArray[np.uint8],
        groups: tuple[int, int],
    ) -> None:
        """Record one launch. `values` is its argument block."""
        self.bury()
        address = self._argument_block(values)
        reads, writes = accesses(kernel, [(piece.address, piece.address + piece.nbytes) for piece in pieces])
        commands = self.queue.record(reads, writes, kernel.name)
        self.dispatch(commands, pipeline, address, groups)
        assert self._arguments is not None
        for piece in (*pieces, self._arguments):
            piece.last_use = self.queue.point

    def dispatch(self, commands: int, pipeline: int, arguments: int, groups: tuple[int, int]) -> None:
        """Record the commands of a launch."""
        functions = self.functions
        functions.CmdBindPipeline(commands, _BIND_COMPUTE, pipeline)
        pushed = ctypes.c_uint64(arguments)
        functions.CmdPushConstants(commands, self.logical.layout, COMPUTE, 0, PUSHED, ctypes.byref(pushed))
        functions.CmdDispatch(commands, *groups, 1)

    def _argument_block(self, values: NDArray[np.uint8]) -> int:
        needed = -(-values.nbytes // BLOCK_ALIGNMENT) * BLOCK_ALIGNMENT
        if self._arguments is None or self._cursor + needed > self._arguments.nbytes:
            fresh = self.allocate(self.written, max(ARGUMENTS, needed))
            if self._arguments is not None:
                self.release(self.written, self._arguments)
            self._arguments, self._cursor = fresh, 0
        place = self._cursor
        self._arguments.view()[place : place + values.nbytes] = values
        self._cursor += needed
        return self._arguments.address + place


class VulkanBuffer(DeviceBuffer):
    """A piece of device memory, free again once nobody has the buffer and no work uses it."""

    def __init__(self, device: Any, context: Context, piece: Piece, nbytes: int):
        self.device = device
        self.nbytes = nbytes
        self.piece = piece
        context.when_collected(self, lambda: context.release(context.tensors, piece))
