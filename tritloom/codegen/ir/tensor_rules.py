"""The typing rules of the tensor operations: which operands each one takes, and the shape and dtype of its result.

A rule takes the operands, the operation's parameters and the user's location; it returns a :class:`Typed` or raises
ShapeError or DTypeError there. The table that names the rules stands in :mod:`tritloom.codegen.ir.tensor_ops`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tritloom.codegen.errors import DTypeError, ShapeError, SourceLocation
from tritloom.codegen.ir.dtypes import DType, Kind, bool_, f32, i8, i32, ternary
from tritloom.codegen.ir.template import KernelTemplate
from tritloom.codegen.ir.tensor import Node, Shape
from tritloom.codegen.ir.tile import BinaryOp, Mode, ReduceOp, UnaryOp

Location = SourceLocation | None
Inputs = tuple[Node, ...]
Parameters = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Typed:
    """What a rule finds: the result's type and the attributes that its node keeps (all hashable)."""

    shape: Shape
    dtype: DType
    attributes: Mapping[str, Any] = field(default_factory=dict)


Rule = Callable[[Inputs, Parameters, Location], Typed]

FLOAT_ONLY = frozenset(
    {UnaryOp.EXP, UnaryOp.LOG, UnaryOp.SQRT, UnaryOp.RSQRT, UnaryOp.SIN, UnaryOp.COS, UnaryOp.TANH}
)
BITWISE = frozenset({BinaryOp.AND, BinaryOp.OR, BinaryOp.XOR})
INTEGER_ONLY = frozenset({BinaryOp.FLOORDIV, BinaryOp.MOD, BinaryOp.SHL, BinaryOp.SHR})


def describe(node: Node) -> str:
    """`f32[2, 3]`: a node's type as errors show it."""
    return f"{node.dtype}{list(node.shape)}"


def check_shape(shape: Sequence[int], what: str, location: Location) -> Shape:
    """The shape as a tuple of positive ints. Raises ShapeError."""
    dims = tuple(shape)
    for dim in dims:
        if isinstance(dim, bool) or not hasattr(dim, "__index__") or dim < 1:
            raise ShapeError(
                f"{what} has the shape {list(dims)}",
                hint="each dimension is an integer of 1 or more",
                location=location,
            )
    return tuple(dim.__index__() for dim in dims)


def round_scalar(value: Any, dtype: DType, location: Location = None) -> float | int | bool:
    """A Python number as the dtype holds it (floats rounded, one NaN). Raises DTypeError if it does not fit."""
    if dtype.is_ternary:
        raise DTypeError(
            "a ternary constant", hint="ternary values are matrices: pack them", location=location
        )
    if dtype.is_bool:
        if value not in (0, 1):
            raise DTypeError(f"{value} is no bool", location=location)
        return bool(value)
    if dtype.is_float:
        with np.errstate(over="ignore"):
            rounded = float(dtype.numpy.type(value))
        return math.nan if math.isnan(rounded) else rounded
    if isinstance(value, float) and not value.is_integer():
        raise DTypeError(f"{value} is no {dtype}", hint="cast the tensor to f32 first", location=location)
    if not dtype.limits[0] <= value <= dtype.limits[1]:
        raise DTypeError(f"{value} does not fit in {dtype}", location=location)
    return int(value)


def _no_ternary(what: str, inputs: Inputs, location: Location) -> None:
    for node in inputs:
        if node.dtype.is_ternary:
            raise DTypeError(
                f"`{what}` of a ternary tensor",
                hint="ternary tensors are the right operand of dot; cast to i8 for anything else",
                location=location,
            )


def _axes(axes: Sequence[int], rank: int, what: str, location: Location) -> tuple[int, ...]:
    """Sorted axes counted from the front. Raises ShapeError for one out of range or given twice."""
    found = []
    for axis in axes:
        if not -rank <= axis < rank:
            raise ShapeError(
                f"`{what}` over axis {axis} of a tensor of {rank} dimension(s)", location=location
            )
        found.append(axis % rank)
    if len(set(found)) != len(found):
        raise ShapeError(f"`{what}` names an axis twice: {list(axes)}", location=location)
    return tuple(sorted(found))


