"""LLVM's spelling of machine types, constants and shuffles.

f16 and bf16 are held as their bits in i16: LLVM's own half arithmetic needs library calls on processors without it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from tritloom.codegen.ir.dtypes import DType
from tritloom.codegen.ir.machine import MachineType


def scalar(dtype: DType) -> str:
    """A register's element type."""
    if dtype.is_bool:
        return "i1"
    if dtype.is_float and dtype.bits == 32:
        return "float"
    return f"i{dtype.bits}"


def in_memory(dtype: DType) -> str:
    """An element's type in memory: bools are bytes there."""
    return "i8" if dtype.is_bool else scalar(dtype)


def vector(element: str, lanes: int) -> str:
    """The type of `lanes` elements; one lane is no vector."""
    return element if lanes == 1 else f"<{lanes} x {element}>"


def register(type_: MachineType) -> str:
    """A register's type."""
    return vector(scalar(type_.dtype), type_.lanes)


def number(value: float, dtype: DType) -> str:
    """One constant of a dtype, rounded to it."""
    if dtype.is_bool:
        return "true" if value else "false"
    if not dtype.is_float:
        return str(int(value))
    with np.errstate(over="ignore"):
        rounded = np.asarray(value, np.float64).astype(dtype.numpy)
    if dtype.bits == 16:
        return str(int(rounded.view(np.uint16)))
    return f"0x{struct.unpack('<Q', struct.pack('<d', float(rounded)))[0]:016X}"


def constant(value: float | tuple[float, ...], type_: MachineType) -> str:
    """A constant register's value: one number for all lanes or one a lane."""
    element = scalar(type_.dtype)
    if isinstance(value, tuple):
        numbers = [number(v, type_.dtype) for v in value]
        if type_.lanes == 1:
            return numbers[0]
        return f"<{', '.join(f'{element} {n}' for n in numbers)}>"
    one = number(value, type_.dtype)
    return one if type_.lanes == 1 else f"splat ({element} {one})"


def integers(values: Sequence[int], element: str = "i32") -> str:
    """A typed vector constant of integers, as shuffles and control operands take."""
    return f"<{len(values)} x {element}> <{', '.join(f'{element} {v}' for v in values)}>"
