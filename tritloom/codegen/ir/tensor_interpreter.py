"""Runs tensor programs in NumPy: the definition that every device is compared with.

Kernel calls run in the tile interpreter, so their bounds and races are checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritloom.codegen.errors import DTypeError, ShapeError
from tritloom.codegen.ir.dtypes import DType
from tritloom.codegen.ir.tensor import Node, topological
from tritloom.codegen.ir.tensor_ops import OPS
from tritloom.codegen.ir.ternary import TernaryArray
from tritloom.codegen.ir.tile import Mode
from tritloom.codegen.ir.tile_interpreter import interpret
from tritloom.codegen.target import Target

Array = NDArray[Any]

_TARGET = Target("reference", "none")


def evaluate(
    outputs: Sequence[Node], bindings: Mapping[Any, Array | TernaryArray | np.generic]
) -> list[Array]:
    """The values of `outputs`, where `bindings` holds the value of each input by its key.

    A ternary output is an int8 array of -1, 0 and 1. The results share no memory with the bindings. Raises ShapeError
    or DTypeError for a binding that does not fit its input, BoundsError for an id out of its table.
    """
    needed = list(_live(outputs))
    last_use = {operand: step for step, node in enumerate(needed) for operand in _reads(node)}
    kept = set(outputs)
    values: dict[Node, Any] = {}
    for step, node in enumerate(needed):
        values[node] = _value(node, values, bindings)
        for operand in set(_reads(node)):
            if last_use[operand] == step and operand not in kept:
                del values[operand]
    return [np.array(values[node], order="C", copy=True) for node in outputs]


def _reads(node: Node) -> tuple[Node, ...]:
    """The operands whose values a node needs: not the surrogate of a straight_through."""
    return node.inputs[:1] if node.op == "straight_through" else node.inputs


def _live(outputs: Sequence[Node]) -> list[Node]:
    """The nodes that are computed, operands first: all that are reached without passing a surrogate."""
    wanted: set[Node] = set()
    stack = list(outputs)
    while stack:
        node = stack.pop()
        if node not in wanted:
            wanted.add(node)
            stack.extend(_reads(node))
    return [node for node in topological(outputs) if node in wanted]


def _value(
    node: Node, values: Mapping[Node, Any], bindings: Mapping[Any, Array | TernaryArray | np.generic]
) -> Any:
    if node.op == "input":
        return _bound(node, bindings)
    if node.op == "kernel":
        return _call(node, [values[operand] for operand in node.inputs])
    if node.op == "item":
        return values[node.inputs[0]][node.attribute("index")]
    meaning = OPS[node.op].meaning
    if meaning is None:
        raise DTypeError(f"`{node.op}` has no value of its own")
    return meaning(node, [values[operand] for operand in _reads(node)])


def _bound(node: Node, bindings: Mapping[Any, Array | TernaryArray | np.generic]) -> Array:
    key = node.attribute("key")
    if key not in bindings:
        raise ShapeError(f"the input {key!r} has no value", location=node.location)
    given = bindings[key]
    array = given.unpack() if isinstance(given, TernaryArray) else np.asarray(given)
    if node.dtype.is_ternary != isinstance(given, TernaryArray) or array.dtype != node.dtype.numpy:
        kind = "ternary" if isinstance(given, TernaryArray) else array.dtype
        raise DTypeError(f"the input {key!r} is {node.dtype} and was given {kind}", location=node.location)
    if array.shape != node.shape:
        raise ShapeError(
            f"the input {key!r} has the shape {list(node.shape)} and was given {list(array.shape)}",
            location=node.location,
        )
    return array


def _call(node: Node, operands: Sequence[Array]) -> tuple[Array, ...]:
    """A kernel's results: its OUT and INOUT tensors in the order of the signature."""
    template = node.attribute("template")
    given = iter(operands)
    tensors: dict[str, Array | TernaryArray] = {}
    shapes = {}
    for parameter in template.tensors:
        if parameter.mode is Mode.OUT:
            continue
        value = next(given)
        shapes[parameter.name] = value.shape
        tensors[parameter.name] = _argument(value, parameter.dtype, parameter.mode)
    sizes = template.sizes(shapes)
    configuration = {**template.default(sizes, _TARGET), **dict(node.attribute("configuration"))}
    kernel = template.build(configuration, sizes, _TARGET)
    scalars = {s.name: v for s, v in zip(template.scalars, node.attribute("scalars"), strict=True)}
    results = interpret(kernel, tensors, sizes, scalars)
    return tuple(results[parameter.name] for parameter in template.tensors if parameter.mode is not Mode.IN)


def _argument(value: Array, dtype: DType, mode: Mode) -> Array | TernaryArray:
    if dtype.is_ternary:
        return TernaryArray.pack(value)
    return np.array(value, order="C", copy=True) if mode is Mode.INOUT else np.ascontiguousarray(value)
