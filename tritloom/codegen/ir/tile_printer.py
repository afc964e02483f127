"""Tile kernels as text, for people and as the key of compiled kernels.

Each value is one line: its name, its dtype with its axes, and how it is computed, as in
`acc.1: i32[m, n] = add acc, %7`. The user's names are kept, with a number where one name is used for several values.
"""

from __future__ import annotations

import numpy as np

from tritloom.codegen.errors import SourceLocation
from tritloom.codegen.ir.dtypes import bool_, f32, i32
from tritloom.codegen.ir.tile import (
    Axes,
    Axis,
    AxisKind,
    Binary,
    Block,
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
    Value,
)


def format_kernel(kernel: Kernel, locations: bool = True) -> str:
    """The kernel as text, the same for the same kernel in every process.

    With `locations`, each line ends in the user's line that it comes from. Without, the text says all that decides what
    the kernel does and nothing else but names, so that it can stand for the kernel in a cache.
    """
    return _Printer(kernel, locations).text()


class _Names:
    """Hands out unique names: the wanted one, then the wanted one with a number."""

    def __init__(self) -> None:
        self._names: dict[object, str] = {}
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}
        self._unnamed = 0

    def give(self, thing: object, wanted: str) -> str:
        found = self._names.get(thing)
        if found is not None:
            return found
        if not wanted:
            name, self._unnamed = f"%{self._unnamed}", self._unnamed + 1
        else:
            name = wanted
            while name in self._taken:
                number = self._next.get(wanted, 1)
                name, self._next[wanted] = f"{wanted}.{number}", number + 1
        self._taken.add(name)
        self._names[thing] = name
        return name