# leaves


def input_rule(inputs: Inputs, p: Parameters, location: Location) -> Typed:
    """Any shape; a ternary one is a matrix."""
    shape = check_shape(p["shape"], "an input", location)
    if p["dtype"].is_ternary and len(shape) != 2:
        raise ShapeError(f"a ternary tensor is a matrix, not {list(shape)}", location=location)
    return Typed(shape, p["dtype"], {"key": p["key"]})


def constant_rule(inputs: Inputs, p: Parameters, location: Location) -> Typed:
    """A scalar, its value rounded to the dtype."""
    return Typed((), p["dtype"], {"value": round_scalar(p["value"], p["dtype"], location)})


def iota_rule(inputs: Inputs, p: Parameters, location: Location) -> Typed:
    """i32 [length]."""
    shape = check_shape((p["length"],), "iota", location)
    return Typed(shape, i32, {"length": shape[0]})


# elementwise


def unary_rule(op: UnaryOp) -> Rule:
    """The rule of one elementwise operation of one operand."""

    def rule(inputs: Inputs, p: Parameters, location: Location) -> Typed:
        (x,) = inputs
        if op is UnaryOp.NOT:
            fits, wanted = x.dtype.is_bool, "bool"
        elif op in FLOAT_ONLY:
            fits, wanted = x.dtype.is_float, "a float"
        else:
            fits, wanted = x.dtype.is_float or x.dtype.kind is Kind.INT, "a float or a signed integer"
        if not fits:
            raise DTypeError(
                f"`{op.value}` takes {wanted}, not {x.dtype}", hint="cast it first", location=location
            )
        return Typed(x.shape, x.dtype)

    return rule


def binary_rule(op: BinaryOp) -> Rule:
    """The rule of one elementwise operation of two operands of one shape and dtype."""

    def rule(inputs: Inputs, p: Parameters, location: Location) -> Typed:
        a, b = inputs
        _no_ternary(op.value, inputs, location)
        _same(op.value, a, b, location)
        dtype = a.dtype
        if op is BinaryOp.DIV and not dtype.is_float:
            raise DTypeError(f"`/` of {dtype}", hint="use // for integers, or cast to f32", location=location)
        if op in INTEGER_ONLY and not dtype.is_integer:
            raise DTypeError(f"`{op.value}` takes integers, not {dtype}", location=location)
        if op in BITWISE and not (dtype.is_integer or dtype.is_bool):
            raise DTypeError(f"`{op.value}` takes integers or bools, not {dtype}", location=location)
        if dtype.is_bool and not op.is_comparison and op not in BITWISE:
            raise DTypeError(f"`{op.value}` of bools", hint="use & and |, or cast to i32", location=location)
        return Typed(a.shape, bool_ if op.is_comparison else dtype)

    return rule


def _same(what: str, a: Node, b: Node, location: Location) -> None:
    if a.dtype is not b.dtype:
        raise DTypeError(
            f"`{what}` of {describe(a)} and {describe(b)}",
            hint=f"cast one of them, as in x.cast(tl.{a.dtype if a.dtype.is_float else b.dtype})",
            location=location,
        )
    if a.shape != b.shape:
        raise ShapeError(
            f"`{what}` of {describe(a)} and {describe(b)}", hint="broadcast one of them", location=location
        )


def select_rule(inputs: Inputs, p: Parameters, location: Location) -> Typed:
    """A bool and two tensors of one dtype, all of one shape."""
    condition, if_true, if_false = inputs
    if not condition.dtype.is_bool:
        raise DTypeError(f"a condition is bool, not {condition.dtype}", location=location)
    _no_ternary("where", inputs, location)
    _same("where", if_true, if_false, location)
    if condition.shape != if_true.shape:
        raise ShapeError(f"`where` of {describe(condition)} and {describe(if_true)}", location=location)
    return Typed(if_true.shape, if_true.dtype)


