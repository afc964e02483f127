"""Tensor programs for the scheduler's tests: random ones with exact results, and what compares plans with NumPy."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.plan_runner import run_on, run_plan
from tritloom.backends.base import Device
from tritloom.codegen.ir.dtypes import DType, f32, i8, i32
from tritloom.codegen.ir.template import Plan
from tritloom.codegen.ir.tensor import Node, Shape
from tritloom.codegen.ir.tensor_interpreter import evaluate
from tritloom.codegen.ir.tensor_ops import constant, make
from tritloom.codegen.ir.tensor_printer import format_program
from tritloom.codegen.ir.ternary import TernaryArray, TernaryLayout
from tritloom.codegen.schedule import schedule
from tritloom.codegen.target import Target

Array = NDArray[Any]
CPU = Target("test-cpu", "llvm", layout=TernaryLayout(16), vector_bits=512)
GPU = Target("test-gpu", "opencl", max_threads=128, shared_bytes=32 << 10)


def tensor(key: str, *shape: int, dtype: DType = f32) -> Node:
    """An input."""
    return make("input", key=key, shape=shape, dtype=dtype)


def op(name: str, *operands: Node, **parameters: Any) -> Node:
    """A node; operands are broadcast to the first one's shape where they differ."""
    if name in ("add", "sub", "mul", "div", "min", "max", "lt", "ge"):
        shape = np.broadcast_shapes(*(o.shape for o in operands))
        operands = tuple(make("broadcast", [o], shape=shape) for o in operands)
    return make(name, operands, **parameters)


def scalar(value: float, dtype: DType = f32) -> Node:
    """A constant."""
    return constant(value, dtype)


def values(node: Node, seed: int) -> Array | TernaryArray:
    """Deterministic values for an input."""
    random = np.random.default_rng([seed, node.size])
    if node.dtype.is_ternary:
        return TernaryArray.pack(random.integers(-1, 2, node.shape).astype(np.int8))
    if node.dtype.is_float:
        return np.asarray(random.standard_normal(node.shape)).astype(node.dtype.numpy)
    if node.dtype.is_bool:
        return random.integers(0, 2, node.shape).astype(np.bool_)
    low, high = (-100, 101) if node.dtype is not i32 else (-1000, 1001)
    return random.integers(max(low, int(node.dtype.limits[0])), high, node.shape).astype(node.dtype.numpy)


def check(
    outputs: Sequence[Node],
    inputs: Sequence[Node],
    *,
    target: Target = CPU,
    device: Device | None = None,
    donate: Mapping[int, int] | None = None,
    given: Mapping[str, Array] | None = None,
    exact: bool = False,
    tolerance: float = 1e-5,
) -> Plan:
    """Schedule a program, run the plan with the tile interpreter or on a device, and compare with the tensor
    interpreter."""
    plan = schedule(outputs, inputs, target if device is None else device.target, donate)
    arrays = [
        (given or {}).get(node.attribute("key"), values(node, number)) for number, node in enumerate(inputs)
    ]
    bindings = {node.attribute("key"): array for node, array in zip(inputs, arrays, strict=True)}
    expected = evaluate(outputs, bindings)
    if device is None:
        found = run_plan(plan, arrays, target, donated=donate)
    else:
        found = run_on(device, plan, arrays)
    for number, (want, got, node) in enumerate(zip(expected, found, outputs, strict=True)):
        if number in (donate or {}):
            got = got.reshape(node.shape)  # it lies in the input's memory, whatever the input's shape
        assert got.shape == node.shape
        assert got.dtype == want.dtype
        if exact or not node.dtype.is_float:
            np.testing.assert_array_equal(got, want)
        else:
            wide = want.astype(np.float64)
            scale = max(1.0, float(np.max(np.abs(wide), initial=0.0)))
            np.testing.assert_allclose(got.astype(np.float64), wide, rtol=tolerance, atol=tolerance * scale)
    return plan