class _Printer:
    def __init__(self, kernel: Kernel, locations: bool):
        self._kernel = kernel
        self._locations = locations
        self._values = _Names()
        self._axes = _Names()
        self._lines: list[str] = []
        for size in kernel.sizes:
            self._values.give(size, size.name)
        for scalar in kernel.scalars:
            self._values.give(scalar, scalar.name)
        for buffer in kernel.buffers:
            self._values.give(buffer, buffer.name)
        for axis in kernel.program_axes:
            self._axes.give(axis, axis.name)

    def text(self) -> str:
        kernel = self._kernel
        parameters = []
        for buffer in kernel.buffers:
            mode = "" if buffer.mode is Mode.IN else f"{buffer.mode.value} "
            dims = ", ".join(self._operand(dim) for dim in buffer.shape)
            parameters.append(f"{self._values.give(buffer, buffer.name)}: {mode}{buffer.dtype}[{dims}]")
        parameters += [f"{self._operand(scalar)}: {scalar.dtype}" for scalar in kernel.scalars]
        self._line(0, f"kernel {kernel.name}({', '.join(parameters)})", kernel.location)
        for size in kernel.sizes:
            multiple = f" multiple of {size.multiple_of}" if size.multiple_of != 1 else ""
            self._line(1, f"size {size.name}{multiple}", None)
        self._block(kernel.body, 1, before=kernel.program_axes)
        return "\n".join(self._lines) + "\n"

    def _line(self, depth: int, text: str, location: SourceLocation | None) -> None:
        where = ""
        if self._locations and location is not None:
            where = f"  # {location.file.replace(chr(92), '/').rsplit('/', 1)[-1]}:{location.line}"
        self._lines.append(f"{'  ' * depth}{text}{where}")

    def _operand(self, value: Value) -> str:
        if isinstance(value, Const):
            if value.dtype in (i32, bool_):
                return repr(value.value)
            shown = str(np.float32(value.value)) if value.dtype is f32 else repr(value.value)
            return f"{shown}:{value.dtype}"
        if isinstance(value, Size | Scalar):
            return self._values.give(value, value.name)
        return self._values.give(value, value.name)

    def _operands(self, values: tuple[Value, ...]) -> str:
        return ", ".join(self._operand(value) for value in values)

    def _axis(self, axis: Axis) -> str:
        return self._axes.give(axis, axis.name)

    def _type(self, value: Value) -> str:
        axes = ", ".join(self._axis(axis) for axis in value.axes)
        return f"{value.dtype}[{axes}]" if value.axes else f"{value.dtype}"

    def _range(self, axis: Axis) -> str:
        return f"{axis.kind.value} {self._axis(axis)} = 0 .. {self._operand(axis.size)} by {axis.block}"

    def _declare_whole(self, axes: Axes, depth: int, declared: set[Axis]) -> None:
        for axis in axes:
            if axis.kind is AxisKind.WHOLE and axis not in declared:
                declared.add(axis)
                self._line(depth, self._range(axis), axis.location)

    def _block(self, block: Block, depth: int, before: Axes = (), declared: set[Axis] | None = None) -> None:
        """Statements in order. A program axis is shown once its size is known, a whole one at its first use."""
        waiting = list(before)
        declared = set() if declared is None else set(declared)
        ready = {statement.value for statement in block.statements if isinstance(statement, Let)}

        def show_ready() -> None:
            while waiting and waiting[0].size not in ready:
                axis = waiting.pop(0)
                self._line(depth, self._range(axis), axis.location)

        show_ready()
        for statement in block.statements:
            match statement:
                case Let(value):
                    axes = (
                        (*value.axes, value.axis) if isinstance(value, Reduce | Dot | Index) else value.axes
                    )
                    self._declare_whole(axes, depth, declared)
                    described = self._describe(value)
                    name = self._operand(value)
                    self._line(depth, f"{name}: {self._type(value)} = {described}", value.location)
                    ready.discard(value)
                    show_ready()
                case Store():
                    guard = f" where {self._operand(statement.guard)}" if statement.guard is not None else ""
                    target = f"{self._operand_of(statement)}[{self._operands(statement.indices)}]"
                    self._line(
                        depth, f"store {target} = {self._operand(statement.value)}{guard}", statement.location
                    )
                case Loop():
                    self._loop(statement, depth, declared)
                case If():
                    self._line(depth, f"if {self._operand(statement.condition)}:", statement.location)
                    self._block(statement.then, depth + 1, declared=declared)
                    if statement.otherwise.statements:
                        self._line(depth, "else:", None)
                        self._block(statement.otherwise, depth + 1, declared=declared)
                    for merge in statement.merges:
                        taken, other = self._operand(merge.if_true), self._operand(merge.if_false)
                        result = f"{self._operand(merge.result)}: {self._type(merge.result)}"
                        self._line(depth, f"{result} = merge {taken}, {other}", None)

    def _loop(self, loop: Loop, depth: int, declared: set[Axis]) -> None:
        start = "" if loop.start is None else f" from {self._operand(loop.start)}"
        stop = "" if loop.stop is None else f" to {self._operand(loop.stop)}"
        self._line(depth, f"{self._range(loop.axis)}{start}{stop}:", loop.location)
        for variable in loop.variables:
            initial = self._operand(variable.initial)
            carried = f"{self._operand(variable.carried)}: {self._type(variable.carried)}"
            self._line(depth + 1, f"{carried} = carried from {initial}", None)
        self._block(loop.body, depth + 1, declared=declared)
        for variable in loop.variables:
            self._line(
                depth + 1, f"next {self._operand(variable.carried)} = {self._operand(variable.next)}", None
            )
        for variable in loop.variables:
            result = f"{self._operand(variable.result)}: {self._type(variable.result)}"
            self._line(depth, f"{result} = last {self._operand(variable.next)}", None)

    def _operand_of(self, access: Load | Store) -> str:
        return self._values.give(access.buffer, access.buffer.name)

    def _describe(self, value: Value) -> str:
        match value:
            case Index():
                return f"index {self._axis(value.axis)}"
            case Load():
                guard = f" where {self._operand(value.guard)}" if value.guard is not None else ""
                return f"load {self._operand_of(value)}[{self._operands(value.indices)}]{guard}"
            case Unary() | Binary():
                return f"{value.op.value} {self._operands(value.operands)}"
            case Select():
                return f"select {self._operands(value.operands)}"
            case Cast():
                return f"cast {self._operand(value.operand)}"
            case Expand():
                return f"expand {self._operand(value.operand)}"
            case Reduce():
                return f"{value.op.value} {self._operand(value.operand)} over {self._axis(value.axis)}"
            case Dot():
                return f"dot {self._operands(value.operands)} over {self._axis(value.axis)}"
        raise TypeError(f"{type(value).__name__} is not computed by a statement")
