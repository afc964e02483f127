"""Writes LLVM instructions as text: fresh names, declarations of intrinsics, vectors cut into registers and joined."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tritloom.codegen.emit.llvm_types import integers, vector
from tritloom.codegen.ir.machine import Register


class Text:
    """The body of one LLVM function while it is written. A value is a name or a literal, without its type."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.declarations: set[str] = set()
        self.names: dict[Register, str] = {}
        self._count = 0

    def fresh(self) -> str:
        """A new local name, without the %."""
        self._count += 1
        return f"v{self._count}"

    def line(self, text: str) -> None:
        """An instruction without a result."""
        self.lines.append(f"  {text}")

    def value(self, text: str) -> str:
        """An instruction's result."""
        name = f"%{self.fresh()}"
        self.line(f"{name} = {text}")
        return name

    def call(self, result: str, function: str, types: Sequence[str], values: Sequence[str]) -> str:
        """The result of an external function, an intrinsic most often, which is declared."""
        self.declarations.add(f"declare {result} @{function}({', '.join(types)})")
        args = ", ".join(f"{t} {v}" for t, v in zip(types, values, strict=True))
        if result == "void":
            self.line(f"call void @{function}({args})")
            return ""
        return self.value(f"call {result} @{function}({args})")

    def binary(self, operation: str, type_: str, a: str, b: str) -> str:
        """An instruction of two operands of one type."""
        return self.value(f"{operation} {type_} {a}, {b}")

    def convert(self, operation: str, source: str, value: str, target: str) -> str:
        """A conversion; none where the types are equal and the operation is a bitcast."""
        if operation == "bitcast" and source == target:
            return value
        return self.value(f"{operation} {source} {value} to {target}")

    def splat(self, element: str, value: str, lanes: int) -> str:
        """A scalar in all lanes."""
        if lanes == 1:
            return value
        if not value.startswith("%"):
            return f"splat ({element} {value})"
        type_ = vector(element, lanes)
        first = self.value(f"insertelement {type_} poison, {element} {value}, i64 0")
        return self.shuffle(type_, first, "poison", [0] * lanes)

    def shuffle(self, type_: str, a: str, b: str, indices: Sequence[int]) -> str:
        """Lanes of a followed by b."""
        return self.value(f"shufflevector {type_} {a}, {type_} {b}, {integers(indices)}")

    def part(self, element: str, value: str, lanes: int, first: int, count: int) -> str:
        """`count` neighbouring lanes of a vector: a vector, or a scalar for one."""
        if count == lanes:
            return value
        if count == 1:
            return self.value(f"extractelement {vector(element, lanes)} {value}, i64 {first}")
        return self.shuffle(vector(element, lanes), value, "poison", range(first, first + count))

    def padded(self, element: str, value: str, lanes: int, width: int) -> str:
        """A vector or scalar with lanes of any value after it, up to `width`."""
        if lanes == width:
            return value
        if lanes == 1:
            return self.value(f"insertelement {vector(element, width)} poison, {element} {value}, i64 0")
        return self.shuffle(
            vector(element, lanes), value, "poison", [*range(lanes), *[lanes] * (width - lanes)]
        )

    def join(self, element: str, parts: Sequence[tuple[str, int]]) -> str:
        """Vectors and scalars one after the other; each comes with its lanes."""
        joined, lanes = parts[0]
        for value, count in parts[1:]:
            width = max(lanes, count, 2)
            a, b = self.padded(element, joined, lanes, width), self.padded(element, value, count, width)
            indices = [*range(lanes), *range(width, width + count)]
            joined, lanes = self.shuffle(vector(element, width), a, b, indices), lanes + count
        return joined

    def tree(self, element: str, value: str, lanes: int, combine: Callable[[str, str, str], str]) -> str:
        """A vector reduced to a scalar by halves; `combine` takes a type and two values of it."""
        rest: list[str] = []
        while lanes > 1:
            if lanes % 2:
                rest.append(self.value(f"extractelement {vector(element, lanes)} {value}, i64 {lanes - 1}"))
            half = lanes // 2
            low = self.part(element, value, lanes, 0, half)
            high = self.part(element, value, lanes, half, half)
            value, lanes = combine(vector(element, half), low, high), half
        for scalar in rest:
            value = combine(element, value, scalar)
        return value
