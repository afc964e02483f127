"""Machine form to SPIR-V 1.5 words, for Vulkan 1.2 and later. One compute shader a kernel; no external compiler.

The calling convention. The entry point is "main", its workgroup (threads, 1, 1). There are no descriptors: the push
constants are 8 bytes, the device address of an argument block, which is laid out as :class:`Arguments` tells. The grid
is dispatched as (x, y, 1) with x * y >= programs: a workgroup's program is y * (number of workgroups along x) + x, and
one that is beyond the number of programs returns at once.

Threads are numbered by the subgroup and the lane in it where the function exchanges data in subgroups. It must then be
run with full subgroups of the target's `subgroup_size`.

Integers are of 32 bits, `index` too: a buffer has less than 2**31 elements. Floats are computed in f32; f16 and bf16
are their bits and are rounded to nearest by integer operations.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from tritloom.codegen.emit import spirv_arithmetic as arithmetic
from tritloom.codegen.emit import spirv_memory as memories
from tritloom.codegen.emit.spirv_assembler import Id, Module, Text
from tritloom.codegen.emit.spirv_context import Context
from tritloom.codegen.emit.spirv_memory import Place
from tritloom.codegen.ir.dtypes import DType, Kind, f32
from tritloom.codegen.ir.machine import (
    Body,
    For,
    Function,
    IfElse,
    Instruction,
    Memory,
    Op,
    Register,
    Space,
)
from tritloom.codegen.lower.division import expand_division
from tritloom.codegen.lower.floats import expand_conversions, expand_narrow_floats
from tritloom.codegen.lower.math import expand_math
from tritloom.codegen.target import Target

ENTRY = "main"
_IN_SUBGROUPS = {
    Op.LANE_XOR,
    Op.SUBGROUP,
    Op.SUBGROUP_BARRIER,
    Op.MATRIX_LOAD,
    Op.MATRIX_STORE,
    Op.MATRIX_MULTIPLY_ADD,
}
_FLOAT_MODES = {
    "keeps-denormals": "DenormPreserve",
    "keeps-nan": "SignedZeroInfNanPreserve",
    "rounds-to-even": "RoundingModeRTE",
}
"""Execution modes by the target's feature."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """The argument block: u32 number of programs, u32 zero, the 8-byte device addresses of the buffers, then the 4-byte
    sizes (i32) and scalars (i32 or f32), all in the kernel's order. It lies at a multiple of 8 bytes."""

    buffers: int
    sizes: int
    scalars: tuple[DType, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of a block."""
        return 8 + 8 * self.buffers + 4 * (self.sizes + len(self.scalars))

    def pack(
        self,
        programs: int,
        addresses: Sequence[int],
        sizes: Sequence[int] = (),
        scalars: Sequence[float] = (),
    ) -> bytes:
        """The bytes of a block."""
        numbers = "".join("f" if dtype is f32 else "i" for dtype in self.scalars)
        layout = f"<II{self.buffers}Q{self.sizes}i{numbers}"
        return struct.pack(layout, programs, 0, *addresses, *sizes, *scalars)


@dataclass(frozen=True, slots=True)
class SpirvModule:
    """An emitted kernel, and what a runtime must know of it."""

    name: str
    words: bytes
    module: Module
    threads: int
    """Of a workgroup, all along x."""
    arguments: Arguments
    uses_subgroups: bool
    """Whether it must run with full subgroups of the target's size."""
    capabilities: tuple[str, ...]
    """What it asks of the device, by SPIR-V's names."""
    extensions: tuple[str, ...]

    @property
    def text(self) -> str:
        """The module for people."""
        return self.module.text()


def emit_spirv(function: Function, target: Target) -> SpirvModule:
    """The module of a function. Raises UnsupportedError for what SPIR-V, or the target, does not have."""
    in_f32 = expand_math(expand_narrow_floats(function))
    if target.has("fused-multiply-add"):  # else a CPU, whose quotients are exact
        in_f32 = expand_division(in_f32)
    return _Emitter(expand_conversions(in_f32, f16_too=True, f16_widens=True), target).run()


class _Emitter:
    def __init__(self, function: Function, target: Target):
        self.function = function
        self.target = target
        self.ctx = Context(function, target)
        self.module = self.ctx.module
        self.types = self.ctx.types
        self.places: dict[Memory, Place] = {}
        self.interface: list[Id] = []
        instructions = [s for s in function.body.walk() if isinstance(s, Instruction)]
        self.ops = {instruction.op for instruction in instructions}
        self.in_subgroups = bool(self.ops & _IN_SUBGROUPS) or self.ctx.matrices
        self.parts = {i.attribute for i in instructions if i.op is Op.THREAD}
        self.arguments = {i.attribute: Id(0) for i in instructions if i.op is Op.SIZE}
        self.uses = memories.uses(function)
        self.coherent = {
            memory
            for memory, use in self.uses.items()
            if memory.space is Space.GLOBAL and use.read and use.written and Op.BARRIER in self.ops
        }
        """Buffers that threads of a program exchange data through."""
        self.threads: dict[int | None, Id] = {}
        self.program = self.subgroup = Id(0)

    def run(self) -> SpirvModule:
        function, module = self.function, self.module
        if self.in_subgroups and not self.target.has("subgroups"):
            op = min(self.ops & _IN_SUBGROUPS, key=lambda op: op.value, default=Op.MATRIX_LOAD)
            raise self.ctx.unsupported(op, "where the subgroup's size is not known")
        module.capability("Shader", "PhysicalStorageBufferAddresses")
        void = module.once("OpTypeVoid", label="void")
        signature = module.once("OpTypeFunction", void)
        entry = module.op("OpFunction", void, "None", signature)
        module.name(entry, function.name)
        module.comment = f"{function.name}: {function.comment}" if function.comment else function.name
        self.ctx.begin()
        self.prologue()
        self.body(function.body)
        module.effect("OpReturn")
        module.effect("OpFunctionEnd")
        model = "Vulkan" if self.ctx.matrices else "GLSL450"
        if self.ctx.matrices:
            module.capability("VulkanMemoryModel")
        module.head("OpMemoryModel", "PhysicalStorageBuffer64", model)
        module.head("OpEntryPoint", "GLCompute", entry, Text(ENTRY), *self.interface)
        module.head("OpExecutionMode", entry, "LocalSize", function.threads, 1, 1)
        for feature, mode in _FLOAT_MODES.items():
            if self.target.has(feature):
                module.capability(mode)
                module.head("OpExecutionMode", entry, mode, 32)
        scalars = tuple(dtype for _, dtype in function.scalars)
        return SpirvModule(
            function.name,
            module.words(),
            module,
            function.threads,
            Arguments(len(function.buffers), len(function.sizes), scalars),
            self.in_subgroups,
            module.capabilities,
            module.extensions,
        )

    # the start: arguments, program and thread

    def prologue(self) -> None:
        module, types = self.module, self.types
        block, push, members = self.declare_arguments()
        address_type = types.pointer("PhysicalStorageBuffer", block)
        zero = types.number(0)
        pair = types.words(2)
        chain = module.op("OpAccessChain", types.pointer("PushConstant", pair), push, zero)
        address = module.op("OpBitcast", address_type, module.op("OpLoad", pair, chain))

        def argument(member: int, alignment: int) -> Id:
            pointer = types.pointer("PhysicalStorageBuffer", members[member])
            where = module.op("OpAccessChain", pointer, address, types.number(member))
            return module.op("OpLoad", members[member], where, "Aligned", alignment)

        self.number_program(argument(0, 4))
        for position, memory in enumerate(self.function.buffers):
            if memory in self.uses:
                pointer = argument(2 + position, 8)
                module.name(pointer, memory.name)
                self.places[memory] = Place(
                    memory, "PhysicalStorageBuffer", pointer, memory.dtype.nbytes, memory in self.coherent
                )
        names = [*self.function.sizes, *(name for name, _ in self.function.scalars)]
        for position, name in enumerate(names):
            if name in self.arguments:
                self.arguments[name] = argument(2 + len(self.function.buffers) + position, 4)
                module.name(self.arguments[name], name)
        for memory in self.function.arrays:
            if memory in self.uses:
                self.places[memory] = memories.declare_array(self.ctx, memory, self.uses[memory])
                if memory.space is Space.SHARED:
                    self.interface.append(self.places[memory].pointer)
        self.number_thread()

    def declare_arguments(self) -> tuple[Id, Id, list[Id]]:
        """The argument block's type, the push constants, and the types of the block's members."""
        module, types, function = self.module, self.types, self.function
        members = [types.u32, types.u32]
        offsets = [0, 4]
        for memory in function.buffers:
            offsets.append(8 * (len(members) - 1))
            members.append(types.pointer("PhysicalStorageBuffer", self.buffer_type(memory)))
        start = 8 + 8 * len(function.buffers)
        numbers = [types.u32] * len(function.sizes) + [types.stored(dtype) for _, dtype in function.scalars]
        offsets += [start + 4 * i for i in range(len(numbers))]
        members += numbers
        block = module.global_("OpTypeStruct", *members)
        module.name(block, "Arguments")
        module.decorate(block, "Block")
        for member, offset in enumerate(offsets):
            module.decorate_member(block, member, "Offset", offset)
        # Two words and not a pointer: validators take what lies behind a pointer for a part of the push constants.
        pushed = module.global_("OpTypeStruct", types.words(2), label="Pushed")
        module.decorate(pushed, "Block")
        module.decorate_member(pushed, 0, "Offset", 0)
        push = module.global_("OpVariable", types.pointer("PushConstant", pushed), "PushConstant")
        module.label(push, "pushed")
        self.interface.append(push)
        return block, push, members

    def buffer_type(self, memory: Memory) -> Id:
        """The struct of a run-time array that a buffer is."""
        module, types, dtype = self.module, self.types, memory.dtype
        if dtype.nbytes < 4 and memory in self.uses:
            module.capability(f"StorageBuffer{8 * dtype.nbytes}BitAccess")
        if memory not in self.uses:  # nothing is asked of the device for what is not touched
            element, nbytes = types.u32, 4
        else:
            element, nbytes = types.stored(dtype), dtype.nbytes
        array = module.global_("OpTypeRuntimeArray", element, label=f"{memory.name}_array")
        module.decorate(array, "ArrayStride", nbytes)
        struct_ = module.global_("OpTypeStruct", array, label=f"{memory.name}_buffer")
        module.decorate(struct_, "Block")
        module.decorate_member(struct_, 0, "Offset", 0)
        if not memory.writable:
            module.decorate_member(struct_, 0, "NonWritable")
        if memory in self.coherent and not self.ctx.matrices:
            module.decorate_member(struct_, 0, "Coherent")
        return struct_

    def built_in(self, name: str, *, vector: bool = False) -> Id:
        """The value of an input variable."""
        module, types = self.module, self.types
        type_ = types.words(3) if vector else types.u32
        variable = module.global_("OpVariable", types.pointer("Input", type_), "Input", label=name)
        module.decorate(variable, "BuiltIn", name)
        self.interface.append(variable)
        return module.op("OpLoad", type_, variable)

    def number_program(self, programs: Id) -> None:
        """This workgroup's program; the workgroup returns where there is none."""
        module, types = self.module, self.types
        u32 = types.u32
        group = self.built_in("WorkgroupId", vector=True)
        groups = self.built_in("NumWorkgroups", vector=True)
        x, y = (module.op("OpCompositeExtract", u32, group, i) for i in (0, 1))
        width = module.op("OpCompositeExtract", u32, groups, 0)
        self.program = module.op("OpIAdd", u32, module.op("OpIMul", u32, y, width), x)
        module.label(self.program, "program")
        beyond = module.op("OpUGreaterThanEqual", types.bool_, self.program, programs)
        outside, inside = module.fresh(), module.fresh()
        module.effect("OpSelectionMerge", inside, "None")
        module.effect("OpBranchConditional", beyond, outside, inside)
        self.ctx.begin(outside)
        module.effect("OpReturn")
        self.ctx.begin(inside)

    def number_thread(self) -> None:
        module, types, u32 = self.module, self.types, self.types.u32
        if self.in_subgroups:
            module.capability("GroupNonUniform")
        if Op.SUBGROUP in self.ops or (self.in_subgroups and self.parts):
            self.subgroup = self.built_in("SubgroupId")
        if not self.parts:
            return
        if self.in_subgroups:
            size = types.number(self.target.subgroup_size)
            lane = self.built_in("SubgroupLocalInvocationId")
            thread = module.op("OpIAdd", u32, module.op("OpIMul", u32, self.subgroup, size), lane)
        else:
            thread = self.built_in("LocalInvocationIndex")
        module.label(thread, "thread")
        width = self.function.width or self.function.threads
        self.threads[None] = thread
        if 0 in self.parts:
            self.threads[0] = module.op("OpUMod", u32, thread, types.number(width))
        if 1 in self.parts:
            self.threads[1] = module.op("OpUDiv", u32, thread, types.number(width))

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
        ctx, values = self.ctx, self.ctx.values
        match instruction.op:
            case Op.CONST:
                values[result] = self.types.constant(instruction.attribute, result.type)
            case Op.SIZE:
                values[result] = self.arguments[instruction.attribute]
            case Op.PROGRAM:
                values[result] = self.program
            case Op.THREAD:
                values[result] = self.threads[instruction.attribute]
            case Op.SUBGROUP:
                values[result] = self.subgroup
            case Op.BITCAST:
                arithmetic.bitcast(ctx, instruction, result)
            case Op.LOAD | Op.LOAD_WORDS:
                memories.load(ctx, self.place(instruction), instruction, result)
            case Op.GATHER:
                memories.gather(ctx, self.place(instruction), instruction, result)
            case Op.MATRIX_LOAD:
                memories.matrix_load(ctx, self.place(instruction), instruction, result)
            case Op.MATRIX_MULTIPLY_ADD:
                values[result] = self.multiply_add(instruction, result)
            case _:
                if not arithmetic.compute(ctx, instruction, result):
                    raise ctx.unsupported(instruction.op)
        if result.name and result in values and instruction.op is not Op.CONST:
            self.module.label(values[result], result.name)

    def place(self, instruction: Instruction) -> Place:
        return self.places[memories.memory_of(instruction)]

    def effect(self, instruction: Instruction) -> None:
        match instruction.op:
            case Op.STORE | Op.STORE_WORDS | Op.SCATTER:
                memories.store(self.ctx, self.place(instruction), instruction)
            case Op.MATRIX_STORE:
                memories.matrix_store(self.ctx, self.place(instruction), instruction)
            case Op.BARRIER:
                self.ctx.barrier("Workgroup", buffers=bool(self.coherent))
            case Op.SUBGROUP_BARRIER:
                self.ctx.barrier("Subgroup", buffers=bool(self.coherent))
            case _:
                raise self.ctx.unsupported(instruction.op)

    def multiply_add(self, instruction: Instruction, result: Register) -> Id:
        signs = [
            f"Matrix{part}SignedComponentsKHR"
            for part, register in zip(("A", "B", "C", "Result"), (*instruction.args, result), strict=True)
            if register.dtype.kind is Kind.INT
        ]
        operands = ("|".join(signs),) if signs else ()
        values = [self.ctx.value(arg) for arg in instruction.args]
        return self.ctx.op(
            "OpCooperativeMatrixMulAddKHR", self.types.register(result.type), *values, *operands
        )

    def loop(self, loop: For) -> None:
        ctx, module = self.ctx, self.module
        start, stop, step = (ctx.value(bound) for bound in (loop.start, loop.stop, loop.step))
        initials = [ctx.value(phi.initial) for phi in loop.phis]
        header, inside, onward, after = (module.fresh() for _ in range(4))
        before = ctx.block
        module.effect("OpBranch", header)
        ctx.begin(header)
        counter, counter_line = module.phi(self.types.u32, start, before)
        ctx.values[loop.variable] = counter
        if loop.variable.name:
            module.label(counter, loop.variable.name)
        lines = []
        for phi, initial in zip(loop.phis, initials, strict=True):
            value, line = module.phi(self.types.register(phi.initial.type), initial, before)
            ctx.values[phi.inside] = ctx.values[phi.after] = value
            lines.append(line)
            if phi.inside.name:
                module.label(value, phi.inside.name)
        signed = loop.variable.dtype.kind is Kind.INT
        goes_on = module.op("OpSLessThan" if signed else "OpULessThan", self.types.bool_, counter, stop)
        module.effect("OpLoopMerge", after, onward, "None" if loop.unroll > 1 else "DontUnroll")
        module.effect("OpBranchConditional", goes_on, inside, after)
        ctx.begin(inside)
        self.body(loop.body)
        nexts = [ctx.value(phi.next) for phi in loop.phis]
        module.effect("OpBranch", onward)
        ctx.begin(onward)
        counter_line.operands += [module.op("OpIAdd", self.types.u32, counter, step), onward]
        for line, value in zip(lines, nexts, strict=True):
            line.operands += [value, onward]
        module.effect("OpBranch", header)
        ctx.begin(after)

    def condition(self, statement: IfElse) -> None:
        ctx, module = self.ctx, self.module
        condition, before = ctx.value(statement.condition), ctx.block
        both = bool(statement.otherwise.statements)
        then, otherwise, merge = module.fresh(), module.fresh() if both else None, module.fresh()
        if otherwise is None:
            if_false = [ctx.value(phi.next) for phi in statement.merges]
        module.effect("OpSelectionMerge", merge, "None")
        module.effect("OpBranchConditional", condition, then, merge if otherwise is None else otherwise)
        ctx.begin(then)
        self.body(statement.then)
        if_true = [ctx.value(phi.initial) for phi in statement.merges]
        end_then, end_otherwise = ctx.block, before
        module.effect("OpBranch", merge)
        if otherwise is not None:
            ctx.begin(otherwise)
            self.body(statement.otherwise)
            if_false = [ctx.value(phi.next) for phi in statement.merges]
            end_otherwise = ctx.block
            module.effect("OpBranch", merge)
        ctx.begin(merge)
        for phi, yes, no in zip(statement.merges, if_true, if_false, strict=True):
            type_ = self.types.register(phi.after.type)
            value, _ = module.phi(type_, yes, end_then, no, end_otherwise)
            ctx.values[phi.after] = value
            if phi.after.name:
                module.label(value, phi.after.name)
