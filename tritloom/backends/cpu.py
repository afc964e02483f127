"""The CPU: kernels as machine code made by LLVM, on all cores.

"cpu" is the processor with all that it has; "cpu:avx512", "cpu:avx2" and "cpu:plain" are the same processor restricted
to the instructions of that level, where it has them.
"""

from __future__ import annotations

import functools
import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritloom import codegen
from tritloom.backends import cpu_compiler
from tritloom.backends.base import Backend, Device, DeviceBuffer, Executable, Missing, Program
from tritloom.backends.cache import Cache
from tritloom.backends.checks import check_launch
from tritloom.backends.cpu_compiler import Compiler
from tritloom.backends.cpu_launch import (
    CPUBuffer,
    CPUExecutable,
    allocate,
    argument_words,
    llvm_source,
    memory_of,
    overlapping,
)
from tritloom.backends.cpu_program import CPUProgram
from tritloom.backends.cpu_runtime import ARGUMENTS, CHUNK, FUNCTION, PROGRAMS, Pool, new_table, thread_count
from tritloom.backends.host_memory import machine_memory
from tritloom.codegen.emit.llvm import isa_of
from tritloom.codegen.ir.template import Plan
from tritloom.codegen.ir.tile import Kernel
from tritloom.codegen.ir.tile_printer import format_kernel
from tritloom.codegen.target import Target
from tritloom.codegen.targets import host_cpu
from tritloom.codegen.targets import target as target_of

KEPT = 4096
"""Compiled kernels that a device keeps at hand."""


class CPUDevice(Device):
    """This processor, with the instructions of one target."""

    def __init__(self, target: Target, pool: _SharedPool):
        self.name = target.name
        self.description = f"{_processor()}, {target.vector_bits}-bit vectors, {thread_count()} thread(s)"
        self.target = target
        self.memory_bytes = machine_memory()
        self.compiler = Compiler(target, Cache("cpu"))
        self._shared_pool = pool
        self._compiled: dict[tuple[Kernel, bool], CPUExecutable] = {}

    @property
    def pool(self) -> Pool:
        """The threads, shared by all CPU devices."""
        return self._shared_pool.get()

    def allocate(self, nbytes: int) -> CPUBuffer:
        """Uninitialised memory on a cache line's boundary."""
        return allocate(self, nbytes)

    def write(self, buffer: DeviceBuffer, array: NDArray[Any]) -> None:
        """Copy a C-contiguous array's bytes to the start of the buffer."""
        data = self.bytes_of(buffer, array)
        memory_of(self, buffer).data[: data.nbytes] = data

    def read(self, buffer: DeviceBuffer, array: NDArray[Any]) -> None:
        """Copy bytes from the start of the buffer over a C-contiguous array."""
        data = self.bytes_of(buffer, array)
        data[:] = memory_of(self, buffer).data[: data.nbytes]

    def compile(self, kernel: Kernel) -> CPUExecutable:
        """The kernel's machine code, for buffers that do not overlap."""
        return self._variant(kernel, False)

    def _variant(self, kernel: Kernel, may_alias: bool) -> CPUExecutable:
        """The kernel's machine code; `may_alias` if some of its buffers will overlap."""
        found = self._compiled.get((kernel, may_alias))
        if found is None:
            parts = (
                codegen_fingerprint(),
                format_kernel(kernel, locations=False),
                str(may_alias),
                repr(self.target),
            )
            key = hashlib.sha256("\0".join(parts).encode()).hexdigest()
            function = self.compiler.load(
                kernel.name, lambda: llvm_source(kernel, self.target, may_alias), key
            )
            found = CPUExecutable(self, kernel, may_alias, function)
            while len(self._compiled) >= KEPT:
                del self._compiled[next(iter(self._compiled))]
            self._compiled[kernel, may_alias] = found
        return found

    def launch(
        self,
        executable: Executable,
        buffers: Sequence[DeviceBuffer],
        sizes: Mapping[str, int],
        scalars: Sequence[float | int] = (),
    ) -> None:
        """Run a kernel once over its whole grid.

        Raises ShapeError if a buffer is too short for the sizes, DeviceError if something is another device's.
        """
        self.own((), executable)
        assert isinstance(executable, CPUExecutable)
        kernel = executable.kernel
        memories = [memory_of(self, buffer) for buffer in buffers]
        check_launch(kernel, [memory.nbytes for memory in memories], sizes, scalars, self.target)
        if overlapping(kernel, [(memory.address, memory.nbytes) for memory in memories]):
            executable = self._variant(kernel, True)
        words = argument_words(kernel, [memory.address for memory in memories], sizes, scalars)
        programs = int(np.prod(kernel.grid(dict(sizes)), dtype=np.int64))
        table = new_table(1)
        table[0, FUNCTION] = executable.function.address
        table[0, ARGUMENTS] = words.ctypes.data
        table[0, PROGRAMS] = programs
        table[0, CHUNK] = self.pool.chunk(programs)
        self.pool.run(table)

    def prepare(self, plan: Plan) -> Program:
        """Compile all kernels of a plan and record its launches."""
        return CPUProgram(self, plan, self.pool, self._variant)

    def synchronize(self) -> None:
        """Launches return when they are done."""


@functools.cache
def codegen_fingerprint() -> str:
    """A hash of the compiler's own text: what it made is not taken for what it would make now."""
    total = hashlib.sha256()
    for path in (*sorted(Path(codegen.__file__).parent.rglob("*.py")), Path(cpu_compiler.__file__)):
        total.update(path.read_bytes())
    return total.hexdigest()


class _SharedPool:
    """The pool of the backend, made when it is first used."""

    def __init__(self, target: Target):
        self._target = target
        self._pool: Pool | None = None

    def get(self) -> Pool:
        if self._pool is None:
            self._pool = Pool(Compiler(self._target, Cache("cpu")), thread_count())
        return self._pool


@functools.cache
def _processor() -> str:
    """The processor's name, for people."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


class CPUBackend(Backend):
    """This processor, as it is and restricted to the levels that it has."""

    name = "cpu"

    def __init__(self) -> None:
        host = host_cpu()
        pool = _SharedPool(host)
        self._devices: list[Device] = [CPUDevice(host, pool)]
        for level in ("cpu:avx512", "cpu:avx2", "cpu:plain"):
            restricted = replace(target_of(level), llvm_triple=host.llvm_triple)
            if isa_of(restricted) <= isa_of(host):
                self._devices.append(CPUDevice(restricted, pool))

    def devices(self) -> list[Device]:
        """The processor, then its restricted forms from the most to the least."""
        return list(self._devices)

    def missing(self) -> Missing | None:
        """There is always a CPU."""
        return None
