"""The Metal backend: the GPUs of a Mac, by pyobjc.

It was written against Apple's documentation and runs in the tests on an imitation of the few calls it makes; no Mac has
run it yet. All memory is shared with the CPU, so a copy is a memcpy after the GPU has finished. A program encodes its
launches into command buffers at each run and does not wait, so that the GPU is at the first while the next is encoded.
(Indirect command buffers would spare that too; they are said to fault on the first Apple GPUs and could not be tried.)
"""

from __future__ import annotations

import platform
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritloom.backends.base import Backend, Device, DeviceBuffer, Executable, Missing, Program
from tritloom.backends.checks import Bindings, check_launch
from tritloom.codegen.compile import lower
from tritloom.codegen.emit.c_source import uses_subgroups
from tritloom.codegen.emit.metal import emit_metal, metal_name
from tritloom.codegen.errors import CompileError, DeviceError, OutOfMemoryError
from tritloom.codegen.ir.dtypes import f32
from tritloom.codegen.ir.template import Plan
from tritloom.codegen.ir.tile import Kernel
from tritloom.codegen.target import Target
from tritloom.codegen.targets import target as target_of

try:
    import Metal
    import objc

    modules: tuple[Any, Any] | None = (Metal, objc)
except ImportError:
    modules = None

LAUNCHES = 100
"""Of a program's, how many are one command buffer: macOS is said to end one that takes the GPU some seconds."""
_INSTALL = "on a Mac, in a clone of the project: python -m pip install '.[metal]'"


class MetalBuffer(DeviceBuffer):
    """An MTLBuffer that the CPU sees as well."""

    def __init__(self, device: MetalDevice, nbytes: int, memory: Any):
        self.device = device
        self.nbytes = nbytes
        self.memory = memory

    @cached_property
    def data(self) -> NDArray[np.uint8]:
        """Its bytes."""
        return np.frombuffer(self.memory.contents().as_buffer(self.memory.length()), np.uint8)


class MetalExecutable(Executable):
    """A compute pipeline."""

    def __init__(self, device: Device, kernel: Kernel, source: str, pipeline: Any, threads: int):
        self.device = device
        self.kernel = kernel
        self.source = source
        self.pipeline = pipeline
        self.threads = threads
        """Of a threadgroup."""

    def numbers(self, sizes: Mapping[str, int], scalars: Sequence[float | int]) -> bytes:
        """The kernel's struct of sizes and scalars."""
        kernel = self.kernel
        packed = [struct.pack("<i", sizes[size.name]) for size in kernel.sizes]
        for scalar, value in zip(kernel.scalars, scalars, strict=True):
            packed.append(struct.pack("<f" if scalar.dtype is f32 else "<i", value))
        return b"".join(packed)

    def groups(self, sizes: Mapping[str, int]) -> int:
        """Threadgroups of a launch."""
        return int(np.prod(self.kernel.grid(dict(sizes)), dtype=np.int64))


@dataclass(frozen=True, slots=True)
class _Launch:
    """What is encoded for one launch but the buffers."""

    executable: MetalExecutable
    numbers: bytes
    groups: int


_Placed = tuple[_Launch, Sequence[tuple[Any, int]]]
"""A launch with its buffers, each with the byte at which it begins."""


