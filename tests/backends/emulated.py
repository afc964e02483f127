"""An AArch64 processor under qemu-user as a device: what the CPU backend compiles for it, linked and run."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritloom.backends.base import Device, DeviceBuffer, Executable, Program
from tritloom.backends.cache import Cache
from tritloom.backends.checks import check_launch
from tritloom.backends.cpu_compiler import Compiler
from tritloom.backends.cpu_launch import CPUBuffer, allocate, memory_of
from tritloom.codegen.compile import source
from tritloom.codegen.errors import UnsupportedError
from tritloom.codegen.ir.dtypes import f32
from tritloom.codegen.ir.template import Plan
from tritloom.codegen.ir.tile import Kernel
from tritloom.codegen.target import Target
from tritloom.codegen.targets import target as target_of

MAIN = Path(__file__).with_name("aarch64_main.c")


class Linked:
    """One function as an AArch64 program."""

    def __init__(self, target: Target, symbol: str, ir: str):
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)
        code = Compiler(target, Cache("cpu", self.folder)).object_code(symbol, ir)
        (self.folder / "kernel.o").write_bytes(code)
        gcc = ["aarch64-linux-gnu-gcc", "-O1", "-static", f"-DKERNEL={symbol}"]
        subprocess.run([*gcc, str(MAIN), "kernel.o", "-o", "main"], cwd=self.folder, check=True)

    def run(
        self, arrays: Sequence[NDArray[Any]], numbers: Sequence[Any], programs: int
    ) -> list[NDArray[Any]]:
        """The arrays after all programs ran on them. `numbers` are NumPy scalars: sizes, then scalars."""
        words = []
        for position, array in enumerate(arrays):
            (self.folder / f"{position}").write_bytes(np.ascontiguousarray(array).tobytes())
            words.append(f"{position}")
        words += [f"#{int(number.view(np.uint32))}" for number in numbers]
        command = ["qemu-aarch64", "-cpu", "max", "./main", str(programs), *words]
        subprocess.run(command, cwd=self.folder, check=True)
        return [
            np.frombuffer((self.folder / f"{position}").read_bytes(), array.dtype).reshape(array.shape)
            for position, array in enumerate(arrays)
        ]


class EmulatedExecutable(Executable):
    """A kernel as an AArch64 program."""

    def __init__(self, device: Device, kernel: Kernel):
        self.device = device
        self.kernel = kernel
        self.source = source(kernel, device.target)
        self.linked = Linked(device.target, kernel.name, self.source)


class EmulatedDevice(Device):
    """Runs each launch as a process of its own."""

    name = "aarch64"
    description = "AArch64 under qemu-user"

    def __init__(self) -> None:
        self.target = target_of("aarch64")

    def allocate(self, nbytes: int) -> CPUBuffer:
        return allocate(self, nbytes)

    def write(self, buffer: DeviceBuffer, array: NDArray[Any]) -> None:
        data = self.bytes_of(buffer, array)
        memory_of(self, buffer).data[: data.nbytes] = data

    def read(self, buffer: DeviceBuffer, array: NDArray[Any]) -> None:
        data = self.bytes_of(buffer, array)
        data[:] = memory_of(self, buffer).data[: data.nbytes]

    def compile(self, kernel: Kernel) -> EmulatedExecutable:
        return EmulatedExecutable(self, kernel)

    def launch(
        self,
        executable: Executable,
        buffers: Sequence[DeviceBuffer],
        sizes: Mapping[str, int],
        scalars: Sequence[float | int] = (),
    ) -> None:
        self.own(buffers, executable)
        assert isinstance(executable, EmulatedExecutable)
        kernel = executable.kernel
        memories = [memory_of(self, buffer) for buffer in buffers]
        check_launch(kernel, [memory.nbytes for memory in memories], sizes, scalars, self.target)
        numbers: list[Any] = [np.int32(sizes[size.name]) for size in kernel.sizes]
        for scalar, value in zip(kernel.scalars, scalars, strict=True):
            numbers.append(np.float32(value) if scalar.dtype is f32 else np.int32(value))
        programs = int(np.prod(kernel.grid(dict(sizes)), dtype=np.int64))
        after = executable.linked.run([memory.data for memory in memories], numbers, programs)
        for memory, data in zip(memories, after, strict=True):
            memory.data[:] = data

    def prepare(self, plan: Plan) -> Program:
        raise UnsupportedError("plans are not run under emulation")

    def synchronize(self) -> None:
        pass
