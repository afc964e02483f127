"""What the tensor operations mean, in NumPy: the definition that every device is compared with.

Each meaning takes the node and its operands' arrays. A ternary operand is its int8 array of -1, 0 and 1. The arithmetic
is that of :mod:`tritloom.codegen.ir.numerics`, as in the tile IR. The order of every sum and the sign of a sum that is
zero are not defined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritloom.codegen.errors import BoundsError, DTypeError
from tritloom.codegen.ir import numerics
from tritloom.codegen.ir.tensor import Node
from tritloom.codegen.ir.tile import BinaryOp, ReduceOp, UnaryOp

Array = NDArray[Any]
Meaning = Callable[[Node, Sequence[Array]], Array]


def unary_meaning(op: UnaryOp) -> Meaning:
    """An elementwise operation of one operand."""
    return lambda node, values: numerics.unary(op, values[0], node.dtype)


def binary_meaning(op: BinaryOp) -> Meaning:
    """An elementwise operation of two operands; comparisons give bool."""
    return lambda node, values: numerics.binary(op, values[0], values[1], node.inputs[0].dtype)


def reduce_meaning(op: ReduceOp) -> Meaning:
    """A reduction that keeps its axes with size 1; sums of f16 and bf16 run in f32."""
    return lambda node, values: numerics.reduce(
        op, values[0], node.attribute("axes"), node.dtype, keepdims=True
    )


def constant(node: Node, values: Sequence[Array]) -> Array:
    """The scalar."""
    return np.asarray(node.attribute("value"), dtype=node.dtype.numpy)


def iota(node: Node, values: Sequence[Array]) -> Array:
    """0, 1, 2..."""
    return np.arange(node.shape[0], dtype=np.int32)


def select(node: Node, values: Sequence[Array]) -> Array:
    """Elementwise choice."""
    return np.where(values[0], values[1], values[2])


def cast(node: Node, values: Sequence[Array]) -> Array:
    """To the node's dtype."""
    return numerics.cast(values[0], node.inputs[0].dtype, node.dtype)


def broadcast(node: Node, values: Sequence[Array]) -> Array:
    """To the node's shape."""
    return np.broadcast_to(values[0], node.shape)


def reshape(node: Node, values: Sequence[Array]) -> Array:
    """Row-major."""
    return values[0].reshape(node.shape)


def permute(node: Node, values: Sequence[Array]) -> Array:
    """Axes in the order given."""
    return values[0].transpose(node.attribute("order"))


def slice_(node: Node, values: Sequence[Array]) -> Array:
    """One range a dimension."""
    bounds = zip(node.attribute("starts"), node.attribute("stops"), strict=True)
    return values[0][tuple(slice(start, stop) for start, stop in bounds)]


def pad(node: Node, values: Sequence[Array]) -> Array:
    """Zeros around."""
    return np.pad(values[0], list(zip(node.attribute("before"), node.attribute("after"), strict=True)))


def concat(node: Node, values: Sequence[Array]) -> Array:
    """Along one axis."""
    return np.concatenate(values, axis=node.attribute("axis"))


def dot(node: Node, values: Sequence[Array]) -> Array:
    """The sum over the last axis of both, in the result's dtype."""
    return numerics.matmul_nt(values[0], values[1], node.dtype)


def _check_ids(ids: Array, length: int, node: Node) -> None:
    bad = np.argwhere((ids < 0) | (ids >= length))
    if len(bad):
        where = tuple(int(i) for i in bad[0])
        raise BoundsError(
            f"`{node.op}` with the id {int(ids[where])} at {list(where)}; the table has {length} row(s)",
            hint="ids run from 0 to the number of rows less 1",
            location=node.location,
        )


def gather(node: Node, values: Sequence[Array]) -> Array:
    """Rows of a table. Raises BoundsError for an id out of range."""
    table, ids = values
    _check_ids(ids, table.shape[0], node)
    return np.asarray(table[ids])


def scatter_add(node: Node, values: Sequence[Array]) -> Array:
    """Rows added up by id, as f32. Raises BoundsError for an id out of range."""
    ids, rows = values
    _check_ids(ids, node.shape[0], node)
    result = np.zeros(node.shape, rows.dtype)
    np.add.at(result, ids, rows)
    return result


def pack(node: Node, values: Sequence[Array]) -> Array:
    """The values as ternary (int8 here). Raises DTypeError for a value other than -1, 0 and 1."""
    if not np.isin(values[0], (-1, 0, 1)).all():
        raise DTypeError(
            "`pack` of values other than -1, 0 and 1",
            hint="quantise first: clip(round(w / mean(abs(w))), -1, 1)",
            location=node.location,
        )
    return values[0].astype(np.int8)


def first(node: Node, values: Sequence[Array]) -> Array:
    """The first operand itself: what stop_gradient and straight_through compute."""
    return values[0]
