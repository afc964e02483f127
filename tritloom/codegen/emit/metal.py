"""The dialect Metal Shading Language, a C++14 (version 3.1, macOS 14).

It is compiled without fast math, so sums, products, quotients and square roots are correctly rounded (Metal Shading
Language specification, section 8.4) and NaN and infinity are as usual; the transcendental functions are expanded to
arithmetic of ours. A workgroup is all along x: the threads of a simdgroup are neighbours in it.
"""

from __future__ import annotations

from tritloom.codegen.emit.c_source import C_WORDS, INFIX, TYPES, CPrinter, clean_name
from tritloom.codegen.emit.metal_helpers import HELPERS
from tritloom.codegen.errors import UnsupportedError
from tritloom.codegen.ir.dtypes import bf16, f16, f32
from tritloom.codegen.ir.machine import (
    Function,
    Instruction,
    MachineType,
    MatrixAccess,
    Memory,
    Op,
    Register,
    Space,
)
from tritloom.codegen.lower.math import expand_math
from tritloom.codegen.target import Target

_WORDS = (
    "and and_eq alignas alignof asm bitand bitor bool catch class compl concept constexpr const_cast decltype delete "
    "dynamic_cast explicit export false friend mutable namespace new noexcept not not_eq nullptr operator or or_eq "
    "private protected public reinterpret_cast requires static_assert static_cast template this thread_local throw "
    "true try typeid typename using virtual wchar_t xor xor_eq constant device threadgroup thread kernel vertex "
    "fragment ray_data object_data metal simd as_type precise fast bfloat ulong atomic_int atomic_uint texture2d "
    "sampler group_number thread_number simdgroup_number simdgroup_lane arguments threadgroup_barrier "
    "simdgroup_barrier simd_shuffle_xor simdgroup_load simdgroup_store simdgroup_multiply_accumulate "
    "make_filled_simdgroup_matrix mem_flags char2 char3 char4 uchar2 uchar3 uchar4 short2 short3 short4 ushort2 "
    "ushort3 ushort4 int2 int3 int4 uint2 uint3 uint4 float2 float3 float4 half2 half3 half4 ulong2 packed_char4 "
    "assert abort fract step mix sign clamp saturate distance length cross normalize any all popcount clz ctz ceil "
    "trunc round exp2 exp10 log2 log10 pow fmod modf ldexp frexp isnan isinf isfinite signbit copysign "
)
_SPACES = {Space.GLOBAL: "device", Space.SHARED: "threadgroup", Space.PRIVATE: "thread"}
_FUNCTIONS = {Op.SQRT: "precise::sqrt", Op.FLOOR: "floor", Op.ROUND: "rint"}
_MATRIX_ELEMENTS = {f16: "half", bf16: "bfloat", f32: "float"}
_MATRIX_SIZE = 8
MOST_BUFFERS = 31
"""Entries of a kernel's table of buffers, one of which holds the sizes and scalars."""


def emit_metal(function: Function, target: Target) -> str:
    """The source of a function: one kernel of its name, of `function.threads` threads in a row a threadgroup.

    Its buffers are numbered from 0 on; the next one holds its sizes and scalars, 4 bytes each, if it has any.
    """
    return _Metal(expand_math(function), target).run()


def metal_name(name: str) -> str:
    """The name in the source of the kernel of a function."""
    return clean_name(name, _Metal.reserved)


