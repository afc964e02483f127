"""Checks of a kernel's arguments at its call, before anything is launched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritloom.codegen.errors import DTypeError, ShapeError, SourceLocation, TritloomError
from tritloom.codegen.ir.dtypes import DType, from_numpy, i32, ternary
from tritloom.codegen.ir.template import TensorParameter
from tritloom.codegen.ir.tensor import Shape
from tritloom.codegen.ir.ternary import TernaryArray
from tritloom.codegen.ir.tile import Mode
from tritloom.dsl.signature import Signature
from tritloom.dsl.tensor import Tensor

Array = NDArray[Any]
Argument = Array | TernaryArray | Tensor


class ArgumentError(TritloomError):
    """A call with an argument missing, unknown, given twice or of the wrong kind."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a call was given, checked: tensors and scalars by name."""

    tensors: dict[str, Argument]
    scalars: dict[str, float | int]
    sizes: dict[str, int]


def bind(
    signature: Signature,
    positional: Sequence[Any],
    keywords: Mapping[str, Any],
    location: SourceLocation | None,
) -> Arguments:
    """The arguments of a call. Raises ArgumentError, DTypeError or ShapeError that names the parameter."""
    given = _by_name(signature, positional, keywords, location)
    tensors: dict[str, Argument] = {}
    scalars: dict[str, float | int] = {}
    for tensor in signature.tensors:
        if tensor.mode is not Mode.OUT:
            tensors[tensor.name] = _tensor(signature, tensor, given[tensor.name], location)
    for scalar in signature.scalars:
        scalars[scalar.name] = _scalar(signature, scalar.name, scalar.dtype, given[scalar.name], location)
    sizes = sizes_of(signature, {name: tuple(value.shape) for name, value in tensors.items()}, location)
    return Arguments(tensors, scalars, sizes)


def _by_name(
    signature: Signature,
    positional: Sequence[Any],
    keywords: Mapping[str, Any],
    location: SourceLocation | None,
) -> dict[str, Any]:
    names = signature.positional
    called = f"it is called as {signature.name}({', '.join(names)})"
    if len(positional) > len(names):
        raise ArgumentError(
            f"`{signature.name}` takes {len(names)} argument(s) and was given {len(positional)}",
            hint=f"{called}; outputs are returned, tunables are given by name",
            location=location,
        )
    given = dict(zip(names, positional))
    for name, value in keywords.items():
        if name in given:
            raise ArgumentError(
                f"`{signature.name}` was given `{name}` twice", hint=called, location=location
            )
        if name not in names:
            output = any(t.name == name and t.mode is Mode.OUT for t in signature.tensors)
            raise ArgumentError(
                f"`{signature.name}` has no argument `{name}`" + (": it is an output" if output else ""),
                hint="outputs are made by the call and returned" if output else called,
                location=location,
            )
        given[name] = value
    for name in names:
        if name not in given and name in signature.defaults:
            given[name] = signature.defaults[name]
        if name not in given:
            raise ArgumentError(f"`{signature.name}` was not given `{name}`", hint=called, location=location)
    return given


def _described(parameter: TensorParameter) -> str:
    return f"{parameter.dtype}[{', '.join(map(str, parameter.dims))}]"


def _tensor(
    signature: Signature, parameter: TensorParameter, value: Any, location: SourceLocation | None
) -> Argument:
    what = f"`{parameter.name}` of `{signature.name}`"
    wanted = _described(parameter)
    if not isinstance(value, np.ndarray | TernaryArray | Tensor):
        kind = type(value).__name__
        raise ArgumentError(
            f"{what} is a Python {kind}, it should be {wanted}",
            hint=f"give an array: np.asarray(..., np.{parameter.dtype.numpy})",
            location=location,
        )
    dtype: DType | None
    if isinstance(value, TernaryArray):
        dtype, shown = ternary, "ternary"
    elif isinstance(value, Tensor):
        dtype, shown = value.dtype, str(value.dtype)
    else:
        shown = str(value.dtype)
        try:
            dtype = from_numpy(value.dtype)
        except DTypeError:
            dtype = None
    if dtype is not parameter.dtype:
        if parameter.dtype.is_ternary:
            hint = "pack it: tl.TernaryArray.pack(weights), of -1, 0 and 1"
        elif dtype is ternary:
            hint = f"unpack it: {parameter.name}.unpack()"
        elif isinstance(value, Tensor):
            hint = f"cast it: {parameter.name}.cast(tl.{parameter.dtype})"
        else:
            hint = f"convert it: {parameter.name}.astype({_numpy_name(parameter.dtype)})"
        raise DTypeError(f"{what} is {shown}, it should be {wanted}", hint=hint, location=location)
    return value


def _numpy_name(dtype: DType) -> str:
    name = dtype.numpy.name
    return f"ml_dtypes.{name}" if name == "bfloat16" else f"np.{name}"


def _scalar(
    signature: Signature, name: str, dtype: DType, value: Any, location: SourceLocation | None
) -> float | int:
    what = f"`{name}` of `{signature.name}`"
    number = value.item() if isinstance(value, np.generic) else value
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise ArgumentError(
            f"{what} is a {type(value).__name__}, it should be a number ({dtype})",
            hint="give a Python number",
            location=location,
        )
    if dtype is i32 and (not isinstance(number, int) or not -(2**31) <= number < 2**31):
        raise DTypeError(
            f"{what} is {number}, it should be an i32", hint="give an integer", location=location
        )
    return number


def sizes_of(
    signature: Signature, shapes: Mapping[str, Shape], location: SourceLocation | None
) -> dict[str, int]:
    """The value of each dimension's name, from the shapes of the IN and INOUT tensors."""
    sizes: dict[str, int] = {}
    origin: dict[str, str] = {}
    for parameter in signature.tensors:
        if parameter.mode is Mode.OUT:
            continue
        shape = shapes[parameter.name]
        what = f"`{parameter.name}` of `{signature.name}` has shape {shape}"
        wanted = _described(parameter)
        if len(shape) != len(parameter.dims):
            raise ShapeError(
                f"{what}, it should be {wanted}",
                hint=f"it has {len(shape)} dimension(s) and should have {len(parameter.dims)}",
                location=location,
            )
        for position, (dim, extent) in enumerate(zip(parameter.dims, shape, strict=True)):
            if extent == 0:
                raise ShapeError(
                    f"{what}, which has no elements", hint="a dimension is at least 1", location=location
                )
            expected = sizes.get(dim) if isinstance(dim, str) else dim
            if expected is not None and expected != extent:
                where = f", where {dim} is {expected}" if isinstance(dim, str) else ""
                why = f" as `{origin[dim]}` has it" if isinstance(dim, str) else ""
                raise ShapeError(
                    f"{what}, it should be {wanted}{where}{why}",
                    hint=f"its dimension {position} is {extent} and should be {expected}",
                    location=location,
                )
            if isinstance(dim, str) and dim not in sizes:
                sizes[dim], origin[dim] = extent, parameter.name
    return sizes


def output_shape(parameter: TensorParameter, sizes: Mapping[str, int]) -> Shape:
    """The shape of an output, for the sizes of a call."""
    return tuple(sizes[dim] if isinstance(dim, str) else dim for dim in parameter.dims)
