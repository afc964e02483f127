"""Runs hand-made machine functions on this CPU, restricted to a target's instructions, or on another under qemu."""

from __future__ import annotations

import ctypes
import functools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.backends.emulated import Linked
from tritloom.backends.cache import Cache
from tritloom.backends.cpu_compiler import Compiler, callable_of
from tritloom.codegen.emit.llvm import emit_llvm, isa_of
from tritloom.codegen.ir.dtypes import DType, bool_, u8
from tritloom.codegen.ir.machine import Function, MachineType, Register, index
from tritloom.codegen.ir.machine_builder import MachineBuilder
from tritloom.codegen.ir.machine_verifier import verify_machine
from tritloom.codegen.targets import host_cpu
from tritloom.codegen.targets import target as target_of

TARGETS = ("cpu", "cpu:avx2", "cpu:plain")
Array = NDArray[Any]


@functools.cache
def compiler(name: str) -> Compiler:
    """A compiler for a target, with a cache of its own. Skips where this processor lacks its instructions."""
    target = target_of(name)
    if not isa_of(target) <= isa_of(host_cpu()):
        pytest.skip(f"this processor is no {name}")
    return Compiler(target, Cache("cpu", Path(tempfile.mkdtemp())))


def aligned(array: Array) -> Array:
    """A copy on a 64-byte boundary, as kernels expect their buffers."""
    raw = np.zeros(array.nbytes + 64, np.uint8)
    start = -raw.ctypes.data % 64
    made = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    made[...] = array
    return made


def run(
    name: str, function: Function, arrays: Sequence[Array], numbers: Sequence[Any] = (), programs: int = 1
) -> list[Array]:
    """The arrays after the function ran all programs on them. `numbers` are NumPy scalars: sizes, then scalars."""
    verify_machine(function)
    if name == "aarch64":
        target = target_of(name)
        return Linked(target, function.name, emit_llvm(function, target)).run(arrays, numbers, programs)
    chosen = compiler(name)
    ir = emit_llvm(function, chosen.target)
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    call = callable_of(chosen.load(function.name, ir), pointer, number, number)
    made = [aligned(array) for array in arrays]
    slots = np.zeros(len(made) + len(numbers) + 1, np.uint64)
    slots[: len(made)] = [array.ctypes.data for array in made]
    for position, value in enumerate(numbers, start=len(made)):
        slots[position] = value.view(np.uint32)
    call(slots.ctypes.data, 0, programs)
    return made


def apply(
    name: str,
    compute: Callable[..., Register],
    operands: Sequence[Array],
    dtypes: Sequence[DType],
    result: DType,
    lanes: int,
) -> Array:
    """`compute(builder, *registers)` over arrays of one length, `lanes` elements at a time. Bool arrays are bytes."""
    b = MachineBuilder("applied")
    memories = [b.buffer(f"x{i}", _stored(dtype), writable=False) for i, dtype in enumerate(dtypes)]
    out = b.buffer("out", _stored(result))
    start = b.cast(b.mul(b.program(), lanes), index)
    loaded = [b.load(memory, start, lanes) for memory in memories]
    values = [b.cast(v, bool_) if d is bool_ else v for v, d in zip(loaded, dtypes, strict=True)]
    made = compute(b, *values)
    assert made.type == MachineType(result, lanes)
    b.store(out, start, b.cast(made, u8) if result is bool_ else made)
    length = len(operands[0])
    padded = [np.concatenate([operand, np.zeros(-length % lanes, operand.dtype)]) for operand in operands]
    empty = np.zeros(len(padded[0]), _stored(result).numpy)
    outputs = run(name, b.finish(), [*padded, empty], programs=len(padded[0]) // lanes)
    return outputs[-1][:length]


def _stored(dtype: DType) -> DType:
    return u8 if dtype is bool_ else dtype


__all__ = ["TARGETS", "Array", "aligned", "apply", "compiler", "run"]
