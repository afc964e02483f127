"""Checks a function in machine form: the types of every operation, memory, and that values are made before use."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tritloom.codegen.errors import VerificationError
from tritloom.codegen.ir.dtypes import DType, Kind, bf16, bool_, f32, i8, i32, u8, u32
from tritloom.codegen.ir.machine import (
    Body,
    For,
    Function,
    IfElse,
    Instruction,
    MachineType,
    MatrixAccess,
    MatrixShape,
    MatrixUse,
    Memory,
    Op,
    Register,
    Space,
    index,
)

Types = tuple[MachineType, ...]
Rule = Callable[[Types, MachineType | None, Any], str | None]
"""What is wrong with an operation on these operand types, of this result type and attribute, or None."""

PREDICATES = ("lt", "le", "gt", "ge", "eq", "ne")


def _integer(dtype: DType) -> bool:
    return dtype.is_integer


def _float(dtype: DType) -> bool:
    return dtype.is_float


def _number(dtype: DType) -> bool:
    return dtype.is_integer or dtype.is_float


def _signed(dtype: DType) -> bool:
    return dtype.is_float or dtype.kind is Kind.INT


def _bits(dtype: DType) -> bool:
    return dtype.is_integer or dtype.is_bool


def _uniform(operands: int, takes: Callable[[DType], bool]) -> Rule:
    """`operands` operands and a result, all of one type, whose dtype the operation takes."""

    def rule(args: Types, result: MachineType | None, attribute: Any) -> str | None:
        if len(args) != operands:
            return f"takes {operands} operand(s)"
        if result is None or any(arg != result for arg in args):
            return "needs operands and a result of one type"
        return None if takes(result.dtype) else f"does not take {result.dtype}"

    return rule


def _const(args: Types, result: MachineType | None, attribute: Any) -> str | None:
    if args or result is None:
        return "takes no operands and has a result"
    values = attribute if isinstance(attribute, tuple) else (attribute,)
    if isinstance(attribute, tuple) and len(attribute) != result.lanes:
        return f"has {len(attribute)} numbers for {result.lanes} lanes"
    for value in values:
        if not isinstance(value, int | float):
            return f"{value!r} is no number"
        if not result.dtype.is_float and not result.dtype.limits[0] <= value <= result.dtype.limits[1]:
            return f"{value} does not fit"
    return None


def _scalar_without_operands(args: Types, result: MachineType | None, attribute: Any) -> str | None:
    if args or result is None or result.lanes != 1 or result.dtype not in (i32, f32):
        return "takes no operands and gives an i32 (or, of a scalar argument, f32) scalar"
    return None


def _compare(args: Types, result: MachineType | None, attribute: Any) -> str | None:
    if attribute not in PREDICATES:
        return f"has no predicate {attribute!r}"
    if len(args) != 2 or args[0] != args[1]:
        return "takes two operands of one type"
    return None if result == MachineType(bool_, args[0].lanes) else "gives a bool a lane"


def _select(args: Types, result: MachineType | None, attribute: Any) -> str | None:
    if len(args) != 3 or result is None or args[1] != result or args[2] != result:
        return "takes a condition and two operands of the result's type"
    return None if args[0] == MachineType(bool_, result.lanes) else "needs a bool a lane as its condition"


def _cast(args: Types, result: MachineType | None, attribute: Any) -> str | None:
    if len(args) != 1 or result is None or args[0].lanes != result.lanes:
        return "takes one operand and keeps its lanes"
    return None


def _bitcast(args: Types, result: MachineType | None, attribute: Any) -> str | None:
    if len(args) != 1 or result is None or args[0].dtype.is_bool or result.dtype.is_bool:
        return "takes one operand, and no bools"
    same = args[0].lanes * args[0].dtype.bits == result.lanes * result.dtype.bits
    return None if same else "keeps the total width"


def _splat(args: Types, result: MachineType | None, attribute: Any) -> str | None:
    if result is None or args != (MachineType(result.dtype),):
        return "takes a scalar of the result's dtype"
    return None


def _extract(args: Types, result: MachineType | None, attribute: Any) -> str | None:
    if len(args) != 1 or result != MachineType(args[0].dtype):
        return "takes a vector and gives a scalar of its dtype"
    return None if 0 <= attribute < args[0].lanes else f"has no lane {attribute}"


def _insert(args: Types, result: MachineType | None, attribute: Any) -> str | None:
    if result is None or args != (result, MachineType(result.dtype)):
        return "takes a vector of the result's type and a scalar of its dtype"
    return None if 0 <= attribute < result.lanes else f"has no lane {attribute}"


def _shuffle(args: Types, result: MachineType | None, attribute: Any) -> str | None:
    if len(args) != 2 or args[0] != args[1] or result is None or result.dtype is not args[0].dtype:
        return "takes two vectors of one type and keeps their dtype"
    if not isinstance(attribute, tuple) or len(attribute) != result.lanes:
        return "needs one index for each lane of the result"
    fits = all(0 <= lane < 2 * args[0].lanes for lane in attribute)
    return None if fits else f"has an index outside of its {2 * args[0].lanes} lanes"


def _reduce(args: Types, result: MachineType | None, attribute: Any) -> str | None:
    if attribute not in ("add", "min", "max"):
        return f"has no kind {attribute!r}"
    if len(args) != 1 or result != MachineType(args[0].dtype) or not _number(args[0].dtype):
        return "takes a vector of numbers and gives a scalar of its dtype"
    return None


def _address(type_: MachineType) -> bool:
    return type_.dtype in (index, i32)


def _access(writes: bool, scattered: bool) -> Rule:
    """A load, store, gather or scatter."""

    def rule(args: Types, result: MachineType | None, attribute: Any) -> str | None:
        if not isinstance(attribute, Memory):
            return "names no memory"
        first_optional = 2 if writes else 1
        if len(args) not in (first_optional, first_optional + 1):
            return "has the wrong number of operands"
        value = args[1] if writes else result
        if value is None or (writes and result is not None):
            return "a read has a result and a write has none"
        if value.dtype is not attribute.dtype:
            return f"moves {value.dtype} to or from `{attribute.name}` of {attribute.dtype}"
        if not _address(args[0]) or args[0].lanes != (value.lanes if scattered else 1):
            return f"has an index of {args[0]}"
        if len(args) > first_optional and args[-1] != MachineType(bool_, value.lanes):
            return f"has a mask of {args[-1]} for {value.lanes} lanes"
        if writes and not attribute.writable:
            return f"writes to `{attribute.name}`, which is only read"
        return None

    return rule


def _dot(accumulator: DType, a: DType, b: DType, group: int, attributes: tuple[Any, ...]) -> Rule:
    def rule(args: Types, result: MachineType | None, attribute: Any) -> str | None:
        if attribute not in attributes:
            return f"has no variant {attribute!r}"
        if result is None or result.dtype is not accumulator:
            return f"gives {accumulator}"
        wide = group * result.lanes
        if args != (result, MachineType(a, wide), MachineType(b, wide)):
            return f"takes {result}, {MachineType(a, wide)} and {MachineType(b, wide)}"
        return None

    return rule


def _lookup(args: Types, result: MachineType | None, attribute: Any) -> str | None:
    if result is None or len(args) != 1 or args[0].dtype not in (i32, u32) or args[0].lanes != result.lanes:
        return "takes an i32 or u32 a lane of the result"
    if not isinstance(attribute, tuple) or len(attribute) not in (4, 16):
        return "needs 4 or 16 numbers"
    return None


def _words(writes: bool) -> Rule:
    """A load or store of whole words."""

    def rule(args: Types, result: MachineType | None, attribute: Any) -> str | None:
        if not isinstance(attribute, Memory):
            return "names no memory"
        first_optional = 2 if writes else 1
        if len(args) not in (first_optional, first_optional + 1):
            return "has the wrong number of operands"
        value = args[1] if writes else result
        if value is None or (writes and result is not None):
            return "a read has a result and a write has none"
        if value.dtype is not u32 or value.lanes not in (1, 2, 4):
            return f"moves {value}, not 1, 2 or 4 of u32"
        if not _address(args[0]) or args[0].lanes != 1:
            return f"has an index of {args[0]}"
        if len(args) > first_optional and args[-1] != MachineType(bool_):
            return f"has a mask of {args[-1]}"
        if writes and not attribute.writable:
            return f"writes to `{attribute.name}`, which is only read"
        return None

    return rule


def _lane_xor(args: Types, result: MachineType | None, attribute: Any) -> str | None:
    if len(args) != 1 or result != args[0] or args[0].lanes != 1 or args[0].dtype not in (f32, i32, u32):
        return "takes an f32, i32 or u32 scalar and gives its like"
    power = isinstance(attribute, int) and attribute > 0 and attribute & (attribute - 1) == 0
    return None if power else f"needs a power of two, not {attribute!r}"


def _matrix_access(writes: bool) -> Rule:
    """A load or store of a subgroup's matrix."""

    def rule(args: Types, result: MachineType | None, attribute: Any) -> str | None:
        if not isinstance(attribute, MatrixAccess):
            return "names no place"
        value = args[-1] if writes else result
        if (
            len(args) != 1 + writes
            or value is None
            or value.matrix is None
            or (writes and result is not None)
        ):
            return "takes an index (and, to store, a matrix)"
        if value.dtype is not attribute.memory.dtype:
            return f"moves {value.dtype} to or from `{attribute.memory.name}` of {attribute.memory.dtype}"
        if not _address(args[0]) or args[0].lanes != 1:
            return f"has an index of {args[0]}"
        across = value.matrix.rows if attribute.transposed else value.matrix.columns
        if attribute.stride < across:
            return f"has rows of {across} elements at a stride of {attribute.stride}"
        if writes and not attribute.memory.writable:
            return f"writes to `{attribute.memory.name}`, which is only read"
        return None

    return rule


