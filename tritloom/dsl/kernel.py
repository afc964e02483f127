"""`@tl.kernel`: a Python function as a kernel for every device.

The function's source is parsed once for each value of its tunable parameters and static dimensions, and compiled once
for each of these on each device; sizes are free.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tritloom.backends.base import Device
from tritloom.backends.registry import device as find_device
from tritloom.codegen.errors import DeviceError, GradientError, ShapeError, caller_location
from tritloom.codegen.ir import tile
from tritloom.codegen.ir.template import Configuration, KernelTemplate
from tritloom.codegen.ir.tensor import Node, Shape
from tritloom.codegen.ir.ternary import TernaryArray
from tritloom.codegen.ir.tile import Mode
from tritloom.codegen.ir.tile_interpreter import interpret
from tritloom.codegen.ir.tile_printer import format_kernel
from tritloom.codegen.target import Target
from tritloom.dsl.arguments import ArgumentError, Arguments, Array, bind, output_shape, sizes_of
from tritloom.dsl.functions import call_kernel
from tritloom.dsl.language import is_positive_integer
from tritloom.dsl.parser import parse
from tritloom.dsl.signature import Signature, read_signature
from tritloom.dsl.source import read_function
from tritloom.dsl.storage import Storage
from tritloom.dsl.tensor import Tensor, array

ALIGNED = 64
"""Elements of a row that is a whole number of the widest words, of packed ternary (16 to 32 bits) too."""

_ANY = Target("any", "none")


class Kernel(KernelTemplate):
    """A kernel. Call it with arrays or tensors; it returns its outputs."""

    def __init__(self, function: Callable[..., Any], local_names: Mapping[str, Any]):
        self.signature: Signature = read_signature(read_function(function), local_names)
        self.name = self.signature.name
        self.tensors = self.signature.tensors
        self.scalars = self.signature.scalars
        self.static = self.signature.static
        self._contiguous = {tensor.dims[-1] for tensor in self.tensors if tensor.dims} - self.static
        self._built: dict[Hashable, tile.Kernel] = {}
        self._gradient: Callable[..., Any] | None = None
        self._defaults: Callable[[Mapping[str, int], Target], Mapping[str, int]] | None = None
        functools.update_wrapper(self, function)

    def __repr__(self) -> str:
        return f"<kernel {self.signature.described()}>"

    # as a template

    def sizes(self, shapes: Mapping[str, Shape]) -> dict[str, int]:
        """The value of each dimension's name, from the shapes of the IN and INOUT tensors."""
        return sizes_of(self.signature, shapes, caller_location())

    def default(self, sizes: Mapping[str, int], target: Target) -> Configuration:
        """The first value of each tunable parameter; half of it, if that is listed, where registers are few.

        Or what the function under `@defaults` gives. Raises ArgumentError if it gives what is no tunable parameter.
        """
        found = {}
        for name, tunable in self.signature.tunables.items():
            half = tunable.default // 2
            found[name] = half if target.few_registers and half in tunable.values else tunable.default
        given = self._defaults(sizes, target) if self._defaults else {}
        for name, value in given.items():
            if name not in found or not is_positive_integer(value):
                raise ArgumentError(
                    f"the defaults of `{self.name}` are given {name} = {value!r}",
                    hint=f"give positive integers for its tunable parameters: {', '.join(found) or 'it has none'}",
                    location=caller_location(),
                )
        return {**found, **given}

    def build(
        self, configuration: Configuration, sizes: Mapping[str, int], target: Target | None = None
    ) -> tile.Kernel:
        """The tile kernel, the same object for equal arguments: tile kernels are the same for every target.

        Of `sizes` it takes the static ones, and which rows are whole runs of ALIGNED elements: those are read in wide
        words. So a kernel is compiled for aligned shapes and once more for others.
        """
        known = {name: sizes[name] for name in sorted(self.static)}
        aligned = tuple(n for n in sizes if n in self._contiguous and sizes[n] % ALIGNED == 0)
        key = (tuple(sorted(configuration.items())), tuple(known.items()), frozenset(aligned))
        if key not in self._built:
            self._built[key] = parse(self.signature, known, configuration, dict.fromkeys(aligned, ALIGNED))
        return self._built[key]

    def gradient(
        self, call: Node, results: tuple[Node, ...], cotangents: tuple[Node | None, ...]
    ) -> Sequence[Node | None] | None:
        """What the function under `@vjp` gives; None if there is none."""
        if self._gradient is None:
            return None
        read = [t for t in self.tensors if t.mode is not Mode.OUT]
        written = [t for t in self.tensors if t.mode is not Mode.IN]
        context = GradientContext(
            inputs={t.name: Tensor(node) for t, node in zip(read, call.inputs, strict=True)},
            outputs={t.name: Tensor(node) for t, node in zip(written, results, strict=True)},
            scalars=dict(zip([s.name for s in self.scalars], call.attribute("scalars"), strict=True)),
        )
        given = self._gradient(context, *(None if c is None else Tensor(c) for c in cotangents))
        gradients = given if isinstance(given, tuple | list) else (given,)
        wanted = [t for t in read if t.dtype.is_float]
        if len(gradients) != len(wanted):
            names = ", ".join(t.name for t in wanted)
            raise GradientError(
                f"the gradient of `{self.name}` gives {len(gradients)} tensor(s), not {len(wanted)}",
                hint=f"return one for each float input ({names}), None for one that has none",
                location=self.signature.source.location(self.signature.source.definition),
            )
        found: dict[str, Node | None] = {}
        for parameter, gradient in zip(wanted, gradients, strict=True):
            if gradient is not None and not isinstance(gradient, Tensor):
                raise GradientError(
                    f"the gradient of `{self.name}` gives a {type(gradient).__name__} for `{parameter.name}`",
                    hint="return tensors, made from those of the context",
                )
            found[parameter.name] = None if gradient is None else gradient.node
        return [found.get(t.name) for t in read]

    def vjp(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Give the kernel a gradient: `@k.vjp` above `def _(context, dy, ...)`.

        `context.x` are the tensors by name (see :class:`GradientContext`); then comes a gradient for each output in the
        order of the signature, None for one of integers. Returns a gradient for each float input in the order of the
        signature, None for one that has none.
        """
        self._gradient = function
        return function

    def defaults(
        self, function: Callable[[Mapping[str, int], Target], Mapping[str, int]]
    ) -> Callable[[Mapping[str, int], Target], Mapping[str, int]]:
        """Choose the values of tunable parameters by sizes and target: `@k.defaults` above `def _(sizes, target)`.

        `sizes` are those of the dimensions by name; for `.ir` and `.source`, which have no arguments, only the static
        ones are known (so take the others by `sizes.get`). What it does not name keeps its default.
        """
        self._defaults = function
        return function

    # for users

    def configure(self, **values: int) -> ConfiguredKernel:
        """The kernel with values for tunable parameters, and for static dimensions where there are no arguments."""
        location = caller_location()
        for name, value in values.items():
            if name not in self.signature.tunables and name not in self.static:
                names = ", ".join([*self.signature.tunables, *sorted(self.static)]) or "none"
                raise ArgumentError(
                    f"`{self.name}` has no tunable parameter `{name}`",
                    hint=f"it has: {names}",
                    location=location,
                )
            if not is_positive_integer(value):
                raise ArgumentError(
                    f"`{name}` of `{self.name}` is {value!r}, it should be a positive integer",
                    hint=f"as in {name}=8",
                    location=location,
                )
        return ConfiguredKernel(self, dict(values))

    def __call__(self, *arguments: Any, device: str | Device | None = None, **keywords: Any) -> Any:
        """Run the kernel. Tunable parameters may be given by name.

        With NumPy and ternary arrays it runs at once, on `device` (see `tl.device`), and returns
        NumPy arrays. With a Tensor among the arguments it returns Tensors. One output is returned alone, several as a
        tuple in the order of the signature.
        """
        configured, rest = self._split(keywords)
        return configured(*arguments, device=device, **rest)

    def interpret(self, *arguments: Any, **keywords: Any) -> Any:
        """A call in NumPy, with every access checked: see :mod:`tritloom.codegen.ir.tile_interpreter`."""
        configured, rest = self._split(keywords)
        return configured.interpret(*arguments, **rest)

    def _split(self, keywords: dict[str, Any]) -> tuple[ConfiguredKernel, dict[str, Any]]:
        tunables = {name: keywords[name] for name in keywords if name in self.signature.tunables}
        return self.configure(**tunables), {k: v for k, v in keywords.items() if k not in tunables}

    @property
    def ir(self) -> str:
        """The tile IR of the default configuration, for people."""
        return self.configure().ir

    def source(self, target: str | Target = "cpu") -> str:
        """The code that the default configuration becomes on a target, given by name or described. Needs no device."""
        return self.configure().source(target)


@dataclass(frozen=True, slots=True)
class GradientContext:
    """What a gradient may use: the kernel's tensors by name, as in `context.x`, and its scalars.

    An INOUT tensor is what it was before the call; `outputs` has it after.
    """

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    scalars: dict[str, float | int]

    def __getattr__(self, name: str) -> Any:
        for group in (self.inputs, self.outputs, self.scalars):
            if name in group:
                return group[name]
        names = ", ".join([*self.inputs, *self.outputs, *self.scalars])
        raise AttributeError(f"no parameter {name!r}; there are {names}")


@dataclass(frozen=True, slots=True)
class ConfiguredKernel:
    """A kernel with some of its tunable parameters and static dimensions fixed."""

    kernel: Kernel
    values: dict[str, int]

    def _chosen(self) -> dict[str, int]:
        """The tunable parameters that were given."""
        tunables = self.kernel.signature.tunables
        return {name: value for name, value in self.values.items() if name in tunables}

    def build(self, sizes: Mapping[str, int] | None = None, target: Target = _ANY) -> tile.Kernel:
        """The tile kernel, for the static dimensions and alignments of `sizes` (or those given to `configure`)."""
        known = {**self.values, **(sizes or {})}
        for name in self.kernel.static:
            if name not in known:
                raise ShapeError(
                    f"`{self.kernel.name}` is compiled for each value of its dimension `{name}`",
                    hint=f"give it one: {self.kernel.name}.configure({name}=64)",
                    location=caller_location(),
                )
        return self.kernel.build({**self.kernel.default(known, target), **self._chosen()}, known)

    @property
    def ir(self) -> str:
        """The tile IR, for people."""
        return format_kernel(self.build())

    def source(self, target: str | Target = "cpu") -> str:
        """The code that it becomes on a target, by name or as a description. Needs no device."""
        from tritloom.codegen.compile import source
        from tritloom.codegen.targets import target as find_target

        found = find_target(target) if isinstance(target, str) else target
        return source(self.build(target=found), found)

    def _bind(self, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Arguments:
        bound = bind(self.kernel.signature, arguments, keywords, caller_location())
        for name in self.kernel.static:
            if self.values.get(name, bound.sizes[name]) != bound.sizes[name]:
                raise ShapeError(
                    f"`{self.kernel.name}` was configured for {name} = {self.values[name]} and is called with "
                    f"{bound.sizes[name]}",
                    hint=f"leave {name} out of configure: a call knows it",
                    location=caller_location(),
                )
        return bound

    def __call__(self, *arguments: Any, device: str | Device | None = None, **keywords: Any) -> Any:
        """Run it: see :meth:`Kernel.__call__`."""
        bound = self._bind(arguments, keywords)
        if any(isinstance(value, Tensor) for value in bound.tensors.values()):
            return self._trace(bound, device)
        return self._launch(bound, find_device(device))

    def _trace(self, bound: Arguments, device: str | Device | None) -> Any:
        """A node of a tensor program."""
        home = next((v.device for v in bound.tensors.values() if isinstance(v, Tensor) and v.device), None)
        wanted = home if device is None else find_device(device)
        tensors = []
        for name, value in bound.tensors.items():
            if isinstance(value, Tensor) and value.device not in (None, wanted):
                assert value.device is not None
                raise DeviceError(
                    f"`{name}` of `{self.kernel.name}` is on {value.device.name} and the call is on "
                    f"{wanted.name if wanted else 'no device'}",
                    hint=f"move it: {name}.to(device)",
                    location=caller_location(),
                )
            tensors.append(value if isinstance(value, Tensor) else array(value, wanted))
        return _one_or_all(
            list(call_kernel(self.kernel, tensors, tuple(bound.scalars.values()), self._chosen()))
        )

    def _launch(self, bound: Arguments, device: Device) -> Any:
        built = self.build(bound.sizes, device.target)
        executable = device.compile(built)
        storages: dict[str, Storage] = {}
        for parameter in self.kernel.tensors:
            if parameter.mode is Mode.OUT:
                shape = output_shape(parameter, bound.sizes)
                count = int(np.prod(shape, dtype=np.int64))
                memory = device.allocate(max(count * parameter.dtype.nbytes, 1))
                storages[parameter.name] = Storage(device, memory, shape, parameter.dtype)
            else:
                value = bound.tensors[parameter.name]
                assert not isinstance(value, Tensor)
                storages[parameter.name] = Storage.of(value, device)
        buffers = [storage.buffer for storage in storages.values()]
        device.launch(executable, buffers, _sizes(built, bound), tuple(bound.scalars.values()))
        return _one_or_all([storages[t.name].host() for t in self.kernel.tensors if t.mode is not Mode.IN])

    def interpret(self, *arguments: Any, **keywords: Any) -> Any:
        """Run it in NumPy with every access checked: see :meth:`Kernel.interpret`."""
        bound = self._bind(arguments, keywords)
        tensors: dict[str, Array | TernaryArray] = {}
        for name, value in bound.tensors.items():
            host = value.host() if isinstance(value, Tensor) else value
            inout = self.kernel.signature.tensor(name).mode is Mode.INOUT
            tensors[name] = host.copy() if inout and isinstance(host, np.ndarray) else host
        built = self.build(bound.sizes)
        results = interpret(built, tensors, _sizes(built, bound), bound.scalars)
        return _one_or_all([results[t.name] for t in self.kernel.tensors if t.mode is not Mode.IN])


def _sizes(kernel: tile.Kernel, bound: Arguments) -> dict[str, int]:
    return {size.name: bound.sizes[size.name] for size in kernel.sizes}


def _one_or_all(results: list[Any]) -> Any:
    return results[0] if len(results) == 1 else tuple(results)


def kernel(function: Callable[..., Any]) -> Kernel:
    """Make a kernel of a function written in the kernel language: see :mod:`tritloom.dsl.language`.

    Raises KernelSyntaxError for a signature that is none; the body is checked when it is first compiled.
    """
    return Kernel(function, dict(sys._getframe(1).f_locals))
