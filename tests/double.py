"""Tensor programs in double precision, for finite differences: every float becomes f64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tritloom.codegen.ir.dtypes import DType, Kind
from tritloom.codegen.ir.tensor import Node, intern, topological

f64 = DType("f64", Kind.FLOAT, 64, np.dtype(np.float64))
"""No dtype of the package: only the interpreter runs it."""


def surrogates(outputs: Sequence[Node]) -> list[Node]:
    """The program with every straight_through replaced by its surrogate: what its gradient is the gradient of."""
    done: dict[Node, Node] = {}
    for node in topological(outputs):
        if node.op == "straight_through":
            done[node] = done[node.inputs[1]]
        elif node.inputs:
            operands = tuple(done[operand] for operand in node.inputs)
            done[node] = intern(node.op, operands, node.attributes, node.shape, node.dtype, node.location)
        else:
            done[node] = node
    return [done[node] for node in outputs]


def as_double(outputs: Sequence[Node]) -> list[Node]:
    """The program with every float dtype replaced by f64; its float inputs take f64 arrays."""
    done: dict[Node, Node] = {}
    for node in topological(outputs):
        operands = tuple(done[operand] for operand in node.inputs)
        dtype = f64 if node.dtype.is_float else node.dtype
        done[node] = intern(node.op, operands, node.attributes, node.shape, dtype, node.location)
    return [done[node] for node in outputs]
