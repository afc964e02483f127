"""Checks a tensor program against the table of operations: what a pass makes must be what `make` would have made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tritloom.codegen.errors import TritloomError, VerificationError
from tritloom.codegen.ir.tensor import Node, topological
from tritloom.codegen.ir.tensor_ops import OPS, attributes


def verify_program(outputs: Sequence[Node]) -> None:
    """Raise VerificationError for a node whose operation, operands, attributes or type break the table's rules."""
    for node in topological(outputs):
        record = OPS.get(node.op)
        if record is None:
            raise VerificationError(f"{node!r}: no operation has that name", location=node.location)
        if record.arity is not None and len(node.inputs) != record.arity:
            raise VerificationError(
                f"{node!r} has {len(node.inputs)} operand(s), not {record.arity}", location=node.location
            )
        given: dict[str, Any] = dict(node.attributes)
        parameters = {
            name: node.shape if name == "shape" else node.dtype if name == "dtype" else given.get(name)
            for name in record.parameters
        }
        if isinstance(parameters.get("configuration"), tuple):
            parameters["configuration"] = dict(given["configuration"])
        try:
            typed = record.rule(node.inputs, parameters, node.location)
        except (TritloomError, TypeError) as error:
            raise VerificationError(f"{node!r}: {error}", location=node.location) from error
        if (typed.shape, typed.dtype) != (node.shape, node.dtype):
            raise VerificationError(
                f"{node!r}: its operands give {typed.dtype}{list(typed.shape)}", location=node.location
            )
        if attributes(typed.attributes) != node.attributes:
            raise VerificationError(f"{node!r}: its attributes are {node.attributes}", location=node.location)
