"""From a group of elements to a tile kernel.

Reductions become loops that carry an accumulator, placed before what needs them; reductions over one range that do not
depend on each other share a loop, and so do the stores of tiles that a loop computes anyway. Groups that differ only in
which tensors they touch, and in sizes, get the same kernel.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tritloom.codegen.ir import numerics
from tritloom.codegen.ir.dtypes import DType, TensorSpec, i32
from tritloom.codegen.ir.tensor import Node
from tritloom.codegen.ir.tile import Axis, BinaryOp, Buffer, Kernel, Mode, ReduceOp, UnaryOp, Value
from tritloom.codegen.ir.tile_builder import Builder
from tritloom.codegen.schedule.access import Accesses, Dimensions
from tritloom.codegen.schedule.blocks import choose, dot_kind
from tritloom.codegen.schedule.expressions import Data, Element, Expression, Quotient, Range, Remainder
from tritloom.codegen.schedule.groups import Group, Write, children, data
from tritloom.codegen.target import Target

CONSTANT = 128
"""Extents up to this are constants of a kernel, but those of rows (tokens), which change from call to call."""

_JOIN = {ReduceOp.SUM: BinaryOp.ADD, ReduceOp.MAX: BinaryOp.MAX, ReduceOp.MIN: BinaryOp.MIN}
_NAMES = {"m": "m", "row": "m", "n": "n", "lane": "n", "batch": "b", "outer": "i", "loop": "k"}


@dataclass(frozen=True, slots=True)
class Built:
    """A kernel and what one launch of it needs: the tensors of its buffers, in order, and its sizes."""

    kernel: Kernel
    tensors: tuple[Node, ...]
    sizes: Mapping[str, int]


class KernelMaker:
    """Makes kernels for one target; equal ones are one object."""

    def __init__(self, target: Target):
        self._target = target
        self._kernels: dict[Hashable, Kernel] = {}

    def make(self, group: Group, access: Accesses, same: Mapping[Node, Node] | None = None) -> Built:
        """The kernel of a group with its accesses. `same` maps a result to the tensor that it is written over."""
        form = _Form(group, access, self._target, same or {})
        kernel = self._kernels.get(form.signature)
        if kernel is None:
            kernel = _Emitter(form).kernel()
            self._kernels[form.signature] = kernel
        return Built(kernel, tuple(form.tensors), dict(form.sizes))


@dataclass(frozen=True, slots=True)
class _Extent:
    """How a kernel knows an extent: a constant, or a launch-time size with a divisor."""

    name: str
    value: int
    multiple: int = 1

    @property
    def token(self) -> Hashable:
        return self.name or self.value


class _Form:
    """A group with everything numbered: its signature, and the tensors and sizes that a signature leaves open."""

    def __init__(self, group: Group, access: Accesses, target: Target, same: Mapping[Node, Node]):
        self.group = group
        self.elements = group.walk()
        self.access = access
        self._same = same
        self.kind = self._kind(target)
        self.loops: dict[Element, tuple[Range, ...]] = {}
        for element in self.elements:
            if element.ranges:
                self.loops[element] = self.whole(element.ranges)
        self.blocks = choose(self.kind, self.access.program, self._innermost(), target)
        self.sizes: list[tuple[str, int]] = []
        self.extents: dict[Range, _Extent] = {}
        self.numbers: dict[int, _Extent] = {}
        self.tensors: list[Node] = []
        self.buffers: dict[Hashable, int] = {}
        self.specs: list[tuple[TensorSpec, Mode]] = []
        self.shapes: dict[Dimensions, tuple[_Extent, ...]] = {}
        self._tokens: list[Hashable] = [self.kind]
        self._number()
        self.name = self._named()
        self.signature = (self.name, *self._tokens)

    def whole(self, ranges: Iterable[Range]) -> tuple[Range, ...]:
        """The merged ranges that these are parts of."""
        return tuple(dict.fromkeys(self.access.merged.get(one, one) for one in ranges))

    def _kind(self, target: Target) -> str:
        """The kind of kernel that the table of blocks knows: of several dots the longest decides."""
        dots = [element for element in self.elements if element.kind == "dot"]
        if not dots:
            return self.group.kind
        longest = max(dots, key=lambda dot: math.prod(one.extent for one in dot.ranges))
        left, right = longest.operands
        inner = not right.dtype.is_ternary and all(self._along(o, longest.ranges[-1]) for o in (left, right))
        return dot_kind(target, left.dtype, right.dtype, inner=inner)

    def _along(self, operand: Element, one: Range) -> bool:
        """Whether an operand lies along a range: neighbours there are neighbours in memory."""
        _, index = self.access.loads[operand][-1]
        return (self.access.merged.get(one, one), 1) in index.terms

    def _innermost(self) -> list[Range]:
        inner = [ranges[-1] for ranges in self.loops.values()]
        program = set(self.access.program)
        for dims in self.access.writes:
            loops = [r for _, index in dims for r in self.whole(_sorted(index.ranges())) if r not in program]
            inner.extend(loops[-1:])
        return list(dict.fromkeys(inner))

    def block(self, one: Range) -> int:
        """The block of a merged range; an outer one of nested loops has 1."""
        return self.blocks.get(one, 1)

    # numbering

    def _number(self) -> None:
        for one in self.access.program:
            self._token_of_range(one)
        self._tokens.append(len(self.access.program))
        numbers: dict[Element, int] = {}
        for element in self.elements:
            numbers[element] = len(numbers)
            token: list[Hashable] = [
                element.kind,
                element.dtype.name,
                element.operation,
                tuple(numbers[operand] for operand in element.operands),
            ]
            if element.kind == "constant":
                constant = element.value
                token.append(constant.hex() if isinstance(constant, float) else constant)
            elif element.kind == "index":
                token.append(self._token_of_expression(element.expression, numbers))
            elif element.kind == "load":
                assert element.node is not None
                dims = self.access.loads[element]
                token.append(self._token_of_access(element.node, element.dtype, dims, numbers, Mode.IN))
            elif element.ranges:
                token.append(tuple(self._token_of_range(one) for one in self.loops[element]))
            self._tokens.append(tuple(token))
        for write, dims in zip(self.group.writes, self.access.writes, strict=True):
            value = write.value
            access = self._token_of_access(write.node, value.dtype, dims, numbers, Mode.OUT)
            self._tokens.append((numbers[value], access))

    def _token_of_range(self, one: Range) -> Hashable:
        if one not in self.extents:
            self.extents[one] = self._extent(one.extent, one.role, self.block(one))
        number = list(self.extents).index(one)
        extent = self.extents[one]
        return (number, extent.token, extent.multiple, self.block(one), one.role)

    def _extent(self, value: int, role: str, block: int) -> _Extent:
        if value == 1 or (value <= CONSTANT and role not in ("m", "row", "outer", "batch")):
            return _Extent("", value)
        name = f"s{len(self.sizes)}"
        self.sizes.append((name, value))
        multiple = next(step for step in (block, 16, 1) if value % step == 0)
        return _Extent(name, value, multiple)

    def number(self, value: int) -> _Extent:
        """How the kernel knows the offset or step of an index: large ones are given at launch, like sizes."""
        if value <= CONSTANT:
            return _Extent("", value)
        found = self.numbers.get(value)
        if found is None:
            name = f"c{len(self.sizes)}"
            self.sizes.append((name, value))
            multiple = next(step for step in (64, 16, 1) if value % step == 0)
            found = self.numbers[value] = _Extent(name, value, multiple)
        return found

    def _token_of_number(self, value: int) -> Hashable:
        extent = self.number(abs(value))
        return (value < 0, extent.token, extent.multiple)

    def _token_of_expression(self, expression: Expression, numbers: Mapping[Element, int]) -> Hashable:
        found: list[Hashable] = [self._token_of_number(expression.constant)]
        for atom, step in expression.terms:
            coefficient = self._token_of_number(step)
            if isinstance(atom, Range):
                inner = self._token_of_range(self.access.merged.get(atom, atom))
                found.append((coefficient, inner))
            elif isinstance(atom, Data):
                found.append((coefficient, "data", numbers[atom.element]))
            else:
                inner = self._token_of_expression(atom.expression, numbers)
                found.append((coefficient, isinstance(atom, Quotient), atom.divisor, inner))
        return tuple(found)

    def _token_of_access(
        self, node: Node, dtype: DType, dims: Dimensions, numbers: Mapping[Element, int], mode: Mode
    ) -> Hashable:
        tokens = tuple(self._token_of_expression(index, numbers) for _, index in dims)
        shape = tuple(self._dimension(extent, index) for extent, index in dims)
        number = self._buffer(node, dtype, shape, mode)
        self.shapes[dims] = shape
        return (number, dtype.name, mode, self.specs[number][1], tuple(e.token for e in shape), tokens)

    def _dimension(self, extent: int, index: Expression) -> _Extent:
        one = index.single()
        if one is not None and one.extent == extent:
            return self.extents[one]
        for name, value in self.sizes:
            if value == extent and name.startswith("d"):
                return _Extent(name, value)
        if extent <= CONSTANT:
            return _Extent("", extent)
        name = f"d{len(self.sizes)}"
        self.sizes.append((name, extent))
        return _Extent(name, extent)

    def _buffer(self, node: Node, dtype: DType, shape: tuple[_Extent, ...], mode: Mode) -> int:
        node = self.target_of(node)
        key = (node, shape)
        number = self.buffers.get(key)
        if number is None:
            number = self.buffers[key] = len(self.tensors)
            self.tensors.append(node)
            dims = tuple(extent.name or extent.value for extent in shape)
            self.specs.append((TensorSpec(dtype, dims), mode))
        elif self.specs[number][1] is not mode:
            self.specs[number] = (self.specs[number][0], Mode.INOUT)
        return number

    def target_of(self, node: Node) -> Node:
        """The tensor that a result is written to: itself, or the one that it is written over."""
        return self._same.get(node, node)

    def _named(self) -> str:
        """A name for people: the kind and the operations that matter, in order."""
        parts: list[str] = []
        for element in self.elements:
            if element.kind == "dot":
                left, right = element.operands
                parts.append(f"dot_{left.dtype}_{right.dtype}")
            elif element.kind in ("reduce", "unary", "binary") and element.operation is not None:
                parts.append(element.operation.value)
        kept = list(dict.fromkeys(parts))[:6]
        return "_".join([self.group.kind, *kept]) if self.group.kind != "dot" else "_".join(kept)


def _sorted(ranges: Iterable[Range]) -> list[Range]:
    return sorted(ranges, key=lambda one: one.serial)


@dataclass(slots=True)
class _Store:
    """A write whose place in the kernel is still open."""

    write: Write
    dims: Dimensions
    needs: frozenset[Range]


class _Emitter:
    """Emits one kernel. A scope is a block of it: which ranges have an axis there, and the values made so far."""

    def __init__(self, form: _Form):
        self._form = form
        first = form.group.writes[0].node.location
        self._builder = Builder(form.name, first)
        self._axes: dict[Range, Axis] = {}
        self._bound: list[frozenset[Range]] = []
        self._values: list[dict[Element | Axis, Value]] = []
        self._buffers: list[Buffer] = []
        known = (*form.extents.values(), *form.numbers.values())
        self._sizes: dict[str, int] = {extent.name: extent.multiple for extent in known if extent.name}

    def kernel(self) -> Kernel:
        """The finished kernel."""
        form, builder = self._form, self._builder
        for name, _ in form.sizes:
            builder.size(name, self._sizes.get(name, 1))
        for number, (spec, mode) in enumerate(form.specs):
            prefix = "x" if mode is Mode.IN else "y"
            self._buffers.append(builder.buffer(f"{prefix}{number}", spec, mode))
        for number, one in enumerate(form.access.program):
            name = self._axis_name(one, number)
            self._axes[one] = builder.program_axis(name, self._size(one), form.block(one))
        bound = frozenset(form.group.program)
        stores = []
        for write, dims in zip(form.group.writes, form.access.writes, strict=True):
            needs = frozenset[Range]().union(write.value.free, *(i.ranges() for i in write.indices))
            stores.append(_Store(write, dims, needs))
        self._values.append({})
        self._bound.append(bound)
        self._scope([], stores)
        return builder.finish()

    def _axis_name(self, one: Range, number: int) -> str:
        name = _NAMES[one.role]
        taken = {axis.name for axis in self._axes.values()}
        return name if name not in taken else f"{name}{number}"

    def _size(self, one: Range) -> Value:
        extent = self._form.extents[one]
        if extent.name:
            return self._builder.size(extent.name, extent.multiple)
        return self._builder.const(extent.value, i32)

    # scopes

    def _scope(self, values: Sequence[Element], stores: Sequence[_Store]) -> None:
        bound = self._bound[-1]
        roots = [*values, *self._roots(stores)]
        loops: dict[tuple[int, tuple[Range, ...]], list[Element]] = {}
        for reduction in self._reductions(roots):
            loops.setdefault((reduction.level, reduction.ranges), []).append(reduction)
        order = sorted(loops, key=lambda key: key[0])
        inner: dict[tuple[int, tuple[Range, ...]], list[_Store]] = {key: [] for key in order}
        alone: dict[tuple[Range, ...], list[_Store]] = {}
        here: list[_Store] = []
        for store in stores:
            needed = tuple(_sorted(store.needs - bound))
            if not needed:
                here.append(store)
                continue
            fitting = [k for k in order if k[1] == needed and store.write.value.level < k[0]]
            shared = [k for k in fitting if _reaches(loops[k], store.write.value)] or fitting[:1]
            if shared:
                inner[shared[-1]].append(store)
            else:
                alone.setdefault(needed, []).append(store)
        for key in order:
            self._loop(key[1], loops[key], inner[key])
        self._store(here)
        for ranges, grouped in alone.items():
            self._loop(ranges, [], grouped)

    @staticmethod
    def _roots(stores: Iterable[_Store]) -> list[Element]:
        roots = []
        for store in stores:
            roots.append(store.write.value)
            roots.extend(element for index in store.write.indices for element in data(index))
        return roots

    def _reductions(self, roots: Iterable[Element]) -> list[Element]:
        """The reductions that can be computed in this scope and were not yet, in the order of their elements."""
        bound = self._bound[-1]
        found: list[Element] = []
        seen: set[Element] = set()
        stack = list(roots)
        while stack:
            element = stack.pop()
            if element in seen or self._known(element) is not None or element.level == 0:
                continue
            seen.add(element)
            if element.ranges and element.free <= bound:
                found.append(element)
            stack.extend(children(element))
        return sorted(found, key=lambda element: element.serial)

    def _hoist(self, roots: Iterable[Element]) -> None:
        """Compute in this scope what a loop that is about to open needs and does not change."""
        bound = self._bound[-1]
        seen: set[Element] = set()
        stack = list(roots)
        while stack:
            element = stack.pop()
            if element in seen or element.kind == "constant":
                continue
            seen.add(element)
            if element.free <= bound:
                self._emit(element)
            else:
                stack.extend(reversed(children(element)))

    def _loop(self, ranges: tuple[Range, ...], members: Sequence[Element], stores: Sequence[_Store]) -> None:
        bodies = [operand for member in members for operand in member.operands]
        self._hoist([*bodies, *self._roots(stores)])
        initial = [self._initial(member) for member in members]
        results = self._nest(self._form.whole(ranges), ranges, initial, members, stores)
        for member, result in zip(members, results, strict=True):
            self._values[-1][member] = result

    def _nest(
        self,
        outer: tuple[Range, ...],
        ranges: tuple[Range, ...],
        carried: Sequence[Value],
        members: Sequence[Element],
        stores: Sequence[_Store],
    ) -> Sequence[Value]:
        """Open the loops over `outer`, the first one outermost, and fill the innermost."""
        builder, form = self._builder, self._form
        if not outer:
            return self._body(ranges, carried, members, stores)
        one = outer[0]
        name = self._axis_name(one, len(self._axes))
        with builder.loop(name, self._size(one), form.block(one), carried) as loop:
            self._axes[one] = loop.axis
            loop.next = list(self._nest(outer[1:], ranges, loop.values, members, stores))
        del self._axes[one]
        return loop.results

    def _body(
        self,
        ranges: tuple[Range, ...],
        carried: Sequence[Value],
        members: Sequence[Element],
        stores: Sequence[_Store],
    ) -> list[Value]:
        builder = self._builder
        self._bound.append(self._bound[-1] | frozenset(ranges))
        self._values.append({})
        self._scope([operand for member in members for operand in member.operands], stores)
        result = []
        for value, member in zip(carried, members, strict=True):
            axes = [self._axes[one] for one in self._form.loops[member]]
            operands = [builder.expand(self._emit(operand), axes) for operand in member.operands]
            where = member.location
            if member.kind == "dot":
                term = builder.dot(operands[0], operands[1], axes[-1], where)
                rest, reduction = axes[:-1], ReduceOp.SUM
            else:
                assert isinstance(member.operation, ReduceOp)
                term, rest, reduction = operands[0], axes, member.operation
            for axis in reversed(rest):
                term = builder.reduce(reduction, term, axis, where)
            joined = builder.binary(_JOIN[reduction], value, term, where)
            result.append(joined)
        self._values.pop()
        self._bound.pop()
        return result

    def _initial(self, member: Element) -> Value:
        reduction = member.operation if isinstance(member.operation, ReduceOp) else ReduceOp.SUM
        axes = [self._axes[one] for one in self._form.whole(_sorted(member.free))]
        return self._builder.full(
            axes, numerics.neutral(reduction, member.dtype), member.dtype, member.location
        )

    def _store(self, stores: Sequence[_Store]) -> None:
        ready = []
        for store in stores:
            value = self._emit(store.write.value)
            ready.append((store, value, [self._sum(index) for _, index in store.dims]))
        for store, value, indices in ready:
            buffer = self._buffer(store.write.node, store.dims)
            self._builder.store(buffer, indices, value, None, store.write.node.location)

    def _buffer(self, node: Node, dims: Dimensions) -> Buffer:
        form = self._form
        key = (form.target_of(node), form.shapes[dims])
        return self._buffers[form.buffers[key]]

    # values

    def _known(self, element: Element) -> Value | None:
        for values in reversed(self._values):
            if element in values:
                return values[element]
        return None

    def _emit(self, element: Element) -> Value:
        found = self._known(element)
        if found is None:
            found = self._compute(element)
            self._values[-1][element] = found
        return found

    def _compute(self, element: Element) -> Value:
        builder, where = self._builder, element.location
        operands = [self._emit(operand) for operand in element.operands]
        match element.kind:
            case "constant":
                return builder.const(element.value, element.dtype, where)
            case "index":
                return self._sum(element.expression)
            case "load":
                assert element.node is not None
                dims = self._form.access.loads[element]
                indices = [self._sum(index) for _, index in dims]
                guard = operands[0] if operands else None
                return builder.load(self._buffer(element.node, dims), indices, guard, where)
            case "unary":
                assert isinstance(element.operation, UnaryOp)
                return builder.unary(element.operation, operands[0], where)
            case "binary":
                assert isinstance(element.operation, BinaryOp)
                return builder.binary(element.operation, operands[0], operands[1], where)
            case "select":
                return builder.select(operands[0], operands[1], operands[2], where)
            case "cast":
                return builder.cast(operands[0], element.dtype, where)
            case _:
                raise KeyError(f"a {element.kind} is computed by its loop")

    def _sum(self, expression: Expression) -> Value:
        builder = self._builder
        total: Value | None = None
        for atom, coefficient in expression.terms:
            if isinstance(atom, Range):
                term = self._axis_index(self._axes[self._form.access.merged.get(atom, atom)])
            elif isinstance(atom, Data):
                term = self._emit(atom.element)
            else:
                op = BinaryOp.MOD if isinstance(atom, Remainder) else BinaryOp.FLOORDIV
                term = builder.binary(op, self._sum(atom.expression), atom.divisor)
            if coefficient not in (1, -1):
                term = builder.binary(BinaryOp.MUL, term, self._number(abs(coefficient)))
            if coefficient < 0:
                term = builder.unary(UnaryOp.NEG, term)
            total = term if total is None else builder.binary(BinaryOp.ADD, total, term)
        if total is None:
            return self._number(expression.constant)
        if expression.constant:
            op = BinaryOp.SUB if expression.constant < 0 else BinaryOp.ADD
            total = builder.binary(op, total, self._number(abs(expression.constant)))
        return total

    def _number(self, value: int) -> Value:
        known = self._form.number(value)
        if known.name:
            return self._builder.size(known.name, known.multiple)
        return self._builder.const(value, i32)

    def _axis_index(self, axis: Axis) -> Value:
        for values in reversed(self._values):
            if axis in values:
                return values[axis]
        made = self._builder.index(axis)
        self._values[-1][axis] = made
        return made


def _reaches(members: Iterable[Element], value: Element) -> bool:
    """Whether the bodies of loops compute a value."""
    seen: set[Element] = set()
    stack = [operand for member in members for operand in member.operands]
    while stack:
        element = stack.pop()
        if element is value:
            return True
        if element not in seen:
            seen.add(element)
            stack.extend(children(element))
    return False
