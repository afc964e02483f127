"""The lowering of one kernel: values when they are needed, statements in order."""

from __future__ import annotations

from tritloom.codegen.errors import VerificationError
from tritloom.codegen.ir.dtypes import i8, i32
from tritloom.codegen.ir.machine import Function, Register
from tritloom.codegen.ir.tile import (
    Axis,
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
    Reduce,
    Scalar,
    Select,
    Size,
    Store,
    Unary,
    Value,
)
from tritloom.codegen.lower.affine import AffineAnalysis
from tritloom.codegen.lower.cpu.context import Context, Span
from tritloom.codegen.lower.cpu.convert import assemble, convert, materialise
from tritloom.codegen.lower.cpu.dots import dot_accumulation
from tritloom.codegen.lower.cpu.elementwise import binary, unary
from tritloom.codegen.lower.cpu.lanes import Lanes
from tritloom.codegen.lower.cpu.memory import load_tile, store_tile, ternary_tile
from tritloom.codegen.lower.cpu.reductions import Accumulation, ReduceAccumulation, reduce_tile
from tritloom.codegen.lower.cpu.tiles import Tile, points, scalar_tile
from tritloom.codegen.lower.cpu.uses import Uses
from tritloom.codegen.target import Target


class Lowering(Context):
    """One kernel on its way to machine form."""

    def __init__(self, kernel: Kernel, target: Target):
        affine = AffineAnalysis()
        width = max(target.vector_bits // 32, 1)
        self.uses = Uses(kernel)
        super().__init__(kernel, target, Lanes(kernel, width, affine, self.uses), affine)
        self._decided: dict[Value, bool] = {}
        self._forms: dict[Value, Axis | None] = {}
        """The lane axis in which each value was computed."""
        self._running: dict[Value, tuple[Accumulation, list[Register]]] = {}
        """Accumulations of the loops around, by the dot or reduction that feeds them, with their state."""
        self._absorbed: set[Value] = set()
        """Sums that a dot or an accumulation computes."""

    def lower(self) -> Function:
        """The machine function."""
        self._enter_program()
        self.block(self.kernel.body)
        return self.b.finish()

    def _enter_program(self) -> None:
        """Decode the program's number into a block of each program axis, the last one fastest."""
        rest: Register | None = None
        axes = [axis for axis in self.kernel.program_axes if not self._is_single(axis)]
        for axis in self.kernel.program_axes:
            if axis not in axes:
                self.spans[axis] = Span(axis, self.b.const(0, i32))
        for axis in reversed(axes):
            rest = self.b.program() if rest is None else rest
            size = self.size(axis)
            if axis is axes[0]:
                block = rest
            else:
                count = self.b.div(self.b.add(size, axis.block - 1), axis.block)
                block, rest = self.b.rem(rest, count), self.b.div(rest, count)
            start = block if axis.block == 1 else self.b.mul(block, axis.block)
            self.spans[axis] = Span(axis, start, None, None if self._divides(axis) else size)

    @staticmethod
    def _is_single(axis: Axis) -> bool:
        """Whether one block surely covers the axis."""
        return isinstance(axis.size, Const) and int(axis.size.value) <= axis.block

    @staticmethod
    def _divides(axis: Axis) -> bool:
        """Whether the axis' size is surely a multiple of its block."""
        if isinstance(axis.size, Const):
            return int(axis.size.value) % axis.block == 0
        return axis.block == 1 or (isinstance(axis.size, Size) and axis.size.multiple_of % axis.block == 0)

    # values

    def tile(self, value: Value, lane: Axis | None) -> Tile:
        wanted = lane if lane in value.axes else None
        found = self.recall(("tile", value, wanted))
        if isinstance(found, Tile):
            return found
        computed = self._forms.get(value)
        other = self.recall(("tile", value, computed)) if value in self._forms else None
        if isinstance(other, Tile) and not self._is_cheap(value):
            result = convert(self, other, wanted)
        elif not isinstance(other, Tile) and not self.is_lazy(value) and value.operands:
            natural = self.lanes.of(value)
            result = self._compute(value, natural)
            self._keep(value, natural, result)
            result = convert(self, result, wanted)
        else:
            result = convert(self, self._compute(value, wanted), wanted)
        self.remember(("tile", value, wanted), result)
        return result

    def _keep(self, value: Value, lane: Axis | None, tile: Tile) -> None:
        """Remember a value's tile as its form along `lane`, or, if it came out along another axis, along that."""
        if tile.lane is not (lane if lane in tile.axes else None):
            lane = tile.lane
        self._forms[value] = lane
        self.remember(("tile", value, lane), tile)

    def is_lazy(self, value: Value) -> bool:
        if isinstance(value, Load) and value.buffer.dtype.is_ternary:
            return True
        if isinstance(value, Load):
            return self.is_read_only(value) and self.uses.only_in_dots(value)
        return self._is_cheap(value)

    def _is_cheap(self, value: Value) -> bool:
        """Whether a value may as well be computed again in another form, anywhere."""

        def decide() -> bool:
            if isinstance(value, Const | Size | Scalar | Index):
                return True
            if isinstance(value, Load):
                return self.is_read_only(value) and all(self._is_cheap(v) for v in value.operands)
            if isinstance(value, Unary | Binary | Select | Cast):
                if value.dtype.is_float:
                    return False
                return all(self._is_cheap(v) for v in value.operands)
            return isinstance(value, Expand) and self._is_cheap(value.operand)

        known = self._decided.get(value)
        if known is None:
            known = self._decided[value] = decide()
        return known

    def _compute(self, value: Value, lane: Axis | None) -> Tile:
        lane = lane if lane in value.axes else None
        match value:
            case Const():
                return scalar_tile(self.b.const(value.value, value.dtype))
            case Size() | Scalar():
                return scalar_tile(self.b.size(value.name, value.dtype))
            case Index():
                return self._index(value, lane)
            case Load() if value.buffer.dtype.is_ternary:
                return ternary_tile(self, value, lane)
            case Load():
                return load_tile(self, value, lane)
            case Expand():
                return self.tile(value.operand, lane)
            case Reduce():
                return reduce_tile(self, value)
            case Unary() | Binary() | Select() | Cast():
                return self._elementwise(value, lane)
            case Dot():
                return self._dot(value, None)
        raise VerificationError(
            f"{self.kernel.name}: {type(value).__name__} `{value.name}` is used before it is computed"
        )

    def _index(self, value: Index, lane: Axis | None) -> Tile:
        axis = value.axis
        make = self.indices if lane is axis else self.element
        tile = Tile((axis,), lane, {})
        for point in points((axis,), lane, self.width):
            tile.registers[(point[axis],)] = make(axis, point[axis])
        return tile

    def _elementwise(self, value: Unary | Binary | Select | Cast, lane: Axis | None) -> Tile:
        tiles = [self.tile(operand, lane) for operand in value.operands]
        axes = tuple(axis for axis in value.axes if any(axis in tile.axes for tile in tiles))
        lane = lane if lane in axes else None
        registers = {}
        for point in points(axes, lane, self.width):
            registers[tuple(point[axis] for axis in axes)] = self._apply(
                value, [self.fetch(tile, point, lane) for tile in tiles]
            )
        return Tile(axes, lane, registers)

    def _apply(self, value: Unary | Binary | Select | Cast, args: list[Register]) -> Register:
        match value:
            case Unary():
                return unary(self.b, value.op, args[0])
            case Binary():
                right = value.right
                divisor = int(right.value) if isinstance(right, Const) and right.dtype.is_integer else None
                return binary(self.b, value.op, args[0], args[1], divisor)
            case Select():
                return self.b.select(args[0], args[1], args[2])
            case Cast():
                if value.operand.dtype.is_ternary:
                    signed = self.b.sub(self.b.cast(args[0], i8), 1)
                    return self.b.cast(signed, value.dtype)
                return self.b.cast(args[0], value.dtype)

    def _dot(self, dot: Dot, initial: Tile | None) -> Tile:
        plan = dot_accumulation(self, dot, self.lanes.of(dot), gathered=False)
        return plan.finish(plan.step(plan.begin(initial)))

    # statements

    def block(self, block: Block) -> None:
        """Lower statements in order."""
        for statement in block.statements:
            match statement:
                case Let():
                    self._let(statement.value)
                case Store():
                    store_tile(self, statement)
                case Loop():
                    self._loop(statement)
                case If():
                    self._if(statement)

    def _let(self, value: Value) -> None:
        if value in self._running and isinstance(value, Dot | Reduce):
            plan, state = self._running[value]
            self._running[value] = (plan, plan.step(state))
            return
        if value in self._absorbed or self.is_lazy(value):
            return
        lane = self.lanes.of(value)
        if isinstance(value, Dot) and value in self.uses.fused:
            update = self.uses.fused[value]
            other = update.right if update.left is value else update.left
            if self._is_ready(other):
                result = self._dot(value, self.tile(other, self.lanes.of(update)))
                self._absorbed.add(update)
                self._keep(update, self.lanes.of(update), result)
                return
        result = self._compute(value, lane)
        self._keep(value, lane, result)

    def _is_ready(self, value: Value) -> bool:
        """Whether a value can be had at this point of the program."""
        made = value in self._forms and self.recall(("tile", value, self._forms[value])) is not None
        return made or self.is_lazy(value)

    def _loop(self, loop: Loop) -> None:
        gathered = {g.variable: g for g in self.uses.gathered.get(loop, ())}
        plans: dict[int, Accumulation] = {}
        state: list[list[Register]] = []
        for position, variable in enumerate(loop.variables):
            lane = self.lanes.of(variable.carried)
            initial = self.tile(variable.initial, lane)
            found = gathered.get(variable)
            if found is not None:
                source = found.source
                if isinstance(source, Dot):
                    plans[position] = dot_accumulation(self, source, lane, gathered=True)
                elif ReduceAccumulation.legal(self, source):
                    plans[position] = ReduceAccumulation(self, source)
            if position in plans:
                state.append(plans[position].begin(initial))
            else:
                state.append(materialise(self, initial, variable.carried.axes, lane))
        for start, stop, span in self._segments(loop):
            state = self._turns(loop, plans=plans, state=state, start=start, stop=stop, span=span)
        for position, variable in enumerate(loop.variables):
            lane = self.lanes.of(variable.carried)
            if position in plans:
                result = plans[position].finish(state[position])
            else:
                result = assemble(self, state[position], variable.carried.axes, lane)
            self._keep(variable.result, lane, result)

    def _segments(self, loop: Loop) -> list[tuple[Register | None, Register, Span]]:
        """Stretches of turns, each with its first block's start (None for a single block at 0), where it stops, and a
        pattern of its spans: whole blocks without masks, then what is left with them."""
        axis, b = loop.axis, self.b
        zero = b.const(0, i32)
        size = self.size(axis)
        if loop.start is None and loop.stop is None:
            if self._is_single(axis):
                return [(None, size, Span(axis, zero))]
            if self._divides(axis):
                return [(zero, size, Span(axis, zero))]
        stop = size if loop.stop is None else b.min(self.scalar(loop.stop), size)
        if loop.start is not None:
            low = b.max(self.scalar(loop.start), 0)
            first = b.mul(b.div(low, axis.block), axis.block)
            first = b.select(b.compare("lt", low, stop), first, stop)
            return [(first, stop, Span(axis, zero, low, stop))]
        whole = b.mul(b.div(stop, axis.block), axis.block)
        if self._is_long(loop):
            return [(zero, stop, Span(axis, zero, None, stop))]
        return [(zero, whole, Span(axis, zero)), (whole, stop, Span(axis, zero, None, stop))]

    def _is_long(self, loop: Loop) -> bool:
        """Whether the code of a turn is too long to have it twice, with and without masks: it holds a loop, or a dot
        whose sum is needed in every turn."""
        gathered = {found.source for found in self.uses.gathered.get(loop, ())}
        for statement in loop.body.statements:
            if isinstance(statement, Loop):
                return True
            if isinstance(statement, Let) and isinstance(statement.value, Dot):
                if statement.value not in gathered:
                    return True
        return False

    def _turns(
        self,
        loop: Loop,
        *,
        plans: dict[int, Accumulation],
        state: list[list[Register]],
        start: Register | None,
        stop: Register,
        span: Span,
    ) -> list[list[Register]]:
        if start is None:
            with self.at(Span(loop.axis, span.start)):
                return self._turn(loop, plans, state)
        flat = [register for part in state for register in part]
        with self.b.for_(start, stop, loop.axis.block, flat) as turns:
            with self.at(Span(loop.axis, turns.variable, span.low, span.high)):
                result = self._turn(loop, plans, _split(turns.values, state))
            turns.next = [register for part in result for register in part]
        return _split(turns.results, state)

    def _turn(
        self, loop: Loop, plans: dict[int, Accumulation], state: list[list[Register]]
    ) -> list[list[Register]]:
        """One turn of a loop: the state after it."""
        found = {g.variable: g for g in self.uses.gathered.get(loop, ())}
        for position, variable in enumerate(loop.variables):
            if position in plans:
                source = found[variable].source
                self._running[source] = (plans[position], state[position])
                self._absorbed.add(found[variable].update)
            else:
                lane = self.lanes.of(variable.carried)
                self._keep(
                    variable.carried, lane, assemble(self, state[position], variable.carried.axes, lane)
                )
        self.block(loop.body)
        result = []
        for position, variable in enumerate(loop.variables):
            if position in plans:
                result.append(self._running.pop(found[variable].source)[1])
            else:
                lane = self.lanes.of(variable.carried)
                result.append(materialise(self, self.tile(variable.next, lane), variable.carried.axes, lane))
        return result

    def _if(self, statement: If) -> None:
        with self.b.if_(self.scalar(statement.condition)) as branch:
            with self.scope():
                self.block(statement.then)
                if_true = [self._merged(m.if_true, m.result) for m in statement.merges]
            with branch.otherwise(), self.scope():
                self.block(statement.otherwise)
                if_false = [self._merged(m.if_false, m.result) for m in statement.merges]
            pairs = zip(if_true, if_false, strict=True)
            branch.pairs = [pair for a, b in pairs for pair in zip(a, b, strict=True)]
        for merge, part in zip(statement.merges, _split(branch.results, if_true), strict=True):
            lane = self.lanes.of(merge.result)
            self._keep(merge.result, lane, assemble(self, part, merge.result.axes, lane))

    def _merged(self, value: Value, result: Value) -> list[Register]:
        lane = self.lanes.of(result)
        return materialise(self, self.tile(value, lane), result.axes, lane)


def _split(flat: list[Register], like: list[list[Register]]) -> list[list[Register]]:
    """A flat list cut into parts as long as those of `like`."""
    parts, at = [], 0
    for part in like:
        parts.append(flat[at : at + len(part)])
        at += len(part)
    return parts
