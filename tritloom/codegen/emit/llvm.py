"""Prints machine form as LLVM IR, for any CPU target.

A function becomes `void NAME(ptr args, i64 begin, i64 end)`, which runs the programs `begin` .. `end - 1`. `args` is an
array of 64-bit slots: the buffers' addresses, then the sizes, then the scalars (in their low 32 bits). Buffers are
64-byte aligned and, unless `may_alias`, do not overlap. Floating point keeps IEEE's rules for infinities and NaN; only
the contraction of a product and a sum into one rounding is allowed.
"""

from __future__ import annotations

from tritloom.codegen.emit.llvm_dots import dot2_bf16, dot4, fused, has_fma, lookup
from tritloom.codegen.emit.llvm_memory import MemoryAccess
from tritloom.codegen.emit.llvm_text import Text
from tritloom.codegen.emit.llvm_types import constant, register, scalar, vector
from tritloom.codegen.errors import UnsupportedError
from tritloom.codegen.ir.dtypes import DType, Kind, f16, f32
from tritloom.codegen.ir.machine import Body, For, Function, IfElse, Instruction, MachineType, Op
from tritloom.codegen.lower.floats import expand_conversions, expand_narrow_floats, expand_rounding
from tritloom.codegen.lower.math import expand_math
from tritloom.codegen.target import Target

MAX_STACK = 1 << 20
"""Bytes of private and shared arrays that one CPU program may have: they lie on a thread's stack."""

_INTEGER = {
    Op.ADD: ("add", "add"),
    Op.SUB: ("sub", "sub"),
    Op.MUL: ("mul", "mul"),
    Op.DIV: ("sdiv", "udiv"),
    Op.REM: ("srem", "urem"),
    Op.AND: ("and", "and"),
    Op.OR: ("or", "or"),
    Op.XOR: ("xor", "xor"),
    Op.SHL: ("shl", "shl"),
    Op.SHR: ("ashr", "lshr"),
}
"""LLVM's instruction for signed and for unsigned dtypes."""
_FLOAT = {Op.ADD: "fadd contract", Op.SUB: "fsub contract", Op.MUL: "fmul contract", Op.DIV: "fdiv"}
_SIGNED_PREDICATES = {"lt": "slt", "le": "sle", "gt": "sgt", "ge": "sge", "eq": "eq", "ne": "ne"}
_UNSIGNED_PREDICATES = {"lt": "ult", "le": "ule", "gt": "ugt", "ge": "uge", "eq": "eq", "ne": "ne"}
_FLOAT_PREDICATES = {"lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge", "eq": "oeq", "ne": "une"}
_INTRINSICS = {Op.SQRT: "llvm.sqrt", Op.FLOOR: "llvm.floor", Op.ROUND: "llvm.roundeven"}


def isa_of(target: Target) -> frozenset[str]:
    """The instruction set extensions that a CPU target has, in LLVM's names."""
    return frozenset(part[1:] for part in target.llvm_features.split(",") if part.startswith("+"))


def legalise(function: Function, isa: frozenset[str]) -> Function:
    """The function with what the instruction set lacks expanded into what it has."""
    function = expand_math(expand_narrow_floats(function))
    if not {"sse4.1", "neon"} & isa:
        function = expand_rounding(function)
    return expand_conversions(function, f16_too=not {"f16c", "neon"} & isa)


def emit_llvm(function: Function, target: Target, *, may_alias: bool = False) -> str:
    """The LLVM module of one function. Raises UnsupportedError if its arrays do not fit on a stack."""
    return _Emitter(function, target, may_alias).module()


