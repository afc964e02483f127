"""`tl.jit`: a function of tensors as one program, traced once for each combination of shapes and dtypes.

The first call traces the function, schedules the program and prepares it on the device; each later call with arguments
of the same types only binds memory and runs. Tensors that the function captures are inputs as well.
"""

from __future__ import annotations

import functools
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

from tritloom.backends.base import Device
from tritloom.codegen.errors import DeviceError, caller_location
from tritloom.codegen.ir.dtypes import DType
from tritloom.codegen.ir.template import Plan
from tritloom.codegen.ir.tensor import Node, Shape
from tritloom.codegen.ir.tensor_ops import make
from tritloom.codegen.ir.tensor_printer import format_program
from tritloom.codegen.ir.ternary import TernaryArray
from tritloom.dsl.execution import Binding, Canonical, Compiled, canonical
from tritloom.dsl.storage import Storage
from tritloom.dsl.tensor import Tensor, array, bind, common_device, leaf, realise
from tritloom.dsl.tree import Structure, StructureError, tree_flatten, tree_unflatten

_STATIC = (bool, int, float, str, np.generic, DType)
_ARRAYS = (Tensor, np.ndarray, TernaryArray)

_tracing: ContextVar[bool] = ContextVar("tracing", default=False)


class _Argument:
    """The key of the input that stands for one leaf of the arguments. One trace's differ from another's."""

    __slots__ = ("number",)

    def __init__(self, number: int):
        self.number = number

    def __repr__(self) -> str:
        return f"argument {self.number}"


@dataclass(frozen=True, slots=True)
class _Signature:
    """What a trace depends on: each leaf is a (shape, dtype), or a static value as its type and text."""

    structure: Structure
    leaves: tuple[tuple[Shape, DType] | tuple[type, str], ...]
    device: Device


@dataclass(frozen=True, slots=True)
class _Trace:
    """A traced function. A result is a number: of an output (0 or more), or of an input (-1 for the first)."""

    compiled: Compiled
    bindings: tuple[Binding, ...]
    results: tuple[int | None, ...]
    constants: tuple[Any, ...]
    """For each leaf of the result: itself, where it is no tensor."""
    structure: Structure
    consumed: tuple[int, ...]
    """The inputs whose memory is given away."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A program before it is made ready, and bytes that it needs beside its arguments and the plan's arena."""

    plan: Plan
    transposed: int
    """Of the transposed packings of ternary arguments, which are made once and kept with these."""
    results: int
    """Of results that are not written over a donated argument."""


