"""Work in order: command buffers, one queue, and a timeline that tells how far it has come.

Work is recorded into an open command buffer and submitted when somebody must wait for it, or when it has grown. Each
submission has a point on the timeline; memory that is let go is free once its last point is reached.
"""

from __future__ import annotations

import ctypes
import os
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from tritloom.backends import vulkan_structs as vk
from tritloom.backends.checks import check_process
from tritloom.backends.vulkan_api import DEVICE_LOST, OUT_OF_MEMORY, VulkanError, timed_out
from tritloom.codegen.errors import DeviceError, OutOfMemoryError

LONGEST = 64
"""Launches of an open command buffer before it is submitted: the device is not to wait for the host."""
REMEMBERED = 8
"""Kernels that an error of a lost device names."""
ONE_TIME, SIMULTANEOUS = 1, 4
_TRANSFER, _COMPUTE, _HOST = 0x1000, 0x800, 0x4000
"""VkPipelineStageFlags."""
_READS, _WRITES = 0x20 | 0x800, 0x40 | 0x1000  # of shaders and of copies
_HOST_READ, _HOST_WRITE = 0x2000, 0x4000
_TURN = 100_000_000
"""Nanoseconds of one wait: between two of them Python sees to signals, such as Ctrl-C."""

Range = tuple[int, int]
"""Start and end of bytes."""


