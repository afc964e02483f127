"""Random tensor programs, with gradients, for Hypothesis: the same program can be run on any device.

A :class:`TensorProgram` is a list of steps over numbered values, so that Hypothesis can shrink it and print it. All
arguments are drawn from a seeded generator, so ties and boundaries of `max`, `where` and `abs` are not met by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

import tritloom.dsl.functions as F
import tritloom.dsl.nn as nn
from tritloom.codegen.ir.dtypes import bf16, f16, f32
from tritloom.codegen.ir.tensor import Shape
from tritloom.codegen.ir.ternary import TernaryArray
from tritloom.dsl.tensor import Tensor, dot

Host = NDArray[Any] | TernaryArray


@dataclass(frozen=True)
class Step:
    """One operation: its name in STEPS, the values it takes by number, and its parameters."""

    name: str
    operands: tuple[int, ...]
    parameters: tuple[Any, ...] = ()


@dataclass
class TensorProgram:
    """A program: arguments 0 .. n - 1, then a value for each step. The results are the last value and a scalar loss."""

    arguments: list[Host] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    tolerance: float = 2e-4
    """How far, relative to the largest magnitude, results may lie apart where sums run in another order."""

    def __repr__(self) -> str:
        shown = [f"{type(a).__name__}{list(a.shape)}" for a in self.arguments]
        return f"TensorProgram({', '.join(shown)}; {'; '.join(map(repr, self.steps))})"

    def __call__(self, *arguments: Tensor) -> tuple[Tensor, Tensor]:
        """The last value, and the mean of its elements' tanh: a bounded loss that all elements matter to."""
        values: list[Tensor] = list(arguments)
        for step in self.steps:
            values.append(STEPS[step.name](*(values[i] for i in step.operands), *step.parameters))
        return values[-1], F.tanh(values[-1]).mean()

    @property
    def differentiable(self) -> tuple[int, ...]:
        """The numbers of the float arguments."""
        return tuple(
            i
            for i, a in enumerate(self.arguments)
            if not isinstance(a, TernaryArray) and a.dtype == np.float32
        )


def _positive(x: Tensor) -> Tensor:
    return x * x + 0.5


def _attend(x: Tensor) -> Tensor:
    """Causal attention of a [T, D] value with itself, one head."""
    one = x.reshape(1, x.shape[0], 1, x.shape[1])
    return nn.causal_attention(one, F.tanh(one), one).reshape(x.shape)


STEPS: dict[str, Callable[..., Tensor]] = {
    "neg": lambda x: -x,
    "abs": F.abs,
    "exp": lambda x: F.exp(F.tanh(x)),
    "log": lambda x: F.log(_positive(x)),
    "sqrt": lambda x: F.sqrt(_positive(x)),
    "rsqrt": lambda x: F.rsqrt(_positive(x)),
    "sin": F.sin,
    "cos": F.cos,
    "tanh": F.tanh,
    "silu": nn.silu,
    "relu2": lambda x: nn.relu2(F.tanh(x)),
    "scale": lambda x, c: x * c + 1.0,
    "half": lambda x, dtype: F.tanh(x).cast(dtype).cast(f32),
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: F.tanh(a) * b,
    "div": lambda a, b: a / _positive(b),
    "max": F.maximum,
    "min": F.minimum,
    "where": lambda a, b: F.where(a > b, a * 0.5, b),
    "sum": Tensor.sum,
    "amax": Tensor.max,
    "mean": Tensor.mean,
    "softmax": F.softmax,
    "reshape": Tensor.reshape,
    "permute": Tensor.permute,
    "slice": lambda x, axis, start, stop: x[(slice(None),) * axis + (slice(start, stop),)],
    "pad": F.pad,
    "concat": lambda a, b, axis: F.concat([a, b], axis),
    "dot": lambda a, b: dot(F.tanh(a), b),
    "gather": F.gather,
    "rms_norm": nn.rms_norm,
    "ternary_linear": nn.ternary_linear,
    "attention": _attend,
}
"""Every kind of step. Magnitudes stay moderate, and arguments of log, sqrt and / stay away from their poles."""

_UNARY = ("neg", "abs", "exp", "log", "sqrt", "rsqrt", "sin", "cos", "tanh", "silu", "relu2")
_BINARY = ("add", "sub", "mul", "div", "max", "min", "where")


class _Drawing:
    """A program under construction, with the shape of each value."""

    def __init__(self, draw: st.DrawFn, dims: Sequence[int]):
        self.draw = draw
        self.dims = dims
        self.random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.program = TensorProgram()
        self.shapes: list[Shape] = []
        self.steps: list[tuple[str, tuple[Any, ...], tuple[Any, ...]]] = []

    def argument(self, value: Host) -> str:
        """A further argument; the reference `aN` to it."""
        self.program.arguments.append(value)
        return f"a{len(self.program.arguments) - 1}"

    def normal(self, shape: Shape) -> str:
        return self.argument(self.random.normal(size=shape).astype(np.float32))

    def step(self, name: str, operands: Sequence[str], shape: Shape, *parameters: Any) -> None:
        self.steps.append((name, tuple(operands), parameters))
        self.shapes.append(shape)

    def finish(self) -> TensorProgram:
        count = len(self.program.arguments)

        def number(reference: str) -> int:
            return int(reference[1:]) + (count if reference[0] == "s" else 0)

        for name, operands, parameters in self.steps:
            self.program.steps.append(Step(name, tuple(map(number, operands)), parameters))
        return self.program


