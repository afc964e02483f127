"""Simplifications of a node while it is made. Each gives the same bits for every operand, or is not here.

So x + 0.0 stays (it turns -0.0 into 0.0) while x + -0.0 and x - 0.0 go; x * 0 and x - x stay (NaN, infinity); a cast
there and back goes only if the way there is exact. NaNs count as one value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from tritloom.codegen.ir.dtypes import DType, bf16, bool_, f16, f32, i8, i16, i32, u8, u32
from tritloom.codegen.ir.tensor import Node
from tritloom.codegen.ir.tensor_meanings import Meaning
from tritloom.codegen.ir.tensor_rules import Typed
from tritloom.codegen.ir.tile import BinaryOp, UnaryOp

_EXACT: dict[DType, frozenset[DType]] = {
    bool_: frozenset({i8, i16, i32, u8, u32, f16, bf16, f32}),
    i8: frozenset({i16, i32, f16, bf16, f32}),
    u8: frozenset({i16, i32, u32, f16, bf16, f32}),
    i16: frozenset({i32, f32}),
    f16: frozenset({f32}),
    bf16: frozenset({f32}),
}
"""The dtypes that hold every value of a dtype."""

_ELEMENTWISE = frozenset({op.value for op in UnaryOp} | {op.value for op in BinaryOp} | {"select", "cast"})


class Make(Protocol):
    """Makes a node, simplified in turn."""

    def __call__(self, op: str, inputs: Sequence[Node], **parameters: object) -> Node: ...


def simplify(
    op: str, inputs: tuple[Node, ...], typed: Typed, meaning: Meaning | None, make: Make
) -> Node | None:
    """An existing or simpler node with the value of `op(inputs)`, or None if there is none to be had."""
    folded = _fold(op, inputs, typed, meaning, make)
    if folded is not None:
        return folded
    rule = _RULES.get(op)
    return rule(inputs, typed, make) if rule is not None else None


def uniform(node: Node) -> float | int | bool | None:
    """The value that all elements have if the node is a constant repeated, else None."""
    while node.op in ("broadcast", "reshape"):
        node = node.inputs[0]
    if node.op != "constant":
        return None
    value: float | int | bool = node.attribute("value")
    return value


def _fold(
    op: str, inputs: tuple[Node, ...], typed: Typed, meaning: Meaning | None, make: Make
) -> Node | None:
    """Elementwise operations and movements of repeated constants."""
    if not inputs or meaning is None:
        return None
    if op in ("reshape", "permute", "slice", "broadcast") and inputs[0].op == "broadcast":
        value = uniform(inputs[0])
        return None if value is None else _full(value, typed, make)
    if op not in _ELEMENTWISE:
        return None
    values = [uniform(node) for node in inputs]
    if any(value is None for value in values):
        return None
    arrays = [np.asarray(v, dtype=node.dtype.numpy) for v, node in zip(values, inputs, strict=True)]
    scalar = Node(op, inputs, (), (), typed.dtype, None, 0)
    return _full(meaning(scalar, arrays).item(), typed, make)


def _full(value: float | bool, typed: Typed, make: Make) -> Node:
    scalar = make("constant", (), value=value, dtype=typed.dtype)
    return scalar if typed.shape == () else make("broadcast", [scalar], shape=typed.shape)


def _is(node: Node, value: float) -> bool:
    """Whether all elements are this value, the sign of zero included."""
    found = uniform(node)
    return found is not None and found == value and math.copysign(1, found) == math.copysign(1, value)


def _add(inputs: tuple[Node, ...], typed: Typed, make: Make) -> Node | None:
    zero = -0.0 if typed.dtype.is_float else 0
    for x, other in (inputs, inputs[::-1]):
        if _is(other, zero):
            return x
    return None


def _sub(inputs: tuple[Node, ...], typed: Typed, make: Make) -> Node | None:
    return inputs[0] if _is(inputs[1], 0) else None


def _mul(inputs: tuple[Node, ...], typed: Typed, make: Make) -> Node | None:
    for x, other in (inputs, inputs[::-1]):
        if _is(other, 1):
            return x
    return None


def _div(inputs: tuple[Node, ...], typed: Typed, make: Make) -> Node | None:
    return inputs[0] if _is(inputs[1], 1) else None


def _same_operands(inputs: tuple[Node, ...], typed: Typed, make: Make) -> Node | None:
    return inputs[0] if inputs[0] is inputs[1] else None


def _involution(op: str) -> Callable[[tuple[Node, ...], Typed, Make], Node | None]:
    def rule(inputs: tuple[Node, ...], typed: Typed, make: Make) -> Node | None:
        return inputs[0].inputs[0] if inputs[0].op == op else None

    return rule


def _of_integers(inputs: tuple[Node, ...], typed: Typed, make: Make) -> Node | None:
    return None if typed.dtype.is_float else inputs[0]


def _select(inputs: tuple[Node, ...], typed: Typed, make: Make) -> Node | None:
    condition, if_true, if_false = inputs
    if if_true is if_false:
        return if_true
    known = uniform(condition)
    if known is None:
        return None
    return if_true if known else if_false


def _cast(inputs: tuple[Node, ...], typed: Typed, make: Make) -> Node | None:
    (x,) = inputs
    if x.dtype is typed.dtype:
        return x
    if x.op != "cast":
        return None
    source, between, target = x.inputs[0].dtype, x.dtype, typed.dtype
    # An integer wraps on its way to another one, but saturates if it comes there as a float.
    wraps = between.is_float and source.is_integer and target.is_integer
    if not _holds(between, source) or (wraps and not _holds(target, source)):
        return None
    return make("cast", x.inputs, dtype=target)


def _holds(dtype: DType, values_of: DType) -> bool:
    return dtype is values_of or dtype in _EXACT.get(values_of, frozenset())


def _reshape(inputs: tuple[Node, ...], typed: Typed, make: Make) -> Node | None:
    (x,) = inputs
    if x.shape == typed.shape:
        return x
    return make("reshape", x.inputs, shape=typed.shape) if x.op == "reshape" else None


def _broadcast(inputs: tuple[Node, ...], typed: Typed, make: Make) -> Node | None:
    (x,) = inputs
    if x.shape == typed.shape:
        return x
    return make("broadcast", x.inputs, shape=typed.shape) if x.op == "broadcast" else None


def _permute(inputs: tuple[Node, ...], typed: Typed, make: Make) -> Node | None:
    (x,) = inputs
    order = typed.attributes["order"]
    if order == tuple(range(len(order))):
        return x
    if x.op == "permute":
        inner = x.attribute("order")
        return make("permute", x.inputs, order=tuple(inner[axis] for axis in order))
    return None


def _unchanged(inputs: tuple[Node, ...], typed: Typed, make: Make) -> Node | None:
    return inputs[0] if len(inputs) == 1 and inputs[0].shape == typed.shape else None


_RULES: dict[str, Callable[[tuple[Node, ...], Typed, Make], Node | None]] = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "min": _same_operands,
    "max": _same_operands,
    "and": _same_operands,
    "or": _same_operands,
    "neg": _involution("neg"),
    "not": _involution("not"),
    "floor": _of_integers,
    "round": _of_integers,
    "select": _select,
    "cast": _cast,
    "reshape": _reshape,
    "broadcast": _broadcast,
    "permute": _permute,
    "slice": _unchanged,
    "pad": _unchanged,
    "concat": _unchanged,
    # A sum of one element is that element: a reduction that keeps the shape does nothing.
    "reduce_sum": _unchanged,
    "reduce_max": _unchanged,
    "reduce_min": _unchanged,
}
