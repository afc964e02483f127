"""The Vulkan backend: every device of every driver that has what our kernels need, by a binding of our own.

Kernels get addresses, not descriptors. Work runs in order on one queue, so launches follow each other with no host in
between; a plan is one command buffer that is submitted again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritloom.backends import guard, vulkan_guarded
from tritloom.backends.base import Backend, Device, DeviceBuffer, Executable, Missing
from tritloom.backends.cache import Cache
from tritloom.backends.checks import check_launch
from tritloom.backends.guard import Guard
from tritloom.backends.started import Started
from tritloom.backends.vulkan_api import DEVICE_LOST, VulkanError, install_hint
from tritloom.backends.vulkan_context import STAGING, Context, VulkanBuffer
from tritloom.backends.vulkan_instance import instance
from tritloom.backends.vulkan_launch import VulkanExecutable, argument_block, program_count, workgroups
from tritloom.backends.vulkan_memory import BLOCK
from tritloom.backends.vulkan_physical import PhysicalDevice, find
from tritloom.backends.vulkan_pipeline import Module
from tritloom.backends.vulkan_program import VulkanProgram
from tritloom.codegen.emit.spirv import emit_spirv
from tritloom.codegen.errors import CompileError, DeviceError, TritloomError
from tritloom.codegen.ir.template import Plan
from tritloom.codegen.ir.tile import Kernel
from tritloom.codegen.lower.gpu import lower_gpu

on_module: list[Callable[[str, bytes], None]] = []
"""Called with the name and the words of every module before a driver sees it: tests validate them all."""


class VulkanDevice(Device):
    """One Vulkan device. Nothing is made on it before it is used."""

    def __init__(self, name: str, physical: PhysicalDevice, *, staging: bool = False):
        """`staging`: copy to and from tensors as if the host did not see their memory."""
        self.name = name
        self.physical = physical
        self.description = physical.description
        self.target = physical.target(name)
        self.memory_bytes = physical.memory_bytes
        self.reserved_bytes = STAGING + BLOCK  # the last block of memory is not full
        self._started = Started(lambda: Context(physical, staging=staging), self.description)
        self._executables: dict[Kernel, VulkanExecutable] = {}
        self._cache = Cache("vulkan")
        self.guard = Guard(vulkan_guarded.command(physical), self.description)

    @property
    def context(self) -> Context:
        """The device at work."""
        return self._started.get()

    # memory

    def allocate(self, nbytes: int) -> VulkanBuffer:
        """Uninitialised memory, 256-byte aligned. Raises OutOfMemoryError."""
        context = self.context
        with context.lock:
            return VulkanBuffer(self, context, context.allocate(context.tensors, nbytes), nbytes)

    def write(self, buffer: DeviceBuffer, array: NDArray[Any]) -> None:
        """Copy a C-contiguous array's bytes to the start of the buffer."""
        data, found = self._copied(buffer, array)
        with self.context.lock:
            self.context.write(found.piece, data)

    def read(self, buffer: DeviceBuffer, array: NDArray[Any]) -> None:
        """Copy bytes from the start of the buffer over a C-contiguous array, after all work that was submitted."""
        data, found = self._copied(buffer, array)
        with self.context.lock:
            self.context.read(found.piece, data)
        self.physical.instance.raise_messages()

    def _copied(self, buffer: DeviceBuffer, array: NDArray[Any]) -> tuple[NDArray[np.uint8], VulkanBuffer]:
        data = self.bytes_of(buffer, array)
        assert isinstance(buffer, VulkanBuffer)
        return data, buffer

    # kernels

    def compile(self, kernel: Kernel) -> VulkanExecutable:
        """The pipeline of a kernel. Raises CompileError, UnsupportedError."""
        context = self.context
        with context.lock:
            known = self._executables.get(kernel)
            if known is None:
                made = emit_spirv(lower_gpu(kernel, self.target), self.target)
                size = self.target.subgroup_size if made.uses_subgroups else 0
                pipeline = self.build(made.words, kernel.name, made.text, size)
                known = VulkanExecutable(self, kernel, made.text, made.words, pipeline)
                self._executables[kernel] = known
        return known

    def build(self, words: bytes, name: str, text: str = "", subgroup_size: int = 0) -> int:
        """The pipeline of a module; `text` is the module for people. Raises CompileError."""
        for listener in on_module:
            listener(name, words)
        module = Module(words, subgroup_size)
        key = module.key(self.physical)
        cached = self._cache.get(key)
        if cached is None and guard.enabled():
            sources = {".spv": words, ".spvasm": text.encode()}
            good, answer = self.guard.compile(key, name, vulkan_guarded.request(module), sources)
            known = answer if good else None
        else:
            known = cached
        try:
            pipeline, data = self.context.logical.make(module, known)
        except VulkanError as error:
            if error.result == DEVICE_LOST:
                self.context.queue.fail(error)
            raise CompileError(
                f"the compiler of {self.description} refused the kernel `{name}`: {error.message}",
                hint="this is a defect of Tritloom or of the driver: please report it with the kernel's source",
            ) from error
        if cached is None:
            self._cache.put(key, data)
        return pipeline

    def launch(
        self,
        executable: Executable,
        buffers: Sequence[DeviceBuffer],
        sizes: dict[str, int],
        scalars: Sequence[float | int] = (),
    ) -> None:
        """Run a kernel once over its whole grid."""
        self.own(buffers, executable)
        assert isinstance(executable, VulkanExecutable)
        kernel, context = executable.kernel, self.context
        check_launch(kernel, [buffer.nbytes for buffer in buffers], sizes, scalars, self.target)
        programs = program_count(kernel, sizes)
        if not programs:
            return
        pieces = [buffer.piece for buffer in buffers if isinstance(buffer, VulkanBuffer)]
        groups = workgroups(programs, self.physical.properties.limits.maxComputeWorkGroupCount)
        block = argument_block(kernel, [piece.address for piece in pieces], sizes, scalars, programs)
        with context.lock:
            context.launch(executable.pipeline, kernel, pieces, block, groups)

    def prepare(self, plan: Plan) -> VulkanProgram:
        """Compile and record a plan."""
        executables = [self.compile(launch.kernel) for launch in plan.launches]
        return VulkanProgram(self, self.context, plan, executables)

    def synchronize(self) -> None:
        """Wait until all work that was submitted is done."""
        with self.context.lock:
            self.context.queue.wait(self.context.queue.point)
        self.physical.instance.raise_messages()


class VulkanBackend(Backend):
    """All devices that have what our kernels need: discrete GPUs first, CPUs last."""

    name = "vulkan"

    def devices(self) -> list[Device]:
        """All of them, best first."""
        fitting = [one for one in self._physical() if not one.lacking()]
        return [
            VulkanDevice(self.name if i == 0 else f"{self.name}:{i}", one) for i, one in enumerate(fitting)
        ]

    @staticmethod
    def _physical() -> list[PhysicalDevice]:
        try:
            return find(instance())
        except DeviceError:  # no loader, no driver, or one that fails: `missing` tells
            return []

    def missing(self) -> Missing | None:
        """No loader, no driver, or no device that will do: what to install."""
        try:
            found = find(instance())
        except TritloomError as error:
            return Missing(self.name, error.message, error.hint or install_hint())
        if not found:
            return Missing(self.name, "no Vulkan driver here has a device", install_hint())
        lacking = [(one, one.lacking()) for one in found]
        if all(lacks for _, lacks in lacking):
            told = "; ".join(f"{one.name} lacks {', '.join(lacks)}" for one, lacks in lacking)
            return Missing(self.name, f"no Vulkan device here will do: {told}", "update the driver")
        return None
