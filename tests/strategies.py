"""Hypothesis strategies for random tile kernels with inputs, for every backend's conformance.

The kernels are well typed and stay in bounds, and their results are exact: each value is tracked with its range and its
smallest step, and an operation whose result would need rounding, or would overflow, is not generated. So every backend
must give the very same numbers as the interpreter, in whatever order it sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from tritloom.codegen.ir.dtypes import (
    DType,
    TensorSpec,
    bf16,
    f16,
    f32,
    i8,
    i16,
    i32,
    ternary,
    u8,
    u32,
)
from tritloom.codegen.ir.ternary import TernaryArray
from tritloom.codegen.ir.tile import Axis, BinaryOp, Buffer, Kernel, Mode, ReduceOp, UnaryOp, Value
from tritloom.codegen.ir.tile_builder import Builder
from tritloom.codegen.ir.tile_printer import format_kernel

SIZES = (1, 2, 3, 5, 7, 8, 13, 16, 17)
LONG_SIZES = (1, 2, 7, 16, 17, 33, 64, 67, 100)
BLOCKS = (1, 2, 3, 4, 8, 16)
LONG_BLOCKS = (4, 16, 24, 64)
ELEMENTS = (f32, f32, f32, f16, bf16, i8, i16, i32, i32, u8, u32)
MANTISSA = {f32: 24, f16: 11, bf16: 8}
DOT_PAIRS = (
    (i8, i8),
    (i8, ternary),
    (f32, f32),
    (f16, f16),
    (bf16, bf16),
    (f32, ternary),
    (f16, ternary),
    (bf16, ternary),
)
T = TypeVar("T")


class Case(NamedTuple):
    """A kernel and the arguments of one launch; OUT tensors are left to whoever runs it."""

    kernel: Kernel
    tensors: dict[str, NDArray[Any] | TernaryArray]
    sizes: dict[str, int]
    scalars: dict[str, float | int]

    def __repr__(self) -> str:
        shapes = {
            name: (value.shape, str(getattr(value, "dtype", "ternary")))
            for name, value in self.tensors.items()
        }
        text = format_kernel(self.kernel, locations=False)
        return f"Case of sizes {self.sizes}, scalars {self.scalars}, tensors {shapes}:\n{text}"


@dataclass(frozen=True)
class Tracked:
    """A value with the range of its elements and the power of two of which all are multiples."""

    value: Value
    low: float
    high: float
    step: float = 1.0

    @property
    def dtype(self) -> DType:
        return self.value.dtype

    def exact(self, dtype: DType | None = None) -> bool:
        """Whether every such number is one of the dtype, with room for sums of either sign."""
        dtype = dtype or self.dtype
        largest = max(abs(self.low), abs(self.high))
        if dtype.is_float:
            return largest / self.step <= 2 ** MANTISSA[dtype] and self.step >= 2.0**-8 and largest <= 2.0**15
        low, high = dtype.limits
        return low <= self.low and self.high <= high and self.step >= 1


def random_kernels() -> st.SearchStrategy[Case]:
    """Random well-typed kernels with the arguments of one launch."""
    return st.composite(lambda draw: _Generator(draw).case())()


class _Generator:
    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]):
        self._draw = draw
        self._random = np.random.default_rng(self._draw(st.integers(0, 2**32 - 1)))
        self._b = Builder("random")
        self._sizes: dict[str, int] = {}
        self._tensors: dict[str, NDArray[Any] | TernaryArray] = {}
        self._scalars: dict[str, float | int] = {}
        self._pool: list[Tracked] = []
        self._programs: list[tuple[Axis, str]] = []
        self._tensor_count = 0

    def one(self, options: Sequence[T]) -> T:
        """One of the options; the first is the simplest."""
        chosen: int = self._draw(st.integers(0, len(options) - 1))
        return options[chosen]

    def maybe(self) -> bool:
        """True now and then."""
        return bool(self._draw(st.booleans()))

    def case(self) -> Case:
        """The whole kernel."""
        for name in ("M", "N")[: self.one((1, 2, 2))]:
            self._sizes[name] = self.one(SIZES)
        self._sizes["K"] = self.one(LONG_SIZES)
        if self.maybe():  # rows known to be whole words
            self._b.size("K", self._sizes["K"] & -self._sizes["K"])
        order = list(self._sizes)[:-1]
        if self.maybe():
            order.reverse()
        for name in order:
            axis = self._b.program_axis(name.lower(), self._b.size(name), self.one(BLOCKS))
            self._programs.append((axis, name))
        self._programs.sort(key=lambda pair: pair[1])
        if self.maybe():
            scalar = self._b.scalar("alpha", f32)
            self._scalars["alpha"] = self.one((1.0, -2.0, 0.5, 3.0))
            number = float(self._scalars["alpha"])
            self._pool.append(Tracked(scalar, number, number, 0.5))
        self._load(self._programs)
        steps = (self._elementwise, self._loop, self._loop, self._load_any, self._condition, self._whole)
        for _ in range(self.one((2, 1, 3, 4, 5))):
            self.one(steps)()
        for _ in range(self.one((1, 2, 3))):
            self._output()
        if self.maybe():
            self._update()
        return Case(self._b.finish(), self._tensors, self._sizes, self._scalars)

    # tensors

    def _name(self, prefix: str) -> str:
        self._tensor_count += 1
        return f"{prefix}{self._tensor_count}"

    def _buffer(self, dtype: DType, dims: tuple[str | int, ...], mode: Mode = Mode.IN) -> Buffer:
        name = self._name("x" if mode is Mode.IN else "y")
        buffer = self._b.buffer(name, TensorSpec(dtype, dims), mode)
        if mode is not Mode.OUT:
            shape = tuple(dim if isinstance(dim, int) else self._sizes[dim] for dim in dims)
            self._tensors[name] = self._data(dtype, shape)
        return buffer

    @staticmethod
    def _range(dtype: DType) -> tuple[int, int, float]:
        """The range and step of an input's elements."""
        if dtype.is_bool:
            return 0, 1, 1.0
        if dtype.is_ternary:
            return -1, 1, 1.0
        if dtype.is_float:
            return -3, 3, 0.5 if dtype is f32 else 1.0
        return (0, 5, 1.0) if dtype in (u8, u32) else (-6, 6, 1.0)

    def _data(self, dtype: DType, shape: tuple[int, ...]) -> NDArray[Any] | TernaryArray:
        low, high, step = self._range(dtype)
        values = self._random.integers(round(low / step), round(high / step) + 1, shape) * step
        if dtype.is_ternary:
            return TernaryArray.pack(values)
        return np.asarray(values).astype(dtype.numpy)

    def _load(self, axes: Sequence[tuple[Axis, str]], dtype: DType | None = None) -> Tracked:
        """A load over some of the axes, at the axes themselves, shifted, reversed or gathered."""
        dtype = dtype or self.one(ELEMENTS)
        dims = tuple(name for _, name in axes)
        buffer = self._buffer(dtype, dims)
        low, high, step = self._range(dtype)
        indices: list[Value | Axis] = []
        guard: Value | None = None
        b = self._b
        for axis, name in axes:
            way = self.one(("plain", "plain", "plain", "shifted", "clamped", "reversed", "gathered"))
            if dtype.is_ternary:
                way = "plain"
            size = b.size(name)
            if way == "plain":
                indices.append(axis)
            elif way == "shifted":
                shifted = b.binary(BinaryOp.ADD, b.index(axis), self.one((1, -1, 2)))
                inside = b.binary(
                    BinaryOp.AND,
                    b.binary(BinaryOp.GE, shifted, 0),
                    b.binary(BinaryOp.LT, shifted, size),
                )
                guard = inside if guard is None else b.binary(BinaryOp.AND, guard, inside)
                indices.append(shifted)
            elif way == "clamped":
                last = b.binary(BinaryOp.SUB, size, 1)
                indices.append(b.binary(BinaryOp.MIN, b.binary(BinaryOp.ADD, b.index(axis), 1), last))
            elif way == "reversed":
                last = b.binary(BinaryOp.SUB, size, 1)
                indices.append(b.binary(BinaryOp.SUB, last, b.index(axis)))
            else:
                table = self._b.buffer(self._name("ids"), i32[name])
                self._tensors[table.name] = self._random.integers(
                    0, self._sizes[name], self._sizes[name]
                ).astype(np.int32)
                indices.append(b.load(table, [axis]))
        if guard is not None:
            low, high = min(low, 0), max(high, 0)
        tile = Tracked(b.load(buffer, indices, guard), low, high, step)
        self._pool.append(tile)
        return tile

    def _load_any(self) -> None:
        self._load(self._programs[: self.one((1, 2))])

    # elementwise

    def _constant(self, dtype: DType) -> Tracked:
        low, _, _ = self._range(dtype)
        number = self.one((1, 2, 3, 0) if low == 0 else (1, -1, 2, -3, 0))
        return Tracked(self._b.const(number, dtype), number, number)

    def _operand(self, dtype: DType) -> Tracked:
        fitting = [t for t in self._pool if t.dtype is dtype]
        if not fitting or self.one((False, False, True)):
            return self._constant(dtype)
        return self.one(fitting[::-1])

    def _numeric(self) -> Tracked:
        fitting = [t for t in self._pool if not t.dtype.is_bool and not t.dtype.is_ternary]
        return self.one(fitting[::-1]) if fitting else self._constant(f32)

    def _elementwise(self) -> Tracked:
        """A few operations on what there is."""
        made = self._numeric()
        for _ in range(self.one((2, 1, 3, 4))):
            kind = self.one(("binary", "unary", "select", "cast", "integer", "halve"))
            made = getattr(self, f"_{kind}")(made)
            self._pool.append(made)
        return made

    def _binary(self, a: Tracked) -> Tracked:
        c = self._operand(a.dtype)
        op = self.one((BinaryOp.ADD, BinaryOp.SUB, BinaryOp.MUL, BinaryOp.MIN, BinaryOp.MAX))
        corners = {
            BinaryOp.ADD: (a.low + c.low, a.high + c.high),
            BinaryOp.SUB: (a.low - c.high, a.high - c.low),
            BinaryOp.MUL: tuple(x * y for x in (a.low, a.high) for y in (c.low, c.high)),
            BinaryOp.MIN: (min(a.low, c.low), min(a.high, c.high)),
            BinaryOp.MAX: (max(a.low, c.low), max(a.high, c.high)),
        }[op]
        step = a.step * c.step if op is BinaryOp.MUL else min(a.step, c.step)
        if not replace(a, low=min(corners), high=max(corners), step=step).exact():
            return a
        flipped = self.maybe() and op is not BinaryOp.SUB
        left, right = (c.value, a.value) if flipped else (a.value, c.value)
        return Tracked(self._b.binary(op, left, right), min(corners), max(corners), step)

    def _unary(self, a: Tracked) -> Tracked:
        if a.dtype in (u8, u32):
            return a
        op = self.one((UnaryOp.NEG, UnaryOp.ABS, UnaryOp.FLOOR, UnaryOp.ROUND))
        low, high, step = {
            UnaryOp.NEG: (-a.high, -a.low, a.step),
            UnaryOp.ABS: (0, max(abs(a.low), abs(a.high)), a.step),
            UnaryOp.FLOOR: (math.floor(a.low), math.ceil(a.high), max(a.step, 1.0)),
            UnaryOp.ROUND: (math.floor(a.low), math.ceil(a.high), max(a.step, 1.0)),
        }[op]
        if not replace(a, low=low, high=high, step=step).exact():
            return a
        return Tracked(self._b.unary(op, a.value), low, high, step)

    def _compare(self, a: Tracked) -> Tracked:
        op = self.one((BinaryOp.LT, BinaryOp.LE, BinaryOp.GT, BinaryOp.GE, BinaryOp.EQ, BinaryOp.NE))
        return Tracked(self._b.binary(op, a.value, self._operand(a.dtype).value), 0, 1)

    def _select(self, a: Tracked) -> Tracked:
        chosen = self._compare(a).value
        if self.maybe():
            chosen = self._b.unary(UnaryOp.NOT, chosen)
        if self.maybe():
            other = self._compare(a).value
            chosen = self._b.binary(self.one((BinaryOp.AND, BinaryOp.OR, BinaryOp.XOR)), chosen, other)
        c = self._operand(a.dtype)
        value = self._b.select(chosen, a.value, c.value)
        return Tracked(value, min(a.low, c.low), max(a.high, c.high), min(a.step, c.step))

    def _cast(self, a: Tracked) -> Tracked:
        dtype = self.one((f32, i32, f16, bf16, i16, i8, u8, u32))
        low, high, step = a.low, a.high, a.step
        if a.dtype.is_float and dtype.is_integer:
            least, most = dtype.limits
            low, high = max(math.floor(low), least), min(math.ceil(high), most)
            low, high, step = min(low, high), max(low, high), 1.0
        made = Tracked(a.value, low, high, step)
        if not made.exact(dtype):
            return a
        return replace(made, value=self._b.cast(a.value, dtype))

    def _integer(self, a: Tracked) -> Tracked:
        """Operations of integers alone; of floats, a cast to i32 first."""
        if a.dtype.is_float:
            a = Tracked(self._b.cast(a.value, i32), math.floor(a.low), math.ceil(a.high))
        op = self.one((BinaryOp.FLOORDIV, BinaryOp.MOD, BinaryOp.SHL, BinaryOp.SHR, BinaryOp.AND))
        number = self.one((2, 3, 1, 5))
        if op is BinaryOp.FLOORDIV:
            low, high = a.low // number, a.high // number
        elif op is BinaryOp.MOD:
            low, high = 0, number - 1
        elif op is BinaryOp.SHL:
            low, high = a.low * 2**number, a.high * 2**number
        elif op is BinaryOp.SHR:
            low, high = int(a.low) >> number, int(a.high) >> number
        else:
            low, high = 0, number
        if not replace(a, low=low, high=high).exact():
            return a
        return Tracked(self._b.binary(op, a.value, number), low, high)

    def _halve(self, a: Tracked) -> Tracked:
        if not a.dtype.is_float:
            return a
        made = replace(a, low=a.low / 4, high=a.high / 4, step=a.step / 4)
        if not made.exact():
            return a
        return replace(made, value=self._b.binary(BinaryOp.DIV, a.value, 4.0))

    # control flow

    def _loop(self) -> None:
        """A loop over K that carries an accumulator: of a reduction, of a dot, or of a plain tile."""
        kind = self.one(("sum", "dot", "dot", "max", "map"))
        if kind == "dot" and len(self._programs) == 2:
            self._dot_loop()
        elif kind == "map":
            self._map_loop()
        else:
            self._reduction_loop(ReduceOp.MAX if kind == "max" else ReduceOp.SUM)

    def _bounds(self) -> tuple[Value | None, Value | None]:
        """Bounds of the loop: none, constants or expressions of sizes."""
        size = self._b.size("K")
        half = self._b.binary(BinaryOp.FLOORDIV, size, 2) if self.maybe() else None
        if half is None:
            return None, None
        return self.one(
            ((half, None), (None, half), (self._b.const(1, i32), None), (None, self._b.const(5, i32)))
        )

    def _reduction_loop(self, op: ReduceOp) -> None:
        axes = self._programs[: self.one((1, 2))]
        start, stop = self._bounds()
        dtype = self.one((f32, f32, i32, u32) if op is ReduceOp.SUM else ELEMENTS)
        total = self._sizes["K"]
        zero = self._b.full([axis for axis, _ in axes], 0, dtype)
        outside = list(self._pool)
        with self._b.loop(
            "k", self._b.size("K"), self.one(LONG_BLOCKS), [zero], start=start, stop=stop
        ) as loop:
            tile = self._load([*axes, (loop.axis, "K")], dtype)
            if self.maybe():
                changed = self._unary(tile)
                tile = changed if changed.dtype is dtype else tile
            reduced = self._b.reduce(op, tile.value, loop.axis)
            add = BinaryOp.ADD if op is ReduceOp.SUM else BinaryOp.MAX
            loop.next = [self._b.binary(add, loop.values[0], reduced)]
        self._pool = outside
        low, high, step = tile.low, tile.high, tile.step
        if op is ReduceOp.SUM:
            low, high = min(low, 0) * total, max(high, 0) * total
        else:
            low, high = min(low, 0), max(high, 0)
        made = Tracked(loop.results[0], low, high, step)
        if made.exact():
            self._pool.append(made)

    def _dot_loop(self) -> None:
        left, right = self.one(DOT_PAIRS)
        (m, rows), (n, columns) = self._programs
        start, stop = self._bounds()
        dtype = i32 if left is i8 else f32
        zero = self._b.full([m, n], 0, dtype)
        outside = list(self._pool)
        with self._b.loop(
            "k", self._b.size("K"), self.one(LONG_BLOCKS), [zero], start=start, stop=stop
        ) as loop:
            a = self._load([(m, rows), (loop.axis, "K")], left)
            c = self._load([(n, columns), (loop.axis, "K")], right)
            if self.maybe() and left.is_float:
                a = Tracked(self._b.unary(UnaryOp.NEG, a.value), -a.high, -a.low, a.step)
            product = self._b.dot(a.value, c.value, loop.axis)
            loop.next = [self._b.binary(BinaryOp.ADD, loop.values[0], product)]
        self._pool = outside
        most = max(abs(a.low), abs(a.high)) * max(abs(c.low), abs(c.high)) * self._sizes["K"]
        self._pool.append(Tracked(loop.results[0], -most, most, a.step * c.step))

    def _map_loop(self) -> None:
        """A loop that stores a tile over its own axis."""
        outside = list(self._pool)
        with self._b.loop("k", self._b.size("K"), self.one(LONG_BLOCKS)) as loop:
            self._load([*self._programs[: self.one((1, 2))], (loop.axis, "K")])
            made = self._elementwise()
            dims = (*(name for _, name in self._programs), "K")
            target = self._buffer(made.dtype, dims, Mode.OUT)
            self._b.store(target, [*(axis for axis, _ in self._programs), loop.axis], made.value)
        self._pool = outside

    def _whole(self) -> None:
        """A tile with an axis of one block, reduced again."""
        extent = self.one((3, 8, 5, 1))
        block = self.one((extent, 8))
        axis = self._b.whole_axis("d", self._b.const(extent, i32), block)
        dtype = self.one((f32, i32))
        low, high, step = self._range(dtype)
        buffer = self._buffer(dtype, (self._programs[0][1], extent))
        loaded = Tracked(self._b.load(buffer, [self._programs[0][0], axis]), low, high, step)
        op = self.one((ReduceOp.SUM, ReduceOp.MIN, ReduceOp.MAX))
        made = replace(loaded, value=self._b.reduce(op, loaded.value, axis))
        if op is ReduceOp.SUM:
            made = replace(made, low=low * extent, high=high * extent)
        self._pool.append(made)

    def _condition(self) -> None:
        """An `if` on a scalar with a value merged from its branches."""
        b = self._b
        pivot = b.size("K") if "alpha" not in self._scalars or self.maybe() else None
        if pivot is not None:
            condition = b.binary(self.one((BinaryOp.GT, BinaryOp.LE)), pivot, self.one((16, 1, 40)))
        else:
            alpha = next(t for t in self._pool if t.value.name == "alpha")
            condition = b.binary(BinaryOp.GT, alpha.value, 0.0)
        before = self._numeric()
        outside = list(self._pool)
        with b.condition(condition) as opened:
            made = self._binary(before)
            if made.value.axes != before.value.axes:
                made = before
            self._pool = list(outside)
            with opened.otherwise():
                other = self._unary(before)
            opened.pairs = [(made.value, other.value)]
        self._pool = outside
        low, high = min(made.low, other.low), max(made.high, other.high)
        self._pool.append(Tracked(opened.results[0], low, high, min(made.step, other.step)))

    # outputs

    def _output(self) -> None:
        """Store something over all program axes, under a guard now and then."""
        made = self.one(self._pool[::-1])
        target = self._buffer(made.dtype, tuple(name for _, name in self._programs), Mode.OUT)
        self._b.store(target, [axis for axis, _ in self._programs], made.value)

    def _update(self) -> None:
        """Update an INOUT tensor where a condition holds."""
        axes = [axis for axis, _ in self._programs]
        dtype = self.one((f32, i32, i8))
        target = self._buffer(dtype, tuple(name for _, name in self._programs), Mode.INOUT)
        low, high, step = self._range(dtype)
        loaded = Tracked(self._b.load(target, [*axes]), low, high, step)
        made = self._binary(loaded)
        guard = self._b.binary(BinaryOp.GT, loaded.value, self.one((0, -1))) if self.maybe() else None
        self._b.store(target, [*axes], made.value, guard)
