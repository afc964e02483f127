"""What all parts of the CPU lowering share: the builder, the blocks that axes stand at, and results by scope."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar, cast

from tritloom.codegen.errors import VerificationError
from tritloom.codegen.ir.dtypes import DType, bool_, i32, u32
from tritloom.codegen.ir.machine import Memory, Register, Space, index
from tritloom.codegen.ir.machine_builder import MachineBuilder
from tritloom.codegen.ir.tile import Axis, AxisKind, Buffer, Kernel, Load, Value
from tritloom.codegen.lower.affine import AffineAnalysis
from tritloom.codegen.lower.cpu.lanes import Lanes
from tritloom.codegen.lower.cpu.tiles import Point, Tile, extent
from tritloom.codegen.target import Target

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class Span:
    """The block of an axis that code is being made for: indices `start` .. `start + block - 1`, all i32 scalars.

    Valid are those in [low, high): `low` None means that all are from `start` on, `high` None that the whole block is.
    The first element that is valid exists always.
    """

    axis: Axis
    start: Register
    low: Register | None = None
    high: Register | None = None

    @property
    def full(self) -> bool:
        """Whether every element of the block is valid."""
        return self.low is None and self.high is None


class Context(ABC):
    """The state of one kernel's lowering."""

    def __init__(self, kernel: Kernel, target: Target, lanes: Lanes, affine: AffineAnalysis):
        self.kernel = kernel
        self.target = target
        self.lanes = lanes
        self.affine = affine
        self.width = lanes.width
        self.b = MachineBuilder(kernel.name)
        self.memories: dict[Buffer, Memory] = {}
        self.spans: dict[Axis, Span] = {}
        self._scopes: list[dict[Hashable, object]] = [{}]
        self._arrays = 0
        for buffer in kernel.buffers:
            dtype = u32 if buffer.dtype.is_ternary else buffer.dtype
            self.memories[buffer] = self.b.buffer(buffer.name, dtype, buffer.mode.value != "in")
        for size in kernel.sizes:
            self.b.declare_size(size.name)
        for scalar in kernel.scalars:
            self.b.declare_scalar(scalar.name, scalar.dtype)

    # what the other parts provide

    @abstractmethod
    def tile(self, value: Value, lane: Axis | None) -> Tile:
        """A value in registers, along `lane` if it has that axis and as scalars otherwise."""

    @abstractmethod
    def is_lazy(self, value: Value) -> bool:
        """Whether a value is computed where it is used (index arithmetic, operands that a dot reads by itself)."""

    # results that are valid where they were computed

    @contextmanager
    def scope(self) -> Iterator[None]:
        """A nested body: what is remembered in it is forgotten after it."""
        self._scopes.append({})
        try:
            yield
        finally:
            self._scopes.pop()

    def recall(self, key: Hashable) -> object | None:
        """What was remembered under a key, in this body or one around it."""
        return next((scope[key] for scope in reversed(self._scopes) if key in scope), None)

    def remember(self, key: Hashable, result: object) -> None:
        """Keep a result for the rest of this body."""
        self._scopes[-1][key] = result

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """The result under a key, made if it is not there."""
        found = self.recall(key)
        if found is None:
            found = make()
            self.remember(key, found)
        return cast("T", found)

    # scalars and indices

    def scalar(self, value: Value) -> Register:
        """The register of a value without axes."""
        return self.tile(value, None).at({})

    def size(self, axis: Axis) -> Register:
        """An axis' size, i32."""
        return self.scalar(axis.size)

    def address(self, register: Register) -> Register:
        """An i32 as an address."""
        return self.once(("address", register), lambda: self.b.cast(register, index))

    def span(self, axis: Axis) -> Span:
        """Where an axis stands."""
        if axis not in self.spans and axis.kind is AxisKind.WHOLE:
            self.spans[axis] = Span(axis, self.b.const(0, i32))
        if axis not in self.spans:
            raise VerificationError(f"{self.kernel.name}: the axis `{axis.name}` is used outside of its loop")
        return self.spans[axis]

    @contextmanager
    def at(self, span: Span) -> Iterator[None]:
        """A body in which an axis stands at a block."""
        before = self.spans.get(span.axis)
        self.spans[span.axis] = span
        try:
            with self.scope():
                yield
        finally:
            if before is None:
                del self.spans[span.axis]
            else:
                self.spans[span.axis] = before

    def first(self, axis: Axis) -> Register:
        """The first valid index of the block."""
        span = self.span(axis)
        if span.low is None:
            return span.start
        low = span.low
        return self.once(("first", span), lambda: self.b.max(span.start, low))

    def valid(self, axis: Axis, element: int) -> Register | None:
        """Whether an element of the block is valid: a scalar bool, None for surely."""
        span = self.span(axis)
        if span.full or (element == 0 and span.low is None):
            return None

        def make() -> Register:
            at = self.b.add(span.start, element)
            result = None if span.high is None else self.b.compare("lt", at, span.high)
            if span.low is not None:
                above = self.b.compare("ge", at, span.low)
                result = above if result is None else self.b.and_(result, above)
            assert result is not None
            return result

        return self.once(("valid", span, element), make)

    def element(self, axis: Axis, element: int) -> Register:
        """The i32 index of an element of the block; of the first valid one where that element is not."""
        span = self.span(axis)

        def make() -> Register:
            at = span.start if element == 0 else self.b.add(span.start, element)
            valid = self.valid(axis, element)
            return at if valid is None else self.b.select(valid, at, self.first(axis))

        return self.once(("element", span, element), make)

    def indices(self, axis: Axis, vector: int) -> Register:
        """The i32 indices in the lanes of a vector of the block, valid or not."""
        span = self.span(axis)

        def make() -> Register:
            iota = self.b.const([vector * self.width + lane for lane in range(self.width)], i32, self.width)
            return self.b.add(self.b.splat(span.start, self.width), iota)

        return self.once(("indices", span, vector), make)

    def mask(self, axis: Axis, vector: int) -> Register | None:
        """Which lanes of a vector of the block are valid; None for all."""
        span = self.span(axis)
        over = (vector + 1) * self.width - extent(axis)
        if span.full and over <= 0:
            return None

        def make() -> Register:
            parts = []
            if over > 0:
                inside = [lane < self.width - over for lane in range(self.width)]
                parts.append(self._constant_mask(inside))
            if span.high is not None:
                high = self.b.splat(span.high, self.width)
                parts.append(self.b.compare("lt", self.indices(axis, vector), high))
            if span.low is not None:
                low = self.b.splat(span.low, self.width)
                parts.append(self.b.compare("ge", self.indices(axis, vector), low))
            result = parts[0]
            for part in parts[1:]:
                result = self.b.and_(result, part)
            return result

        return self.once(("mask", span, vector), make)

    def _constant_mask(self, inside: list[bool]) -> Register:
        return self.b.const(inside, bool_, self.width)

    def splat(self, register: Register) -> Register:
        """A scalar in all lanes of a vector; a vector stays."""
        if register.lanes > 1 or self.width == 1:
            return register
        return self.once(("splat", register), lambda: self.b.splat(register, self.width))

    def fetch(self, tile: Tile, point: Point, lane: Axis | None) -> Register:
        """The register of a tile at a point, as a vector if `lane` is given."""
        register = tile.at(point)
        return register if lane is None else self.splat(register)

    def array(self, what: str, dtype: DType, length: int) -> Memory:
        """A new private array."""
        self._arrays += 1
        return self.b.array(f"{what}{self._arrays}", dtype, Space.PRIVATE, length)

    def is_read_only(self, load: Load) -> bool:
        """Whether a load may be made later, or again: nothing writes its buffer."""
        return load.buffer.mode.value == "in"
