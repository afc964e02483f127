"""Says in words what was fused: one line a launch, and what the fusion saved."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from tritloom.codegen.ir.template import Launch, Plan, PlanTensor
from tritloom.codegen.ir.tensor import Node
from tritloom.codegen.ir.tile import Buffer, Let, Load, Mode, evaluate_size
from tritloom.codegen.schedule.groups import Group
from tritloom.codegen.schedule.normalise import live
from tritloom.codegen.schedule.storing import nbytes
from tritloom.codegen.schedule.views import LEAVES, MOVEMENT

_SILENT = MOVEMENT | LEAVES | {"item", "cast", "input"}


def note(launch: Launch, tensors: Sequence[PlanTensor], nodes: Sequence[Node], made: Group | None) -> str:
    """One launch: the kernel, its grid, the user's operations with their lines, and the bytes that it moves."""
    kernel = launch.kernel
    read, written = _moved(launch, tensors)
    names = [node.op for node in nodes if node.op not in _SILENT] or [nodes[-1].op]
    places = dict.fromkeys(str(node.location) for node in nodes if node.location is not None)
    grid = "x".join(map(str, kernel.grid(dict(launch.sizes)))) or "1"
    where = f" at {', '.join(list(places)[:4])}" if places else ""
    return (
        f"{kernel.name} [{grid}]: {', '.join(names)}{where}; reads {_bytes(read)}, writes {_bytes(written)}"
    )


def _moved(launch: Launch, tensors: Sequence[PlanTensor]) -> tuple[int, int]:
    """Bytes that a launch reads and writes: each element once, and of a table no more rows than are looked up."""
    sizes = dict(launch.sizes)
    touched: Counter[Buffer] = Counter()
    for statement in launch.kernel.body.walk():
        if isinstance(statement, Let) and isinstance(statement.value, Load):
            load = statement.value
            elements = math.prod(evaluate_size(axis.size, sizes) for axis in load.axes)
            touched[load.buffer] += elements * load.dtype.bits // 8
    read = written = 0
    for buffer, number in zip(launch.kernel.buffers, launch.tensors, strict=True):
        size = tensors[number].nbytes
        read += min(size, touched[buffer])
        written += size if buffer.mode is not Mode.IN else 0
    return read, written


def explain(plan: Plan, outputs: Sequence[Node]) -> str:
    """A plan in words: its launches, and kernels and bytes moved before (one kernel an operation) and after."""
    before_kernels = before_bytes = 0
    for node in live(outputs):
        if node.op in MOVEMENT | LEAVES | {"input", "item", "stop_gradient", "straight_through"}:
            continue
        before_kernels += 1
        before_bytes += nbytes(node) + sum(
            nbytes(operand) for operand in node.inputs if operand.op not in LEAVES
        )
    after_bytes = sum(sum(_moved(launch, plan.tensors)) for launch in plan.launches)
    kernels = len({id(launch.kernel) for launch in plan.launches})
    lines = [f"{number:4d}  {text}" for number, text in enumerate(plan.notes)]
    lines.append(
        f"launches: {len(plan.launches)} of {kernels} kernels (one an operation: {before_kernels}); bytes moved: "
        f"{_bytes(after_bytes)} (one kernel an operation: {_bytes(before_bytes)}); arena {_bytes(plan.arena_bytes)}"
    )
    return "\n".join(lines)


def _bytes(count: int) -> str:
    """1536 as "1.5 KiB"."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if value >= 100 or unit == "B" else f"{value:.1f} {unit}"