class _Emitter:
    def __init__(self, function: Function, target: Target, may_alias: bool):
        self.isa = isa_of(target)
        self.target = target
        self.function = legalise(function, self.isa)
        self.text = Text()
        self.names = self.text.names
        self.memory = MemoryAccess(self.text, self.function, may_alias)
        self.block = "entry"
        self.loops = 0
        self.metadata: list[str] = []

    # the module

    def module(self) -> str:
        function, text = self.function, self.text
        size = sum((array.length or 0) * array.dtype.nbytes for array in function.arrays)
        if size > MAX_STACK:
            raise UnsupportedError(
                f"`{function.name}` needs {size} bytes of arrays a program, {self.target.name} gives {MAX_STACK}",
                hint="take smaller blocks",
            )
        self.memory.arguments()
        text.line("br label %programs")
        self.label("programs")
        text.line("%program64 = phi i64 [ %begin, %entry ], [ %following, %finished ]")
        text.line("%more = icmp slt i64 %program64, %end")
        text.line("br i1 %more, label %start, label %return")
        self.label("start")
        text.line("%program = trunc i64 %program64 to i32")
        self.body(function.body)
        text.line("br label %finished")
        self.label("finished")
        text.line("%following = add nuw nsw i64 %program64, 1")
        text.line("br label %programs")
        self.label("return")
        text.line("ret void")
        attributes = [
            "nounwind",
            f'"target-cpu"="{self.target.llvm_cpu}"',
            f'"target-features"="{self.target.llvm_features}"',
        ]
        if self.target.vector_bits > 256:
            attributes.append(f'"prefer-vector-width"="{self.target.vector_bits}"')
        return "\n".join(
            [
                *(f"; {line}" for line in function.comment.splitlines()),
                f'target triple = "{self.target.llvm_triple}"',
                "",
                f'define void @"{function.name}"(ptr noundef %args, i64 noundef %begin, i64 noundef %end) #0 {{',
                "entry:",
                *text.lines,
                "}",
                "",
                *sorted(text.declarations),
                "",
                f"attributes #0 = {{ {' '.join(attributes)} }}",
                *self.memory.metadata,
                *self.metadata,
                "",
            ]
        )

    def label(self, name: str) -> None:
        self.text.lines.append(f"{name}:")
        self.block = name

    # statements

    def body(self, body: Body) -> None:
        for statement in body.statements:
            if isinstance(statement, Instruction):
                made = self.instruction(statement)
                if statement.result is not None:
                    self.names[statement.result] = made
            elif isinstance(statement, For):
                self.loop(statement)
            else:
                self.condition(statement)

    def loop(self, loop: For) -> None:
        text, number = self.text, self.loops
        self.loops += 1
        head, inside, after = f"loop{number}", f"body{number}", f"after{number}"
        type_ = register(loop.variable.type)
        variable, following = f"%i{number}", f"%next{number}"
        start, stop, step = (self.names[bound] for bound in (loop.start, loop.stop, loop.step))
        text.line(f"br label %{head}")
        before = self.block
        self.label(head)
        position = len(text.lines)
        self.names[loop.variable] = variable
        for phi in loop.phis:
            self.names[phi.inside] = self.names[phi.after] = f"%{text.fresh()}"
        compare = "slt" if loop.variable.dtype.kind is Kind.INT else "ult"
        wraps = "nsw" if compare == "slt" else "nuw"
        text.line(f"%more{number} = icmp {compare} {type_} {variable}, {stop}")
        text.line(f"br i1 %more{number}, label %{inside}, label %{after}")
        self.label(inside)
        self.body(loop.body)
        text.line(f"{following} = add {wraps} {type_} {variable}, {step}")
        text.line(f"br label %{head}{self.unrolling(loop.unroll)}")
        phis = [f"  {variable} = phi {type_} [ {start}, %{before} ], [ {following}, %{self.block} ]"]
        for phi in loop.phis:
            carried = register(phi.inside.type)
            pairs = f"[ {self.names[phi.initial]}, %{before} ], [ {self.names[phi.next]}, %{self.block} ]"
            phis.append(f"  {self.names[phi.inside]} = phi {carried} {pairs}")
        text.lines[position:position] = phis
        self.label(after)

    def unrolling(self, unroll: int) -> str:
        if unroll < 2:
            return ""
        first = 1000 + 2 * len(self.metadata)
        self.metadata += [
            f"!{first} = distinct !{{!{first}, !{first + 1}}}",
            f'!{first + 1} = !{{!"llvm.loop.unroll.count", i32 {unroll}}}',
        ]
        return f", !llvm.loop !{first}"

    def condition(self, condition: IfElse) -> None:
        text, number = self.text, self.loops
        self.loops += 1
        then, otherwise, after = f"then{number}", f"else{number}", f"after{number}"
        text.line(f"br i1 {self.names[condition.condition]}, label %{then}, label %{otherwise}")
        ends = []
        for name, body in ((then, condition.then), (otherwise, condition.otherwise)):
            self.label(name)
            self.body(body)
            text.line(f"br label %{after}")
            ends.append(self.block)
        self.label(after)
        for merge in condition.merges:
            pairs = f"[ {self.names[merge.initial]}, %{ends[0]} ], [ {self.names[merge.next]}, %{ends[1]} ]"
            self.names[merge.after] = text.value(f"phi {register(merge.after.type)} {pairs}")

    # instructions

    def instruction(self, instruction: Instruction) -> str:
        op, attribute, result = instruction.op, instruction.attribute, instruction.result
        args = [self.names[arg] for arg in instruction.args]
        if result is None:
            if op in (Op.STORE, Op.SCATTER):
                self.memory.write(instruction, args)
            return ""
        type_ = result.type
        match op:
            case Op.CONST:
                return constant(attribute, type_)
            case Op.SIZE:
                return self.memory.argument(attribute)
            case Op.PROGRAM:
                return "%program"
            case Op.THREAD:
                return "0"
            case Op.LOAD | Op.GATHER:
                return self.memory.read(instruction, args)
            case Op.COMPARE | Op.SELECT | Op.CAST | Op.BITCAST:
                return self.choice_or_conversion(instruction, args)
            case Op.SPLAT | Op.EXTRACT | Op.INSERT | Op.SHUFFLE | Op.REDUCE:
                return self.lanes(instruction, args)
            case Op.DOT4_US | Op.DOT4_SS:
                signed, small = op is Op.DOT4_SS, attribute == "small"
                return dot4(
                    self.text, self.isa, args[0], args[1], args[2], type_.lanes, signed=signed, small=small
                )
            case Op.DOT2_BF16:
                return dot2_bf16(self.text, self.isa, args[0], args[1], args[2], type_.lanes)
            case Op.LOOKUP:
                return lookup(self.text, self.isa, args[0], type_.lanes, attribute, type_.dtype)
            case _:
                return self.arithmetic(op, type_, args)

    def arithmetic(self, op: Op, type_: MachineType, args: list[str]) -> str:
        text, dtype, shown = self.text, type_.dtype, register(type_)
        if op in (Op.MIN, Op.MAX):
            return self.least_or_greatest(op, dtype, shown, args[0], args[1])
        if op is Op.NOT:
            ones = constant(True if dtype.is_bool else -1, type_)
            return text.binary("xor", shown, args[0], ones)
        if dtype.is_float:
            match op:
                case Op.FMA:
                    return fused(text, shown, args[0], args[1], args[2], fma=has_fma(self.isa))
                case Op.NEG:
                    return text.value(f"fneg {shown} {args[0]}")
                case Op.ABS:
                    return self.intrinsic("llvm.fabs", type_, args[0])
                case Op.RSQRT:
                    root = self.intrinsic("llvm.sqrt", type_, args[0])
                    return text.binary("fdiv", shown, constant(1.0, type_), root)
                case Op.SQRT | Op.FLOOR | Op.ROUND:
                    return self.intrinsic(_INTRINSICS[op], type_, args[0])
            return text.binary(_FLOAT[op], shown, args[0], args[1])
        match op:
            case Op.NEG:
                return text.binary("sub", shown, constant(0, type_), args[0])
            case Op.ABS:
                name = f"llvm.abs.{_suffix(type_)}"
                return text.call(shown, name, (shown, "i1"), (args[0], "false"))
            case Op.DIV | Op.REM:
                args = [args[0], self.safe_divisor(type_, args[0], args[1])]
            case Op.SHL | Op.SHR:
                args = [args[0], text.binary("and", shown, args[1], constant(dtype.bits - 1, type_))]
        return text.binary(_INTEGER[op][dtype.kind is Kind.UINT], shown, args[0], args[1])

    def safe_divisor(self, type_: MachineType, dividend: str, divisor: str) -> str:
        """The divisor, but 1 where dividing would trap: lanes that nobody looks at hold any number."""
        if not divisor.startswith("%") and "splat" not in divisor:
            if divisor.lstrip("-").isdigit() and int(divisor) not in (0, -1):
                return divisor
        text, shown = self.text, register(type_)
        i1 = vector("i1", type_.lanes)
        one = constant(1, type_)
        traps = text.binary("icmp eq", shown, divisor, constant(0, type_))
        if type_.dtype.kind is Kind.INT:
            least = constant(type_.dtype.limits[0], type_)
            at_least = text.binary("icmp eq", shown, dividend, least)
            minus_one = text.binary("icmp eq", shown, divisor, constant(-1, type_))
            traps = text.binary("or", i1, traps, text.binary("and", i1, at_least, minus_one))
        return text.value(f"select {i1} {traps}, {shown} {one}, {shown} {divisor}")

    def least_or_greatest(self, op: Op, dtype: DType, shown: str, a: str, b: str) -> str:
        """min or max. Floats: the one instruction that x86 has, `a < b ? a : b`, or minnum where that is one."""
        text = self.text
        least = op is Op.MIN
        if dtype.is_float:
            if "neon" in self.isa:
                name = f"llvm.{'minnum' if least else 'maxnum'}.{_suffix_of(shown)}"
                return text.call(shown, name, (shown, shown), (a, b))
            chosen = text.binary(f"fcmp {'olt' if least else 'ogt'}", shown, a, b)
            return text.value(f"select {_bools_like(shown)} {chosen}, {shown} {a}, {shown} {b}")
        sign = "u" if dtype.kind is Kind.UINT else "s"
        name = f"llvm.{sign}{op.value}.{_suffix_of(shown)}"
        return text.call(shown, name, (shown, shown), (a, b))

    def intrinsic(self, name: str, type_: MachineType, operand: str) -> str:
        shown = register(type_)
        return self.text.call(shown, f"{name}.{_suffix(type_)}", (shown,), (operand,))

    def choice_or_conversion(self, instruction: Instruction, args: list[str]) -> str:
        text = self.text
        assert instruction.result is not None
        type_, source = instruction.result.type, instruction.args[0].type
        shown, from_ = register(type_), register(source)
        match instruction.op:
            case Op.COMPARE:
                return self.compare(instruction.attribute, source, args)
            case Op.SELECT:
                return text.value(f"select {from_} {args[0]}, {shown} {args[1]}, {shown} {args[2]}")
            case Op.BITCAST:
                return text.convert("bitcast", from_, args[0], shown)
        return self.cast(source, type_, args[0])

    def compare(self, predicate: str, type_: MachineType, args: list[str]) -> str:
        if type_.dtype.is_float:
            return self.text.binary(f"fcmp {_FLOAT_PREDICATES[predicate]}", register(type_), args[0], args[1])
        unsigned = type_.dtype.kind is not Kind.INT
        table = _UNSIGNED_PREDICATES if unsigned else _SIGNED_PREDICATES
        return self.text.binary(f"icmp {table[predicate]}", register(type_), args[0], args[1])

    def cast(self, source: MachineType, type_: MachineType, value: str) -> str:
        """A conversion by value. Of floats only f32, and f16 by the processor's own instructions, come here."""
        text, a, b = self.text, source.dtype, type_.dtype
        from_, shown = register(source), register(type_)
        if f16 in (a, b) and f32 in (a, b):
            half = vector("half", type_.lanes)
            if a is f16:
                return text.convert("fpext", half, text.convert("bitcast", from_, value, half), shown)
            return text.convert("bitcast", half, text.convert("fptrunc", from_, value, half), shown)
        if b.is_bool:
            operation = "fcmp une" if a.is_float else "icmp ne"
            return text.binary(operation, from_, value, constant(0, source))
        unsigned = a.kind is not Kind.INT
        if b.is_float:
            return text.convert("uitofp" if unsigned else "sitofp", from_, value, shown)
        if a.is_float:
            sign = "fptoui" if b.kind is Kind.UINT else "fptosi"
            name = f"llvm.{sign}.sat.{_suffix(type_)}.{_suffix(source)}"
            return text.call(shown, name, (from_,), (value,))
        a_bits = 1 if a.is_bool else a.bits
        if a_bits == b.bits:
            return value
        return text.convert(
            ("zext" if unsigned else "sext") if a_bits < b.bits else "trunc", from_, value, shown
        )

    def lanes(self, instruction: Instruction, args: list[str]) -> str:
        text, attribute = self.text, instruction.attribute
        assert instruction.result is not None
        type_, source = instruction.result.type, instruction.args[0].type
        element, from_ = scalar(type_.dtype), register(source)
        match instruction.op:
            case Op.SPLAT:
                return text.splat(element, args[0], type_.lanes)
            case Op.EXTRACT:
                return (
                    text.value(f"extractelement {from_} {args[0]}, i64 {attribute}")
                    if source.lanes > 1
                    else args[0]
                )
            case Op.INSERT:
                if type_.lanes == 1:
                    return args[1]
                return text.value(f"insertelement {from_} {args[0]}, {element} {args[1]}, i64 {attribute}")
            case Op.SHUFFLE:
                return self.shuffle(source, element, attribute, args)
        return self.reduce(attribute, source, args[0])

    def shuffle(self, source: MachineType, element: str, indices: tuple[int, ...], args: list[str]) -> str:
        text, type_, lanes = self.text, register(source), source.lanes
        if lanes == 1:
            args = [text.padded(element, arg, 1, 2) for arg in args]
            indices = tuple(2 * lane for lane in indices)
            type_, lanes = vector(element, 2), 2
        if len(indices) == 1:
            return text.part(element, args[indices[0] // lanes], lanes, indices[0] % lanes, 1)
        return text.shuffle(type_, args[0], args[1], indices)

    def reduce(self, kind: str, source: MachineType, value: str) -> str:
        text, dtype, element = self.text, source.dtype, scalar(source.dtype)
        if source.lanes == 1:
            return value
        if dtype.is_float:
            if kind == "add":
                return text.tree(
                    element,
                    value,
                    source.lanes,
                    lambda type_, a, b: text.binary("fadd contract", type_, a, b),
                )
            op = Op(kind)
            return text.tree(
                element,
                value,
                source.lanes,
                lambda type_, a, b: self.least_or_greatest(op, dtype, type_, a, b),
            )
        sign = "" if kind == "add" else "u" if dtype.kind is Kind.UINT else "s"
        name = f"llvm.vector.reduce.{sign}{kind}.{_suffix(source)}"
        return text.call(element, name, (register(source),), (value,))


def _suffix_of(shown: str) -> str:
    """How an overloaded intrinsic names a type: `<4 x float>` is v4f32."""
    return shown.replace("<", "v").replace(" x ", "").replace(">", "").replace("float", "f32")


def _suffix(type_: MachineType) -> str:
    return _suffix_of(register(type_))


def _bools_like(shown: str) -> str:
    """The type of the comparison of two values of a float type."""
    return shown.replace("float", "i1")
