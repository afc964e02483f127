"""The dialect OpenCL C 1.2.

f16 is converted by the core's vload_half and vstore_half: no device needs cl_khr_fp16. Subgroups are those of
cl_intel_subgroups, of the target's size, which cl_intel_required_subgroup_size holds the compiler to.
"""

from __future__ import annotations

from tritloom.codegen.emit.c_source import C_WORDS, TYPES, CPrinter, clean_name, workgroup
from tritloom.codegen.emit.opencl_helpers import HELPERS
from tritloom.codegen.ir.machine import For, Function, Instruction, MachineType, Memory, Op, Register, Space
from tritloom.codegen.lower.math import expand_math
from tritloom.codegen.target import Target

_WORDS = (
    "global local constant private image1d_t image2d_t image3d_t sampler_t event_t read_only write_only read_write "
    "quad complex imaginary uniform pipe generic vec_step NULL barrier convert printf get_group_id get_local_id "
    "get_global_id get_num_groups get_local_size get_global_size mad get_sub_group_id get_sub_group_local_id "
    "sub_group_barrier work_group_barrier intel_sub_group_shuffle_xor mul24 mad24 mad_hi mad_sat mul_hi add_sat "
    "sub_sat abs_diff hadd rhadd clamp step smoothstep mix sign length distance cross normalize fast_length "
    "fast_distance fast_normalize any all popcount clz ctz ceil trunc round exp2 exp10 log2 log10 log1p expm1 pow "
    "pown powr rootn cbrt fmod modf ldexp frexp fract hypot erf erfc tgamma lgamma lgamma_r asin acos atan atan2 "
    "sinpi cospi tanpi asinpi acospi atanpi atan2pi sincos sinh cosh asinh acosh atanh remainder remquo fdim "
    "nextafter nan ilogb logb maxmag minmag isnan isinf isfinite isnormal isequal isnotequal isgreater "
    "isgreaterequal isless islessequal islessgreater isordered isunordered signbit copysign degrees radians rotate "
    "upsample bitselect shuffle shuffle2 prefetch mem_fence ptrdiff_t intptr_t uintptr_t linux unix "
)
_SCALARS = ["char", "uchar", "short", "ushort", "int", "uint", "long", "ulong", "half", "float", "double"]
_ROUGH = "cos divide exp exp2 exp10 log log2 log10 powr recip rsqrt sin sqrt tan"
_MADE = {
    *(f"{kind}{lanes}" for kind in _SCALARS for lanes in (2, 3, 4, 8, 16)),
    *(f"{function}{lanes}" for function in ("vload", "vstore") for lanes in (2, 3, 4, 8, 16)),
    *(
        f"{function}_{kind}{n}"
        for function in ("as", "convert")
        for kind in _SCALARS
        for n in ("", 2, 3, 4, 8, 16)
    ),
    *(f"{kind}_{function}" for kind in ("native", "half") for function in _ROUGH.split()),
}
"""Names of types and functions that come in rows."""
_LARGE = 1 << 16
"""Constants of so much are data: no step from one place to another is so long."""
_SPACES = {Space.GLOBAL: "__global", Space.SHARED: "__local", Space.PRIVATE: "__private"}
_FUNCTIONS = {
    Op.SQRT: "sqrt",
    Op.EXP: "exp",
    Op.LOG: "log",
    Op.TANH: "tanh",
    Op.FLOOR: "floor",
    Op.ROUND: "rint",
}


def emit_opencl(function: Function, target: Target) -> str:
    """The source of a function: one kernel of its name, whose arguments are its buffers, sizes and scalars.

    Its workgroup is two-dimensional: `workgroup(function)`.
    """
    # Intel's compiler (2026.2) crashes where one kernel takes the sine and the cosine of one number.
    return _OpenCL(expand_math(function, frozenset({Op.SIN, Op.COS})), target).run()


def kernel_name(name: str) -> str:
    """The name in the source of the kernel of a function."""
    return clean_name(name, _OpenCL.reserved)


