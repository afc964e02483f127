"""The reference device: the tile interpreter behind the interface of a device. Slow, and the measure of all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritloom.backends.base import Backend, Device, DeviceBuffer, Executable, Missing, Program
from tritloom.backends.checks import Bindings, check_launch
from tritloom.backends.host_memory import machine_memory
from tritloom.codegen.errors import OutOfMemoryError
from tritloom.codegen.ir.template import Plan
from tritloom.codegen.ir.ternary import TernaryArray
from tritloom.codegen.ir.tile import Kernel, evaluate_size
from tritloom.codegen.ir.tile_interpreter import interpret
from tritloom.codegen.ir.tile_printer import format_kernel
from tritloom.codegen.target import Target

ALIGNMENT = 64
Bytes = NDArray[np.uint8]


class ReferenceBuffer(DeviceBuffer):
    """Bytes of the host."""

    def __init__(self, device: Device, data: Bytes):
        self.device = device
        self.data = data
        self.nbytes = data.nbytes


class ReferenceExecutable(Executable):
    """A kernel as it is."""

    def __init__(self, device: Device, kernel: Kernel):
        self.device = device
        self.kernel = kernel
        self.source = format_kernel(kernel)


class ReferenceDevice(Device):
    """Runs kernels in NumPy, one program after another, with every access checked."""

    name = "reference"
    description = "NumPy interpreter"

    def __init__(self) -> None:
        self.target = Target(name="reference", emitter="none")
        self.memory_bytes = machine_memory()

    def allocate(self, nbytes: int) -> ReferenceBuffer:
        """Memory filled with 0xff, so that a use of what was never written shows (NaN in every float dtype)."""
        try:
            data = np.full(nbytes + ALIGNMENT, 0xFF, np.uint8)
        except MemoryError:
            raise OutOfMemoryError(f"no memory for {nbytes} bytes on reference") from None
        offset = -data.ctypes.data % ALIGNMENT
        return ReferenceBuffer(self, data[offset : offset + nbytes])

    def _own(self, buffer: DeviceBuffer) -> ReferenceBuffer:
        self.own([buffer])
        assert isinstance(buffer, ReferenceBuffer)
        return buffer

    def write(self, buffer: DeviceBuffer, array: NDArray[Any]) -> None:
        """Copy a C-contiguous array's bytes to the start of the buffer."""
        data = self.bytes_of(buffer, array)
        self._own(buffer).data[: data.nbytes] = data

    def read(self, buffer: DeviceBuffer, array: NDArray[Any]) -> None:
        """Copy bytes from the start of the buffer over a C-contiguous array."""
        data = self.bytes_of(buffer, array)
        data[:] = self._own(buffer).data[: data.nbytes]

    def compile(self, kernel: Kernel) -> ReferenceExecutable:
        """The kernel itself."""
        return ReferenceExecutable(self, kernel)

    def launch(
        self,
        executable: Executable,
        buffers: Sequence[DeviceBuffer],
        sizes: dict[str, int],
        scalars: Sequence[float | int] = (),
    ) -> None:
        """Interpret the kernel over its whole grid."""
        self.own((), executable)
        memories = [self._own(buffer).data for buffer in buffers]
        check_launch(executable.kernel, [data.nbytes for data in memories], sizes, scalars, self.target)
        self._run(executable.kernel, memories, sizes, scalars)

    def _run(
        self,
        kernel: Kernel,
        memories: Sequence[Bytes],
        sizes: Mapping[str, int],
        scalars: Sequence[float | int],
    ) -> None:
        tensors: dict[str, NDArray[Any] | TernaryArray] = {}
        for buffer, data in zip(kernel.buffers, memories, strict=True):
            shape = tuple(evaluate_size(dim, dict(sizes)) for dim in buffer.shape)
            if buffer.dtype.is_ternary:
                rows, columns = shape
                layout = self.target.layout
                words = data[: layout.nbytes(rows, columns)].view(np.uint32)
                tensors[buffer.name] = TernaryArray(
                    words.reshape(layout.words_shape(rows, columns)), (rows, columns), layout
                )
            else:
                count = int(np.prod(shape, dtype=np.int64)) * buffer.dtype.nbytes
                tensors[buffer.name] = data[:count].view(buffer.dtype.numpy).reshape(shape)
        names = [scalar.name for scalar in kernel.scalars]
        interpret(kernel, tensors, sizes, dict(zip(names, scalars, strict=True)))

    def prepare(self, plan: Plan) -> ReferenceProgram:
        """The plan with its arena."""
        return ReferenceProgram(self, plan)

    def synchronize(self) -> None:
        """All work is done as soon as it is submitted."""


class ReferenceProgram(Program):
    """A plan, run launch by launch."""

    def __init__(self, device: ReferenceDevice, plan: Plan):
        self.plan = plan
        self._device = device
        self._arena = device.allocate(max(plan.arena_bytes, 1))
        self._bindings = Bindings(plan, device)

    def run(self, inputs: Sequence[DeviceBuffer], outputs: Sequence[DeviceBuffer]) -> None:
        """Run all launches in order."""
        plan, device = self.plan, self._device
        given = self._bindings.bind(inputs, outputs)
        bound = {number: device._own(buffer).data for number, buffer in given.items()}

        def memory(number: int) -> Bytes:
            if number in bound:
                return bound[number]
            tensor = plan.tensors[number]
            return self._arena.data[tensor.offset : tensor.offset + tensor.nbytes]

        for launch in plan.launches:
            device._run(launch.kernel, [memory(n) for n in launch.tensors], launch.sizes, launch.scalars)


class ReferenceBackend(Backend):
    """The one reference device."""

    name = "reference"

    def __init__(self) -> None:
        self._device = ReferenceDevice()

    def devices(self) -> list[Device]:
        """The interpreter."""
        return [self._device]

    def missing(self) -> Missing | None:
        """It is always there."""
        return None
