"""Tensor programs as text: one line a node, operands before users, numbered from 0 in the order of printing."""

from __future__ import annotations

from collections.abc import Sequence

from tritloom.codegen.ir.template import KernelTemplate
from tritloom.codegen.ir.tensor import Node, topological


def format_program(outputs: Sequence[Node], *, locations: bool = False) -> str:
    """The program that computes `outputs`, as in `%2 = reduce_sum %1 axes=(0,) : f32[1, 4]`.

    The text is the same for the same program in every run. With `locations` each line ends in the user's line.
    """
    numbers: dict[Node, int] = {}
    lines = []
    for node in topological(outputs):
        numbers[node] = len(numbers)
        words = [f"%{numbers[node]} =", node.op, *(f"%{numbers[operand]}" for operand in node.inputs)]
        words += [
            f"{key}={_show(value)}" for key, value in node.attributes if key not in ("float_bits", "results")
        ]
        words.append(f": {node.dtype}{list(node.shape)}")
        if locations and node.location is not None:
            words.append(f"  # {node.location}")
        lines.append(" ".join(words))
    lines.append(f"return {', '.join(f'%{numbers[node]}' for node in outputs)}")
    return "\n".join(lines)


def _show(value: object) -> str:
    return value.name if isinstance(value, KernelTemplate) else repr(value)
