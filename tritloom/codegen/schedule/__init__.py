"""From tensor IR to a plan: which operations share a kernel, what each kernel computes, where tensors lie in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tritloom.codegen.errors import ShapeError
from tritloom.codegen.ir.template import Plan
from tritloom.codegen.ir.tensor import Node
from tritloom.codegen.schedule.build import KernelMaker
from tritloom.codegen.schedule.explain import explain
from tritloom.codegen.schedule.plan import Planner
from tritloom.codegen.target import Target

_makers: dict[Target, KernelMaker] = {}


def schedule(
    outputs: Sequence[Node], inputs: Sequence[Node], target: Target, donate: Mapping[int, int] | None = None
) -> Plan:
    """The plan of a program for a target.

    `inputs` are `input` nodes in the order in which they will be bound. `donate` maps an output's number to that of an
    input of the same dtype and size whose memory it may take over: that output is then the input's tensor. Raises
    ShapeError for an input that is missing, or one that two outputs are to take over.
    """
    if donate and len(set(donate.values())) < len(donate):
        raise ShapeError(
            "two outputs are to take over the memory of one input", hint="donate it to one of them"
        )
    maker = _makers.setdefault(target, KernelMaker(target))
    return Planner(outputs, inputs, target, donate or {}, maker).plan()


__all__ = ["explain", "schedule"]
