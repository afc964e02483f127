"""Tensor IR: a program as a graph of whole tensors.

A :class:`Node` is immutable and interned: the same operation on the same operands is the same object, so common
subexpressions are one by construction. What operations there are, with their shape rules and their meaning in NumPy,
stands in :mod:`tritloom.codegen.ir.tensor_ops`; nodes are made through :func:`tritloom.codegen.ir.tensor_ops.make`.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tritloom.codegen.errors import SourceLocation
from tritloom.codegen.ir.dtypes import DType

Shape = tuple[int, ...]
Attributes = tuple[tuple[str, Hashable], ...]

_serial = itertools.count()


@dataclass(frozen=True, eq=False)
class Node:
    """One operation's result: a tensor of `shape` and `dtype`.

    `attributes` are the operation's parameters, sorted by name. `location` is the user's line that made it first.
    """

    op: str
    inputs: tuple[Node, ...]
    attributes: Attributes
    shape: Shape
    dtype: DType
    location: SourceLocation | None
    serial: int

    def attribute(self, name: str) -> Any:
        """The value of one attribute. Raises KeyError if the operation has none of that name."""
        for key, value in self.attributes:
            if key == name:
                return value
        raise KeyError(name)

    @property
    def size(self) -> int:
        """How many elements it has."""
        count = 1
        for dim in self.shape:
            count *= dim
        return count

    def __repr__(self) -> str:
        return f"%{self.serial} = {self.op} {self.dtype}{list(self.shape)}"


_interned: weakref.WeakValueDictionary[Hashable, Node] = weakref.WeakValueDictionary()


def intern(
    op: str,
    inputs: tuple[Node, ...],
    attributes: Attributes,
    shape: Shape,
    dtype: DType,
    location: SourceLocation | None = None,
) -> Node:
    """The one node of that operation, operands, attributes and type."""
    key = (op, tuple(id(node) for node in inputs), attributes, shape, dtype)
    found = _interned.get(key)
    if found is None:
        found = Node(op, inputs, attributes, shape, dtype, location, next(_serial))
        _interned[key] = found
    return found


def topological(outputs: Iterable[Node]) -> Iterator[Node]:
    """All nodes that the outputs depend on, operands before users; the order is the same in each run of a program."""
    done: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(node, False) for node in reversed(list(outputs))]
    while stack:
        node, ready = stack.pop()
        if node in done:
            continue
        if ready:
            done.add(node)
            yield node
            continue
        stack.append((node, True))
        stack.extend((operand, False) for operand in reversed(node.inputs) if operand not in done)
