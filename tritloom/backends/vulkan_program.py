"""Plans recorded once in a command buffer: a run writes the addresses that changed and submits it again.

There are two copies of the argument blocks, each with a command buffer of its own, so that the host may prepare a run
while the device is at the one before it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tritloom.backends import vulkan_structs as vk
from tritloom.backends.base import Device, DeviceBuffer, Program
from tritloom.backends.checks import Bindings, check_launch
from tritloom.backends.vulkan_context import BLOCK_ALIGNMENT, Context, VulkanBuffer
from tritloom.backends.vulkan_launch import (
    HEADER,
    VulkanExecutable,
    accesses,
    argument_block,
    program_count,
    workgroups,
)
from tritloom.backends.vulkan_memory import Piece
from tritloom.backends.vulkan_queue import SIMULTANEOUS, Hazards
from tritloom.codegen.errors import UnsupportedError
from tritloom.codegen.ir.template import Plan

COPIES = 2
_COMPUTE_STAGE, _TOP = 0x800, 1
_TIMESTAMPS = 2
_RESULT_64, _RESULT_WAIT = 1, 2
_APART = 1 << 48
"""External tensors have no addresses yet when a plan is recorded: they are taken to lie this far apart."""


@dataclass
class _Copy:
    """One copy of the argument blocks, and the commands that point into it."""

    arguments: Piece
    words: NDArray[np.uint64]
    commands: int
    bound: NDArray[np.uint64]
    """The addresses of external tensors that are in it."""
    point: int = 0
    """Of its last run."""


@dataclass(frozen=True)
class _Recorded:
    """A launch as it is recorded."""

    name: str
    pipeline: int
    offset: int
    """Of its argument block."""
    groups: tuple[int, int]
    waits: bool


class VulkanProgram(Program):
    """A plan with its arena in one buffer."""

    def __init__(self, device: Device, context: Context, plan: Plan, executables: Sequence[VulkanExecutable]):
        self.plan = plan
        self._context = context
        self._bindings = Bindings(plan, device)
        self._external = self._bindings.external
        self._names = [launch.kernel.name for launch in plan.launches][-8:]
        self._runs = 0
        with context.lock:
            arena = self._arena = context.allocate(context.tensors, max(plan.arena_bytes, 1))
            copies: list[_Copy] = []

            def release() -> None:
                last = max((copy.point for copy in copies), default=0)
                for copy in copies:
                    context.queue.retire(last, partial(context.queue.free_command_buffer, copy.commands))
                    context.release(context.written, copy.arguments)
                context.release(context.tensors, arena)

            context.when_collected(self, release)  # and so if what follows fails
            self._launches, blocks, slots, sources = self._lay_out(device, executables)
            self._slots, self._sources = np.array(slots, np.int64), np.array(sources, np.int64)
            self._copies = copies
            for _ in range(COPIES):
                copies.append(self._copy(blocks))

    def _lay_out(
        self, device: Device, executables: Sequence[VulkanExecutable]
    ) -> tuple[list[_Recorded], NDArray[np.uint8], list[int], list[int]]:
        """The launches, their argument blocks in one array, and where in it external tensors' addresses go."""
        plan, hazards = self.plan, Hazards()
        most = self._context.physical.properties.limits.maxComputeWorkGroupCount
        recorded: list[_Recorded] = []
        parts: list[NDArray[np.uint8]] = []
        slots: list[int] = []
        sources: list[int] = []
        place = 0
        for launch, executable in zip(plan.launches, executables, strict=True):
            tensors = [plan.tensors[number] for number in launch.tensors]
            check_launch(
                launch.kernel, [t.nbytes for t in tensors], launch.sizes, launch.scalars, device.target
            )
            programs = program_count(launch.kernel, launch.sizes)
            if not programs:
                continue
            starts = [self._start(number) for number in launch.tensors]
            ranges = [(start, start + tensor.nbytes) for start, tensor in zip(starts, tensors, strict=True)]
            waits = hazards.next(*accesses(launch.kernel, ranges))
            block = argument_block(launch.kernel, starts, launch.sizes, launch.scalars, programs)
            recorded.append(
                _Recorded(launch.kernel.name, executable.pipeline, place, workgroups(programs, most), waits)
            )
            for i, number in enumerate(launch.tensors):
                if number in self._external:
                    slots.append((place + HEADER) // 8 + i)
                    sources.append(self._external.index(number))
            padded = np.zeros(-(-block.nbytes // BLOCK_ALIGNMENT) * BLOCK_ALIGNMENT, np.uint8)
            padded[: block.nbytes] = block
            parts.append(padded)
            place += padded.nbytes
        blocks = np.concatenate(parts) if parts else np.zeros(BLOCK_ALIGNMENT, np.uint8)
        return recorded, blocks, slots, sources

    def _start(self, number: int) -> int:
        if number in self._external:
            return _APART * (number + 1)
        return self._arena.address + self.plan.tensors[number].offset

    def _copy(self, blocks: NDArray[np.uint8]) -> _Copy:
        context, queue = self._context, self._context.queue
        arguments = context.allocate(context.written, blocks.nbytes)
        arguments.view()[:] = blocks
        commands = queue.new_command_buffer()
        queue.begin(commands, SIMULTANEOUS)
        for launch in self._launches:
            if launch.waits:
                queue.barrier(commands)
            context.dispatch(commands, launch.pipeline, arguments.address + launch.offset, launch.groups)
        queue.end(commands)
        return _Copy(
            arguments, arguments.view().view(np.uint64), commands, np.zeros(len(self._external), np.uint64)
        )

    def run(self, inputs: Sequence[DeviceBuffer], outputs: Sequence[DeviceBuffer]) -> None:
        """Submit all launches in order; see :class:`Bindings` for what is refused."""
        pieces = self._pieces(inputs, outputs)
        context = self._context
        with context.lock:
            context.bury()
            copy = self._bind(pieces)
            try:
                context.queue.submit(copy.commands, self._names)
            finally:
                self._mark(pieces, copy)

    def profile(
        self, inputs: Sequence[DeviceBuffer], outputs: Sequence[DeviceBuffer]
    ) -> list[tuple[str, float]]:
        """Run all launches one after another, and the seconds that each took on the device, with its kernel's name."""
        context, queue, functions = self._context, self._context.queue, self._context.functions
        physical = context.physical
        if not physical.timestamp_bits:
            raise UnsupportedError(f"{physical.description} has no timestamps")
        pieces = self._pieces(inputs, outputs)
        count = len(self._launches) + 1
        with context.lock:
            copy = self._bind(pieces)
            pool = ctypes.c_uint64()
            info = vk.QueryPoolCreateInfo(queryType=_TIMESTAMPS, count=count)
            functions.CreateQueryPool(context.logical.handle, ctypes.byref(info), None, ctypes.byref(pool))
            commands = queue.new_command_buffer()

            def release() -> None:
                functions.DestroyQueryPool(context.logical.handle, pool.value, None)
                queue.free_command_buffer(commands)

            try:
                queue.begin(commands, 1)
                functions.CmdResetQueryPool(commands, pool.value, 0, count)
                functions.CmdWriteTimestamp(commands, _COMPUTE_STAGE, pool.value, 0)
                for i, launch in enumerate(self._launches, 1):
                    queue.barrier(commands)
                    context.dispatch(
                        commands, launch.pipeline, copy.arguments.address + launch.offset, launch.groups
                    )
                    functions.CmdWriteTimestamp(commands, _COMPUTE_STAGE, pool.value, i)
                queue.end(commands)
                queue.submit(commands, self._names)
                queue.wait(queue.point)
                ticks = np.zeros(count, np.uint64)
                functions.GetQueryPoolResults(
                    context.logical.handle, pool.value, 0, count, ticks.nbytes, ticks.ctypes.data, 8,
                    _RESULT_64 | _RESULT_WAIT,
                )  # fmt: skip
            finally:
                self._mark(pieces, copy)
                queue.retire(copy.point, release)
        mask = np.uint64(2**physical.timestamp_bits - 1)
        spent = (np.diff(ticks) & mask).astype(np.float64) * physical.properties.limits.timestampPeriod * 1e-9
        return [(launch.name, float(seconds)) for launch, seconds in zip(self._launches, spent, strict=True)]

    def _pieces(self, inputs: Sequence[DeviceBuffer], outputs: Sequence[DeviceBuffer]) -> list[Piece]:
        bound = self._bindings.bind(inputs, outputs)
        pieces = []
        for number in self._external:
            buffer = bound[number]
            assert isinstance(buffer, VulkanBuffer)
            pieces.append(buffer.piece)
        return pieces

    def _bind(self, pieces: Sequence[Piece]) -> _Copy:
        """The copy whose turn it is, with the addresses of these pieces in it and no work at it."""
        copy = self._copies[self._runs % COPIES]
        self._runs += 1
        addresses = np.array([piece.address for piece in pieces], np.uint64)
        if len(self._slots) and not np.array_equal(addresses, copy.bound):
            self._context.queue.wait(copy.point)
            copy.words[self._slots] = addresses[self._sources]
            copy.bound = addresses
        return copy

    def _mark(self, pieces: Sequence[Piece], copy: _Copy) -> None:
        copy.point = self._context.queue.point
        for piece in (*pieces, self._arena, copy.arguments):
            piece.last_use = copy.point