@dataclass(repr=False)
class Random:
    """A random program and how to run it."""

    outputs: list[Node]
    inputs: list[Node]
    donate: dict[int, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"outputs {self.outputs}, donate {self.donate}\n{format_program(self.outputs)}"


_serial = itertools.count()
SHAPES: tuple[Shape, ...] = ((4,), (6,), (3, 4), (2, 6), (1, 5), (2, 3, 4), (5, 1), (1,), (2, 2, 3, 2))


@st.composite
def random_programs(draw: st.DrawFn) -> Random:
    """Programs over i32 (and i8 for dots): every result is exact, since integers wrap."""
    inputs = [
        tensor(f"x{number}", *draw(st.sampled_from(SHAPES)), dtype=i32)
        for number in range(draw(st.integers(1, 3)))
    ]
    pool = list(inputs)
    for _ in range(draw(st.integers(1, 12))):
        made = _step(draw, pool)
        if made is not None and made.size <= 600:
            pool.append(made)
    # The most recent values make the deepest programs.
    count = draw(st.integers(1, 4))
    outputs = [pool[-1]] + [draw(st.sampled_from(pool)) for _ in range(count - 1)]
    donate: dict[int, int] = {}
    if draw(st.booleans()):
        for number, node in enumerate(outputs):
            for place, one in enumerate(inputs):
                fits = one.size == node.size and place not in donate.values() and number not in donate
                if fits and draw(st.booleans()):
                    donate[number] = place
    return Random(outputs, inputs, donate)


def _step(draw: st.DrawFn, pool: list[Node]) -> Node | None:
    x = draw(st.sampled_from(pool[-4:] if draw(st.booleans()) else pool))
    rank = len(x.shape)
    kind = draw(
        st.sampled_from(
            ["binary"] * 6
            + ["unary", "reduce", "reduce", "permute", "reshape", "reshape", "slice", "pad", "concat"]
            + ["gather", "dot", "broadcast", "select"]
        )
    )
    match kind:
        case "unary":
            return make(draw(st.sampled_from(["neg", "abs"])), [x])
        case "binary" | "select":
            fitting = [y for y in pool if _broadcasts(x.shape, y.shape)]
            y = make("broadcast", [draw(st.sampled_from(fitting))], shape=x.shape)
            if kind == "select":
                return make("select", [make("lt", [x, y]), y, x])
            return make(draw(st.sampled_from(["add", "sub", "mul", "min", "max"])), [x, y])
        case "reduce":
            axes = tuple(sorted(draw(st.sets(st.integers(0, rank - 1), min_size=1))))
            return make(draw(st.sampled_from(["reduce_sum", "reduce_max", "reduce_min"])), [x], axes=axes)
        case "permute":
            return make("permute", [x], order=tuple(draw(st.permutations(range(rank)))))
        case "reshape":
            return make("reshape", [x], shape=draw(st.sampled_from(_factorisations(x.size))))
        case "slice":
            starts = [draw(st.integers(0, dim - 1)) for dim in x.shape]
            stops = [draw(st.integers(s + 1, dim)) for s, dim in zip(starts, x.shape, strict=True)]
            return make("slice", [x], starts=tuple(starts), stops=tuple(stops))
        case "pad":
            widths = [tuple(draw(st.integers(0, 2)) for _ in x.shape) for _ in range(2)]
            return make("pad", [x], before=widths[0], after=widths[1])
        case "concat":
            axis = draw(st.integers(0, rank - 1))
            others = [
                y
                for y in pool
                if len(y.shape) == rank
                and all(a == b for i, (a, b) in enumerate(zip(x.shape, y.shape)) if i != axis)
            ]
            return make("concat", [x, draw(st.sampled_from(others))], axis=axis)
        case "gather":
            small = [y for y in pool if len(y.shape) <= 2]
            if not small:
                return None
            rows = draw(st.sampled_from(small))
            ids = make("mod", [rows, constant(x.shape[0], i32, rows.shape)])
            return make("gather", [x, ids])
        case "dot":
            if rank < 2:
                return None
            fitting = [y for y in pool if len(y.shape) >= 2 and y.shape[-1] == x.shape[-1]]
            fitting = [y for y in fitting if len(y.shape) == 2 or y.shape[:-2] == x.shape[:-2]]
            y = draw(st.sampled_from(fitting))
            return make("dot", [make("cast", [x], dtype=i8), make("cast", [y], dtype=i8)])
        case _:
            front = draw(st.sampled_from([(), (2,), (3, 1)]))
            grown = tuple(3 if dim == 1 and draw(st.booleans()) else dim for dim in x.shape)
            return make("broadcast", [x], shape=(*front, *grown))


def _broadcasts(shape: Shape, other: Shape) -> bool:
    padded = (1,) * (len(shape) - len(other)) + other
    return len(padded) == len(shape) and all(b in (1, a) for a, b in zip(shape, padded, strict=True))


def _factorisations(size: int) -> list[Shape]:
    found: list[Shape] = [(size,), (1, size), (size, 1)]
    for a in range(2, size):
        if size % a == 0:
            found.append((a, size // a))
            found.extend((a, b, size // a // b) for b in range(2, size // a) if (size // a) % b == 0)
    return [shape for shape in found if math.prod(shape) == size]
