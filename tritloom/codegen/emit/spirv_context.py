"""What the parts of the SPIR-V emitter share: the module, the registers' values, and code under a condition."""

from __future__ import annotations

from collections.abc import Callable

from tritloom.codegen.emit.spirv_assembler import Id, Module
from tritloom.codegen.emit.spirv_opcodes import NUMBERS
from tritloom.codegen.emit.spirv_types import Types
from tritloom.codegen.errors import UnsupportedError
from tritloom.codegen.ir.machine import Function, MachineType, Op, Register
from tritloom.codegen.target import Target


class Context:
    """The state of the emission of one function."""

    def __init__(self, function: Function, target: Target):
        self.function = function
        self.target = target
        self.module = Module()
        self.types = Types(self.module)
        self.values: dict[Register, Id] = {}
        self.packed: dict[Register, Id] = {}
        """Registers of four bytes that are held as a word: a vector is made of them only where one is needed."""
        self.block = Id(0)
        """The label of the block under construction."""
        self.matrices = any(
            register is not None and register.type.matrix is not None
            for statement in function.body.walk()
            for register in (getattr(statement, "result", None),)
        )
        """Whether a subgroup's matrices are used, which takes Vulkan's memory model."""

    def unsupported(self, op: Op, why: str = "here") -> UnsupportedError:
        """The error of an operation that SPIR-V or the target lacks."""
        return UnsupportedError(f"`{self.function.name}`: SPIR-V has no `{op.value}` {why}")

    # values

    def value(self, register: Register) -> Id:
        """The value of a register."""
        known = self.values.get(register)
        if known is None:  # not kept: another block may not see it
            return self.op("OpBitcast", self.types.register(register.type), self.packed[register])
        return known

    def word(self, register: Register) -> Id:
        """A register of four bytes, or two halves, as a word."""
        known = self.packed.get(register)
        if known is not None:
            return known
        value = self.value(register)
        if register.lanes == 1 and register.dtype.is_integer and register.dtype.bits >= 32:
            return value
        return self.op("OpBitcast", self.types.u32, value)

    def op(self, opcode: str, type_: Id, *operands: Id | int | str) -> Id:
        """An instruction with a result."""
        return self.module.op(opcode, type_, *operands)

    def exact(self, opcode: str, type_: Id, *operands: Id) -> Id:
        """Float arithmetic that is not fused with other arithmetic."""
        result = self.module.op(opcode, type_, *operands)
        self.module.decorate(result, "NoContraction")
        return result

    def splat(self, value: Id, type_: Id, lanes: int) -> Id:
        """A scalar in all lanes of a vector type."""
        return value if lanes == 1 else self.op("OpCompositeConstruct", type_, *[value] * lanes)

    def numbers(self, value: float, type_: MachineType) -> Id:
        """A constant in all lanes of a type."""
        return self.types.constant(value, type_)

    # blocks

    def begin(self, label: Id | None = None) -> Id:
        """Begin a block."""
        self.block = self.module.begin_block(label)
        return self.block

    def where(
        self, condition: Id, make: Callable[[], Id | None], type_: Id | None, otherwise: Id | None
    ) -> Id:
        """Run code where a condition holds; what it makes, or `otherwise`, of a type (if it makes anything)."""
        module, before = self.module, self.block
        inside, merge = module.fresh(), module.fresh()
        module.effect("OpSelectionMerge", merge, "None")
        module.effect("OpBranchConditional", condition, inside, merge)
        self.begin(inside)
        made, last = make(), self.block
        module.effect("OpBranch", merge)
        self.begin(merge)
        if made is None or type_ is None or otherwise is None:
            return merge
        return module.phi(type_, made, last, otherwise, before)[0]

    def barrier(self, scope: str, *, buffers: bool) -> None:
        """Wait for the threads of a scope and see what they wrote to shared memory (and to buffers)."""
        kinds = ["AcquireRelease", "WorkgroupMemory"]
        kinds += ["UniformMemory"] if buffers else []
        kinds += ["MakeAvailable", "MakeVisible"] if self.matrices else []
        semantics = sum(NUMBERS["MemorySemantics"][kind] for kind in kinds)
        number = self.types.number(NUMBERS["Scope"][scope])
        self.module.effect("OpControlBarrier", number, number, self.types.number(semantics))
