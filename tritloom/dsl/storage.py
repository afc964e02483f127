"""The memory behind a tensor: a device's buffer with a shape and a dtype."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritloom.backends.base import Device, DeviceBuffer
from tritloom.codegen.errors import DeviceError, DTypeError, ShapeError
from tritloom.codegen.ir.dtypes import DType, from_numpy, ternary
from tritloom.codegen.ir.tensor import Shape
from tritloom.codegen.ir.ternary import TernaryArray

Host = NDArray[Any] | TernaryArray


class Storage:
    """One tensor's memory. Ternary matrices lie in the layout of the device's target."""

    __slots__ = ("__weakref__", "_abstract", "_buffer", "_transposed", "device", "dtype", "shape")

    def __init__(self, device: Device, buffer: DeviceBuffer | None, shape: Shape, dtype: DType):
        self.device = device
        self.shape = shape
        self.dtype = dtype
        self._buffer = buffer
        self._transposed: Storage | None = None
        self._abstract = buffer is None

    @classmethod
    def of(cls, value: Host, device: Device) -> Storage:
        """A copy of a host array on the device. Raises DTypeError for a dtype that no device has."""
        if isinstance(value, TernaryArray):
            packed = value.with_layout(device.target.layout)
            return cls(device, device.upload(packed.words), packed.shape, ternary)
        if not value.dtype.isnative:
            value = value.astype(value.dtype.newbyteorder("="))
        dtype = from_numpy(value.dtype)
        if 0 in value.shape:
            raise ShapeError(
                f"an array of shape {list(value.shape)} has no elements",
                hint="a tensor has at least one element",
            )
        return cls(device, device.upload(value), value.shape, dtype)

    @property
    def nbytes(self) -> int:
        """Bytes that it takes on its device."""
        if self.dtype is ternary:
            rows, columns = self.shape
            return self.device.target.layout.nbytes(rows, columns)
        return math.prod(self.shape) * self.dtype.nbytes

    @property
    def buffer(self) -> DeviceBuffer:
        """The memory. Raises DeviceError if it was donated, or if there never was any."""
        if self._buffer is None:
            if self._abstract:
                raise DeviceError(
                    f"this {self.dtype}{list(self.shape)} stands for a tensor's shape and has no values",
                    hint="give programs that run a tensor with values",
                )
            raise DeviceError(
                f"this {self.dtype}{list(self.shape)} was donated to a jit-compiled function, which wrote over it",
                hint="use what the function returned, or take the argument out of donate=",
            )
        return self._buffer

    def release(self) -> None:
        """Give the memory away: from here on the storage has none."""
        self._buffer = None
        self._transposed = None

    def host(self) -> Host:
        """A copy on the host."""
        if self.dtype is ternary:
            rows, columns = self.shape
            layout = self.device.target.layout
            words = np.empty(layout.words_shape(rows, columns), np.uint32)
            self.device.read(self.buffer, words)
            return TernaryArray(words, (rows, columns), layout)
        array = np.empty(self.shape, self.dtype.numpy)
        self.device.read(self.buffer, array)
        return array

    def transposed(self) -> Storage:
        """The transposed ternary matrix, packed along its other dimension; made once and kept."""
        if self._transposed is None:
            host = self.host()
            if not isinstance(host, TernaryArray):
                raise DTypeError("only ternary matrices keep a transposed packing")
            self._transposed = Storage.of(host.transposed(), self.device)
        return self._transposed