class MetalDevice(Device):
    """One MTLDevice with a command queue of its own."""

    def __init__(self, name: str, device: Any, metal: Any, objc: Any):
        self.name = name
        self.device = device
        self.metal = metal
        self.pool: Callable[[], Any] = objc.autorelease_pool
        """Objects that Metal hands out are freed when it is left."""
        version = platform.mac_ver()[0]
        self.description = f"{device.name()} (Metal{f', macOS {version}' if version else ''})"
        self.target = describe(device, name, metal)
        self.memory_bytes = int(device.recommendedMaxWorkingSetSize())
        self._executables: dict[Kernel, MetalExecutable] = {}
        self._pending: deque[tuple[Any, str]] = deque()
        """Command buffers that were committed, with what they do."""
        self._lock = threading.RLock()

    @cached_property
    def _queue(self) -> Any:
        queue = self.device.newCommandQueue()
        if queue is None:
            raise DeviceError(f"{self.description} gives no command queue")
        return queue

    # memory

    def allocate(self, nbytes: int) -> MetalBuffer:
        most = int(self.device.maxBufferLength())
        if nbytes > most:
            raise OutOfMemoryError(
                f"{nbytes} bytes were asked for in one piece, {self.description} gives at most {most}",
                hint="use a smaller batch or context, or another device",
            )
        options = self.metal.MTLResourceStorageModeShared
        memory = self.device.newBufferWithLength_options_(max(nbytes, 1), options)
        if memory is None:
            raise OutOfMemoryError(
                f"{self.description} has no {nbytes} bytes left",
                hint="use a smaller batch or context, or close other programs",
            )
        return MetalBuffer(self, nbytes, memory)

    def write(self, buffer: DeviceBuffer, array: NDArray[Any]) -> None:
        data, memory = self._copied(buffer, array)
        memory[:] = data

    def read(self, buffer: DeviceBuffer, array: NDArray[Any]) -> None:
        data, memory = self._copied(buffer, array)
        data[:] = memory

    def _copied(
        self, buffer: DeviceBuffer, array: NDArray[Any]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        data = self.bytes_of(buffer, array)
        assert isinstance(buffer, MetalBuffer)
        self.synchronize()  # a kernel may still use what is there
        return data, buffer.data[: data.nbytes]

    # kernels

    def compile(self, kernel: Kernel) -> MetalExecutable:
        with self._lock:
            known = self._executables.get(kernel)
            if known is None:
                function = lower(kernel, self.target)
                source = emit_metal(function, self.target)
                pipeline = self.build(source, kernel.name)
                self._check_pipeline(pipeline, kernel.name, function.threads, uses_subgroups(function))
                known = MetalExecutable(self, kernel, source, pipeline, function.threads)
                self._executables[kernel] = known
        return known

    def build(self, source: str, name: str) -> Any:
        """The pipeline of the kernel in a source. Raises CompileError with the compiler's log."""
        metal = self.metal
        with self.pool():
            options = metal.MTLCompileOptions.alloc().init()
            options.setLanguageVersion_(metal.MTLLanguageVersion3_1)
            if options.respondsToSelector_("setMathMode:"):  # macOS 15
                options.setMathMode_(metal.MTLMathModeSafe)
            else:
                options.setFastMathEnabled_(False)
            library, error = self.device.newLibraryWithSource_options_error_(source, options, None)
            if library is None:
                raise self._refused(name, error)
            function = library.newFunctionWithName_(metal_name(name))
            if function is None:
                raise self._refused(name, "it has no such function")
            pipeline, error = self.device.newComputePipelineStateWithFunction_error_(function, None)
            if pipeline is None:
                raise self._refused(name, error)
            return pipeline

    def _refused(self, name: str, error: Any) -> CompileError:
        told = error if error is None or isinstance(error, str) else error.localizedDescription()
        return CompileError(
            f"the compiler of {self.description} refused the kernel `{name}`\n{told or ''}".rstrip(),
            hint="kernels need macOS 14 or newer; on such a one this is a defect of Tritloom: please report it with "
            "what `tritloom doctor --device metal` writes",
        )

    def _check_pipeline(self, pipeline: Any, name: str, threads: int, subgroups: bool) -> None:
        most, width = int(pipeline.maxTotalThreadsPerThreadgroup()), int(pipeline.threadExecutionWidth())
        if threads > most:
            raise CompileError(
                f"`{name}` has {threads} threads a threadgroup, {self.description} runs at most {most} of it",
                hint="make its blocks smaller",
            )
        if subgroups and width != self.target.subgroup_size:
            raise CompileError(
                f"`{name}` is made for simdgroups of {self.target.subgroup_size} threads, {self.description} runs it "
                f"in simdgroups of {width}",
                hint="please report it with what `tritloom doctor --device metal` writes",
            )

    def launch(
        self,
        executable: Executable,
        buffers: Sequence[DeviceBuffer],
        sizes: Mapping[str, int],
        scalars: Sequence[float | int] = (),
    ) -> None:
        self.own(buffers, executable)
        assert isinstance(executable, MetalExecutable)
        check_launch(executable.kernel, [buffer.nbytes for buffer in buffers], sizes, scalars, self.target)
        places = [(buffer.memory, 0) for buffer in buffers if isinstance(buffer, MetalBuffer)]
        launch = _Launch(executable, executable.numbers(sizes, scalars), executable.groups(sizes))
        self.submit([(launch, places)], f"the kernel `{executable.kernel.name}`")

    def submit(self, launches: Sequence[_Placed], what: str) -> Any:
        """Encode launches and commit them in order, with no other thread's between them; the last command buffer.

        Raises DeviceError, OutOfMemoryError for one that had failed before.
        """
        commands = None
        with self._lock, self.pool():
            for first in range(0, len(launches), LAUNCHES):
                commands = self._commit(launches[first : first + LAUNCHES], what)
            self._finish(wait=False)
        return commands

    def _commit(self, launches: Sequence[_Placed], what: str) -> Any:
        metal = self.metal
        commands = self._queue.commandBuffer()
        encoder = None if commands is None else commands.computeCommandEncoder()
        if encoder is None:
            raise DeviceError(f"{self.description} gives no command buffer for {what}")
        try:
            for launch, places in launches:
                if not launch.groups:
                    continue
                executable = launch.executable
                encoder.setComputePipelineState_(executable.pipeline)
                for number, (memory, offset) in enumerate(places):
                    encoder.setBuffer_offset_atIndex_(memory, offset, number)
                if launch.numbers:
                    encoder.setBytes_length_atIndex_(launch.numbers, len(launch.numbers), len(places))
                encoder.dispatchThreadgroups_threadsPerThreadgroup_(
                    metal.MTLSizeMake(launch.groups, 1, 1), metal.MTLSizeMake(executable.threads, 1, 1)
                )
        finally:  # Metal ends a process that drops an encoder which is open
            encoder.endEncoding()
        commands.commit()
        self._pending.append((commands, what))
        return commands

    def _finish(self, *, wait: bool) -> None:
        """Forget command buffers that are done, or wait for all. Raises DeviceError, OutOfMemoryError if any failed:
        the first, since a fault of the GPU fails those behind it too."""
        metal = self.metal
        failures = []
        while self._pending:
            commands, what = self._pending[0]
            if not wait and commands.status() < metal.MTLCommandBufferStatusCompleted:
                break
            commands.waitUntilCompleted()
            self._pending.popleft()
            if commands.status() == metal.MTLCommandBufferStatusError:
                failures.append(self._failure(commands.error(), what))
        if failures:
            raise failures[0]

    def _failure(self, error: Any, what: str) -> DeviceError:
        told = "" if error is None else f": {error.localizedDescription()}"
        if error is not None and error.code() == self.metal.MTLCommandBufferErrorOutOfMemory:
            return OutOfMemoryError(
                f"{self.description} ran out of memory in {what}{told}",
                hint="use a smaller batch or context, or close other programs",
            )
        return DeviceError(f"{self.description} failed in {what}{told}")

    def prepare(self, plan: Plan) -> MetalProgram:
        return MetalProgram(self, plan)

    def synchronize(self) -> None:
        with self._lock, self.pool():
            self._finish(wait=True)


class MetalProgram(Program):
    """A plan whose pipelines and arguments are ready: a run encodes them with its buffers."""

    def __init__(self, device: MetalDevice, plan: Plan):
        self.plan = plan
        self._device = device
        self._given = Bindings(plan, device)
        self._arena = device.allocate(plan.arena_bytes)
        self._launches: list[_Launch] = []
        for launch in plan.launches:
            executable = device.compile(launch.kernel)
            nbytes = [plan.tensors[tensor].nbytes for tensor in launch.tensors]
            check_launch(launch.kernel, nbytes, launch.sizes, launch.scalars, device.target)
            numbers = executable.numbers(launch.sizes, launch.scalars)
            self._launches.append(_Launch(executable, numbers, executable.groups(launch.sizes)))

    def run(self, inputs: Sequence[DeviceBuffer], outputs: Sequence[DeviceBuffer]) -> None:
        self._device.submit(self._encoded(inputs, outputs), "a program")

    def profile(
        self, inputs: Sequence[DeviceBuffer], outputs: Sequence[DeviceBuffer]
    ) -> list[tuple[str, float]]:
        """Run all launches one by one: the kernel's name and the GPU's seconds of each."""
        device, times = self._device, []
        for one in self._encoded(inputs, outputs):
            commands = device.submit([one], f"the kernel `{one[0].executable.kernel.name}`")
            device.synchronize()
            seconds = float(commands.GPUEndTime()) - float(commands.GPUStartTime())
            times.append((one[0].executable.kernel.name, seconds))
        return times

    def _encoded(
        self, inputs: Sequence[DeviceBuffer], outputs: Sequence[DeviceBuffer]
    ) -> list[tuple[_Launch, list[tuple[Any, int]]]]:
        plan = self.plan
        places: dict[int, tuple[Any, int]] = {}
        for number, buffer in self._given.bind(inputs, outputs).items():
            assert isinstance(buffer, MetalBuffer)
            places[number] = (buffer.memory, 0)
        for number, tensor in enumerate(plan.tensors):
            if tensor.role == "arena":
                places[number] = (self._arena.memory, tensor.offset)
        return [
            (launch, [places[tensor] for tensor in planned.tensors])
            for launch, planned in zip(self._launches, plan.launches, strict=True)
        ]


def describe(device: Any, name: str, metal: Any) -> Target:
    """The target that a device's own answers make."""
    limits = device.maxThreadsPerThreadgroup()
    described = replace(
        target_of("metal"),
        name=name,
        max_threads=int(limits.width),
        shared_bytes=int(device.maxThreadgroupMemoryLength()),
    )
    if device.supportsFamily_(metal.MTLGPUFamilyApple7):
        return described
    # The GPUs of Intel's and AMD's in older Macs: what their simdgroups are is not known.
    return replace(described, features=described.features - {"subgroups"}, subgroup_size=1, matrices=())


class MetalBackend(Backend):
    """All GPUs of this Mac."""

    name = "metal"

    def devices(self) -> list[Device]:
        if modules is None:
            return []
        metal, objc = modules
        found = list(metal.MTLCopyAllDevices() or ())
        found.sort(key=lambda device: not device.supportsFamily_(metal.MTLGPUFamilyApple7))
        return [
            MetalDevice("metal" if i == 0 else f"metal:{i}", device, metal, objc)
            for i, device in enumerate(found)
        ]

    def missing(self) -> Missing | None:
        if modules is None:
            reason = (
                "the package pyobjc-framework-Metal is not installed"
                if sys.platform == "darwin"
                else "Metal is a part of macOS"
            )
            return Missing(self.name, reason, _INSTALL)
        if not self.devices():
            return Missing(self.name, "this Mac shows no GPU to this process", "run it outside of a sandbox")
        return None
