"""Plans recorded for the CPU: a table of launches whose arguments are filled in once, but for what each run binds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tritloom.backends.base import Device, DeviceBuffer, Program
from tritloom.backends.checks import Bindings, check_launch
from tritloom.backends.cpu_launch import (
    CPUExecutable,
    allocate,
    argument_words,
    memory_of,
    overlapping,
)
from tritloom.backends.cpu_runtime import ARGUMENTS, CHUNK, FUNCTION, PROGRAMS, Pool, new_table
from tritloom.codegen.ir.template import Launch, Plan
from tritloom.codegen.ir.tile import Kernel

Compile = Callable[[Kernel, bool], CPUExecutable]
"""Compiles a kernel; the flag says whether some of its buffers will overlap."""


class CPUProgram(Program):
    """A plan with its arena, its compiled kernels and their arguments."""

    def __init__(self, device: Device, plan: Plan, pool: Pool, compile_kernel: Compile):
        self.plan = plan
        self._device = device
        self._pool = pool
        self._compile = compile_kernel
        self._arena = allocate(device, max(plan.arena_bytes, 1))
        self._bindings = Bindings(plan, device)
        self._external = self._bindings.external
        self._kept: list[CPUExecutable] = []
        self._table = new_table(len(plan.launches))
        blocks: list[NDArray[np.uint64]] = []
        bound: list[tuple[int, int]] = []
        position = 0
        for row, launch in zip(self._table, plan.launches, strict=True):
            words = self._record(row, launch)
            for slot, number in enumerate(launch.tensors):
                if number in self._external:
                    bound.append((position + slot, self._external.index(number)))
            row[ARGUMENTS] = 8 * position
            blocks.append(words)
            position += len(words)
        self._words = np.concatenate(blocks) if blocks else np.zeros(1, np.uint64)
        self._table[:, ARGUMENTS] += self._words.ctypes.data
        self._slots = np.array([slot for slot, _ in bound], np.int64)
        self._sources = np.array([source for _, source in bound], np.int64)

    def _record(self, row: NDArray[np.int64], launch: Launch) -> NDArray[np.uint64]:
        plan, kernel = self.plan, launch.kernel
        tensors = [plan.tensors[number] for number in launch.tensors]
        check_launch(kernel, [t.nbytes for t in tensors], launch.sizes, launch.scalars, self._device.target)
        # External tensors are told apart by number: they get places of their own far behind the arena.
        places = [
            (plan.arena_bytes + (number << 44), tensor.nbytes)
            if number in self._external
            else (tensor.offset, tensor.nbytes)
            for number, tensor in zip(launch.tensors, tensors, strict=True)
        ]
        executable = self._compile(kernel, overlapping(kernel, places))
        self._kept.append(executable)
        programs = int(np.prod(kernel.grid(dict(launch.sizes)), dtype=np.int64))
        row[FUNCTION] = executable.function.address
        row[PROGRAMS] = programs
        row[CHUNK] = self._pool.chunk(programs)
        start = self._arena.address
        addresses = [
            0 if number in self._external else start + tensor.offset
            for number, tensor in zip(launch.tensors, tensors, strict=True)
        ]
        return argument_words(kernel, addresses, launch.sizes, launch.scalars)

    def run(self, inputs: Sequence[DeviceBuffer], outputs: Sequence[DeviceBuffer]) -> None:
        """Run all launches in order; see :class:`Bindings` for what is refused."""
        bound = self._bindings.bind(inputs, outputs)
        with self._pool.lock:
            if len(self._slots):
                addresses = [memory_of(self._device, bound[number]).address for number in self._external]
                self._words[self._slots] = np.array(addresses, np.uint64)[self._sources]
            self._pool.run(self._table)
