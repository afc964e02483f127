"""Tritloom: a kernel language and compiler for ternary (BitNet) models on any vendor's device.

    import tritloom as tl

`@tl.kernel` makes kernels (:mod:`tritloom.dsl.language` says of what), `tl.array` makes tensors, `tl.jit` compiles
functions of tensors, `tl.grad` and `tl.value_and_grad` differentiate them, `tl.nn` has what models are made of. Inside
a kernel `tl.exp(x)` is about tiles, outside of one about tensors.
"""

from __future__ import annotations

from tritloom.backends.base import Device
from tritloom.backends.registry import device, devices
from tritloom.codegen.errors import (
    AxisError,
    BoundsError,
    CompileError,
    DeviceError,
    DTypeError,
    GradientError,
    KernelSyntaxError,
    OutOfMemoryError,
    RaceError,
    ShapeError,
    TritloomError,
    UnsupportedError,
    VerificationError,
)
from tritloom.codegen.ir.dtypes import DType, bf16, bool_, f16, f32, i8, i16, i32, ternary, u8, u32
from tritloom.codegen.ir.ternary import TernaryArray, TernaryLayout
from tritloom.dsl import nn
from tritloom.dsl.arguments import ArgumentError
from tritloom.dsl.functions import (
    abs,  # noqa: A004
    arange,
    cast,
    clamp,
    concat,
    cos,
    exp,
    floor,
    full,
    full_like,
    gather,
    log,
    log_sum_exp,
    max,  # noqa: A004
    maximum,
    mean,
    min,  # noqa: A004
    minimum,
    ones,
    pack,
    pad,
    round,  # noqa: A004
    rsqrt,
    scatter_add,
    sigmoid,
    sin,
    softmax,
    sqrt,
    stack,
    stop_gradient,
    straight_through,
    sum,  # noqa: A004
    tanh,
    where,
    zeros,
    zeros_like,
)
from tritloom.dsl.grad import grad, value_and_grad
from tritloom.dsl.inline import inline
from tritloom.dsl.jit import explain, jit
from tritloom.dsl.kernel import kernel
from tritloom.dsl.language import blocks, inout, load, out, programs, static, store, tunable, whole
from tritloom.dsl.tensor import CopyError, Tensor, TraceError, array, dot, matmul, realise
from tritloom.dsl.tree import StructureError, tree_flatten, tree_leaves, tree_map, tree_unflatten
from tritloom.version import VERSION

__version__ = VERSION

from_numpy = array

__all__ = [
    # dtypes and arrays
    "DType", "TernaryArray", "TernaryLayout", "bf16", "bool_", "f16", "f32", "i16", "i32", "i8",
    "ternary", "u32", "u8",
    # kernels
    "blocks", "inline", "inout", "kernel", "load", "out", "programs", "static", "store", "tunable",
    "whole",
    # tensors
    "Tensor", "array", "from_numpy", "realise", "abs", "arange", "cast", "clamp", "concat", "cos", "dot",
    "exp", "floor", "full", "full_like", "gather", "log", "log_sum_exp", "matmul", "max", "maximum",
    "mean", "min", "minimum", "ones", "pack", "pad", "round", "rsqrt", "scatter_add", "sigmoid", "sin",
    "softmax", "sqrt", "stack", "sum", "tanh", "where", "zeros", "zeros_like", "nn",
    # programs and gradients
    "explain", "grad", "jit", "stop_gradient", "straight_through", "value_and_grad", "tree_flatten",
    "tree_leaves", "tree_map", "tree_unflatten",
    # devices
    "Device", "device", "devices",
    # errors
    "ArgumentError", "AxisError", "BoundsError", "CompileError", "CopyError", "DTypeError", "DeviceError",
    "GradientError", "KernelSyntaxError", "OutOfMemoryError", "RaceError", "ShapeError", "StructureError",
    "TraceError", "TritloomError", "UnsupportedError", "VerificationError",
]  # fmt: skip
