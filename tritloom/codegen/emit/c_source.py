"""Machine form to source in a dialect of C, one statement an instruction, that people can read.

Here is what the dialects have in common: names, expressions and which of them are put into others, loops, conditions,
loads and stores. A dialect is a subclass that prints what differs.

f16 and bf16 are carried as their bits (`ushort`) and converted to f32 and back; arithmetic in f16 is not used. There is
no f64. `index` is `int`: a buffer has less than 2**31 elements, which the backend checks. Vector accesses of shared
arrays are aligned to the vector, others to the element.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

import numpy as np

from tritloom.codegen.errors import UnsupportedError
from tritloom.codegen.ir.dtypes import DType, bf16, bool_, f16, f32, i8, i16, i32, u8, u32
from tritloom.codegen.ir.machine import (
    Body,
    For,
    Function,
    IfElse,
    Instruction,
    MachineType,
    Memory,
    Op,
    Phi,
    Register,
    Space,
    index,
)
from tritloom.codegen.target import Target

TYPES: dict[DType, str] = {
    bool_: "bool",
    i8: "char",
    i16: "short",
    i32: "int",
    u8: "uchar",
    u32: "uint",
    f16: "ushort",
    bf16: "ushort",
    f32: "float",
    index: "int",
}
C_WORDS = (
    "auto break case char const continue default do double else enum extern float for goto if inline int "
    "long register restrict return short signed sizeof static struct switch typedef union unsigned void "
    "volatile while bool true false kernel half uchar ushort uint ulong size_t "
    "abs exp log sqrt rsqrt sin cos tanh floor rint fma fabs fmin fmax min max select dot main "
    "INFINITY NAN NULL MAXFLOAT HUGE_VALF FLT_DIG FLT_MAX FLT_MIN FLT_EPSILON FLT_RADIX INT_MAX INT_MIN UINT_MAX "
    "CHAR_BIT CHAR_MAX CHAR_MIN SHRT_MAX SHRT_MIN LONG_MAX LONG_MIN M_E M_PI M_PI_2 M_PI_4 M_PI_F M_LN2 M_LN10 M_SQRT2 "
)
"""Names that every dialect, or a kernel of ours, has another use for."""
INFIX = {Op.ADD: "+", Op.SUB: "-", Op.MUL: "*", Op.DIV: "/", Op.REM: "%", Op.SHL: "<<", Op.SHR: ">>"}
_BITS = {Op.AND: "&", Op.OR: "|", Op.XOR: "^"}
_PREDICATES = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
_NAMED = frozenset(
    {Op.LOAD, Op.GATHER, Op.DOT4_SS, Op.DOT4_US, Op.FMA, Op.LOAD_WORDS, Op.LANE_XOR, Op.SHUFFLE}
)
"""Operations whose results are not put into other expressions."""
_SUBGROUPS = frozenset(
    {
        Op.SUBGROUP,
        Op.LANE_XOR,
        Op.SUBGROUP_BARRIER,
        Op.MATRIX_LOAD,
        Op.MATRIX_STORE,
        Op.MATRIX_MULTIPLY_ADD,
    }
)
_LONGEST = 72
"""Characters of an expression that is put into another."""

Method = Callable[[Instruction, list[str], MachineType], str]
"""Prints the expression of an instruction, from the texts of its operands and the type of its result."""


def uses_subgroups(function: Function) -> bool:
    """Whether the threads of a subgroup work together, so that which of them form one matters."""
    return any(isinstance(s, Instruction) and s.op in _SUBGROUPS for s in function.body.walk())


def workgroup(function: Function) -> tuple[int, int]:
    """Threads of a workgroup along x and y. Where subgroups matter they are all along x: so neighbours form them."""
    width = function.width or function.threads
    if uses_subgroups(function):
        width = function.threads
    return width, function.threads // width


def literal(value: float | bool, dtype: DType) -> str:
    """A constant in C, of exactly its type."""
    if dtype.is_bool:
        return "true" if value else "false"
    if dtype is f32:
        # Rounded first: nine digits of a number between two may round to the farther one.
        with np.errstate(over="ignore"):
            number = float(np.float32(value))
        if math.isnan(number):
            return "NAN"
        if math.isinf(number):
            return "INFINITY" if number > 0 else "-INFINITY"
        text = f"{number:.9g}"
        return f"{text}f" if any(c in text for c in ".e") else f"{text}.0f"
    if dtype.is_float:
        bits = int(dtype.numpy.type(value).view("uint16"))
        return f"(ushort)0x{bits:04x}"
    number = int(value)
    if dtype is u32:
        return f"0x{number:x}u" if number > 0xFFFF else f"{number}u"
    if dtype in (i32, index):
        return "(-2147483647 - 1)" if number == -(2**31) else str(number)
    return f"({TYPES[dtype]}){number}"


def clean_name(name: str, reserved: frozenset[str]) -> str:
    """The name of a kernel of ours in a language whose reserved words are these."""
    cleaned = re.sub(r"\W", "_", name)
    return f"{cleaned}_" if cleaned in reserved or not cleaned or cleaned[0].isdigit() else cleaned


class CPrinter(ABC):
    """Prints one function."""

    language: ClassVar[str]
    """As errors name it."""
    reserved: ClassVar[frozenset[str]]
    """Names that the language, or a kernel of ours, has another use for."""
    helpers_text: ClassVar[Mapping[str, str]]
    """The functions that kernels call, by name: each is put into the source of the kernels that need it."""
    spaces: ClassVar[Mapping[Space, str]]
    """The words for where memory lies."""
    functions: ClassVar[Mapping[Op, str]]
    """Operations on floats that are a call."""
    wrapping: ClassVar[frozenset[Op]]
    """Operations on i32 (and shifts of narrower ones) that are computed unsigned: signed overflow is undefined in C."""

    def __init__(self, function: Function, target: Target):
        self.function = function
        self.target = target
        self.subgroups = uses_subgroups(function)
        self.lines: list[str] = []
        self.depth = 1
        self.text: dict[Register, str] = {}
        """How a register is written where it is used: a name, or an expression in brackets."""
        self.names: set[str] = set(self.reserved)
        self.numbers: dict[str, int] = {}
        """The last number tried for a name, so that the next of that name need not try them all."""
        self.memory: dict[Memory, str] = {}
        self.arguments: dict[str, str] = {}
        self.helpers: dict[str, None] = {}
        self.uses: Counter[Register] = Counter()
        self.elsewhere: set[Register] = set()
        """Registers used in another body than their own, or by a phi, or more than once in one expression: they need a
        name."""
        self.methods: dict[Op, Method] = {
            Op.MIN: self.least_or_greatest,
            Op.MAX: self.least_or_greatest,
            Op.NEG: self.negated,
            Op.NOT: self.inverted,
            Op.ABS: self.absolute,
            Op.FMA: self.fused,
            Op.RSQRT: self.rsqrt,
            Op.COMPARE: self.compare,
            Op.SELECT: self.choose,
            Op.CAST: self.cast,
            Op.LOOKUP: self.lookup,
            Op.BITCAST: self.bitcast,
            Op.EXTRACT: self.extract,
            Op.SPLAT: self.splat,
            Op.SHUFFLE: self.shuffle,
            Op.LOAD: self.load,
            Op.LOAD_WORDS: self.load_words,
            Op.DOT4_SS: self.dot4,
            Op.DOT4_US: self.dot4,
            Op.PROGRAM: self.program,
            Op.THREAD: self.thread,
            Op.SUBGROUP: self.subgroup,
            Op.LANE_XOR: self.lane_xor,
        }

    # what a dialect prints its own way

    @abstractmethod
    def frame(self, name: str) -> tuple[list[str], list[str]]:
        """Declare the arguments in `memory` and `arguments`; the lines above the helpers, and those up to the body."""

    @abstractmethod
    def declare_array(self, memory: Memory, name: str) -> str:
        """The declaration of a shared or private array."""

    @abstractmethod
    def vector(self, type_: MachineType, lanes: str) -> str:
        """A vector of lanes that are listed, or of one number in all."""

    @abstractmethod
    def wide_load(self, memory: Memory, type_: MachineType, at: Register) -> str:
        """A vector of neighbouring elements, aligned to the element."""

    @abstractmethod
    def wide_store(self, memory: Memory, at: Register, value: Register) -> str:
        """The statement that stores one."""

    @abstractmethod
    def barrier(self, op: Op) -> str:
        """The statement of a barrier, of the workgroup or of a subgroup."""

    @abstractmethod
    def lane(self, vector: str, number: int) -> str:
        """One lane of a vector."""

    @abstractmethod
    def fused(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        """a * b + c."""

    @abstractmethod
    def bitcast(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        """The same bits as another type."""

    @abstractmethod
    def convert(self, value: str, type_: MachineType) -> str:
        """A vector of integers or f32 as another type, by value."""

    @abstractmethod
    def program(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        """The program's number."""

    @abstractmethod
    def thread(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        """The thread's number, or its x or y."""

    @abstractmethod
    def subgroup(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        """The subgroup's number."""

    @abstractmethod
    def lane_xor(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        """The operand of another thread of the subgroup."""

    def type_name(self, type_: MachineType) -> str:
        """A register's type."""
        if type_.matrix is not None:
            raise UnsupportedError(f"`{self.function.name}`: {self.language} has no matrices here")
        return TYPES[type_.dtype] + ("" if type_.lanes == 1 else str(type_.lanes))

    # the whole

    def run(self) -> str:
        """The source."""
        function = self.function
        name = clean_name(function.name, self.reserved)
        self.names.add(name)
        head, signature = self.frame(name)
        for memory in function.arrays:
            self.memory[memory] = self.fresh(memory.name)
            self.line(self.declare_array(memory, self.memory[memory]))
        self.count(function.body)
        self.body(function.body)
        if function.comment:
            head.insert(0, f"// {name}: {function.comment}")
        for helper in self.helpers:
            head += ["", self.helpers_text[helper].strip()]
        return "\n".join([*head, "", *signature, "{", *self.lines, "}", ""])

    # names and lines

    def line(self, text: str) -> None:
        self.lines.append("  " * self.depth + text)

    def fresh(self, wanted: str) -> str:
        """A name not used yet, like the one wanted."""
        base = re.sub(r"\W", "_", wanted) or "v"
        if base[0].isdigit():
            base = f"v{base}"
        name, number = base, self.numbers.get(base, 1)
        while name in self.names:
            number += 1
            name = f"{base}_{number}"
        self.names.add(name)
        self.numbers[base] = number
        return name

    def helper(self, name: str) -> str:
        self.helpers[name] = None
        return name

    def name(self, register: Register) -> str:
        default = "ok" if register.dtype.is_bool else "i" if register.dtype is index else "v"
        return self.fresh(register.name or default)

    def count(self, body: Body) -> None:
        """Count the uses of all registers, and find those that need a name."""
        here: set[Register] = set()

        def use(registers: Iterable[Register], *, inside: bool) -> None:
            for register in registers:
                self.uses[register] += 1
                if not inside or register not in here:
                    self.elsewhere.add(register)

        for statement in body.statements:
            if isinstance(statement, Instruction):
                use(statement.args, inside=statement.op is not Op.SHUFFLE)
                if statement.result is not None:
                    here.add(statement.result)
            elif isinstance(statement, For):
                use((statement.start, statement.stop, statement.step), inside=True)
                self.count(statement.body)
                use((r for phi in statement.phis for r in (phi.initial, phi.next)), inside=False)
            else:
                use((statement.condition,), inside=True)
                self.count(statement.then)
                self.count(statement.otherwise)
                use((r for phi in statement.merges for r in (phi.initial, phi.next)), inside=False)

    # statements

    def body(self, body: Body) -> None:
        for statement in body.statements:
            if isinstance(statement, Instruction):
                self.instruction(statement)
            elif isinstance(statement, For):
                self.loop(statement)
            else:
                self.condition(statement)

    def instruction(self, instruction: Instruction) -> None:
        result = instruction.result
        if result is None:
            self.effect(instruction)
            return
        if instruction.op is Op.CONST:
            self.text[result] = self.constant(instruction.attribute, result.type)
            return
        if instruction.op is Op.SIZE:
            self.text[result] = self.arguments[instruction.attribute]
            return
        if not self.uses[result] and instruction.op not in (Op.LOAD, Op.GATHER):
            return
        expression = self.expression(instruction, result)
        if re.fullmatch(r"[\w.]+", expression):
            self.text[result] = expression
            return
        short = len(expression) <= _LONGEST and instruction.op not in _NAMED and not result.dtype.is_float
        if short and self.uses[result] == 1 and result not in self.elsewhere and not result.name:
            self.text[result] = f"({expression})"
            return
        name = self.name(result)
        self.line(f"const {self.type_name(result.type)} {name} = {expression};")
        self.text[result] = name

    def constant(self, value: object, type_: MachineType) -> str:
        if isinstance(value, tuple):
            return self.vector(type_, ", ".join(literal(v, type_.dtype) for v in value))
        assert isinstance(value, bool | int | float)
        text = literal(value, type_.dtype)
        if type_.lanes > 1:
            return self.vector(type_, text)
        return f"({text})" if text.startswith(("-", "(uchar", "(char", "(short", "(ushort")) else text

    def effect(self, instruction: Instruction) -> None:
        match instruction.op:
            case Op.BARRIER | Op.SUBGROUP_BARRIER:
                self.line(self.barrier(instruction.op))
            case Op.STORE | Op.STORE_WORDS:
                at, value, *mask = instruction.args
                make = self.store if instruction.op is Op.STORE else self.store_words
                store = make(instruction.attribute, at, value)
                self.line(f"if ({self.bare(mask[0])}) {store}" if mask else store)
            case _:
                raise self.unsupported(instruction.op)

    def bare(self, register: Register) -> str:
        """A register's text without the brackets around it."""
        text = self.text[register]
        if text.startswith("(") and text.endswith(")"):
            depth = 0
            for position, character in enumerate(text):
                depth += (character == "(") - (character == ")")
                if depth == 0 and position < len(text) - 1:
                    return text
            return text[1:-1]
        return text

    def place(self, memory: Memory, type_: MachineType, at: Register, *, const: bool = False) -> str:
        """Memory at an index, as a value of another type."""
        kind = f"{self.spaces[memory.space]} {'const ' if const else ''}{self.type_name(type_)}"
        return f"*({kind} *)&{self.memory[memory]}[{self.bare(at)}]"

    def store(self, memory: Memory, at: Register, value: Register) -> str:
        if value.lanes == 1:
            return f"{self.memory[memory]}[{self.bare(at)}] = {self.bare(value)};"
        if memory.space is Space.SHARED:
            return f"{self.place(memory, value.type, at)} = {self.text[value]};"
        return self.wide_store(memory, at, value)

    def store_words(self, memory: Memory, at: Register, value: Register) -> str:
        return f"{self.place(memory, value.type, at)} = {self.text[value]};"

    def loop(self, loop: For) -> None:
        variables = self.declare(loop.phis)
        for phi, variable in zip(loop.phis, variables, strict=True):
            self.line(f"{self.type_name(phi.initial.type)} {variable} = {self.bare(phi.initial)};")
            self.text[phi.inside] = self.text[phi.after] = variable
        counter = self.fresh(loop.variable.name or "k")
        self.text[loop.variable] = counter
        if loop.unroll > 1 or self.text[loop.stop].isdecimal():  # else no compiler lays out its turns
            self.line(f"#pragma unroll {loop.unroll}")
        start, stop, step = self.bare(loop.start), self.text[loop.stop], self.bare(loop.step)
        advance = f"++{counter}" if step == "1" else f"{counter} += {step}"
        kind = self.type_name(loop.variable.type)
        self.line(f"for ({kind} {counter} = {start}; {counter} < {stop}; {advance}) {{")
        self.depth += 1
        self.body(loop.body)
        sources = []
        for phi, variable in zip(loop.phis, variables, strict=True):
            source = self.text[phi.next]
            if source != variable and source.split(".")[0] in variables:  # another's, or a lane of it
                kept = self.fresh("carried")
                self.line(f"const {self.type_name(phi.next.type)} {kept} = {source};")
                source = kept
            sources.append(source)
        for variable, source in zip(variables, sources, strict=True):
            if source != variable:
                self.line(f"{variable} = {source};")
        self.depth -= 1
        self.line("}")

    def declare(self, phis: list[Phi]) -> list[str]:
        return [self.name(phi.inside if phi.inside.name else phi.after) for phi in phis]

    def condition(self, statement: IfElse) -> None:
        variables = self.declare(statement.merges)
        for phi, variable in zip(statement.merges, variables, strict=True):
            self.line(f"{self.type_name(phi.after.type)} {variable};")
        self.line(f"if ({self.bare(statement.condition)}) {{")
        self.branch(statement.then, [(v, phi.initial) for v, phi in zip(variables, statement.merges)])
        if statement.otherwise.statements or statement.merges:
            self.line("} else {")
            self.branch(statement.otherwise, [(v, phi.next) for v, phi in zip(variables, statement.merges)])
        self.line("}")
        for phi, variable in zip(statement.merges, variables, strict=True):
            self.text[phi.after] = variable

    def branch(self, body: Body, merges: list[tuple[str, Register]]) -> None:
        self.depth += 1
        self.body(body)
        for variable, register in merges:
            self.line(f"{variable} = {self.bare(register)};")
        self.depth -= 1

    # expressions

    def unsupported(self, op: Op) -> UnsupportedError:
        return UnsupportedError(f"`{self.function.name}`: {self.language} has no `{op.value}` here")

    def expression(self, instruction: Instruction, result: Register) -> str:
        op, type_ = instruction.op, result.type
        args = [self.text[arg] for arg in instruction.args]
        dtype = type_.dtype
        if op in INFIX:
            return self.arithmetic(instruction, args, type_)
        if op in _BITS:
            if dtype.is_bool:
                symbol = {Op.AND: "&&", Op.OR: "||", Op.XOR: "!="}[op]
                return f"{args[0]} {symbol} {args[1]}"
            return self.narrowed(f"{args[0]} {_BITS[op]} {args[1]}", type_)
        if op in self.functions:
            return f"{self.functions[op]}({', '.join(self.bare(arg) for arg in instruction.args)})"
        method = self.methods.get(op)
        if method is None:
            raise self.unsupported(op)
        return method(instruction, args, type_)

    def narrowed(self, expression: str, type_: MachineType) -> str:
        """C computes bytes and shorts as int; the result wraps."""
        narrow = type_.lanes == 1 and type_.dtype.is_integer and type_.dtype.bits < 32
        return f"({self.type_name(type_)})({expression})" if narrow else expression

    def wraps(self, instruction: Instruction) -> bool:
        """Whether the operation may overflow, so that it is computed unsigned where its dtype is signed."""
        return instruction.op in self.wrapping

    def arithmetic(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        op, (a, b) = instruction.op, args
        signed = type_.dtype is i32 or (op is Op.SHL and type_.dtype in (i8, i16))
        if signed and type_.lanes == 1 and self.wraps(instruction):
            return f"({self.type_name(type_)})((uint){a} {INFIX[op]} {b})"
        return self.narrowed(f"{a} {INFIX[op]} {b}", type_)

    def least_or_greatest(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        prefix = "f" if type_.dtype.is_float else ""
        return f"{prefix}{instruction.op.value}({args[0]}, {args[1]})"

    def negated(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        if type_.dtype is i32 and type_.lanes == 1 and self.wraps(instruction):
            return f"(int)(0u - (uint){args[0]})"
        return self.narrowed(f"-{args[0]}", type_)

    def inverted(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        return f"!{args[0]}" if type_.dtype.is_bool else self.narrowed(f"~{args[0]}", type_)

    def absolute(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        if type_.dtype.is_float:
            return f"fabs({args[0]})"
        if type_.lanes > 1:
            raise self.unsupported(instruction.op)
        return f"({self.type_name(type_)}){self.helper('magnitude')}({args[0]})"

    def rsqrt(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        return f"1.0f / {self.functions[Op.SQRT]}({self.bare(instruction.args[0])})"

    def compare(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        if type_.lanes > 1:
            raise self.unsupported(instruction.op)
        return f"{args[0]} {_PREDICATES[instruction.attribute]} {args[1]}"

    def choose(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        if instruction.args[0].lanes > 1:
            raise self.unsupported(instruction.op)
        return self.narrowed(f"{args[0]} ? {args[1]} : {args[2]}", type_)

    def lookup(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        if type_.lanes > 1:
            raise self.unsupported(instruction.op)
        chosen = [literal(value, type_.dtype) for value in instruction.attribute]
        bit = 1
        while len(chosen) > 1:
            pairs = zip(chosen[::2], chosen[1::2], strict=True)
            chosen = [f"(({args[0]} & {bit}) ? {high} : {low})" for low, high in pairs]
            bit *= 2
        return chosen[0]

    def cast(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        source, target = (i32 if d is index else d for d in (instruction.args[0].dtype, type_.dtype))
        a, bare = args[0], self.bare(instruction.args[0])
        if source is target:
            return a
        saturates = source is f32 and target.is_integer
        if type_.lanes > 1 and (saturates or {source, target} & {f16, bf16, bool_}):
            raise self.unsupported(instruction.op)
        if target.is_bool:
            return f"{a} != 0"
        if source in (f16, bf16) and target is f32:
            return f"{self.helper('f16_to_f32' if source is f16 else 'bf16_to_f32')}({bare})"
        if target in (f16, bf16) and source is f32:
            return f"{self.helper('f32_to_f16' if target is f16 else 'f32_to_bf16')}({bare})"
        if {source, target} & {f16, bf16}:
            raise self.unsupported(instruction.op)
        if saturates:
            return f"{self.helper(f'f32_to_{target.name}')}({bare})"
        return self.convert(a, type_) if type_.lanes > 1 else f"({self.type_name(type_)}){a}"

    def extract(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        return self.lane(args[0], instruction.attribute)

    def splat(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        return self.vector(type_, args[0])

    def shuffle(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        lanes = instruction.args[0].lanes
        if lanes == 1 or type_.lanes == 1:
            raise self.unsupported(instruction.op)
        picked = (self.lane(args[k // lanes], k % lanes) for k in instruction.attribute)
        return self.vector(type_, ", ".join(picked))

    def load(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        memory, at = instruction.attribute, instruction.args[0]
        if type_.lanes == 1:
            value = f"{self.memory[memory]}[{self.bare(at)}]"
        elif memory.space is Space.SHARED:
            value = self.place(memory, type_, at, const=True)
        else:
            value = self.wide_load(memory, type_, at)
        return self.masked(value, args, type_)

    def load_words(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        return self.masked(
            self.place(instruction.attribute, type_, instruction.args[0], const=True), args, type_
        )

    def masked(self, value: str, args: list[str], type_: MachineType) -> str:
        """What is loaded, or 0 where the mask of the operands does not hold."""
        return value if len(args) == 1 else f"{args[1]} ? {value} : {self.constant(0, type_)}"

    def dot4(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        if type_.lanes > 1:
            raise self.unsupported(instruction.op)
        kind = instruction.op.value.removeprefix("dot4_")
        suffix = "_native" if self.target.has("int8-dot") else ""
        return f"{self.helper(f'dot4_{kind}{suffix}')}({', '.join(args)})"
