"""Runs a plan: with the tile interpreter on one arena of bytes, or on a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritloom.backends.base import Device
from tritloom.codegen.ir.dtypes import u8
from tritloom.codegen.ir.template import Plan
from tritloom.codegen.ir.ternary import TernaryArray
from tritloom.codegen.ir.tile import Buffer, evaluate_size
from tritloom.codegen.ir.tile_interpreter import interpret
from tritloom.codegen.ir.tile_verifier import verify
from tritloom.codegen.target import Target

Array = NDArray[Any]


def run_plan(
    plan: Plan,
    inputs: Sequence[Array | TernaryArray],
    target: Target,
    *,
    donated: Mapping[int, int] | None = None,
) -> list[Array]:
    """The outputs (a ternary one as int8). Inputs are copied first; `donated` is what the plan was made with."""
    memory: dict[int, NDArray[np.uint8]] = {}
    for number, array in zip(plan.inputs, inputs, strict=True):
        host = array.with_layout(target.layout).words if isinstance(array, TernaryArray) else array
        memory[number] = np.ascontiguousarray(host).reshape(-1).view(np.uint8).copy()
        assert memory[number].nbytes == plan.tensors[number].nbytes
    before = {number: memory[number].copy() for number in plan.inputs}
    for number in plan.outputs:
        memory.setdefault(number, np.full(plan.tensors[number].nbytes, 0xA5, np.uint8))
    arena = np.full(plan.arena_bytes, 0xA5, np.uint8)
    for number, tensor in enumerate(plan.tensors):
        if tensor.role == "arena":
            assert tensor.offset + tensor.nbytes <= plan.arena_bytes
            memory[number] = arena[tensor.offset : tensor.offset + tensor.nbytes]
    for launch in plan.launches:
        verify(launch.kernel)
        sizes = dict(launch.sizes)
        tensors = {
            buffer.name: _view(buffer, memory[number], sizes, target)
            for buffer, number in zip(launch.kernel.buffers, launch.tensors, strict=True)
        }
        scalars = {s.name: v for s, v in zip(launch.kernel.scalars, launch.scalars, strict=True)}
        interpret(launch.kernel, tensors, sizes, scalars)
    given_up = {plan.inputs[number] for number in (donated or {}).values()}
    for number, bits in before.items():
        assert number in given_up or np.array_equal(bits, memory[number]), (
            "an input that was not donated is changed"
        )
    return [_host(plan, number, memory[number], target) for number in plan.outputs]


def run_on(device: Device, plan: Plan, inputs: Sequence[Array | TernaryArray]) -> list[Array]:
    """The outputs (a ternary one as int8) of a plan that was made for the device's target."""
    layout = device.target.layout
    bound = [
        device.upload(array.with_layout(layout).words if isinstance(array, TernaryArray) else array)
        for array in inputs
    ]
    buffers = dict(zip(plan.inputs, bound, strict=True))
    for number in plan.outputs:
        if number not in buffers:
            buffers[number] = device.allocate(plan.tensors[number].nbytes)
    device.prepare(plan).run(bound, [buffers[number] for number in plan.outputs])
    device.synchronize()
    found = []
    for number in plan.outputs:
        memory = np.empty(plan.tensors[number].nbytes, np.uint8)
        device.read(buffers[number], memory)
        found.append(_host(plan, number, memory, device.target))
    return found


def _view(
    buffer: Buffer, memory: NDArray[np.uint8], sizes: dict[str, int], target: Target
) -> Array | TernaryArray:
    shape = tuple(evaluate_size(dim, sizes) for dim in buffer.shape)
    if buffer.dtype.is_ternary:
        rows, columns = shape
        words = memory.view(np.uint32).reshape(target.layout.words_shape(rows, columns))
        return TernaryArray(words, (rows, columns), target.layout)
    dtype = u8 if buffer.dtype.is_bool else buffer.dtype
    array = memory.view(dtype.numpy).reshape(shape)
    return array.view(np.bool_) if buffer.dtype.is_bool else array


def _host(plan: Plan, number: int, memory: NDArray[np.uint8], target: Target) -> Array:
    tensor = plan.tensors[number]
    if tensor.dtype.is_ternary:
        rows, columns = tensor.shape
        words = memory.view(np.uint32).reshape(target.layout.words_shape(rows, columns))
        return TernaryArray(words, (rows, columns), target.layout).unpack()
    return memory.view(tensor.dtype.numpy).reshape(tensor.shape).copy()
