"""A device on paper: a target, and no hardware. Programs are traced and planned for it, and nothing runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from numpy.typing import NDArray

from tritloom.backends.base import Device, DeviceBuffer, Executable, Program
from tritloom.codegen.errors import DeviceError
from tritloom.codegen.ir.template import Plan
from tritloom.codegen.ir.tile import Kernel
from tritloom.codegen.target import Target


class PaperDevice(Device):
    """A device that is described and absent. Whatever needs hardware raises DeviceError."""

    def __init__(self, target: Target, description: str = ""):
        self.name = target.name
        self.description = description or target.name
        self.target = target

    def _absent(self) -> NoReturn:
        raise DeviceError(
            f"{self.name} is a description of a device: nothing can run on it",
            hint="`tritloom devices` lists the devices that are here",
        )

    def allocate(self, nbytes: int) -> DeviceBuffer:
        self._absent()

    def write(self, buffer: DeviceBuffer, array: NDArray[Any]) -> None:
        self._absent()

    def read(self, buffer: DeviceBuffer, array: NDArray[Any]) -> None:
        self._absent()

    def compile(self, kernel: Kernel) -> Executable:
        self._absent()

    def launch(
        self,
        executable: Executable,
        buffers: Sequence[DeviceBuffer],
        sizes: dict[str, int],
        scalars: Sequence[float | int] = (),
    ) -> None:
        self._absent()

    def prepare(self, plan: Plan) -> Program:
        self._absent()

    def synchronize(self) -> None:
        self._absent()