def _matrix_multiply_add(args: Types, result: MachineType | None, attribute: Any) -> str | None:
    if len(args) != 3 or result is None or args[2] != result or args[0].dtype is not args[1].dtype:
        return "takes two matrices of one dtype, and an accumulator of the result's type"
    a, b, c = (arg.matrix for arg in args)
    if a is None or b is None or c is None:
        return "takes matrices"
    whole = c == MatrixShape(a.rows, b.columns, MatrixUse.ACCUMULATOR)
    fits = whole and a.columns == b.rows and a.use is MatrixUse.A and b.use is MatrixUse.B
    return None if fits else "takes matrices [m, k, a], [k, n, b] and [m, n, accumulator]"


def _barrier(args: Types, result: MachineType | None, attribute: Any) -> str | None:
    return "takes nothing and gives nothing" if args or result is not None else None


_BINARY_NUMBER = _uniform(2, _number)
_BINARY_BITS = _uniform(2, _bits)
_UNARY_FLOAT = _uniform(1, _float)

RULES: dict[Op, Rule] = {
    Op.CONST: _const,
    Op.SIZE: _scalar_without_operands,
    Op.PROGRAM: _scalar_without_operands,
    Op.THREAD: _scalar_without_operands,
    Op.ADD: _BINARY_NUMBER,
    Op.SUB: _BINARY_NUMBER,
    Op.MUL: _BINARY_NUMBER,
    Op.DIV: _BINARY_NUMBER,
    Op.REM: _uniform(2, _integer),
    Op.MIN: _BINARY_NUMBER,
    Op.MAX: _BINARY_NUMBER,
    Op.AND: _BINARY_BITS,
    Op.OR: _BINARY_BITS,
    Op.XOR: _BINARY_BITS,
    Op.SHL: _uniform(2, _integer),
    Op.SHR: _uniform(2, _integer),
    Op.NOT: _uniform(1, _bits),
    Op.NEG: _uniform(1, _number),
    Op.ABS: _uniform(1, _signed),
    Op.FMA: _uniform(3, _float),
    Op.SQRT: _UNARY_FLOAT,
    Op.RSQRT: _UNARY_FLOAT,
    Op.EXP: _UNARY_FLOAT,
    Op.LOG: _UNARY_FLOAT,
    Op.SIN: _UNARY_FLOAT,
    Op.COS: _UNARY_FLOAT,
    Op.TANH: _UNARY_FLOAT,
    Op.FLOOR: _UNARY_FLOAT,
    Op.ROUND: _UNARY_FLOAT,
    Op.COMPARE: _compare,
    Op.SELECT: _select,
    Op.CAST: _cast,
    Op.BITCAST: _bitcast,
    Op.SPLAT: _splat,
    Op.EXTRACT: _extract,
    Op.INSERT: _insert,
    Op.SHUFFLE: _shuffle,
    Op.REDUCE: _reduce,
    Op.LOAD: _access(writes=False, scattered=False),
    Op.STORE: _access(writes=True, scattered=False),
    Op.GATHER: _access(writes=False, scattered=True),
    Op.SCATTER: _access(writes=True, scattered=True),
    Op.DOT4_US: _dot(i32, u8, i8, 4, (None, "small")),
    Op.DOT4_SS: _dot(i32, i8, i8, 4, (None,)),
    Op.DOT2_BF16: _dot(f32, bf16, bf16, 2, (None,)),
    Op.LOOKUP: _lookup,
    Op.BARRIER: _barrier,
    Op.SUBGROUP: _scalar_without_operands,
    Op.LOAD_WORDS: _words(writes=False),
    Op.STORE_WORDS: _words(writes=True),
    Op.LANE_XOR: _lane_xor,
    Op.SUBGROUP_BARRIER: _barrier,
    Op.MATRIX_LOAD: _matrix_access(writes=False),
    Op.MATRIX_STORE: _matrix_access(writes=True),
    Op.MATRIX_MULTIPLY_ADD: _matrix_multiply_add,
}
"""One rule an operation."""


