"""From a tensor program to results on a device: renumber its inputs, schedule, prepare, bind buffers, run.

On the device "reference" the tensor interpreter runs the program as it stands, so what it gives is the definition.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from tritloom.backends.base import Device, Program
from tritloom.codegen.ir.template import Plan
from tritloom.codegen.ir.tensor import Node, intern, topological
from tritloom.codegen.ir.tensor_interpreter import evaluate
from tritloom.codegen.ir.tensor_ops import make
from tritloom.codegen.ir.tensor_printer import format_program
from tritloom.codegen.ir.ternary import TernaryArray
from tritloom.codegen.schedule import explain, schedule
from tritloom.dsl.storage import Storage


@dataclass(frozen=True, slots=True)
class Binding:
    """What a program's input is bound to: the input of that key, or its transposed packing."""

    key: Hashable
    transposed: bool = False


@dataclass(frozen=True, slots=True)
class Canonical:
    """A program whose inputs have the keys 0, 1, ...; two programs alike but for their keys give the same nodes."""

    outputs: tuple[Node, ...]
    inputs: tuple[Node, ...]


def canonical(outputs: Sequence[Node], keys: Sequence[Node] = ()) -> tuple[Canonical, tuple[Binding, ...]]:
    """Renumber a program's inputs: first those of `keys`, in order, then the others as they are met.

    Returns the program and what each of its inputs is bound to.

    The transpose of a ternary input becomes an input of its own, and inputs that only it used do not appear. What only
    says how gradients flow (straight_through, stop_gradient) is gone.
    """
    inputs: list[Node] = []
    bindings: list[Binding] = []
    numbers: dict[Binding, Node] = {}

    def number(node: Node, transposed: bool) -> Node:
        binding = Binding(node.attribute("key"), transposed)
        if binding not in numbers:
            shape = node.shape[::-1] if transposed else node.shape
            key = len(inputs)
            numbers[binding] = make("input", key=key, shape=shape, dtype=node.dtype, location=node.location)
            inputs.append(numbers[binding])
            bindings.append(binding)
        return numbers[binding]

    for node in keys:
        number(node, False)
    done: dict[Node, Node] = {}
    for node in _needed(outputs):
        if node.op == "input":
            done[node] = number(node, False)
        elif _is_transpose(node):
            done[node] = number(node.inputs[0], True)
        elif node.op in ("straight_through", "stop_gradient"):
            done[node] = done[node.inputs[0]]
        elif node.inputs:
            operands = tuple(done[operand] for operand in node.inputs)
            done[node] = intern(node.op, operands, node.attributes, node.shape, node.dtype, node.location)
        else:
            done[node] = node
    return Canonical(tuple(done[node] for node in outputs), tuple(inputs)), tuple(bindings)


def _is_transpose(node: Node) -> bool:
    return node.op == "permute" and node.dtype.is_ternary and node.inputs[0].op == "input"


def _needed(outputs: Sequence[Node]) -> list[Node]:
    """The nodes that are computed, operands first; surrogates and transposed ternary inputs left out."""
    wanted: set[Node] = set()
    stack = list(outputs)
    while stack:
        node = stack.pop()
        if node in wanted:
            continue
        wanted.add(node)
        if node.op == "straight_through":
            stack.append(node.inputs[0])
        elif not _is_transpose(node):
            stack.extend(node.inputs)
    return [node for node in topological(outputs) if node in wanted]


class Compiled:
    """A program planned for one device, and made ready there when it first runs."""

    def __init__(self, program: Canonical, device: Device, donate: Mapping[int, int] | None = None):
        self.program = program
        self.device = device
        self._donate = dict(donate or {})
        self.plan: Plan | None = None
        """What the scheduler made of the program; None on the device "reference"."""
        if device.name != "reference" and program.outputs:
            self.plan = schedule(program.outputs, program.inputs, device.target, self._donate)

    @cached_property
    def _prepared(self) -> Program:
        assert self.plan is not None
        return self.device.prepare(self.plan)

    def explanation(self) -> str:
        """What the scheduler made of the program; on the device "reference", the program itself."""
        if self.plan is None:
            text = format_program(self.program.outputs)
            return f"{self.device.name} interprets the tensor program as it stands:\n{text}"
        return explain(self.plan, self.program.outputs)

    def run(self, inputs: Sequence[Storage]) -> list[Storage]:
        """The outputs. An output that was paired with a donated input may have that input's memory."""
        if not self.program.outputs:
            return []
        if self.plan is None:
            return self._interpret(inputs)
        plan = self.plan
        buffers = [storage.buffer for storage in inputs]
        outputs = []
        for position, tensor in enumerate(plan.outputs):
            source = self._donate.get(position)
            if source is not None and plan.inputs[source] == tensor:
                outputs.append(buffers[source])
            else:
                outputs.append(self.device.allocate(max(plan.tensors[tensor].nbytes, 1)))
        self._prepared.run(buffers, outputs)
        return [
            Storage(self.device, buffer, node.shape, node.dtype)
            for buffer, node in zip(outputs, self.program.outputs, strict=True)
        ]

    def _interpret(self, inputs: Sequence[Storage]) -> list[Storage]:
        values = evaluate(self.program.outputs, dict(enumerate(storage.host() for storage in inputs)))
        return [
            Storage.of(TernaryArray.pack(value) if node.dtype.is_ternary else value, self.device)
            for value, node in zip(values, self.program.outputs, strict=True)
        ]