class _Ranges:
    """A set of stretches of bytes, each apart from the others."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def meets(self, range_: Range) -> bool:
        """Whether any of them has a byte of the range."""
        start, end = range_
        i = bisect_right(self._ends, start)
        return i < len(self._starts) and self._starts[i] < end

    def add(self, range_: Range) -> None:
        """Take the range in; what it meets becomes one with it."""
        start, end = range_
        first, last = bisect_left(self._ends, start), bisect_right(self._starts, end)
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]


class Hazards:
    """Tells which launches must wait for those before them: by the bytes that they read and write."""

    def __init__(self) -> None:
        self._read, self._written = _Ranges(), _Ranges()

    def next(self, reads: Iterable[Range], writes: Iterable[Range]) -> bool:
        """Whether a launch needs a barrier before it; it counts as one of those behind the last barrier."""
        reads = [r for r in reads if r[0] < r[1]]
        writes = [w for w in writes if w[0] < w[1]]
        waits = any(self._written.meets(r) for r in reads) or any(
            self._written.meets(w) or self._read.meets(w) for w in writes
        )
        if waits:
            self._read, self._written = _Ranges(), _Ranges()
        for r in reads:
            self._read.add(r)
        for w in writes:
            self._written.add(w)
        return waits


class Queue:
    """The queue of a device. Not safe with threads: the device's lock is held."""

    def __init__(self, functions: Any, device: int, family: int, description: str):
        self.functions = functions
        self.device = device
        self.description = description
        self._process = os.getpid()
        self.submitted = 0
        """The last point that was handed to the device."""
        self._completed = 0
        self._family = family
        queue = ctypes.c_void_p()
        functions.GetDeviceQueue(device, family, 0, ctypes.byref(queue))
        self._queue = queue.value
        kind = vk.SemaphoreTypeCreateInfo(semaphoreType=1)
        semaphore = ctypes.c_uint64()
        functions.CreateSemaphore(
            device,
            ctypes.byref(vk.SemaphoreCreateInfo(pNext=ctypes.addressof(kind))),
            None,
            ctypes.byref(semaphore),
        )
        self._semaphore = semaphore
        pool = ctypes.c_uint64()
        # 2: command buffers are recorded anew one by one.
        functions.CreateCommandPool(
            device, ctypes.byref(vk.CommandPoolCreateInfo(flags=2, family=family)), None, ctypes.byref(pool)
        )
        self._pool = pool.value
        self._idle: list[int] = []
        self._retired: deque[tuple[int, Callable[[], None]]] = deque()
        self._names: deque[str] = deque(maxlen=REMEMBERED)
        self._open: int | None = None
        self._ended = False
        """Whether the open command buffer only waits to be submitted: the last try to do so failed."""
        self._failed: VulkanError | None = None
        """What this queue does not recover from."""
        self._launches = 0
        self._hazards = Hazards()
        self._signal = (ctypes.c_uint64 * 1)()
        self._commands = (ctypes.c_void_p * 1)()
        self._timeline = vk.TimelineSubmitInfo(signalCount=1, pSignalValues=ctypes.addressof(self._signal))
        self._submit = vk.SubmitInfo(
            pNext=ctypes.addressof(self._timeline),
            commandBufferCount=1,
            pCommandBuffers=ctypes.addressof(self._commands),
            signalCount=1,
            pSignals=ctypes.addressof(self._semaphore),
        )
        self._submit_at = ctypes.byref(self._submit)
        self._barrier = vk.MemoryBarrier(source=_WRITES, destination=_READS | _WRITES)
        self._barrier_at = ctypes.byref(self._barrier)
        self._to_host = vk.MemoryBarrier(source=_WRITES, destination=_HOST_READ | _HOST_WRITE)

    # command buffers

    def new_command_buffer(self) -> int:
        """A command buffer, not begun."""
        if self._idle:
            return self._idle.pop()
        info = vk.CommandBufferAllocateInfo(pool=self._pool, count=1)
        made = ctypes.c_void_p()
        self.functions.AllocateCommandBuffers(self.device, ctypes.byref(info), ctypes.byref(made))
        assert made.value is not None
        return made.value

    def free_command_buffer(self, commands: int) -> None:
        """Keep a command buffer for the next who needs one; the device is done with it."""
        self._idle.append(commands)

    def begin(self, commands: int, flags: int) -> None:
        """Begin recording, behind all that was submitted before it."""
        self.functions.BeginCommandBuffer(commands, ctypes.byref(vk.CommandBufferBeginInfo(flags=flags)))
        self.barrier(commands)

    def end(self, commands: int) -> None:
        """End recording; the host may read the results once it is done."""
        stages = _TRANSFER | _COMPUTE
        self.functions.CmdPipelineBarrier(
            commands, stages, _HOST, 0, 1, ctypes.byref(self._to_host), 0, None, 0, None
        )
        self.functions.EndCommandBuffer(commands)

    def barrier(self, commands: int) -> None:
        """What follows sees all that was written before."""
        stages = _TRANSFER | _COMPUTE
        self.functions.CmdPipelineBarrier(commands, stages, stages, 0, 1, self._barrier_at, 0, None, 0, None)

    # the open command buffer

    @property
    def point(self) -> int:
        """The point that is reached once all that was recorded so far is done."""
        return self.submitted + (self._open is not None)

    def record(self, reads: Iterable[Range], writes: Iterable[Range], name: str = "") -> int:
        """The open command buffer, with a barrier if work on these bytes must wait for what is in it."""
        self._go_on()
        if self._open is not None and (self._ended or self._launches >= LONGEST):
            self.flush()
        if self._open is None:
            commands = self.new_command_buffer()
            self.begin(commands, ONE_TIME)
            self._open, self._launches, self._hazards = commands, 0, Hazards()
        if self._hazards.next(reads, writes):
            self.barrier(self._open)
        self._launches += 1
        if name:
            self._names.append(name)
        return self._open

    def flush(self) -> None:
        """Hand the open command buffer to the device. After a failure it is still there: nothing in it is lost."""
        commands = self._open
        if commands is None:
            return
        if not self._ended:
            try:
                self.end(commands)
            except VulkanError as error:  # what was recorded is gone
                self._failed = error
                self.fail(error)
            self._ended = True
        before = self.submitted
        try:
            self._hand_over(commands)
        finally:
            if self.submitted > before:
                self._open, self._ended = None, False
                self.retire(self.submitted, lambda: self.free_command_buffer(commands))

    def submit(self, commands: int, names: Iterable[str] = ()) -> None:
        """Hand a command buffer to the device, behind the open one, which goes first: `point` is its own then."""
        self.flush()
        self._names.extend(names)
        self._hand_over(commands)

    def _hand_over(self, commands: int) -> None:
        self._go_on()
        self._commands[0] = commands
        # Counted first: Ctrl-C is raised once the driver has returned, and must not have it done again.
        self.submitted += 1
        self._signal[0] = self.submitted
        try:
            self.functions.QueueSubmit(self._queue, 1, self._submit_at, 0)
        except VulkanError as error:
            self.submitted -= 1
            self.fail(error)

    # waiting

    def wait(self, point: int) -> None:
        """Wait until a point is reached. Raises DeviceError for a device that was lost."""
        self._go_on()
        if point > self.submitted:
            self.flush()
        if point > self._completed:
            value = ctypes.c_uint64(point)
            info = vk.SemaphoreWaitInfo(
                count=1, pSemaphores=ctypes.addressof(self._semaphore), pValues=ctypes.addressof(value)
            )
            try:
                while timed_out(self.functions.WaitSemaphores(self.device, ctypes.byref(info), _TURN)):
                    continue
            except VulkanError as error:
                self.fail(error)
            self._completed = point
        self.clean_up()

    def reached(self, point: int) -> bool:
        """Whether a point is reached, without waiting."""
        if point > self._completed:
            value = ctypes.c_uint64()
            try:
                self.functions.GetSemaphoreCounterValue(
                    self.device, self._semaphore.value, ctypes.byref(value)
                )
            except VulkanError as error:
                self.fail(error)
            if value.value > self.submitted:  # the counter of a lost device, with some drivers
                self.fail(VulkanError("vkGetSemaphoreCounterValue", DEVICE_LOST))
            self._completed = value.value
        return point <= self._completed

    def retire(self, point: int, action: Callable[[], None]) -> None:
        """Do something once a point is reached: at the next chance after it."""
        self._retired.append((point, action))

    def clean_up(self) -> None:
        """Do what waited for points that are reached."""
        while self._retired and self.reached(self._retired[0][0]):
            self._retired.popleft()[1]()

    def _go_on(self) -> None:
        """Raise again what this queue does not recover from."""
        check_process(self.description, self._process)
        if self._failed is not None:
            self.fail(self._failed)

    def fail(self, error: VulkanError) -> NoReturn:
        """Raise what a failure of the queue means for the user."""
        if error.result == DEVICE_LOST:
            self._failed = error
        last = ", ".join(f"`{name}`" for name in dict.fromkeys(reversed(self._names))) or "none"
        if error.result == DEVICE_LOST:
            raise DeviceError(
                f"{self.description} was lost: it stopped answering. The last kernels that it was given: {last}",
                hint="its memory is gone: start again from the last checkpoint. A kernel that ran too long, an "
                "unplugged or overheated device or a defect of the driver may be why; the system's log often says",
            ) from error
        if error.result in OUT_OF_MEMORY:
            raise OutOfMemoryError(
                f"{self.description} ran out of memory: {error.message}. The last kernels that it was given: {last}",
                hint="use a smaller batch or context",
            ) from error
        raise DeviceError(f"{self.description} failed: {error.message}. The last kernels: {last}") from error
