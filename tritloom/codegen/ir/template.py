"""Kernels before their tunable parameters are chosen, and launches after.

A :class:`KernelTemplate` is what `@kernel` makes and what a tensor program may call; given a configuration and a target
it becomes a tile kernel. A :class:`Launch` is one run of a tile kernel on numbered tensors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tritloom.codegen.ir.dtypes import DType
from tritloom.codegen.ir.tensor import Node, Shape
from tritloom.codegen.ir.tile import Kernel, Mode
from tritloom.codegen.target import Target

Configuration = Mapping[str, int]
"""A value for each tunable parameter."""


@dataclass(frozen=True, slots=True)
class TensorParameter:
    """A tensor parameter of a kernel. A dimension is a name or a number."""

    name: str
    dtype: DType
    dims: tuple[str | int, ...]
    mode: Mode


@dataclass(frozen=True, slots=True)
class ScalarParameter:
    """A scalar parameter (i32 or f32)."""

    name: str
    dtype: DType


class KernelTemplate(ABC):
    """A kernel with tunable parameters. Hashable by identity."""

    name: str
    tensors: tuple[TensorParameter, ...]
    """In the order of the signature; OUT parameters are made by the caller."""
    scalars: tuple[ScalarParameter, ...]
    static: frozenset[str]
    """Names of dimensions whose value is known when the kernel is compiled."""

    @abstractmethod
    def sizes(self, shapes: Mapping[str, Shape]) -> dict[str, int]:
        """The value of each dimension name, from the shapes of the IN and INOUT tensors by name.

        Raises ShapeError if they do not fit the signature or each other.
        """

    @abstractmethod
    def default(self, sizes: Mapping[str, int], target: Target) -> Configuration:
        """A good configuration without tuning."""

    def gradient(
        self, call: Node, results: tuple[Node, ...], cotangents: tuple[Node | None, ...]
    ) -> Sequence[Node | None] | None:
        """The gradient that the kernel's author gave: one for each operand of the `kernel` node `call`, None for an
        operand that has none; or None altogether if there is no gradient.

        `results` are the call's `item` nodes, `cotangents` the gradients with respect to them (None for integers).
        """
        return None

    @abstractmethod
    def build(self, configuration: Configuration, sizes: Mapping[str, int], target: Target) -> Kernel:
        """The tile kernel, the same object for equal arguments.

        `sizes` has a value for each of `self.static`. It may have more: the kernel then fits sizes that are multiples
        of the same powers of two.
        """


@dataclass(frozen=True, eq=False, slots=True)
class Launch:
    """One run of a kernel: `tensors` are indices into the plan's tensors, in the order of the kernel's buffers."""

    kernel: Kernel
    tensors: tuple[int, ...]
    sizes: Mapping[str, int]
    scalars: Sequence[float | int] = ()


@dataclass(frozen=True, slots=True)
class PlanTensor:
    """A tensor of a plan. `role` is "input" or "output" (bound when the plan runs, in the order of the plan's `inputs`
    and `outputs`) or "arena" (at byte `offset` of the plan's arena)."""

    shape: Shape
    dtype: DType
    nbytes: int
    role: str
    offset: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class Plan:
    """A whole program for one device: launches in order over tensors that were placed in memory once.

    An output may be the same tensor as an input (updated in place). Ternary tensors lie in the target's layout.
    """

    tensors: tuple[PlanTensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    launches: tuple[Launch, ...]
    arena_bytes: int
    notes: tuple[str, ...] = field(default=())
    """For people: what was fused, one line a launch."""
