"""Makes tile kernels, and holds their typing rules: what the language allows is what a method here accepts.

The kernel language's parser and the scheduler both build with it, so a mistake is reported in the same words wherever
it is made: every method takes the `location` that its error shall show.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from tritloom.codegen.errors import AxisError, DTypeError, ShapeError, SourceLocation
from tritloom.codegen.ir.dtypes import DType, Kind, TensorSpec, bool_, f32, i8, i32
from tritloom.codegen.ir.tile import (
    Axes,
    Axis,
    AxisKind,
    Binary,
    BinaryOp,
    Block,
    Buffer,
    Carried,
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
    LoopVariable,
    Merge,
    Mode,
    Reduce,
    ReduceOp,
    Result,
    Scalar,
    Select,
    Size,
    Store,
    Unary,
    UnaryOp,
    Value,
    const,
    union,
)

Location = SourceLocation | None
Number = float | int | bool
V = TypeVar("V", bound=Value)

_FLOAT_ONLY = {UnaryOp.EXP, UnaryOp.LOG, UnaryOp.SQRT, UnaryOp.RSQRT, UnaryOp.SIN, UnaryOp.COS, UnaryOp.TANH}
_BITWISE = {BinaryOp.AND, BinaryOp.OR, BinaryOp.XOR}


def names(axes: Axes) -> str:
    """`[m, k]`: axes as errors and printers show them."""
    return f"[{', '.join(axis.name for axis in axes)}]"


class Builder:
    """Builds one kernel, statement by statement."""

    def __init__(self, name: str, location: Location = None):
        self.name = name
        self.location = location
        self._buffers: list[Buffer] = []
        self._scalars: list[Scalar] = []
        self._sizes: dict[str, Size] = {}
        self._program_axes: list[Axis] = []
        self._blocks: list[Block] = [Block()]
        self._open_axes: list[Axis] = []

    # parameters

    def size(self, name: str, multiple_of: int = 1) -> Size:
        """The launch-time size of that name; the same object each time."""
        if name not in self._sizes:
            self._sizes[name] = Size(axes=(), dtype=i32, name=name, multiple_of=multiple_of)
        return self._sizes[name]

    def buffer(
        self,
        name: str,
        spec: TensorSpec,
        mode: Mode = Mode.IN,
        *,
        known: dict[str, int] | None = None,
        location: Location = None,
    ) -> Buffer:
        """A tensor parameter. A dimension's name in `known` becomes that constant, any other a launch-time size."""
        known = known or {}
        shape: list[Value] = []
        for dim in spec.dims:
            if isinstance(dim, int):
                shape.append(const(dim))
            else:
                shape.append(const(known[dim]) if dim in known else self.size(dim))
        if spec.dtype.is_ternary and (len(shape) != 2 or mode is not Mode.IN):
            raise DTypeError(
                f"`{name}` is ternary, and a ternary parameter is a matrix that is only read",
                hint='declare it as ternary["N", "K"]',
                location=location,
            )
        made = Buffer(name, spec.dtype, tuple(shape), mode, location)
        self._buffers.append(made)
        return made

    def scalar(self, name: str, dtype: DType, location: Location = None) -> Scalar:
        """A scalar parameter."""
        if dtype not in (i32, f32):
            raise DTypeError(
                f"the scalar `{name}` is {dtype}; scalars are i32 or f32",
                hint="declare it as tl.i32 or tl.f32",
                location=location,
            )
        made = Scalar(axes=(), dtype=dtype, name=name, location=location)
        self._scalars.append(made)
        return made

    # axes

    def _axis(self, name: str, size: Value, block: int, kind: AxisKind, location: Location) -> Axis:
        if block < 1:
            raise ShapeError(
                f"the axis `{name}` has blocks of {block}", hint="a block is 1 or more", location=location
            )
        if size.axes or size.dtype is not i32:
            raise AxisError(
                f"the size of the axis `{name}` is not an i32 scalar",
                hint="take a dimension of a parameter, or arithmetic of dimensions",
                location=location,
            )
        return Axis(name, size, block, kind, location)

    def program_axis(self, name: str, size: Value, block: int, location: Location = None) -> Axis:
        """An axis of the grid. The last one made varies fastest from program to program."""
        if len(self._blocks) > 1:
            raise AxisError(
                f"the program axis `{name}` is made inside a loop or a condition",
                hint="make program axes at the top of the kernel",
                location=location,
            )
        axis = self._axis(name, size, block, AxisKind.PROGRAM, location)
        self._program_axes.append(axis)
        self._open_axes.append(axis)
        return axis

    def whole_axis(self, name: str, size: Value, block: int | None = None, location: Location = None) -> Axis:
        """An axis that one block covers: its size is known when the kernel is compiled."""
        if not isinstance(size, Const):
            raise AxisError(
                f"the axis `{name}` is taken whole, but its size is known only at launch",
                hint="loop over it in blocks, or mark the dimension as known with tl.static",
                location=location,
            )
        extent = int(size.value)
        axis = self._axis(name, size, block or extent, AxisKind.WHOLE, location)
        if axis.block < extent:
            raise AxisError(
                f"the axis `{name}` of {extent} does not fit in one block of {block}", location=location
            )
        self._open_axes.append(axis)
        return axis

    # statements

    def _let(self, value: V) -> V:
        for axis in value.axes:
            if axis not in self._open_axes:
                raise AxisError(
                    f"a tile with the axes {names(value.axes)} is used outside of the loop over `{axis.name}`",
                    hint=f"reduce over `{axis.name}` inside the loop, or store the tile there",
                    location=value.location,
                )
        self._blocks[-1].statements.append(Let(value))
        return value

    def const(self, value: Number, dtype: DType, location: Location = None) -> Const:
        """A scalar constant. Raises DTypeError if the dtype cannot hold it."""
        if dtype.is_integer and not dtype.limits[0] <= value <= dtype.limits[1]:
            raise DTypeError(
                f"{value} does not fit in {dtype}",
                hint="cast the tile to a wider dtype first",
                location=location,
            )
        if not dtype.is_float and isinstance(value, float) and value != int(value):
            raise DTypeError(
                f"{value} is no {dtype}", hint="write it as a float, or cast the tile", location=location
            )
        return const(value, dtype, location)

    def index(self, axis: Axis, location: Location = None) -> Index:
        """The indices of an axis: an i32 tile [axis]."""
        return self._let(Index(axes=(axis,), dtype=i32, axis=axis, name=axis.name, location=location))

    def _indices(
        self, buffer: Buffer, indices: Sequence[Value | Axis], guard: Value | None, location: Location
    ) -> tuple[tuple[Value, ...], Axes]:
        if len(indices) != len(buffer.shape):
            raise ShapeError(
                f"`{buffer.name}` has {len(buffer.shape)} dimension(s) and is indexed with {len(indices)}",
                hint="give one index for each dimension",
                location=location,
            )
        values = tuple(self.index(i, location) if isinstance(i, Axis) else i for i in indices)
        for position, value in enumerate(values):
            if value.dtype is not i32:
                raise DTypeError(
                    f"index {position} of `{buffer.name}` is {value.dtype}",
                    hint="indices are i32",
                    location=location,
                )
        if guard is not None and not guard.dtype.is_bool:
            raise DTypeError(
                f"a guard is bool, not {guard.dtype}", hint="compare, as in where=k < K", location=location
            )
        return values, union(*(v.axes for v in values), () if guard is None else guard.axes)

    def load(
        self,
        buffer: Buffer,
        indices: Sequence[Value | Axis],
        guard: Value | None = None,
        location: Location = None,
    ) -> Load:
        """`buffer[indices]`, 0 where masked or where the guard is false."""
        if buffer.mode is Mode.OUT:
            raise AxisError(
                f"`{buffer.name}` is an output and is read",
                hint="declare it as tl.inout to read and write it",
                location=location,
            )
        values, axes = self._indices(buffer, indices, guard, location)
        return self._let(
            Load(axes=axes, dtype=buffer.dtype, buffer=buffer, indices=values, guard=guard, location=location)
        )

    def store(
        self,
        buffer: Buffer,
        indices: Sequence[Value | Axis],
        value: Value,
        guard: Value | None = None,
        location: Location = None,
    ) -> None:
        """`buffer[indices] = value`. The value's dtype is the buffer's; its axes are among the indices'."""
        if buffer.mode is Mode.IN:
            raise AxisError(
                f"`{buffer.name}` is an input and is written",
                hint="declare it as tl.out or tl.inout",
                location=location,
            )
        values, axes = self._indices(buffer, indices, guard, location)
        index_axes = union(*(v.axes for v in values))
        dropped = [axis for axis in value.axes if axis not in index_axes]
        if dropped:
            raise AxisError(
                f"a tile {names(value.axes)} is stored to `{buffer.name}` at {names(index_axes)}: "
                f"`{dropped[0].name}` would be lost",
                hint=f"reduce over `{dropped[0].name}` first, or store with it",
                location=location,
            )
        if value.dtype is not buffer.dtype:
            raise DTypeError(
                f"a tile of {value.dtype} is stored to `{buffer.name}`, which is {buffer.dtype}",
                hint=f"cast it: tl.cast(..., tl.{buffer.dtype})",
                location=location,
            )
        for axis in axes:
            if axis not in self._open_axes:
                raise AxisError(
                    f"`{axis.name}` is used outside of its loop",
                    hint="store inside of the loop",
                    location=location,
                )
        self._blocks[-1].statements.append(Store(buffer, values, value, guard, location))

    # elementwise

    def unary(self, op: UnaryOp, operand: Value, location: Location = None) -> Value:
        """An elementwise operation of one operand."""
        dtype = operand.dtype
        fits = (
            dtype.is_bool
            if op is UnaryOp.NOT
            else dtype.is_float
            if op in _FLOAT_ONLY
            else dtype.is_float or dtype.kind is Kind.INT
        )
        if not fits:
            wanted = (
                "bool"
                if op is UnaryOp.NOT
                else "a float"
                if op in _FLOAT_ONLY
                else "a float or a signed integer"
            )
            raise DTypeError(
                f"`{op.value}` takes {wanted}, not {dtype}",
                hint="cast it first, as in tl.cast(x, tl.f32)",
                location=location,
            )
        if op in (UnaryOp.FLOOR, UnaryOp.ROUND) and not dtype.is_float:
            return operand
        return self._let(Unary(axes=operand.axes, dtype=dtype, op=op, operand=operand, location=location))

    def binary(
        self, op: BinaryOp, left: Value | Number, right: Value | Number, location: Location = None
    ) -> Value:
        """An elementwise operation of two operands of one dtype; a Python number takes the other operand's dtype."""
        a, b = self._same_dtype(left, right, op.value, location)
        dtype = a.dtype
        if dtype.is_ternary:
            raise DTypeError(
                f"`{op.value}` of ternary tiles", hint="cast to i8 first, or use tl.dot", location=location
            )
        if op is BinaryOp.DIV and not dtype.is_float:
            raise DTypeError(f"`/` of {dtype}", hint="use // for integers, or cast to f32", location=location)
        if op in (BinaryOp.FLOORDIV, BinaryOp.MOD, BinaryOp.SHL, BinaryOp.SHR) and not dtype.is_integer:
            raise DTypeError(
                f"`{op.value}` takes integers, not {dtype}", hint="cast to i32 first", location=location
            )
        if op in _BITWISE and not (dtype.is_integer or dtype.is_bool):
            raise DTypeError(
                f"`{op.value}` takes integers or bools, not {dtype}",
                hint="cast to i32 first, or compare",
                location=location,
            )
        arithmetic = not op.is_comparison and op not in _BITWISE
        if dtype.is_bool and arithmetic:
            raise DTypeError(f"`{op.value}` of bools", hint="use & and |, or cast to i32", location=location)
        return self._let(
            Binary(
                axes=union(a.axes, b.axes),
                dtype=bool_ if op.is_comparison else dtype,
                op=op,
                left=a,
                right=b,
                location=location,
            )
        )

    def _same_dtype(
        self, left: Value | Number, right: Value | Number, what: str, location: Location
    ) -> tuple[Value, Value]:
        if not isinstance(left, Value) and not isinstance(right, Value):
            raise DTypeError(
                f"`{what}` of two Python numbers", hint="one side must be a tile", location=location
            )
        if not isinstance(left, Value):
            assert isinstance(right, Value)
            left = self.const(left, right.dtype, location)
        if not isinstance(right, Value):
            right = self.const(right, left.dtype, location)
        if left.dtype is not right.dtype:
            raise DTypeError(
                f"`{what}` of {left.dtype} and {right.dtype}",
                hint=f"cast one of them, as in tl.cast(x, tl.{left.dtype if left.dtype.is_float else right.dtype})",
                location=location,
            )
        return left, right

    def select(
        self, condition: Value, if_true: Value | Number, if_false: Value | Number, location: Location = None
    ) -> Value:
        """`if_true` where the condition holds, else `if_false`."""
        if not condition.dtype.is_bool:
            raise DTypeError(
                f"a condition is bool, not {condition.dtype}", hint="compare, as in x > 0", location=location
            )
        a, b = self._same_dtype(if_true, if_false, "where", location)
        axes = union(condition.axes, a.axes, b.axes)
        return self._let(
            Select(axes=axes, dtype=a.dtype, condition=condition, if_true=a, if_false=b, location=location)
        )

    def cast(self, operand: Value, dtype: DType, location: Location = None) -> Value:
        """Conversion by value; none if the dtype is the operand's already."""
        if operand.dtype is dtype:
            return operand
        if dtype.is_ternary:
            raise DTypeError(
                "a cast to ternary",
                hint="pack weights on the host or with tl.nn.ternarise",
                location=location,
            )
        return self._let(Cast(axes=operand.axes, dtype=dtype, operand=operand, location=location))

    def expand(self, operand: Value, axes: Sequence[Axis], location: Location = None) -> Value:
        """The operand repeated along `axes` as well."""
        wanted = union(operand.axes, tuple(axes))
        if wanted == operand.axes:
            return operand
        return self._let(Expand(axes=wanted, dtype=operand.dtype, operand=operand, location=location))

    def full(self, axes: Sequence[Axis], value: Number, dtype: DType, location: Location = None) -> Value:
        """A tile of one value."""
        return self.expand(self.const(value, dtype, location), axes, location)

    # reductions

    def reduce(self, op: ReduceOp, operand: Value, axis: Axis, location: Location = None) -> Value:
        """The operand reduced over one of its axes."""
        if axis not in operand.axes:
            raise AxisError(
                f"`{op.value}` over `{axis.name}` of a tile {names(operand.axes)}",
                hint="reduce over one of the tile's own axes",
                location=location,
            )
        dtype = operand.dtype
        if dtype.is_bool or dtype.is_ternary or (op is ReduceOp.SUM and dtype.is_integer and dtype.bits < 32):
            raise DTypeError(f"`{op.value}` of {dtype}", hint="cast to i32 or f32 first", location=location)
        axes = tuple(a for a in operand.axes if a is not axis)
        return self._let(Reduce(axes=axes, dtype=dtype, op=op, operand=operand, axis=axis, location=location))

    def dot(self, left: Value, right: Value, axis: Axis, location: Location = None) -> Value:
        """The sum of products over `axis`, accumulated in i32 or f32."""
        for side in (left, right):
            if axis not in side.axes:
                raise AxisError(
                    f"`dot` over `{axis.name}` of tiles {names(left.axes)} and {names(right.axes)}",
                    hint="both tiles must have the axis that is summed over",
                    location=location,
                )
        if left.dtype.is_ternary and not right.dtype.is_ternary:
            left, right = right, left
        pair = (left.dtype, right.dtype)
        floats = left.dtype.is_float and (right.dtype is left.dtype or right.dtype.is_ternary)
        if not floats and not (left.dtype is i8 and (right.dtype is i8 or right.dtype.is_ternary)):
            raise DTypeError(
                f"`dot` of {pair[0]} and {pair[1]}",
                hint="dot takes i8 x i8, i8 x ternary, or floats of one dtype (or one of them ternary)",
                location=location,
            )
        axes = tuple(a for a in union(left.axes, right.axes) if a is not axis)
        dtype = f32 if floats else i32
        return self._let(Dot(axes=axes, dtype=dtype, left=left, right=right, axis=axis, location=location))

    # control flow

    @contextmanager
    def loop(
        self,
        name: str,
        size: Value,
        block: int,
        carried: Sequence[Value] = (),
        *,
        start: Value | None = None,
        stop: Value | None = None,
        location: Location = None,
    ) -> Iterator[OpenLoop]:
        """A loop over the blocks of a new axis.

        Yields an OpenLoop with `axis` and `values` (the carried values inside); set its `next` before the block ends;
        read `results` after it.
        """
        for bound in (start, stop):
            if bound is not None and (bound.axes or bound.dtype is not i32):
                raise AxisError(
                    "a loop's bounds are i32 scalars",
                    hint="reduce a tile to a scalar first, as in tl.max(m, m)",
                    location=location,
                )
        axis = self._axis(name, size, block, AxisKind.LOOP, location)
        inside = [Carried(axes=v.axes, dtype=v.dtype, name=v.name, location=v.location) for v in carried]
        opened = OpenLoop(axis, inside)
        self._blocks.append(Block())
        self._open_axes.append(axis)
        depth = len(self._open_axes)
        try:
            yield opened
        finally:
            body = self._blocks.pop()
            del self._open_axes[depth - 1 :]
        if len(opened.next) != len(inside):
            raise ShapeError(
                f"the loop carries {len(inside)} values and was given {len(opened.next)}", location=location
            )
        variables = []
        for initial, at_start, at_end in zip(carried, inside, opened.next, strict=True):
            self._check_carried(initial, at_end, axis, location)
            result = Result(
                axes=initial.axes, dtype=initial.dtype, name=initial.name, location=at_end.location
            )
            variables.append(LoopVariable(initial, at_start, at_end, result))
            opened.results.append(result)
        self._blocks[-1].statements.append(Loop(axis, start, stop, variables, body, location))

    @staticmethod
    def _check_carried(initial: Value, at_end: Value, axis: Axis, location: Location) -> None:
        name = initial.name or "a value"
        where = at_end.location or location
        if at_end.dtype is not initial.dtype:
            raise DTypeError(
                f"`{name}` is {initial.dtype} before the loop over `{axis.name}` and {at_end.dtype} after a turn of it",
                hint="start it with the dtype that the loop gives it, or cast",
                location=where,
            )
        if at_end.axes != initial.axes:
            raise AxisError(
                f"`{name}` has the axes {names(initial.axes)} before the loop over `{axis.name}` and "
                f"{names(at_end.axes)} after a turn of it",
                hint=f"start it as a tile of those axes, as in tl.zeros({', '.join(a.name for a in at_end.axes)})",
                location=where,
            )

    @contextmanager
    def condition(self, condition: Value, location: Location = None) -> Iterator[OpenIf]:
        """An if. Inside, `with opened.otherwise():` switches to the else block; `merge` pairs are set at the end."""
        if condition.axes or not condition.dtype.is_bool:
            raise AxisError(
                f"an `if` needs a bool scalar, not {condition.dtype} {names(condition.axes)}",
                hint="use tl.where to choose element by element",
                location=location,
            )
        opened = OpenIf(self)
        self._blocks.append(opened.then)
        depth = len(self._open_axes)
        try:
            yield opened
        finally:
            self._blocks.pop()
            del self._open_axes[depth:]
        merges = []
        for if_true, if_false in opened.pairs:
            if if_true.dtype is not if_false.dtype or if_true.axes != if_false.axes:
                raise AxisError(
                    f"`{if_true.name or 'a value'}` is {if_true.dtype} {names(if_true.axes)} in one branch and "
                    f"{if_false.dtype} {names(if_false.axes)} in the other",
                    location=location,
                )
            result = Result(axes=if_true.axes, dtype=if_true.dtype, name=if_true.name, location=location)
            merges.append(Merge(if_true, if_false, result))
            opened.results.append(result)
        self._blocks[-1].statements.append(If(condition, opened.then, opened.else_, merges, location))

    def finish(self) -> Kernel:
        """The kernel."""
        return Kernel(
            self.name,
            tuple(self._buffers),
            tuple(self._scalars),
            tuple(self._sizes.values()),
            tuple(self._program_axes),
            self._blocks[0],
            self.location,
        )


class OpenLoop:
    """A loop under construction."""

    def __init__(self, axis: Axis, values: list[Carried]):
        self.axis = axis
        self.values = values
        self.next: list[Value] = []
        self.results: list[Result] = []


class OpenIf:
    """A condition under construction; statements go to `then` until `otherwise` is entered."""

    def __init__(self, builder: Builder):
        self._builder = builder
        self.then = Block()
        self.else_ = Block()
        self.pairs: list[tuple[Value, Value]] = []
        self.results: list[Result] = []

    @contextmanager
    def otherwise(self) -> Iterator[None]:
        """Statements made inside go to the else block."""
        blocks = self._builder._blocks
        blocks.append(self.else_)
        try:
            yield
        finally:
            blocks.pop()