def cast_rule(inputs: Inputs, p: Parameters, location: Location) -> Typed:
    """Any dtype to any other, but ternary only to i8, and nothing to ternary."""
    (x,) = inputs
    dtype: DType = p["dtype"]
    if dtype.is_ternary and not x.dtype.is_ternary:
        raise DTypeError(
            f"a cast of {x.dtype} to ternary",
            hint="use tl.nn.ternarise, or tl.pack for -1, 0 and 1",
            location=location,
        )
    if x.dtype.is_ternary and dtype not in (ternary, i8):
        raise DTypeError(f"a cast of ternary to {dtype}", hint="cast to i8 first", location=location)
    return Typed(x.shape, dtype)


# movement


def broadcast_rule(inputs: Inputs, p: Parameters, location: Location) -> Typed:
    """NumPy's rule, to a given shape."""
    (x,) = inputs
    _no_ternary("broadcast", inputs, location)
    shape = check_shape(p["shape"], "broadcast", location)
    aligned = (1,) * (len(shape) - len(x.shape)) + x.shape
    if len(aligned) != len(shape) or any(a not in (1, b) for a, b in zip(aligned, shape, strict=True)):
        raise ShapeError(
            f"a tensor of shape {list(x.shape)} does not broadcast to {list(shape)}",
            hint="shapes are aligned at the last dimension; a dimension of 1 stretches",
            location=location,
        )
    return Typed(shape, x.dtype)


def reshape_rule(inputs: Inputs, p: Parameters, location: Location) -> Typed:
    """The same number of elements."""
    (x,) = inputs
    _no_ternary("reshape", inputs, location)
    shape = check_shape(p["shape"], "reshape", location)
    if math.prod(shape) != x.size:
        raise ShapeError(
            f"a tensor of shape {list(x.shape)} has {x.size} elements, {list(shape)} has {math.prod(shape)}",
            location=location,
        )
    return Typed(shape, x.dtype)


def permute_rule(inputs: Inputs, p: Parameters, location: Location) -> Typed:
    """Each axis once."""
    (x,) = inputs
    order = tuple(p["order"])
    if len(order) != len(x.shape):
        raise ShapeError(f"`permute` of {describe(x)} with {len(order)} axes", location=location)
    _axes(order, len(x.shape), "permute", location)
    order = tuple(axis % len(x.shape) for axis in order)
    return Typed(tuple(x.shape[axis] for axis in order), x.dtype, {"order": order})


def slice_rule(inputs: Inputs, p: Parameters, location: Location) -> Typed:
    """One range a dimension, none empty, all inside."""
    (x,) = inputs
    _no_ternary("slice", inputs, location)
    starts, stops = tuple(p["starts"]), tuple(p["stops"])
    if not len(starts) == len(stops) == len(x.shape):
        raise ShapeError(
            f"`slice` of {describe(x)} with {len(starts)} and {len(stops)} bounds", location=location
        )
    for axis, (start, stop, dim) in enumerate(zip(starts, stops, x.shape, strict=True)):
        if not 0 <= start < stop <= dim:
            raise ShapeError(
                f"[{start}:{stop}] of axis {axis}, which has {dim} elements",
                hint="a slice holds at least one element",
                location=location,
            )
    shape = tuple(stop - start for start, stop in zip(starts, stops, strict=True))
    return Typed(shape, x.dtype, {"starts": starts, "stops": stops})


def pad_rule(inputs: Inputs, p: Parameters, location: Location) -> Typed:
    """Zeros before and after, for each dimension."""
    (x,) = inputs
    _no_ternary("pad", inputs, location)
    before, after = tuple(p["before"]), tuple(p["after"])
    if not len(before) == len(after) == len(x.shape) or min((*before, *after), default=0) < 0:
        raise ShapeError(f"`pad` of {describe(x)} by {list(before)} and {list(after)}", location=location)
    shape = tuple(b + dim + a for b, dim, a in zip(before, x.shape, after, strict=True))
    return Typed(shape, x.dtype, {"before": before, "after": after})