@st.composite
def tensor_programs(
    draw: st.DrawFn,
    *,
    dims: Sequence[int] = (1, 2, 3, 5, 8, 17),
    max_steps: int = 6,
    narrow: bool = True,
    kernels: bool = True,
) -> TensorProgram:
    """A random program. `narrow` allows f16 and bf16 values, `kernels` steps that call kernels (attention)."""
    d = _Drawing(draw, dims)
    shape = tuple(draw(st.lists(st.sampled_from(dims), min_size=1, max_size=3)))
    d.step("scale", [d.normal(shape)], shape, draw(st.sampled_from([0.5, 1.0, -2.0])))
    for _ in range(draw(st.integers(1, max_steps))):
        _draw_step(d, narrow, kernels)
    return d.finish()


def _draw_step(d: _Drawing, narrow: bool, kernels: bool) -> None:
    draw = d.draw
    at = draw(st.integers(max(0, len(d.shapes) - 2), len(d.shapes) - 1))
    x, shape = f"s{at}", d.shapes[at]
    kinds = ["unary", "binary", "permute", "pad", "concat", "reshape"]
    if shape:
        kinds += ["reduce", "slice", "gather", "softmax", "rms_norm"]
    if len(shape) >= 2:
        kinds += ["dot", "ternary_linear"]
    if kernels and len(shape) == 2:
        kinds.append("attention")
    if narrow:
        kinds.append("half")
    kind = draw(st.sampled_from(kinds))
    match kind:
        case "unary":
            d.step(draw(st.sampled_from(_UNARY)), [x], shape)
        case "half":
            d.program.tolerance = 3e-2
            d.step("half", [x], shape, draw(st.sampled_from([f16, bf16])))
        case "binary":
            other = tuple(draw(st.sampled_from([1, dim])) for dim in shape)
            if draw(st.booleans()):
                other = other[draw(st.integers(0, len(other))) :]
            pair = [x, d.normal(other)]
            d.step(draw(st.sampled_from(_BINARY)), pair if draw(st.booleans()) else pair[::-1], shape)
        case "permute":
            order = tuple(draw(st.permutations(range(len(shape)))))
            d.step("permute", [x], tuple(shape[i] for i in order), order)
        case "pad":
            before = tuple(draw(st.integers(0, 2)) for _ in shape)
            after = tuple(draw(st.integers(0, 2)) for _ in shape)
            d.step("pad", [x], tuple(b + n + a for b, n, a in zip(before, shape, after)), before, after)
        case "reshape":
            count = int(np.prod(shape))
            splits = [n for n in (1, 2, 3, 5, 8, 17) if count % n == 0]
            first = draw(st.sampled_from(splits))
            d.step("reshape", [x], (first, count // first), (first, count // first))
        case "concat":
            if not shape:
                d.step("reshape", [x], (1,), (1,))
                return
            axis = draw(st.integers(0, len(shape) - 1))
            other = tuple(draw(st.sampled_from(d.dims)) if i == axis else n for i, n in enumerate(shape))
            joined = tuple(a + b if i == axis else a for i, (a, b) in enumerate(zip(shape, other)))
            d.step("concat", [x, d.normal(other)], joined, axis)
        case "reduce":
            axis, keep = draw(st.integers(0, len(shape) - 1)), draw(st.booleans())
            left = tuple(1 if i == axis else n for i, n in enumerate(shape) if keep or i != axis)
            d.step(draw(st.sampled_from(["sum", "amax", "mean"])), [x], left, axis, keep)
        case "slice":
            axis = draw(st.integers(0, len(shape) - 1))
            start = draw(st.integers(0, shape[axis] - 1))
            stop = draw(st.integers(start + 1, shape[axis]))
            cut = tuple(stop - start if i == axis else n for i, n in enumerate(shape))
            d.step("slice", [x], cut, axis, start, stop)
        case "gather":
            ids_shape = tuple(draw(st.lists(st.sampled_from([1, 3, 8]), min_size=1, max_size=2)))
            ids = d.argument(d.random.integers(0, shape[0], ids_shape).astype(np.int32))
            d.step("gather", [x, ids], (*ids_shape, *shape[1:]))
        case "softmax" | "attention":
            d.step(kind, [x], shape)
        case "rms_norm":
            d.step("rms_norm", [x, d.normal(shape[-1:])], shape)
        case "dot":
            rows = draw(st.sampled_from(d.dims))
            d.step("dot", [x, d.normal((rows, shape[-1]))], (*shape[:-1], rows))
        case "ternary_linear":
            # Quantises an argument and not a computed value, which another order of summation could push over a tie.
            rows = draw(st.sampled_from(d.dims))
            weight = d.argument(
                TernaryArray.pack(d.random.integers(-1, 2, (rows, shape[-1])).astype(np.int8))
            )
            scale = d.argument(np.asarray([0.25], np.float32))
            d.step("ternary_linear", [d.normal(shape), weight, scale], (*shape[:-1], rows))
