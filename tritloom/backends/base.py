"""What every device is: memory, compiled kernels, launches and recorded programs.

A backend is one module with a subclass of :class:`Device` and a :class:`Backend` entry in the registry. The shared
conformance suite tells whether it is right.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritloom.codegen.errors import DeviceError, ShapeError, UnsupportedError
from tritloom.codegen.ir.template import Plan
from tritloom.codegen.ir.tile import Kernel
from tritloom.codegen.target import Target


class DeviceBuffer(ABC):
    """Memory of one device, 64-byte aligned."""

    device: Device
    nbytes: int


class Executable(ABC):
    """A kernel compiled for one device."""

    device: Device
    kernel: Kernel
    source: str
    """What was compiled, for people (LLVM IR, OpenCL C)."""


class Program(ABC):
    """A plan made ready on one device: run it as often as you like."""

    plan: Plan

    @abstractmethod
    def run(self, inputs: Sequence[DeviceBuffer], outputs: Sequence[DeviceBuffer]) -> None:
        """Run all launches in order. An output that the plan updates in place is the buffer of that input."""

    def profile(
        self, inputs: Sequence[DeviceBuffer], outputs: Sequence[DeviceBuffer]
    ) -> list[tuple[str, float]]:
        """Run all launches one after another; each one's kernel and the seconds that it took by the device's clock.

        Raises UnsupportedError where there is no such clock.
        """
        raise UnsupportedError("this device does not tell how long kernels take")


class Device(ABC):
    """One device. Buffers and executables of one device are of no use to another."""

    name: str
    """As the user writes it: "cpu", "opencl", "opencl:1"."""
    description: str
    """The hardware, for people."""
    target: Target
    memory_bytes: int | None = None
    """How much memory programs may use; None where it is not known."""
    reserved_bytes: int = 0
    """What the device itself takes of it once programs run, beside tensors: for copies and the like."""

    @abstractmethod
    def allocate(self, nbytes: int) -> DeviceBuffer:
        """Uninitialised memory. Raises OutOfMemoryError."""

    @abstractmethod
    def write(self, buffer: DeviceBuffer, array: NDArray[Any]) -> None:
        """Copy a C-contiguous array's bytes to the start of the buffer."""

    @abstractmethod
    def read(self, buffer: DeviceBuffer, array: NDArray[Any]) -> None:
        """Copy bytes from the start of the buffer over a C-contiguous array, after all work that was submitted."""

    @abstractmethod
    def compile(self, kernel: Kernel) -> Executable:
        """The executable of a kernel, cached. Raises CompileError, UnsupportedError."""

    @abstractmethod
    def launch(
        self,
        executable: Executable,
        buffers: Sequence[DeviceBuffer],
        sizes: dict[str, int],
        scalars: Sequence[float | int] = (),
    ) -> None:
        """Run a kernel once over its whole grid. Buffers are in the order of the kernel's."""

    @abstractmethod
    def prepare(self, plan: Plan) -> Program:
        """Compile and record a plan."""

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until all work that was submitted is done."""

    def program_bytes(self, plan: Plan) -> int:
        """Memory that :meth:`prepare` takes for a plan's intermediate results."""
        return plan.arena_bytes

    def upload(self, array: NDArray[Any]) -> DeviceBuffer:
        """A new buffer with the array's bytes."""
        contiguous = np.ascontiguousarray(array)
        buffer = self.allocate(max(contiguous.nbytes, 1))
        self.write(buffer, contiguous)
        return buffer

    def bytes_of(self, buffer: DeviceBuffer, array: NDArray[Any]) -> NDArray[np.uint8]:
        """The bytes of an array that is copied to or from the start of a buffer, as a view.

        Raises ShapeError unless the array is C-contiguous and no greater than the buffer, DeviceError for a buffer of
        another device.
        """
        self.own([buffer])
        if not array.flags.c_contiguous or array.nbytes > buffer.nbytes:
            what = "" if array.flags.c_contiguous else " that is not C-contiguous"
            raise ShapeError(
                f"an array{what} of {array.nbytes} bytes was given to be copied to or from a buffer of {buffer.nbytes} "
                f"on {self.name}",
                hint="give a C-contiguous array no greater than the buffer",
            )
        return array.reshape(-1).view(np.uint8)

    def own(self, buffers: Sequence[DeviceBuffer], executable: Executable | None = None) -> None:
        """Raise DeviceError unless all of them are this device's."""
        if executable is not None and executable.device is not self:
            raise DeviceError(
                f"`{executable.kernel.name}` was compiled for {executable.device.name}, not for {self.name}",
                hint="compile it for this one",
            )
        for buffer in buffers:
            if buffer.device is not self:
                raise DeviceError(
                    f"memory of {buffer.device.name} was given to {self.name}",
                    hint="move it with .to(device) first",
                )


@dataclass(frozen=True, slots=True)
class Missing:
    """A device that is not there: why, and what to install."""

    name: str
    reason: str
    hint: str


class Backend(ABC):
    """Finds the devices of one API."""

    name: str

    @abstractmethod
    def devices(self) -> list[Device]:
        """All its devices, best first; the first is what the bare name means. Empty where there are none."""

    @abstractmethod
    def missing(self) -> Missing | None:
        """Why there is no device, or None if there is one."""