def concat_rule(inputs: Inputs, p: Parameters, location: Location) -> Typed:
    """One dtype, and shapes equal but along the axis."""
    if not inputs:
        raise ShapeError("`concat` of nothing", location=location)
    _no_ternary("concat", inputs, location)
    first = inputs[0]
    (axis,) = _axes((p["axis"],), len(first.shape), "concat", location)
    for other in inputs[1:]:
        if other.dtype is not first.dtype:
            raise DTypeError(f"`concat` of {describe(first)} and {describe(other)}", location=location)
        if len(other.shape) != len(first.shape) or any(
            a != b for i, (a, b) in enumerate(zip(first.shape, other.shape, strict=True)) if i != axis
        ):
            raise ShapeError(
                f"`concat` along axis {axis} of {describe(first)} and {describe(other)}", location=location
            )
    shape = list(first.shape)
    shape[axis] = sum(node.shape[axis] for node in inputs)
    return Typed(tuple(shape), first.dtype, {"axis": axis})


# reductions, products, tables


def reduce_rule(op: ReduceOp) -> Rule:
    """The rule of one reduction. Reduced axes stay, with size 1."""

    def rule(inputs: Inputs, p: Parameters, location: Location) -> Typed:
        (x,) = inputs
        axes = _axes(p["axes"], len(x.shape), op.value, location)
        dtype = x.dtype
        if dtype.is_bool or dtype.is_ternary or (op is ReduceOp.SUM and dtype.is_integer and dtype.bits < 32):
            raise DTypeError(f"`{op.value}` of {dtype}", hint="cast to i32 or f32 first", location=location)
        return Typed(tuple(1 if i in axes else dim for i, dim in enumerate(x.shape)), dtype, {"axes": axes})

    return rule


def dot_rule(inputs: Inputs, p: Parameters, location: Location) -> Typed:
    """Sums over the last dimension of both; leading dimensions equal, or the right operand a matrix."""
    a, b = inputs
    floats = a.dtype.is_float and (b.dtype is a.dtype or b.dtype.is_ternary)
    if not (floats or (a.dtype is i8 and (b.dtype is i8 or b.dtype.is_ternary))):
        raise DTypeError(
            f"`dot` of {describe(a)} and {describe(b)}",
            hint="dot takes i8 by i8, floats of one dtype, or either of them by ternary on the right: cast first",
            location=location,
        )
    if len(a.shape) < 2 or len(b.shape) < 2:
        raise ShapeError(
            f"`dot` of {describe(a)} and {describe(b)}",
            hint="both have two dimensions or more; reshape a vector to [1, K]",
            location=location,
        )
    if a.shape[-1] != b.shape[-1]:
        raise ShapeError(
            f"`dot` sums over {a.shape[-1]} elements of {describe(a)} and {b.shape[-1]} of {describe(b)}",
            hint="dot sums over the last dimension of both operands",
            location=location,
        )
    if len(b.shape) > 2 and a.shape[:-2] != b.shape[:-2]:
        raise ShapeError(
            f"`dot` of {describe(a)} and {describe(b)}",
            hint="the leading dimensions are equal, or the right operand is a matrix",
            location=location,
        )
    return Typed((*a.shape[:-1], b.shape[-2]), f32 if floats else i32)


def gather_rule(inputs: Inputs, p: Parameters, location: Location) -> Typed:
    """Rows of a table by i32 ids."""
    table, ids = inputs
    _no_ternary("gather", inputs, location)
    if ids.dtype is not i32:
        raise DTypeError(
            f"`gather` with ids of {ids.dtype}", hint="ids are i32: cast them", location=location
        )
    if not table.shape:
        raise ShapeError("`gather` from a scalar", location=location)
    return Typed(ids.shape + table.shape[1:], table.dtype)


def scatter_add_rule(inputs: Inputs, p: Parameters, location: Location) -> Typed:
    """f32 rows by i32 ids."""
    ids, rows = inputs
    if ids.dtype is not i32 or rows.dtype is not f32:
        raise DTypeError(
            f"`scatter_add` of {ids.dtype} ids and {rows.dtype} rows; they are i32 and f32", location=location
        )
    if rows.shape[: len(ids.shape)] != ids.shape:
        raise ShapeError(f"`scatter_add` of {describe(ids)} and {describe(rows)}", location=location)
    shape = check_shape((p["length"], *rows.shape[len(ids.shape) :]), "scatter_add", location)
    return Typed(shape, f32, {"length": shape[0]})


