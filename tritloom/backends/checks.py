"""What every device checks of the memory that it is given, before a kernel could run past its end."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from tritloom.backends.base import Device, DeviceBuffer
from tritloom.codegen.errors import DeviceError, ShapeError
from tritloom.codegen.ir.template import Plan
from tritloom.codegen.ir.tile import Kernel, Mode, evaluate_size
from tritloom.codegen.target import Target

MOST_ELEMENTS = 2**31
"""A buffer has fewer: element numbers are 32-bit in a GPU's kernels."""


def check_launch(
    kernel: Kernel,
    available: Sequence[int],
    sizes: Mapping[str, int],
    scalars: Sequence[float | int],
    target: Target,
) -> None:
    """Raise ShapeError unless the kernel is made for the sizes and each buffer has the bytes that they call for.

    `available` are the buffers' bytes, in order. Raises DeviceError for one of more elements than a GPU's kernels
    address.
    """
    absent = [size.name for size in kernel.sizes if size.name not in sizes]
    if absent:
        raise ShapeError(f"`{kernel.name}` is launched without the size {', '.join(absent)}")
    if len(available) != len(kernel.buffers) or len(scalars) != len(kernel.scalars):
        raise ShapeError(
            f"`{kernel.name}` takes {len(kernel.buffers)} tensors and {len(kernel.scalars)} scalars and was given "
            f"{len(available)} and {len(scalars)}"
        )
    for size in kernel.sizes:
        given = sizes[size.name]
        if given < 1 or given % size.multiple_of:
            raise ShapeError(
                f"`{kernel.name}` is launched with {size.name} = {given} and was made for positive multiples of "
                f"{size.multiple_of}"
            )
    numbers = dict(sizes)
    for buffer, nbytes in zip(kernel.buffers, available, strict=True):
        shape = tuple(evaluate_size(dim, numbers) for dim in buffer.shape)
        if buffer.dtype.is_ternary:
            needed = target.layout.nbytes(*shape)
        else:
            needed = int(np.prod(shape, dtype=np.int64)) * buffer.dtype.nbytes
        if needed > nbytes:
            raise ShapeError(
                f"`{buffer.name}` of `{kernel.name}` is {buffer.dtype}[{', '.join(map(str, shape))}], {needed} bytes, "
                f"and was given {nbytes} bytes"
            )
    if target.is_gpu:
        _check_elements(kernel, available)


def _check_elements(kernel: Kernel, available: Sequence[int]) -> None:
    for parameter, nbytes in zip(kernel.buffers, available, strict=True):
        elements = nbytes // (4 if parameter.dtype.is_ternary else parameter.dtype.nbytes)
        if elements >= MOST_ELEMENTS:
            raise DeviceError(
                f"`{parameter.name}` of `{kernel.name}` has {elements} elements, kernels of this device address fewer "
                f"than {MOST_ELEMENTS}",
                hint="use a smaller batch or context",
            )


def check_process(device: str, process: int) -> None:
    """Raise DeviceError in a process that was forked from the one of the number `process`, in which the device works:
    the driver's threads are not in it, and it would wait for them for ever."""
    if os.getpid() != process:
        raise DeviceError(
            f"{device} is in use in the process that this one was forked from",
            hint="start the process in another way: multiprocessing.get_context('spawn'), or forkserver",
        )


class Bindings:
    """Checks which buffers a plan's inputs and outputs are given."""

    def __init__(self, plan: Plan, device: Device):
        self.external = tuple(dict.fromkeys((*plan.inputs, *plan.outputs)))
        """The tensors that are given, by number."""
        self._plan = plan
        self._device = device
        self._written = {
            number
            for launch in plan.launches
            for buffer, number in zip(launch.kernel.buffers, launch.tensors, strict=True)
            if buffer.mode is not Mode.IN and number in self.external
        }

    def bind(
        self, inputs: Sequence[DeviceBuffer], outputs: Sequence[DeviceBuffer]
    ) -> dict[int, DeviceBuffer]:
        """The buffer of each external tensor.

        Raises ShapeError for a buffer that is too short, DeviceError for one of another device or one that is bound
        to two tensors of which the plan writes one.
        """
        plan = self._plan
        if len(inputs) != len(plan.inputs) or len(outputs) != len(plan.outputs):
            raise ShapeError(
                f"the program takes {len(plan.inputs)} inputs and {len(plan.outputs)} outputs and was given "
                f"{len(inputs)} and {len(outputs)}"
            )
        self._device.own(inputs)
        self._device.own(outputs)
        bound: dict[int, DeviceBuffer] = {}
        for number, buffer in zip((*plan.inputs, *plan.outputs), (*inputs, *outputs), strict=True):
            tensor = plan.tensors[number]
            if buffer.nbytes < tensor.nbytes:
                raise ShapeError(
                    f"the {tensor.role} {tensor.dtype}[{', '.join(map(str, tensor.shape))}] of the program needs "
                    f"{tensor.nbytes} bytes and was given {buffer.nbytes}"
                )
            if bound.setdefault(number, buffer) is not buffer:
                raise DeviceError(
                    "a tensor that the program updates in place was given one buffer as input and another as output",
                    hint="give the input's buffer as the output",
                )
        if self._written:
            self._check_apart(bound)
        return bound

    def _check_apart(self, bound: Mapping[int, DeviceBuffer]) -> None:
        holders: dict[int, int] = {}
        for number, buffer in bound.items():
            other = holders.setdefault(id(buffer), number)
            if other != number and (other in self._written or number in self._written):
                raise DeviceError(
                    "one buffer was given for two tensors of the program, and the program writes one of them",
                    hint="give each output a buffer of its own",
                )
