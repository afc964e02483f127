"""Runs tile kernels in NumPy: the definition that every backend is compared with, and what a user debugs with.

Programs run one after another. Every access is checked: an index outside of its buffer, two programs that meet in one
element, and an output element that no program wrote are errors that name the element, the programs and the user's line.
Masked lanes hold poison (NaN, or an extreme integer) so that a use of one shows in the result.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritloom.codegen.errors import BoundsError, DTypeError, RaceError, ShapeError, SourceLocation
from tritloom.codegen.ir import numerics
from tritloom.codegen.ir.dtypes import DType
from tritloom.codegen.ir.ternary import TernaryArray
from tritloom.codegen.ir.tile import (
    Axes,
    Axis,
    AxisKind,
    Binary,
    Block,
    Buffer,
    Cast,
    Const,
    Dot,
    Expand,
    If,
    Index,
    Kernel,
    Let,
    Load,
    Loop,
    Mode,
    Reduce,
    Scalar,
    Select,
    Size,
    Statement,
    Store,
    Unary,
    Value,
    evaluate_size,
    union,
)

Array = NDArray[Any]
_NOBODY = -1


class UnwrittenError(BoundsError):
    """An element of an output that no program wrote."""


def interpret(
    kernel: Kernel,
    tensors: Mapping[str, Array | TernaryArray],
    sizes: Mapping[str, int],
    scalars: Mapping[str, float | int] | None = None,
    *,
    check_complete: bool = True,
) -> dict[str, Array]:
    """Run `kernel` once over its whole grid.

    `tensors` holds an array for each parameter by name, of its dtype and shape (a TernaryArray for a ternary one);
    OUT and INOUT arrays are written in place, after the last program has ended, and an OUT array that is not given is
    made. Returns the OUT and INOUT arrays by name.

    Raises BoundsError, RaceError, UnwrittenError (unless `check_complete` is false), and ShapeError or DTypeError for
    arrays that do not fit the signature.
    """
    sizes = dict(sizes)
    for size in kernel.sizes:
        if size.name not in sizes:
            raise ShapeError(f"`{kernel.name}` needs the size `{size.name}`", location=kernel.location)
        if sizes[size.name] < 1 or sizes[size.name] % size.multiple_of:
            raise ShapeError(
                f"the size `{size.name}` of `{kernel.name}` is {sizes[size.name]}, it must be a positive multiple of "
                f"{size.multiple_of}",
                location=kernel.location,
            )
    for scalar in kernel.scalars:
        if scalar.name not in (scalars or {}):
            raise DTypeError(f"`{kernel.name}` needs the scalar `{scalar.name}`", location=scalar.location)
    memories = {buffer: _open(kernel, buffer, tensors.get(buffer.name), sizes) for buffer in kernel.buffers}
    grid = kernel.grid(sizes)
    for linear, blocks in enumerate(itertools.product(*(range(count) for count in grid))):
        _Program(kernel, memories, sizes, dict(scalars or {}), linear, blocks, grid).run()
    results = {}
    for buffer, memory in memories.items():
        if buffer.mode is Mode.IN:
            continue
        if buffer.mode is Mode.OUT and check_complete:
            _check_complete(buffer, memory, sizes)
        results[buffer.name] = memory.finish()
    return results


@dataclass(slots=True)
class _Memory:
    """One tensor: its elements in a line, and which program touched each."""

    shape: tuple[int, ...]
    flat: Array
    given: Array | None
    writer: NDArray[np.int64]
    reader: NDArray[np.int64]
    other_reader: NDArray[np.int64]

    def finish(self) -> Array:
        result = self.flat.reshape(self.shape)
        if self.given is None:
            return result
        self.given[...] = result
        return self.given


def _open(
    kernel: Kernel, buffer: Buffer, given: Array | TernaryArray | None, sizes: dict[str, int]
) -> _Memory:
    shape = tuple(evaluate_size(dim, sizes) for dim in buffer.shape)
    if given is None:
        if buffer.mode is not Mode.OUT:
            raise ShapeError(f"`{kernel.name}` needs the tensor `{buffer.name}`", location=buffer.location)
        array: Array = np.full(shape, poison(buffer.dtype), buffer.dtype.numpy)
    elif isinstance(given, TernaryArray) != buffer.dtype.is_ternary:
        raise DTypeError(
            f"`{buffer.name}` of `{kernel.name}` is {buffer.dtype} and was given "
            f"{'a ternary array' if isinstance(given, TernaryArray) else f'an array of {given.dtype}'}",
            location=buffer.location,
        )
    else:
        array = given.unpack() if isinstance(given, TernaryArray) else given
    if array.shape != shape:
        raise ShapeError(
            f"`{buffer.name}` of `{kernel.name}` has shape {array.shape}, it should be {shape}",
            location=buffer.location,
        )
    if array.dtype != buffer.dtype.numpy:
        raise DTypeError(
            f"`{buffer.name}` of `{kernel.name}` is {buffer.dtype} and was given {array.dtype}",
            location=buffer.location,
        )
    written = buffer.mode is not Mode.IN
    flat = array.flatten() if written else array.reshape(-1)
    if given is not None and buffer.mode is Mode.OUT:
        flat[:] = poison(buffer.dtype)
    count = flat.size if written else 0
    touched = [np.full(count, _NOBODY, np.int64) for _ in range(3)]
    original = given if isinstance(given, np.ndarray) and written else None
    return _Memory(shape, flat, original, touched[0], touched[1], touched[2])


def _check_complete(buffer: Buffer, memory: _Memory, sizes: dict[str, int]) -> None:
    missing = np.flatnonzero(memory.writer == _NOBODY)
    if missing.size:
        first = tuple(int(i) for i in np.unravel_index(int(missing[0]), memory.shape))
        raise UnwrittenError(
            f"no program writes `{buffer.name}` of shape {memory.shape} at {_tuple(first)} "
            f"({missing.size} of {memory.flat.size} elements are never written; sizes: {_sizes(sizes)})",
            hint=f"store every element of `{buffer.name}`, or declare it as tl.inout",
            location=buffer.location,
        )


def poison(dtype: DType) -> float | int | bool:
    """What a masked lane holds: a value that no result should depend on."""
    if dtype.is_float:
        return float("nan")
    if dtype.is_bool:
        return True
    if dtype.is_ternary:
        return 99
    low, high = dtype.limits
    return int(low) if low < 0 else int(high)


class _Program:
    """One program of the grid."""

    def __init__(
        self,
        kernel: Kernel,
        memories: dict[Buffer, _Memory],
        sizes: dict[str, int],
        scalars: dict[str, float | int],
        linear: int,
        blocks: tuple[int, ...],
        grid: tuple[int, ...],
    ):
        self.kernel = kernel
        self.memories = memories
        self.sizes = sizes
        self.scalars = scalars
        self.linear = linear
        self.grid = grid
        self.values: dict[Value, Array] = {}
        self.indices: dict[Axis, NDArray[np.int32]] = {}
        self.valid: dict[Axis, NDArray[np.bool_] | None] = {}
        """The lanes of an axis' current block that are inside of it; None where all are."""
        for axis, block in zip(kernel.program_axes, blocks, strict=True):
            self.enter(axis, block * axis.block, 0, evaluate_size(axis.size, sizes))

    def run(self) -> None:
        self.block(self.kernel.body)

    # axes and masks

    def enter(self, axis: Axis, first: int, start: int, stop: int) -> None:
        """Make the block that begins at `first` the current one; indices outside [start, stop) are masked."""
        indices = np.arange(first, first + axis.block, dtype=np.int64)
        valid = (indices >= start) & (indices < stop)
        self.indices[axis] = indices.astype(np.int32)
        self.valid[axis] = None if valid.all() else valid

    def axis_valid(self, axis: Axis) -> NDArray[np.bool_] | None:
        if axis.kind is AxisKind.WHOLE and axis not in self.indices:
            self.enter(axis, 0, 0, evaluate_size(axis.size, self.sizes))
        return self.valid[axis]

    def mask(self, axes: Axes) -> NDArray[np.bool_] | None:
        """The lanes of a tile that are inside of all its axes, broadcastable to it; None where all are."""
        result: NDArray[np.bool_] | None = None
        for position, axis in enumerate(axes):
            valid = self.axis_valid(axis)
            if valid is not None:
                shaped = valid.reshape([-1 if i == position else 1 for i in range(len(axes))])
                result = shaped if result is None else result & shaped
        return result

    def poisoned(self, array: Array, value: Value) -> Array:
        mask = self.mask(value.axes)
        if mask is None:
            return array
        return np.where(mask, array, np.asarray(poison(value.dtype), value.dtype.numpy)).astype(
            value.dtype.numpy
        )

    # values

    def get(self, value: Value) -> Array:
        found = self.values.get(value)
        if found is not None:
            return found
        if isinstance(value, Const):
            return np.asarray(value.value, value.dtype.numpy)
        if isinstance(value, Size):
            return np.asarray(self.sizes[value.name], np.int32)
        if isinstance(value, Scalar):
            return np.asarray(self.scalars[value.name], value.dtype.numpy)
        raise KeyError(f"{type(value).__name__} {value.name!r} is used before it is computed")

    def aligned(self, value: Value, axes: Axes) -> Array:
        """The value with one dimension for each of `axes`, of length 1 where it has none of its own."""
        array = self.get(value)
        lengths = iter(array.shape)
        return array.reshape([next(lengths) if axis in value.axes else 1 for axis in axes])

    def compute(self, value: Value) -> Array:
        axes = value.axes
        match value:
            case Index():
                self.axis_valid(value.axis)
                result: Array = self.indices[value.axis]
            case Load():
                result = self.load(value)
            case Unary():
                result = numerics.unary(value.op, self.get(value.operand), value.dtype)
            case Binary():
                left, right = self.aligned(value.left, axes), self.aligned(value.right, axes)
                result = numerics.binary(value.op, left, right, value.left.dtype)
            case Select():
                chosen = (self.aligned(v, axes) for v in (value.condition, value.if_true, value.if_false))
                result = np.where(*chosen)
            case Cast():
                result = numerics.cast(self.get(value.operand), value.operand.dtype, value.dtype)
            case Expand():
                result = np.broadcast_to(self.aligned(value.operand, axes), [axis.block for axis in axes])
            case Reduce():
                operand = value.operand
                position = operand.axes.index(value.axis)
                array = self.without_masked(operand, value.axis, numerics.neutral(value.op, value.dtype))
                result = numerics.reduce(value.op, array, position, value.dtype)
            case Dot():
                result = self.dot(value)
            case _:
                raise TypeError(f"{type(value).__name__} is not computed by a statement")
        return self.poisoned(np.asarray(result), value)

    def without_masked(self, value: Value, axis: Axis, neutral: float) -> Array:
        """The value with a neutral one in the lanes that are masked along `axis`."""
        array, valid = self.get(value), self.axis_valid(axis)
        if valid is None:
            return array
        lanes = valid.reshape([-1 if a is axis else 1 for a in value.axes])
        return np.where(lanes, array, np.asarray(neutral, array.dtype)).astype(array.dtype)

    def dot(self, value: Dot) -> Array:
        """A batched matrix product: shared axes are the batch, each side's own axes its rows."""
        left, right, axis = value.left, value.right, value.axis
        shared = tuple(a for a in left.axes if a in right.axes and a is not axis)
        rows = tuple(a for a in left.axes if a not in shared and a is not axis)
        columns = tuple(a for a in right.axes if a not in shared and a is not axis)

        def matrix(side: Value, own: Axes) -> Array:
            array = self.without_masked(side, axis, 0)
            order = [side.axes.index(a) for a in (*shared, *own, axis)]
            batch, middle = (
                int(np.prod([a.block for a in group], dtype=np.int64)) for group in (shared, own)
            )
            return array.transpose(order).reshape(batch, middle, axis.block)

        product = numerics.matmul_nt(matrix(left, rows), matrix(right, columns), value.dtype)
        axes = (*shared, *rows, *columns)
        return product.reshape([a.block for a in axes]).transpose([axes.index(a) for a in value.axes])

    # memory

    def load(self, value: Load) -> Array:
        memory = self.memories[value.buffer]
        linear, active = self.addresses(
            value.buffer, value.indices, value.guard, value.axes, "read", value.location
        )
        result: Array = np.zeros(linear.shape, memory.flat.dtype)
        here = linear[active]
        if value.buffer.mode is Mode.INOUT:
            self.note_reads(value.buffer, memory, here, value.location)
        result[active] = memory.flat[here]
        return result

    def store(self, store: Store) -> None:
        memory = self.memories[store.buffer]
        groups = [v.axes for v in store.indices] + ([store.guard.axes] if store.guard is not None else [])
        axes = union(*groups)
        linear, active = self.addresses(
            store.buffer, store.indices, store.guard, axes, "written", store.location
        )
        values = np.broadcast_to(self.aligned(store.value, axes), linear.shape)[active]
        here = linear[active]
        self.note_writes(store, memory, here)
        memory.flat[here] = values
        bits = f"u{memory.flat.dtype.itemsize}"
        differ = memory.flat[here].view(bits) != np.ascontiguousarray(values).view(bits)
        if differ.any():
            at = self.element(memory, int(here[np.flatnonzero(differ)[0]]))
            raise RaceError(
                f"`{store.buffer.name}` is written twice at {at}, with different values, by one store of the program "
                f"{self.described(self.linear)}",
                hint="let each index of the tile go to an element of its own, or reduce first",
                location=store.location,
            )

    def addresses(
        self,
        buffer: Buffer,
        indices: tuple[Value, ...],
        guard: Value | None,
        axes: Axes,
        action: str,
        location: SourceLocation | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Linear element numbers, and which lanes are active. Raises BoundsError for an active lane outside."""
        memory = self.memories[buffer]
        shape = tuple(axis.block for axis in axes)
        mask = self.mask(axes)
        active = np.ones(shape, np.bool_) if mask is None else np.broadcast_to(mask, shape)
        if guard is not None:
            active = active & self.aligned(guard, axes)
        linear = np.zeros(shape, np.int64)
        columns = [np.broadcast_to(self.aligned(index, axes), shape).astype(np.int64) for index in indices]
        for column, length in zip(columns, memory.shape, strict=True):
            outside = active & ((column < 0) | (column >= length))
            if outside.any():
                lane = tuple(int(i) for i in np.argwhere(outside)[0])
                at = tuple(int(c[lane]) for c in columns)
                raise BoundsError(
                    f"`{buffer.name}` of shape {memory.shape} is {action} at {_tuple(at)} by the program "
                    f"{self.described(self.linear)} (sizes: {_sizes(self.sizes)})",
                    hint="guard the access: tl.load(..., where=...) or tl.store(..., where=...)",
                    location=location,
                )
            linear = linear * length + column
        return linear, active

    def note_reads(
        self, buffer: Buffer, memory: _Memory, here: NDArray[np.int64], location: SourceLocation | None
    ) -> None:
        writer = memory.writer[here]
        self.check(
            buffer,
            memory,
            here,
            (writer != _NOBODY) & (writer != self.linear),
            writer,
            "read",
            "wrote",
            location,
        )
        first = memory.reader[here]
        memory.reader[here[first == _NOBODY]] = self.linear
        memory.other_reader[here[(first != _NOBODY) & (first != self.linear)]] = self.linear

    def note_writes(self, store: Store, memory: _Memory, here: NDArray[np.int64]) -> None:
        for table, verb in ((memory.writer, "wrote"), (memory.reader, "read"), (memory.other_reader, "read")):
            other = table[here]
            clash = (other != _NOBODY) & (other != self.linear)
            self.check(store.buffer, memory, here, clash, other, "written", verb, store.location)
        memory.writer[here] = self.linear

    def check(
        self,
        buffer: Buffer,
        memory: _Memory,
        here: NDArray[np.int64],
        clash: NDArray[np.bool_],
        other: NDArray[np.int64],
        action: str,
        verb: str,
        location: SourceLocation | None,
    ) -> None:
        """Raise RaceError at the first element that another program has touched."""
        if not clash.any():
            return
        first = int(np.flatnonzero(clash)[0])
        raise RaceError(
            f"`{buffer.name}` is {action} at {self.element(memory, int(here[first]))} by the program "
            f"{self.described(self.linear)}, and the program {self.described(int(other[first]))} {verb} it in the same "
            f"launch (sizes: {_sizes(self.sizes)})",
            hint="programs run in any order: let each element belong to one program, or use two kernels",
            location=location,
        )

    def described(self, linear: int) -> str:
        """`(m=1, n=0)`: a program's block indices."""
        blocks = np.unravel_index(linear, self.grid) if self.grid else ()
        pairs = zip(self.kernel.program_axes, blocks, strict=True)
        return f"({', '.join(f'{axis.name}={int(block)}' for axis, block in pairs)})"

    @staticmethod
    def element(memory: _Memory, linear: int) -> str:
        return _tuple(tuple(int(i) for i in np.unravel_index(linear, memory.shape)))

    # statements

    def block(self, block: Block) -> None:
        for statement in block.statements:
            self.statement(statement)

    def statement(self, statement: Statement) -> None:
        match statement:
            case Let():
                self.values[statement.value] = self.compute(statement.value)
            case Store():
                self.store(statement)
            case Loop():
                self.loop(statement)
            case If():
                taken = bool(self.get(statement.condition))
                self.block(statement.then if taken else statement.otherwise)
                chosen = [self.get(m.if_true if taken else m.if_false) for m in statement.merges]
                for merge, array in zip(statement.merges, chosen, strict=True):
                    self.values[merge.result] = array

    def loop(self, loop: Loop) -> None:
        axis = loop.axis
        size = int(self.get(axis.size))
        start = 0 if loop.start is None else int(self.get(loop.start))
        stop = size if loop.stop is None else min(int(self.get(loop.stop)), size)
        if start < 0:
            raise BoundsError(
                f"the loop over `{axis.name}` starts at {start} in the program {self.described(self.linear)} "
                f"(sizes: {_sizes(self.sizes)})",
                hint="a loop starts at 0 or later: tl.max(start, 0)",
                location=loop.location,
            )
        carried = [self.get(variable.initial) for variable in loop.variables]
        first_block = start // axis.block * axis.block if start < stop else stop
        for first in range(first_block, stop, axis.block):
            self.enter(axis, first, start, stop)
            for variable, array in zip(loop.variables, carried, strict=True):
                self.values[variable.carried] = array
            self.block(loop.body)
            carried = [self.get(variable.next) for variable in loop.variables]
        for variable, array in zip(loop.variables, carried, strict=True):
            self.values[variable.result] = array


def _tuple(index: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, index))})"


def _sizes(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={size}" for name, size in sizes.items()) or "none"