def of_data(function: Function) -> frozenset[Register]:
    """The registers that data goes into: what buffers and scalar arguments hold, or a constant too large for places."""
    scalars = {name for name, _ in function.scalars}
    statements = list(function.body.walk())
    found: set[Register] = set()

    def made_of_data(instruction: Instruction) -> bool:
        match instruction.op:
            case Op.LOAD | Op.GATHER | Op.LOAD_WORDS:
                return True
            case Op.SIZE:
                return instruction.attribute in scalars
            case Op.CONST if isinstance(instruction.attribute, int):
                return abs(instruction.attribute) >= _LARGE
            case _:
                return not found.isdisjoint(instruction.args)

    before = -1
    while before < len(found):  # what a loop carries comes to its start once more
        before = len(found)
        for statement in statements:
            if isinstance(statement, Instruction):
                if statement.result is not None and made_of_data(statement):
                    found.add(statement.result)
                continue
            phis = statement.phis if isinstance(statement, For) else statement.merges
            for phi in phis:
                if not found.isdisjoint((phi.initial, phi.next, phi.inside)):
                    found |= {phi.inside, phi.after}
    return frozenset(found)


class _OpenCL(CPrinter):
    language = "OpenCL C"
    reserved = frozenset((C_WORDS + _WORDS).split()) | _MADE | HELPERS.keys()
    helpers_text = HELPERS
    spaces = _SPACES
    functions = _FUNCTIONS
    wrapping = frozenset({Op.ADD, Op.SUB, Op.MUL, Op.NEG})

    def __init__(self, function: Function, target: Target):
        super().__init__(function, target)
        self.data = of_data(function)

    def frame(self, name: str) -> tuple[list[str], list[str]]:
        function, parameters = self.function, []
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
        width, height = workgroup(function)
        listed = ",\n    ".join(parameters)
        attributes = f"__attribute__((reqd_work_group_size({width}, {height}, 1)))"
        if (
            self.target.subgroup_size > 1
        ):  # where it does not matter too: of more threads the registers may not do
            attributes += f" __attribute__((intel_reqd_sub_group_size({self.target.subgroup_size})))"
        signature = [f"__kernel {attributes}", f"void {name}(\n    {listed})"]
        return ["#pragma OPENCL FP_CONTRACT OFF"], signature

    def declare_array(self, memory: Memory, name: str) -> str:
        kind = f"{self.spaces[memory.space]} {TYPES[memory.dtype]}"
        return f"{kind} {name}[{memory.length}] __attribute__((aligned(16)));"

    def vector(self, type_: MachineType, lanes: str) -> str:
        return f"(({self.type_name(type_)})({lanes}))"

    def wide_load(self, memory: Memory, type_: MachineType, at: Register) -> str:
        return f"vload{type_.lanes}(0, {self.memory[memory]} + {self.text[at]})"

    def wide_store(self, memory: Memory, at: Register, value: Register) -> str:
        return f"vstore{value.lanes}({self.text[value]}, 0, {self.memory[memory]} + {self.text[at]});"

    def barrier(self, op: Op) -> str:
        name = "barrier" if op is Op.BARRIER else "sub_group_barrier"
        return f"{name}(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);"

    def lane(self, vector: str, number: int) -> str:
        return f"{vector}.s{number:x}"

    def wraps(self, instruction: Instruction) -> bool:
        # Places are below 2^31: sums of them stay signed, so that compilers may add to an address instead.
        return super().wraps(instruction) and (instruction.op is Op.MUL or instruction.result in self.data)

    def fused(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        return f"{self.helper('multiply_add')}({', '.join(args)})"

    def negated(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        # Floats not by `-x`: Intel's CPU runtime (2026.2) moves that past barriers without its operand.
        return f"{args[0]} * -1.0f" if type_.dtype.is_float else super().negated(instruction, args, type_)

    def bitcast(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        return f"as_{self.type_name(type_)}({self.bare(instruction.args[0])})"

    def convert(self, value: str, type_: MachineType) -> str:
        return f"convert_{self.type_name(type_)}({value})"

    def program(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        return "(int)get_group_id(0)"

    def thread(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        function = self.function
        if self.subgroups:
            size, width = self.target.subgroup_size, function.width or function.threads
            number = f"(int)(get_sub_group_id() * {size} + get_sub_group_local_id())"
            if instruction.attribute is None or (instruction.attribute == 0 and width == function.threads):
                return number
            return f"{number} {'%' if instruction.attribute == 0 else '/'} {width}"
        if instruction.attribute is not None:
            return f"(int)get_local_id({instruction.attribute})"
        width, height = workgroup(function)
        y = f"(int)get_local_id(1) * {width} + " if height > 1 else ""
        return f"{y}(int)get_local_id(0)"

    def subgroup(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        return "(int)get_sub_group_id()"

    def lane_xor(self, instruction: Instruction, args: list[str], type_: MachineType) -> str:
        return f"intel_sub_group_shuffle_xor({self.bare(instruction.args[0])}, {instruction.attribute}u)"