def verify_machine(function: Function) -> None:
    """Raise VerificationError, which names the function and the statement, if a rule is broken."""
    _Verifier(function).run()


class _Verifier:
    def __init__(self, function: Function):
        self.function = function
        self.memories = {*function.buffers, *function.arrays}
        self.made: set[Register] = set()
        self.arguments: dict[str, DType] = dict.fromkeys(function.sizes, i32) | dict(function.scalars)

    def fail(self, message: str) -> VerificationError:
        return VerificationError(f"machine function `{self.function.name}`: {message}")

    def run(self) -> None:
        function = self.function
        if function.threads < 1:
            raise self.fail(f"{function.threads} threads")
        names = [memory.name for memory in (*function.buffers, *function.arrays)]
        if len(set(names)) != len(names):
            raise self.fail(f"two memories have one name, of {', '.join(names)}")
        for memory in function.buffers:
            if memory.space is not Space.GLOBAL:
                raise self.fail(f"the buffer `{memory.name}` is {memory.space.value}")
        for memory in function.arrays:
            if memory.space is Space.GLOBAL or memory.length is None or memory.length < 1:
                raise self.fail(
                    f"the array `{memory.name}` is {memory.space.value} of length {memory.length}"
                )
        self.body(function.body, set())

    def body(self, body: Body, outer: set[Register]) -> set[Register]:
        """Check a body where the registers of `outer` are seen; those seen at its end."""
        seen = set(outer)
        for statement in body.statements:
            if isinstance(statement, Instruction):
                self.instruction(statement, seen)
                if statement.result is not None:
                    self.define(statement.result, seen)
            elif isinstance(statement, For):
                self.loop(statement, seen)
            else:
                self.condition(statement, seen)
        return seen

    def define(self, register: Register, seen: set[Register]) -> None:
        if register in self.made:
            raise self.fail(f"{register.type} register {register.serial} is assigned twice")
        if register.lanes < 1 or register.dtype.is_ternary:
            raise self.fail(f"a register of {register.type}")
        self.made.add(register)
        seen.add(register)

    def use(self, registers: Iterable[Register], seen: set[Register], what: str) -> None:
        for register in registers:
            if register not in seen:
                raise self.fail(f"{what} uses a {register.type} that is not made before it")

    def instruction(self, instruction: Instruction, seen: set[Register]) -> None:
        op, attribute = instruction.op, instruction.attribute
        types = tuple(arg.type for arg in instruction.args)
        result = None if instruction.result is None else instruction.result.type
        shown = f"{op.value}({', '.join(map(repr, types))}) -> {result}"
        self.use(instruction.args, seen, shown)
        wrong = RULES[op](types, result, attribute)
        memory = attribute.memory if isinstance(attribute, MatrixAccess) else attribute
        if wrong is None and isinstance(memory, Memory) and memory not in self.memories:
            wrong = f"`{memory.name}` is no memory of this function"
        if (
            wrong is None
            and op is Op.SIZE
            and (result is None or self.arguments.get(attribute) is not result.dtype)
        ):
            wrong = f"there is no argument `{attribute}` of that dtype"
        if wrong is not None:
            raise self.fail(f"{shown}: {wrong}")

    def loop(self, loop: For, seen: set[Register]) -> None:
        bounds = (loop.start, loop.stop, loop.step)
        self.use(bounds, seen, "a loop")
        type_ = loop.variable.type
        if type_.lanes != 1 or not type_.dtype.is_integer or any(bound.type != type_ for bound in bounds):
            raise self.fail(f"a loop over {type_} with bounds {', '.join(repr(b.type) for b in bounds)}")
        if loop.unroll < 1:
            raise self.fail(f"a loop unrolled {loop.unroll} times")
        self.use((phi.initial for phi in loop.phis), seen, "a loop")
        inside = set(seen)
        self.define(loop.variable, inside)
        for phi in loop.phis:
            if len({phi.initial.type, phi.inside.type, phi.next.type, phi.after.type}) > 1:
                raise self.fail(f"a loop carries {phi.initial.type} and {phi.next.type}")
            self.define(phi.inside, inside)
        at_end = self.body(loop.body, inside)
        self.use((phi.next for phi in loop.phis), at_end, "the end of a loop")
        for phi in loop.phis:
            self.define(phi.after, seen)

    def condition(self, condition: IfElse, seen: set[Register]) -> None:
        self.use((condition.condition,), seen, "a condition")
        if condition.condition.type != MachineType(bool_):
            raise self.fail(f"a condition of {condition.condition.type}")
        then = self.body(condition.then, seen)
        otherwise = self.body(condition.otherwise, seen)
        self.use((phi.initial for phi in condition.merges), then, "a condition")
        self.use((phi.next for phi in condition.merges), otherwise, "an else")
        for phi in condition.merges:
            if len({phi.initial.type, phi.next.type, phi.after.type}) > 1:
                raise self.fail(f"a condition merges {phi.initial.type} and {phi.next.type}")
            self.define(phi.after, seen)
