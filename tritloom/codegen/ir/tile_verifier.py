"""Checks a tile kernel against the rules of the tile IR: what a pass must not break.

The typing rules are the Builder's own: each value is built once more from its operands, and must come out with the same
axes and dtype.
"""

from __future__ import annotations

from collections.abc import Iterable

from tritloom.codegen.errors import SourceLocation, TritloomError, VerificationError
from tritloom.codegen.ir.dtypes import i32
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
    Store,
    Unary,
    UnaryOp,
    Value,
    union,
)
from tritloom.codegen.ir.tile_builder import Builder, names


def verify(kernel: Kernel) -> None:
    """Raise VerificationError unless the kernel keeps every rule of the tile IR."""
    _Verifier(kernel).kernel()


class _Typing(Builder):
    """The Builder's typing rules without its record of what is in scope, which the verifier keeps itself."""

    def __init__(self, kernel: Kernel):
        super().__init__(kernel.name)
        self._open_axes = _Everything()


class _Everything(list[Axis]):
    def __contains__(self, _axis: object) -> bool:
        return True


class _Verifier:
    def __init__(self, kernel: Kernel):
        self._kernel = kernel
        self._typing = _Typing(kernel)
        self._known: set[Value] = set()
        self._assigned: set[Value] = set()
        self._open: set[Axis] = set()

    def kernel(self) -> None:
        kernel = self._kernel
        self._unique("size", [size.name for size in kernel.sizes])
        self._unique("parameter", [b.name for b in kernel.buffers] + [s.name for s in kernel.scalars])
        for buffer in kernel.buffers:
            for dim in buffer.shape:
                if not isinstance(dim, Size | Const) or dim.dtype is not i32:
                    self._fail(f"a dimension of `{buffer.name}` is no size and no constant", buffer.location)
                self._use((dim,), buffer.location)
            if buffer.dtype.is_ternary and (len(buffer.shape) != 2 or buffer.mode is not Mode.IN):
                self._fail(
                    f"the ternary buffer `{buffer.name}` is not a matrix that is only read", buffer.location
                )
        for axis in kernel.program_axes:
            if axis.kind is not AxisKind.PROGRAM:
                self._fail(f"`{axis.name}` is among the program axes and is a {axis.kind.value} axis")
            self._launch_size(axis.size, axis)
            self._axis(axis)
        self._block(kernel.body)

    def _fail(self, message: str, location: SourceLocation | None = None) -> None:
        raise VerificationError(f"kernel {self._kernel.name}: {message}", location=location)

    def _launch_size(self, value: Value, axis: Axis) -> None:
        """Check that the size of a program axis is an expression of sizes and constants, known before the launch."""
        if isinstance(value, Binary) and not value.op.is_comparison:
            self._launch_size(value.left, axis)
            self._launch_size(value.right, axis)
        elif isinstance(value, Size | Const):
            self._use((value,), axis.location)
        else:
            self._fail(f"the size of the program axis `{axis.name}` is not known at launch", axis.location)

    def _unique(self, what: str, given: list[str]) -> None:
        for name in given:
            if given.count(name) > 1:
                self._fail(f"two {what}s are named `{name}`")

    def _axis(self, axis: Axis) -> None:
        if axis.block < 1 or axis.size.axes or axis.size.dtype is not i32:
            self._fail(
                f"the axis `{axis.name}` has no positive block or no i32 scalar as its size", axis.location
            )
        if axis in self._open:
            self._fail(f"the axis `{axis.name}` is entered twice", axis.location)
        if axis.kind is AxisKind.WHOLE and not (
            isinstance(axis.size, Const) and axis.block >= int(axis.size.value)
        ):
            self._fail(f"the axis `{axis.name}` is whole and not covered by its block", axis.location)
        self._open.add(axis)

    def _axes(self, axes: Axes, location: SourceLocation | None) -> None:
        if axes != union(axes):
            self._fail(f"the axes {names(axes)} are not in the order in which they were made", location)
        for axis in axes:
            if axis not in self._open:
                if axis.kind is not AxisKind.WHOLE:
                    self._fail(f"the axis `{axis.name}` is used outside of its scope", location)
                self._axis(axis)

    def _use(self, values: Iterable[Value], location: SourceLocation | None) -> None:
        for value in values:
            if isinstance(value, Const):
                if value.axes:
                    self._fail("a constant has axes", location)
            elif isinstance(value, Size):
                if value not in self._kernel.sizes:
                    self._fail(f"the size `{value.name}` is not one of the kernel's", location)
            elif isinstance(value, Scalar):
                if value not in self._kernel.scalars:
                    self._fail(f"the scalar `{value.name}` is not one of the kernel's", location)
            elif value not in self._known:
                self._fail(
                    f"the {type(value).__name__} {value.name or '(unnamed)'} is used where it is not computed",
                    location,
                )

    def _define(self, value: Value, location: SourceLocation | None) -> None:
        if value in self._assigned:
            self._fail(f"the {type(value).__name__} {value.name or '(unnamed)'} is computed twice", location)
        self._assigned.add(value)
        self._known.add(value)

    def _block(self, block: Block) -> None:
        """Check a block. What it defines and opens is out of scope after it, but for the kernel's own body."""
        known, opened = set(self._known), set(self._open)
        for statement in block.statements:
            match statement:
                case Let(value):
                    self._let(value)
                case Store():
                    self._store(statement)
                case Loop():
                    self._loop(statement)
                case If():
                    self._if(statement)
        self._inner = self._known
        self._known, self._open = known, opened

    def _let(self, value: Value) -> None:
        self._use(value.operands, value.location)
        self._axes(value.axes, value.location)
        if isinstance(value, Index | Reduce | Dot):
            self._axes((value.axis,), value.location)
        if isinstance(value, Load):
            self._buffer(value.buffer, value.location)
        try:
            again = self._rebuild(value)
        except VerificationError:
            raise
        except TritloomError as error:
            raise VerificationError(
                f"kernel {self._kernel.name}: {error.message}", location=value.location
            ) from error
        if again.axes != value.axes or again.dtype is not value.dtype:
            self._fail(
                f"a {type(value).__name__} is {value.dtype} {names(value.axes)} and its operands give "
                f"{again.dtype} {names(again.axes)}",
                value.location,
            )
        self._define(value, value.location)

    def _rebuild(self, value: Value) -> Value:
        typing = self._typing
        match value:
            case Index():
                return typing.index(value.axis)
            case Load():
                return typing.load(value.buffer, value.indices, value.guard)
            case Unary(op=op, operand=operand):
                if op in (UnaryOp.FLOOR, UnaryOp.ROUND) and not operand.dtype.is_float:
                    self._fail(f"`{op.value}` of {operand.dtype}", value.location)
                return typing.unary(op, operand)
            case Binary():
                return typing.binary(value.op, value.left, value.right)
            case Select():
                return typing.select(value.condition, value.if_true, value.if_false)
            case Cast():
                return typing.cast(value.operand, value.dtype)
            case Expand():
                return typing.expand(value.operand, value.axes)
            case Reduce():
                return typing.reduce(value.op, value.operand, value.axis)
            case Dot():
                return typing.dot(value.left, value.right, value.axis)
        self._fail(f"a {type(value).__name__} is not computed by a statement", value.location)
        return value

    def _buffer(self, buffer: Buffer, location: SourceLocation | None) -> None:
        if buffer not in self._kernel.buffers:
            self._fail(f"the buffer `{buffer.name}` is not one of the kernel's", location)

    def _store(self, store: Store) -> None:
        guard = () if store.guard is None else (store.guard,)
        self._use((*store.indices, store.value, *guard), store.location)
        self._buffer(store.buffer, store.location)
        for value in (*store.indices, *guard):
            self._axes(value.axes, store.location)
        try:
            self._typing.store(store.buffer, store.indices, store.value, store.guard)
        except TritloomError as error:
            raise VerificationError(
                f"kernel {self._kernel.name}: {error.message}", location=store.location
            ) from error

    def _loop(self, loop: Loop) -> None:
        axis = loop.axis
        if axis.kind is not AxisKind.LOOP:
            self._fail(f"a loop visits `{axis.name}`, a {axis.kind.value} axis", loop.location)
        self._use([axis.size, *(b for b in (loop.start, loop.stop) if b is not None)], loop.location)
        for bound in (loop.start, loop.stop):
            if bound is not None and (bound.axes or bound.dtype is not i32):
                self._fail(f"a bound of the loop over `{axis.name}` is no i32 scalar", loop.location)
        self._use([variable.initial for variable in loop.variables], loop.location)
        known, opened = set(self._known), set(self._open)
        self._axis(axis)
        for variable in loop.variables:
            self._define(variable.carried, loop.location)
        self._block(loop.body)
        self._visible([variable.next for variable in loop.variables], loop.location)
        self._known, self._open = known, opened
        for variable in loop.variables:
            types = {
                (v.dtype, v.axes)
                for v in (variable.initial, variable.carried, variable.next, variable.result)
            }
            if len(types) > 1:
                self._fail(
                    f"`{variable.carried.name}` changes its type in the loop over `{axis.name}`",
                    loop.location,
                )
            self._define(variable.result, loop.location)

    def _if(self, statement: If) -> None:
        self._use((statement.condition,), statement.location)
        if statement.condition.axes or not statement.condition.dtype.is_bool:
            self._fail("the condition of an if is no bool scalar", statement.location)
        self._block(statement.then)
        self._visible([merge.if_true for merge in statement.merges], statement.location)
        self._block(statement.otherwise)
        self._visible([merge.if_false for merge in statement.merges], statement.location)
        for merge in statement.merges:
            types = {(v.dtype, v.axes) for v in (merge.if_true, merge.if_false, merge.result)}
            if len(types) > 1:
                self._fail(f"`{merge.result.name}` has another type in each branch", statement.location)
            self._define(merge.result, statement.location)

    def _visible(self, values: list[Value], location: SourceLocation | None) -> None:
        """Check values that leave the block that was checked last."""
        outer, self._known = self._known, self._inner
        self._use(values, location)
        self._known = outer
