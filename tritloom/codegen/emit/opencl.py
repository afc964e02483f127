"""Machine form to OpenCL C 1.2, one statement an instruction, in source that people can read.

f16 and bf16 are carried as their bits (`ushort`) and converted to f32 and back, f16 by the core's vload_half and
vstore_half: no device needs cl_khr_fp16, and arithmetic in f16 is not used. There is no f64. `index` is `int`: a buffer
has less than 2**31 elements, which the backend checks. Vector accesses of shared arrays are aligned to the vector,
others to the element.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable

from tritloom.codegen.emit.opencl_helpers import HELPERS
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
from tritloom.codegen.lower.math import expand_math
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
_WORDS = (
    "auto break case char const continue default do double else enum extern float for goto if inline int "
    "long register restrict return short signed sizeof static struct switch typedef union unsigned void "
    "volatile while bool true false global local constant private kernel half uchar ushort uint ulong "
    "size_t image1d_t image2d_t image3d_t sampler_t event_t read_only write_only read_write quad complex "
    "imaginary uniform pipe generic vec_step NULL abs exp log sqrt rsqrt sin cos tanh floor rint fma fabs "
    "fmin fmax min max select barrier dot convert main printf get_group_id get_local_id get_global_id "
    "INFINITY NAN as_int as_uint as_float as_char4 as_uchar4 vload4 vstore4 mad "
)
_RESERVED = frozenset(_WORDS.split())
"""Names that OpenCL C, or a kernel of ours, has another use for."""
_INFIX = {Op.ADD: "+", Op.SUB: "-", Op.MUL: "*", Op.DIV: "/", Op.REM: "%", Op.SHL: "<<", Op.SHR: ">>"}
_BITS = {Op.AND: "&", Op.OR: "|", Op.XOR: "^"}
_PREDICATES = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
_FUNCTIONS = {
    Op.SQRT: "sqrt",
    Op.EXP: "exp",
    Op.LOG: "log",
    Op.SIN: "sin",
    Op.COS: "cos",
    Op.TANH: "tanh",
    Op.FLOOR: "floor",
    Op.ROUND: "rint",
}
_NO_INLINE = {Op.LOAD, Op.GATHER, Op.DOT4_SS, Op.DOT4_US, Op.FMA}
_LONGEST = 72
"""Characters of an expression that is put into another."""


def emit_opencl(function: Function, target: Target) -> str:
    """The source of a function: one kernel of its name, whose arguments are its buffers, sizes and scalars.

    Its workgroup is two-dimensional: `workgroup(function)`.
    """
    # Intel's compiler (2026.2) crashes where one kernel takes the sine and the cosine of one number.
    return _Emitter(expand_math(function, frozenset({Op.SIN, Op.COS})), target).run()


def workgroup(function: Function) -> tuple[int, int]:
    """Threads of a workgroup along x and y."""
    width = function.width or function.threads
    return width, function.threads // width


def kernel_name(name: str) -> str:
    """The name in the source of the kernel of a function."""
    cleaned = re.sub(r"\W", "_", name)
    return f"{cleaned}_" if cleaned in _RESERVED or not cleaned or cleaned[0].isdigit() else cleaned


def c_type(type_: MachineType) -> str:
    """A register's type in C."""
    return TYPES[type_.dtype] + ("" if type_.lanes == 1 else str(type_.lanes))


def literal(value: float | bool, dtype: DType) -> str:
    """A constant in C, of exactly its type."""
    if dtype.is_bool:
        return "true" if value else "false"
    if dtype is f32:
        number = float(value)
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


