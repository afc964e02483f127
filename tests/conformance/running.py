"""Runs a kernel on a device and compares with the interpreter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests import support
from tritloom.backends.base import Device
from tritloom.codegen.errors import UnsupportedError
from tritloom.codegen.ir.dtypes import DType
from tritloom.codegen.ir.ternary import TernaryArray
from tritloom.codegen.ir.tile import Kernel, Mode, evaluate_size
from tritloom.codegen.ir.tile_interpreter import interpret
from tritloom.codegen.ir.tile_printer import format_kernel
from tritloom.codegen.ir.tile_verifier import verify

Array = NDArray[Any]
Tensors = Mapping[str, Array | TernaryArray]
_FENCE = 64
_FENCE_BYTE = 0xA5


def run(
    device: Device,
    kernel: Kernel,
    tensors: Tensors,
    sizes: Mapping[str, int],
    scalars: Mapping[str, float | int] | None = None,
) -> dict[str, Array]:
    """The OUT and INOUT tensors after one launch.

    Fails if the device wrote past the end of one of them. Skips where a device that the user chose says that it cannot
    run the kernel; the suite's own devices run all of them.
    """
    try:
        executable = device.compile(kernel)
    except UnsupportedError as error:
        if support.CHOSEN is None or device is not support.device_named("chosen"):
            raise
        pytest.skip(f"{device.name}: {error.message}")
    buffers, shapes = [], {}
    for buffer in kernel.buffers:
        given = tensors.get(buffer.name)
        if isinstance(given, TernaryArray):
            buffers.append(device.upload(given.with_layout(device.target.layout).words))
            continue
        shape = tuple(evaluate_size(dim, dict(sizes)) for dim in buffer.shape)
        data = np.full(shape, 0xFF, np.uint8) if given is None else given
        nbytes = int(np.prod(shape, dtype=np.int64)) * buffer.dtype.nbytes
        padded = np.full(nbytes + _FENCE, _FENCE_BYTE, np.uint8)
        if given is not None:
            padded[:nbytes] = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
        buffers.append(device.upload(padded))
        if buffer.mode is not Mode.IN:
            shapes[buffer.name] = (len(buffers) - 1, shape, buffer.dtype, nbytes)
    numbers = [(scalars or {})[scalar.name] for scalar in kernel.scalars]
    device.launch(executable, buffers, {size.name: sizes[size.name] for size in kernel.sizes}, numbers)
    results = {}
    for name, (position, shape, dtype, nbytes) in shapes.items():
        raw = np.empty(nbytes + _FENCE, np.uint8)
        device.read(buffers[position], raw)
        assert (raw[nbytes:] == _FENCE_BYTE).all(), f"{device.name} wrote past the end of {name}"
        results[name] = raw[:nbytes].view(dtype.numpy).reshape(shape)
    return results


def expected(
    kernel: Kernel,
    tensors: Tensors,
    sizes: Mapping[str, int],
    scalars: Mapping[str, float | int] | None = None,
) -> dict[str, Array]:
    """What the interpreter gives; the arguments stay as they are."""
    verify(kernel)
    copies = {
        name: value if isinstance(value, TernaryArray) else value.copy() for name, value in tensors.items()
    }
    return interpret(kernel, copies, sizes, scalars)


def conforms(
    device: Device,
    kernel: Kernel,
    tensors: Tensors,
    sizes: Mapping[str, int],
    scalars: Mapping[str, float | int] | None = None,
    tolerances: Mapping[str, tuple[float, float]] | None = None,
) -> None:
    """Assert that the device gives what the interpreter gives.

    Exactly, but for outputs with (relative, absolute) tolerances.
    """
    wanted = expected(kernel, tensors, sizes, scalars)
    found = run(device, kernel, tensors, sizes, scalars)
    for name, want in wanted.items():
        got = found[name]
        relative, absolute = (tolerances or {}).get(name, (0.0, 0.0))
        same = np.isclose(_wide(got), _wide(want), rtol=relative, atol=absolute, equal_nan=True)
        if not same.all():
            at = tuple(int(i) for i in np.argwhere(~same)[0])
            wrong = int((~same).sum())
            raise AssertionError(
                f"{device.name}: {name}{list(at)} is {got[at]!r}, the interpreter gives {want[at]!r} "
                f"({wrong} of {want.size} differ; sizes {dict(sizes)})\n{format_kernel(kernel, locations=False)}"
            )


def _wide(array: Array) -> Array:
    return array.astype(np.float64)


def unit(dtype: DType) -> float:
    """The relative distance of neighbouring numbers of a float dtype."""
    return {"f32": 2.0**-23, "f16": 2.0**-10, "bf16": 2.0**-7}[dtype.name]