def pack_rule(inputs: Inputs, p: Parameters, location: Location) -> Typed:
    """A float matrix."""
    (x,) = inputs
    if not x.dtype.is_float or len(x.shape) != 2:
        raise DTypeError(
            f"`pack` of {describe(x)}", hint="it takes a float matrix of -1, 0 and 1", location=location
        )
    return Typed(x.shape, ternary)


# gradients, kernels


def stop_gradient_rule(inputs: Inputs, p: Parameters, location: Location) -> Typed:
    """The operand's own type."""
    return Typed(inputs[0].shape, inputs[0].dtype)


def straight_through_rule(inputs: Inputs, p: Parameters, location: Location) -> Typed:
    """One shape; the surrogate is a float."""
    value, surrogate = inputs
    if value.shape != surrogate.shape:
        raise ShapeError(
            f"`straight_through` of {describe(value)} and {describe(surrogate)}", location=location
        )
    if not surrogate.dtype.is_float:
        raise DTypeError(
            f"the surrogate of `straight_through` is {surrogate.dtype}; it is a float", location=location
        )
    return Typed(value.shape, value.dtype, {} if p.get("tag") is None else {"tag": p["tag"]})


def kernel_rule(inputs: Inputs, p: Parameters, location: Location) -> Typed:
    """The template's IN and INOUT tensors in order, and its scalars."""
    template: KernelTemplate = p["template"]
    read = [t for t in template.tensors if t.mode is not Mode.OUT]
    if len(inputs) != len(read):
        raise ShapeError(
            f"kernel `{template.name}` reads {len(read)} tensor(s) ({', '.join(t.name for t in read)}) and was given "
            f"{len(inputs)}",
            location=location,
        )
    shapes: dict[str, Shape] = {}
    for parameter, node in zip(read, inputs, strict=True):
        if node.dtype is not parameter.dtype:
            raise DTypeError(
                f"`{parameter.name}` of kernel `{template.name}` is {parameter.dtype} and was given {describe(node)}",
                hint=f"cast it: x.cast(tl.{parameter.dtype})",
                location=location,
            )
        shapes[parameter.name] = node.shape
    scalars = tuple(p.get("scalars", ()))
    if len(scalars) != len(template.scalars):
        raise ShapeError(
            f"kernel `{template.name}` takes {len(template.scalars)} scalar(s) and was given {len(scalars)}",
            location=location,
        )
    rounded = tuple(
        round_scalar(v, s.dtype, location) for v, s in zip(scalars, template.scalars, strict=True)
    )
    try:
        sizes = template.sizes(shapes)
    except ShapeError as error:
        raise ShapeError(error.message, hint=error.hint, location=error.location or location) from None
    results = tuple(
        (tuple(dim if isinstance(dim, int) else sizes[dim] for dim in t.dims), t.dtype)
        for t in template.tensors
        if t.mode is not Mode.IN
    )
    if not results:
        raise ShapeError(
            f"kernel `{template.name}` has no output", hint="declare one with tl.out", location=location
        )
    chosen = tuple(sorted((p.get("configuration") or {}).items()))
    shape, dtype = results[0]
    return Typed(
        shape, dtype, {"template": template, "configuration": chosen, "scalars": rounded, "results": results}
    )


def item_rule(inputs: Inputs, p: Parameters, location: Location) -> Typed:
    """A kernel's result."""
    (kernel,) = inputs
    if kernel.op != "kernel":
        raise DTypeError(f"`item` reads a kernel's results, not those of `{kernel.op}`", location=location)
    results = kernel.attribute("results")
    if not 0 <= p["index"] < len(results):
        raise ShapeError(f"result {p['index']} of a kernel that has {len(results)}", location=location)
    shape, dtype = results[p["index"]]
    return Typed(shape, dtype, {"index": p["index"]})