class Jitted:
    """A function under :func:`jit`."""

    def __init__(self, function: Callable[..., Any], donate: Sequence[int] = ()):
        functools.update_wrapper(self, function)
        self._function = function
        self._donate = frozenset(donate)
        self._traces: dict[_Signature, _Trace] = {}

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Run the function on these arguments."""
        if _tracing.get():
            return self._function(*arguments, **named)
        trace, storages = self._lookup(arguments, named)
        values = bind(_own(trace.bindings, storages), storages)
        uses = Counter(map(id, values)) if trace.consumed else Counter()
        if any(uses[id(values[number])] > 1 for number in trace.consumed):
            raise DeviceError(
                "a donated tensor was given to the function a second time",
                hint="donate copies, or take the argument out of donate=",
                location=caller_location(),
            )
        outputs = [leaf(storage) for storage in trace.compiled.run(values)]
        for number in trace.consumed:
            values[number].release()
        results = [
            constant if number is None else outputs[number] if number >= 0 else leaf(values[-1 - number])
            for number, constant in zip(trace.results, trace.constants, strict=True)
        ]
        return tree_unflatten(trace.structure, results)

    def program(self, *arguments: Any, **named: Any) -> str:
        """The tensor program for these arguments as text."""
        trace, _ = self._lookup(arguments, named)
        return format_program(trace.compiled.program.outputs)

    def planned(self, *arguments: Any, **named: Any) -> Planned:
        """What would run for these arguments, which may be abstract. A later call with the like ones uses it.

        Raises DeviceError on the device "reference", which plans nothing.
        """
        trace, _ = self._lookup(arguments, named)
        plan = trace.compiled.plan
        if plan is None:
            raise DeviceError(
                f"{trace.compiled.device.name} interprets programs and makes no plan of them",
                hint="ask for the plan on another device",
            )
        sizes = [plan.tensors[number].nbytes for number in plan.inputs]
        return Planned(
            plan,
            sum(size for size, binding in zip(sizes, trace.bindings, strict=True) if binding.transposed),
            sum(tensor.nbytes for tensor in plan.tensors if tensor.role == "output"),
        )

    def explanation(self, *arguments: Any, **named: Any) -> str:
        """What the scheduler made of the program for these arguments: its kernels, and the bytes that they move."""
        trace, _ = self._lookup(arguments, named)
        return trace.compiled.explanation()

    def _lookup(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[_Trace, list[Storage]]:
        leaves, structure = tree_flatten((arguments, named))
        for position, one in enumerate(leaves):
            if not isinstance(one, (*_ARRAYS, *_STATIC)):
                raise StructureError(
                    f"the argument at {structure.paths()[position]} is a {type(one).__name__}",
                    hint="arguments are tensors, arrays, numbers and strings, in dicts, lists and tuples",
                    location=caller_location(),
                )
        realise(*(one for one in leaves if isinstance(one, Tensor)))
        device = common_device([one.node.attribute("key") for one in leaves if isinstance(one, Tensor)])
        signature: list[Any] = []
        storages: list[Storage] = []
        for one in leaves:
            if isinstance(one, _ARRAYS):
                tensor = one if isinstance(one, Tensor) else array(one, device)
                storages.append(tensor.node.attribute("key"))
                signature.append((tensor.shape, tensor.dtype))
            else:
                signature.append((type(one), repr(one)))
        key = _Signature(structure, tuple(signature), device)
        if key not in self._traces:
            self._traces[key] = self._trace(key, leaves, len(arguments))
        return self._traces[key], storages

    def _trace(self, signature: _Signature, leaves: Sequence[Any], positional: int) -> _Trace:
        for number in self._donate:
            if not 0 <= number < positional:
                raise StructureError(
                    f"donate names argument {number} of a call with {positional} positional arguments",
                    location=caller_location(),
                )
        placeholders: list[Node] = []
        given: list[Any] = []
        for one, kind in zip(leaves, signature.leaves, strict=True):
            if isinstance(one, _ARRAYS):
                key, (shape, dtype) = _Argument(len(placeholders)), kind
                placeholders.append(make("input", key=key, shape=shape, dtype=dtype))
                given.append(Tensor(placeholders[-1]))
            else:
                given.append(one)
        arguments, named = tree_unflatten(signature.structure, given)
        token = _tracing.set(True)
        try:
            result = self._function(*arguments, **named)
        finally:
            _tracing.reset(token)
        results, structure = tree_flatten(result)
        nodes = [one.node for one in results if isinstance(one, Tensor)]
        program, bindings = canonical(nodes, placeholders)
        computed = list(dict.fromkeys(node for node in program.outputs if node.op != "input"))
        places = iter(
            -1 - node.attribute("key") if node.op == "input" else computed.index(node)
            for node in program.outputs
        )
        numbers = tuple(next(places) if isinstance(one, Tensor) else None for one in results)
        donated = [i for i in self._donated(signature, leaves) if -1 - i not in numbers]
        compiled = Compiled(
            Canonical(tuple(computed), program.inputs),
            signature.device,
            _pair(computed, program.inputs, donated),
        )
        constants = tuple(None if isinstance(one, Tensor) else one for one in results)
        return _Trace(compiled, bindings, numbers, constants, structure, tuple(donated))

    def _donated(self, signature: _Signature, leaves: Sequence[Any]) -> list[int]:
        """The numbers of the inputs that the donated arguments hold, in order."""
        found, leaf_number, input_number = [], 0, 0
        for position, child in enumerate(signature.structure.children[0].children):
            for _ in range(child.leaves):
                if isinstance(leaves[leaf_number], _ARRAYS):
                    if position in self._donate:
                        found.append(input_number)
                    input_number += 1
                leaf_number += 1
        return found


def _own(bindings: Sequence[Binding], storages: Sequence[Storage]) -> list[Binding]:
    """The bindings with this call's arguments in place of the trace's."""
    return [
        Binding(storages[b.key.number], b.transposed) if isinstance(b.key, _Argument) else b for b in bindings
    ]


def _pair(outputs: Sequence[Node], inputs: Sequence[Node], donated: Sequence[int]) -> dict[int, int]:
    """For each output the first donated input of its type that no other output has: it is written there."""
    free = list(donated)
    pairs = {}
    for position, node in enumerate(outputs):
        fits = (n for n in free if inputs[n].shape == node.shape and inputs[n].dtype is node.dtype)
        found = next(fits, None)
        if found is not None:
            free.remove(found)
            pairs[position] = found
    return pairs


def jit(function: Callable[..., Any] | None = None, *, donate: int | Sequence[int] = ()) -> Any:
    """Compile a function of tensors. Also a decorator, with or without arguments.

    Arguments and results are trees (dicts, lists, tuples) of tensors and arrays; numbers and strings in them are part
    of the program, which is traced again for each new one. Positional arguments named by `donate` are given up:
    results of the same types are written over them, and a later use of them raises DeviceError.
    """
    chosen = (donate,) if isinstance(donate, int) else tuple(donate)
    if function is None:
        return lambda inner: Jitted(inner, chosen)
    return Jitted(function, chosen)


def explain(function: Callable[..., Any], *arguments: Any, **named: Any) -> None:
    """Print what the scheduler fuses in `function(*arguments)`: kernels and bytes moved, before and after."""
    jitted = function if isinstance(function, Jitted) else Jitted(function)
    sys.stdout.write(jitted.explanation(*arguments, **named) + "\n")