class _Metal(CPrinter):
    language = "Metal"
    reserved = frozenset((C_WORDS + _WORDS).split()) | HELPERS.keys()
    helpers_text = HELPERS
    spaces = _SPACES
    functions = _FUNCTIONS
    wrapping = frozenset({Op.ADD, Op.SUB, Op.MUL, Op.NEG, Op.SHL})

    def frame(self, name: str) -> tuple[list[str], list[str]]:
        function, parameters = self.function, []
        head = ["#include <metal_stdlib>", "using namespace metal;", "#pragma METAL fp contract(off)"]
        for number, memory in enumerate(function.buffers):
            self.memory[memory] = self.fresh(memory.name)
            const = "" if memory.writable else "const "
            declared = f"device {const}{TYPES[memory.dtype]} *{self.memory[memory]}"
            parameters.append(f"{declared} [[buffer({number})]]")
        numbers = [*((size, "int") for size in function.sizes), *((s, TYPES[d]) for s, d in function.scalars)]
        if len(function.buffers) + bool(numbers) > MOST_BUFFERS:
            raise UnsupportedError(
                f"`{function.name}` takes {len(function.buffers)} tensors, a Metal kernel at most "
                f"{MOST_BUFFERS - bool(numbers)}",
                hint="split the kernel",
            )
        if numbers:
            kind = self.fresh(f"{name}_arguments")
            head += ["", f"struct {kind} {{"]
            for argument, type_ in numbers:
                member = self.fresh(argument)
                self.arguments[argument] = f"arguments.{member}"
                head.append(f"  {type_} {member};")
            head.append("};")
            parameters.append(f"constant {kind} &arguments [[buffer({len(function.buffers)})]]")
        parameters.append("uint group_number [[threadgroup_position_in_grid]]")
        if self.subgroups:
            parameters.append("uint simdgroup_number [[simdgroup_index_in_threadgroup]]")
            parameters.append("uint simdgroup_lane [[thread_index_in_simdgroup]]")
        else:
            parameters.append("uint thread_number [[thread_position_in_threadgroup]]")
        listed = ",\n    ".join(parameters)
        signature = [
            f"[[max_total_threads_per_threadgroup({function.threads})]]",
            f"kernel void {name}(\n    {listed})",
        ]
        return head, signature

    def declare_array(self, memory: Memory, name: str) -> str:
        space = "threadgroup " if memory.space is Space.SHARED else ""
        return f"alignas(16) {space}{TYPES[memory.dtype]} {name}[{memory.length}];"

    def type_name(self, type_: MachineType) -> str:
        shape = type_.matrix
        if shape is None:
            return super().type_name(type_)
        if (shape.rows, shape.columns) != (_MATRIX_SIZE, _MATRIX_SIZE) or type_.dtype not in _MATRIX_ELEMENTS:
            raise UnsupportedError(f"`{self.function.name}`: Metal has no matrix {type_}")
        return f"simdgroup_{_MATRIX_ELEMENTS[type_.dtype]}{shape.rows}x{shape.columns}"

    # statements

    def instruction(self, instruction: Instruction) -> None:
        result = instruction.result
        if result is None or result.type.matrix is None:
            super().instruction(instruction)
            return
        name, kind = self.name(result), self.type_name(result.type)
        self.text[result] = name
        if instruction.op is Op.CONST:  # a variable: operands are taken by reference
            shape = result.type.matrix
            if result.dtype is not f32:
                raise UnsupportedError(f"`{self.function.name}`: a matrix {result.type} of one number")
            filled = f"make_filled_simdgroup_matrix<float, {shape.columns}, {shape.rows}>"
            self.line(f"{kind} {name} = {filled}({self.constant(instruction.attribute, MachineType(f32))});")
            return
        self.line(f"{kind} {name};")
        if instruction.op is Op.MATRIX_LOAD:
            place = self.matrix_place(instruction.attribute, instruction.args[0], "const ")
            self.line(f"simdgroup_load({name}, {place});")
        else:
            operands = ", ".join(self.text[arg] for arg in instruction.args)
            self.line(f"simdgroup_multiply_accumulate({name}, {operands});")

    def effect(self, instruction: Instruction) -> None:
        if instruction.op is Op.MATRIX_STORE:
            at, matrix = instruction.args
            place = self.matrix_place(instruction.attribute, at)
            self.line(f"simdgroup_store({self.text[matrix]}, {place});")
        else:
            super().effect(instruction)

    def matrix_place(self, access: MatrixAccess, at: Register, const: str = "") -> str:
        """The arguments that say where a matrix lies: pointer, elements a row, origin, whether it is transposed."""
        memory = access.memory
        pointer = f"&{self.memory[memory]}[{self.bare(at)}]"
        if memory.dtype is not f32:  # the bits of f16 and bf16 stand there
            kind = f"{self.spaces[memory.space]} {const}{_MATRIX_ELEMENTS[memory.dtype]}"
            pointer = f"({kind} *){pointer}"
        transposed = ", ulong2(0), true" if access.transposed else ""
        return f"{pointer}, {access.stride}{transposed}"

    def wide_store(self, memory: Memory, at: Register, value: Register) -> str:
        return f"{self.packed(memory, value.type, at)} = {self.text[value]};"

    def barrier(self, op: Op) -> str:
        name = "threadgroup_barrier" if op is Op.BARRIER else "simdgroup_barrier"
        return f"{name}(mem_flags::mem_threadgroup | mem_flags::mem_device);"

    # expressions

    def vector(self, type_: MachineType, lanes: str) -> str:
        return f"{self.type_name(type_)}({lanes})"

    def packed(self, memory: Memory, type_: MachineType, at: Register, const: str = "") -> str:
        """Neighbouring elements as one vector that is aligned to the element."""
        kind = f"{self.spaces[memory.space]} {const}packed_{self.type_name(type_)}"
        return f"*({kind} *)&{self.memory[memory]}[{self.bare(at)}]"

    def wide_load(self, memory: Memory, type_: MachineType, at: Register) -> str:
        return f"{self.type_name(type_)}({self.packed(memory, type_, at, 'const ')})"

    def lane(self, vector: str, number: int) -> str:
        return f"{vector}[{number}]"

    def arithmetic(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        op = instruction.op
        if op is Op.REM and type_.dtype.is_float:
            raise self.unsupported(op)
        if type_.lanes > 1 and op in self.wrapping and type_.dtype.is_integer and type_.dtype.limits[0] < 0:
            unsigned = f"u{self.type_name(type_)}"
            operands = f"as_type<{unsigned}>({args[0]}) {INFIX[op]} as_type<{unsigned}>({args[1]})"
            return f"as_type<{self.type_name(type_)}>({operands})"
        return super().arithmetic(instruction, args, type_)

    def fused(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        return f"fma({', '.join(args)})"

    def bitcast(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        return f"as_type<{self.type_name(type_)}>({self.bare(instruction.args[0])})"

    def convert(self, value: str, type_: MachineType) -> str:
        return f"{self.type_name(type_)}({value})"

    def program(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        return "(int)group_number"

    def thread(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        function = self.function
        width = function.width or function.threads
        number = "thread_number"
        if self.subgroups:
            number = f"(simdgroup_number * {self.target.subgroup_size} + simdgroup_lane)"
        if instruction.attribute is None or (instruction.attribute == 0 and width == function.threads):
            return f"(int){number}"
        return f"(int)({number} {'%' if instruction.attribute == 0 else '/'} {width})"

    def subgroup(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        return "(int)simdgroup_number"

    def lane_xor(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        return f"simd_shuffle_xor({self.bare(instruction.args[0])}, {instruction.attribute})"