class _Emitter:
    def __init__(self, function: Function, target: Target):
        self.function = function
        self.target = target
        self.lines: list[str] = []
        self.depth = 1
        self.text: dict[Register, str] = {}
        """How a register is written where it is used: a name, or an expression in brackets."""
        self.names: set[str] = set(_RESERVED)
        self.numbers: dict[str, int] = {}
        """The last number tried for a name, so that the next of that name need not try them all."""
        self.memory: dict[Memory, str] = {}
        self.arguments: dict[str, str] = {}
        self.helpers: dict[str, None] = {}
        self.uses: Counter[Register] = Counter()
        self.elsewhere: set[Register] = set()
        """Registers used in another body than their own, or by a phi: they need a name."""

    def run(self) -> str:
        function = self.function
        name = kernel_name(function.name)
        self.names.add(name)
        parameters = []
        for memory in function.buffers:
            self.memory[memory] = self.fresh(memory.name)
            const = "" if memory.writable else "const "
            parameters.append(f"__global {const}{TYPES[memory.dtype]} *{self.memory[memory]}")
        for argument in function.sizes:
            self.arguments[argument] = self.fresh(argument)
            parameters.append(f"const int {self.arguments[argument]}")
        for argument, dtype in function.scalars:
            self.arguments[argument] = self.fresh(argument)
            parameters.append(f"const {TYPES[dtype]} {self.arguments[argument]}")
        for memory in function.arrays:
            self.memory[memory] = self.fresh(memory.name)
            space = "__local" if memory.space is Space.SHARED else "__private"
            self.line(
                f"{space} {TYPES[memory.dtype]} {self.memory[memory]}[{memory.length}] __attribute__((aligned(16)));"
            )
        self.count(function.body)
        self.body(function.body)
        used = list(self.helpers)
        head = [f"// {name}: {function.comment}"] if function.comment else []
        head.append("#pragma OPENCL FP_CONTRACT OFF")
        for helper in used:
            head += ["", HELPERS[helper].strip()]
        width, height = workgroup(function)
        signature = ",\n    ".join(parameters)
        head += [
            "",
            f"__kernel __attribute__((reqd_work_group_size({width}, {height}, 1)))",
            f"void {name}(\n    {signature})",
            "{",
        ]
        return "\n".join([*head, *self.lines, "}", ""])

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
                use(statement.args, inside=True)
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
        if re.fullmatch(r"\w+", expression):
            self.text[result] = expression
            return
        short = len(expression) <= _LONGEST and instruction.op not in _NO_INLINE and not result.dtype.is_float
        if short and self.uses[result] == 1 and result not in self.elsewhere and not result.name:
            self.text[result] = f"({expression})"
            return
        name = self.name(result)
        self.line(f"const {c_type(result.type)} {name} = {expression};")
        self.text[result] = name

    def constant(self, value: object, type_: MachineType) -> str:
        if isinstance(value, tuple):
            numbers = ", ".join(literal(v, type_.dtype) for v in value)
            return f"(({c_type(type_)})({numbers}))"
        assert isinstance(value, bool | int | float)
        text = literal(value, type_.dtype)
        if type_.lanes > 1:
            return f"(({c_type(type_)})({text}))"
        return f"({text})" if text.startswith(("-", "(uchar", "(char", "(short", "(ushort")) else text

    def effect(self, instruction: Instruction) -> None:
        match instruction.op:
            case Op.BARRIER:
                self.line("barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);")
            case Op.STORE:
                at, value, *mask = instruction.args
                store = self.store(instruction.attribute, at, value)
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

    def store(self, memory: Memory, at: Register, value: Register) -> str:
        name, place = self.memory[memory], self.bare(at)
        if value.lanes == 1:
            return f"{name}[{place}] = {self.bare(value)};"
        if memory.space is Space.SHARED:
            return f"*(__local {c_type(value.type)} *)&{name}[{place}] = {self.text[value]};"
        return f"vstore{value.lanes}({self.text[value]}, 0, {name} + {self.text[at]});"

    def loop(self, loop: For) -> None:
        variables = self.declare(loop.phis)
        for phi, variable in zip(loop.phis, variables, strict=True):
            self.line(f"{c_type(phi.initial.type)} {variable} = {self.bare(phi.initial)};")
            self.text[phi.inside] = self.text[phi.after] = variable
        counter = self.fresh(loop.variable.name or "k")
        self.text[loop.variable] = counter
        if loop.unroll > 1:
            self.line(f"#pragma unroll {loop.unroll}")
        start, stop, step = self.bare(loop.start), self.text[loop.stop], self.bare(loop.step)
        advance = f"++{counter}" if step == "1" else f"{counter} += {step}"
        self.line(f"for ({c_type(loop.variable.type)} {counter} = {start}; {counter} < {stop}; {advance}) {{")
        self.depth += 1
        self.body(loop.body)
        carried = {phi.inside for phi in loop.phis}
        sources = []
        for phi in loop.phis:
            source = self.text[phi.next]
            if phi.next in carried and phi.next is not phi.inside:
                source = self.fresh("carried")
                self.line(f"const {c_type(phi.next.type)} {source} = {self.text[phi.next]};")
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
            self.line(f"{c_type(phi.after.type)} {variable};")
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
        return UnsupportedError(f"`{self.function.name}`: OpenCL C has no `{op.value}` here")

    def expression(self, instruction: Instruction, result: Register) -> str:
        op, type_ = instruction.op, result.type
        args = [self.text[arg] for arg in instruction.args]
        dtype = type_.dtype
        if op in _INFIX:
            return self.arithmetic(_INFIX[op], args, type_)
        if op in _BITS:
            if dtype.is_bool:
                symbol = {Op.AND: "&&", Op.OR: "||", Op.XOR: "!="}[op]
                return f"{args[0]} {symbol} {args[1]}"
            return self.narrowed(f"{args[0]} {_BITS[op]} {args[1]}", type_)
        if op in _FUNCTIONS:
            return f"{_FUNCTIONS[op]}({', '.join(self.bare(arg) for arg in instruction.args)})"
        method = _METHODS.get(op)
        if method is None:
            raise self.unsupported(op)
        return method(self, instruction, args, type_)

    def narrowed(self, expression: str, type_: MachineType) -> str:
        """C computes bytes and shorts as int; the result wraps."""
        narrow = type_.lanes == 1 and type_.dtype.is_integer and type_.dtype.bits < 32
        return f"({c_type(type_)})({expression})" if narrow else expression

    def arithmetic(self, symbol: str, args: list[str], type_: MachineType) -> str:
        a, b = args
        if type_.dtype is i32 and symbol == "*" and type_.lanes == 1:  # signed overflow is undefined in C
            return f"(int)((uint){a} * {b})"
        return self.narrowed(f"{a} {symbol} {b}", type_)

    def least_or_greatest(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        prefix = "f" if type_.dtype.is_float else ""
        return f"{prefix}{instruction.op.value}({args[0]}, {args[1]})"

    def negated(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        # Floats not by `-x`: Intel's CPU runtime (2026.2) moves that past barriers without its operand.
        if type_.dtype.is_float:
            return f"{args[0]} * -1.0f"
        return self.narrowed(f"-{args[0]}", type_)

    def inverted(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        return f"!{args[0]}" if type_.dtype.is_bool else self.narrowed(f"~{args[0]}", type_)

    def absolute(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        if type_.dtype.is_float:
            return f"fabs({args[0]})"
        return f"({c_type(type_)})abs({args[0]})"

    def fused(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        return f"{self.helper('multiply_add')}({', '.join(args)})"

    def rsqrt(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        return f"1.0f / sqrt({self.bare(instruction.args[0])})"

    def compare(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        if type_.lanes > 1:
            raise self.unsupported(instruction.op)
        return f"{args[0]} {_PREDICATES[instruction.attribute]} {args[1]}"

    def choose(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
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
        source, target = instruction.args[0].dtype, type_.dtype
        a, name = args[0], c_type(type_)
        target = i32 if target is index else target
        if TYPES[source] == TYPES[target] and source.is_float == target.is_float:
            return a
        if type_.lanes > 1 and {source, target} & {f16, bf16, bool_}:
            raise self.unsupported(instruction.op)
        if target.is_bool:
            return f"{a} != 0"
        if source in (f16, bf16) and target is f32:
            half = "f16_to_f32" if source is f16 else "bf16_to_f32"
            return f"{self.helper(half)}({self.bare(instruction.args[0])})"
        if target in (f16, bf16) and source is f32:
            half = "f32_to_f16" if target is f16 else "f32_to_bf16"
            return f"{self.helper(half)}({self.bare(instruction.args[0])})"
        if {source, target} & {f16, bf16}:
            raise self.unsupported(instruction.op)
        if source is f32 and type_.lanes == 1:
            return f"{self.helper(f'f32_to_{target.name}')}({self.bare(instruction.args[0])})"
        return f"convert_{name}({a})" if type_.lanes > 1 else f"({name}){a}"

    def bitcast(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        return f"as_{c_type(type_)}({self.bare(instruction.args[0])})"

    def extract(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        return f"{args[0]}.s{instruction.attribute:x}"

    def splat(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        return f"({c_type(type_)})({args[0]})"

    def load(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        memory = instruction.attribute
        name, place = self.memory[memory], self.bare(instruction.args[0])
        if type_.lanes == 1:
            value = f"{name}[{place}]"
        elif memory.space is Space.SHARED:
            value = f"*(__local const {c_type(type_)} *)&{name}[{place}]"
        else:
            value = f"vload{type_.lanes}(0, {name} + {args[0]})"
        if len(args) == 1:
            return value
        zero = self.constant(0, type_)
        return f"{args[1]} ? {value} : {zero}"

    def dot4(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        if type_.lanes > 1:
            raise self.unsupported(instruction.op)
        kind = instruction.op.value.removeprefix("dot4_")
        suffix = "_native" if self.target.has("int8-dot") else ""
        return f"{self.helper(f'dot4_{kind}{suffix}')}({', '.join(args)})"

    def number(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        if instruction.op is Op.PROGRAM:
            return "(int)get_group_id(0)"
        if instruction.attribute is not None:
            return f"(int)get_local_id({instruction.attribute})"
        width, height = workgroup(self.function)
        y = f"(int)get_local_id(1) * {width} + " if height > 1 else ""
        return f"{y}(int)get_local_id(0)"


_METHODS: dict[Op, Callable[[_Emitter, Instruction, list[str], MachineType], str]] = {
    Op.MIN: _Emitter.least_or_greatest,
    Op.MAX: _Emitter.least_or_greatest,
    Op.NEG: _Emitter.negated,
    Op.NOT: _Emitter.inverted,
    Op.ABS: _Emitter.absolute,
    Op.FMA: _Emitter.fused,
    Op.RSQRT: _Emitter.rsqrt,
    Op.COMPARE: _Emitter.compare,
    Op.SELECT: _Emitter.choose,
    Op.CAST: _Emitter.cast,
    Op.LOOKUP: _Emitter.lookup,
    Op.BITCAST: _Emitter.bitcast,
    Op.EXTRACT: _Emitter.extract,
    Op.SPLAT: _Emitter.splat,
    Op.LOAD: _Emitter.load,
    Op.DOT4_SS: _Emitter.dot4,
    Op.DOT4_US: _Emitter.dot4,
    Op.PROGRAM: _Emitter.number,
    Op.THREAD: _Emitter.number,
}
