"""Plans recorded for the CPU: a table of launches whose arguments are filled in once, but for what each run binds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tritloom.backends.base import Device, DeviceBuffer, Program
from tritloom.backends.cpu_launch import (
    CPUExecutable,
    allocate,
    argument_words,
    check_launch,
    memory_of,
    overlapping,
)
from tritloom.backends.cpu_runtime import ARGUMENTS, CHUNK, FUNCTION, PROGRAMS, Pool, new_table
from tritloom.codegen.errors import DeviceError, ShapeError
from tritloom.codegen.ir.template import Launch, Plan
from tritloom.codegen.ir.tile import Kernel, Mode

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
        self._external = tuple(dict.fromkeys((*plan.inputs, *plan.outputs)))
        self._written = {
            number
            for launch in plan.launches
            for buffer, number in zip(launch.kernel.buffers, launch.tensors, strict=True)
            if buffer.mode is not Mode.IN and number in self._external
        }
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
        """Run all launches in order.

        Raises ShapeError for a buffer that is too short, DeviceError for one of another device or one that is bound
        to two tensors of which the plan writes one.
        """
        plan, device = self.plan, self._device
        if len(inputs) != len(plan.inputs) or len(outputs) != len(plan.outputs):
            raise ShapeError(
                f"the program takes {len(plan.inputs)} inputs and {len(plan.outputs)} outputs and was given "
                f"{len(inputs)} and {len(outputs)}"
            )
        addresses: dict[int, int] = {}
        for number, buffer in zip((*plan.inputs, *plan.outputs), (*inputs, *outputs), strict=True):
            memory = memory_of(device, buffer)
            if memory.nbytes < plan.tensors[number].nbytes:
                tensor = plan.tensors[number]
                raise ShapeError(
                    f"the {tensor.role} {tensor.dtype}[{', '.join(map(str, tensor.shape))}] of the program needs "
                    f"{tensor.nbytes} bytes and was given {memory.nbytes}"
                )
            if addresses.setdefault(number, memory.address) != memory.address:
                raise DeviceError(
                    "a tensor that the program updates in place was given one buffer as input and another as output",
                    hint="give the input's buffer as the output",
                )
        if self._written:
            self._check_apart(addresses)
        with self._pool.lock:
            if len(self._slots):
                bound = np.array([addresses[number] for number in self._external], np.uint64)
                self._words[self._slots] = bound[self._sources]
            self._pool.run(self._table)

    def _check_apart(self, addresses: Mapping[int, int]) -> None:
        holders: dict[int, int] = {}
        for number, address in addresses.items():
            other = holders.setdefault(address, number)
            if other != number and (other in self._written or number in self._written):
                raise DeviceError(
                    "one buffer was given for two tensors of the program, and the program writes one of them",
                    hint="give each output a buffer of its own",
                )
