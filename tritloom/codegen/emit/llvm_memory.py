"""Loads, stores, gathers and scatters in LLVM IR, and the arguments that hold the addresses."""

from __future__ import annotations

from tritloom.codegen.emit.llvm_text import Text
from tritloom.codegen.emit.llvm_types import in_memory, register, scalar, vector
from tritloom.codegen.ir.machine import Function, Instruction, Memory, Op

ALIGNMENT = 64
"""Of buffers and arrays, in bytes."""


class MemoryAccess:
    """One function's arguments and memory. Buffers that do not overlap are told apart by alias scopes."""

    def __init__(self, text: Text, function: Function, may_alias: bool):
        self.text = text
        self.function = function
        self.pointers: dict[Memory, str] = {}
        self.values: dict[str, str] = {}
        self.scopes: dict[Memory, str] = {}
        self.metadata = [f"!0 = !{{i64 {ALIGNMENT}}}", "!1 = !{}"]
        if not may_alias and len(function.buffers) > 1:
            self._make_scopes()

    def _make_scopes(self) -> None:
        buffers = self.function.buffers
        count = len(buffers)
        self.metadata.append("!2 = distinct !{!2}")
        self.metadata += [f"!{3 + i} = distinct !{{!{3 + i}, !2}}" for i in range(count)]
        for i, buffer in enumerate(buffers):
            own, others = 3 + count + 2 * i, 4 + count + 2 * i
            self.metadata.append(f"!{own} = !{{!{3 + i}}}")
            self.metadata.append(f"!{others} = !{{{', '.join(f'!{3 + j}' for j in range(count) if j != i)}}}")
            self.scopes[buffer] = f", !alias.scope !{own}, !noalias !{others}"

    def arguments(self) -> None:
        """Write the entry block: read all arguments, make room for the arrays."""
        text, function = self.text, self.function
        slot = 0
        for buffer in function.buffers:
            address = self._slot(slot)
            self.pointers[buffer] = text.value(
                f"load ptr, ptr {address}, align 8, !align !0, !nonnull !1, !noundef !1, !invariant.load !1"
            )
            slot += 1
        for name, type_ in [
            *((size, "i32") for size in function.sizes),
            *((n, scalar(d)) for n, d in function.scalars),
        ]:
            self.values[name] = text.value(
                f"load {type_}, ptr {self._slot(slot)}, align 8, !noundef !1, !invariant.load !1"
            )
            slot += 1
        for array in function.arrays:
            self.pointers[array] = text.value(
                f"alloca [{array.length} x {in_memory(array.dtype)}], align {ALIGNMENT}"
            )

    def _slot(self, number: int) -> str:
        return self.text.value(f"getelementptr inbounds i64, ptr %args, i64 {number}") if number else "%args"

    def argument(self, name: str) -> str:
        """A size's or scalar's value."""
        return self.values[name]

    def _address(self, memory: Memory, instruction: Instruction, index: str) -> str:
        """A pointer, or a vector of them for a vector of indices."""
        type_ = register(instruction.args[0].type)
        element = in_memory(memory.dtype)
        return self.text.value(
            f"getelementptr inbounds {element}, ptr {self.pointers[memory]}, {type_} {index}"
        )

    def read(self, instruction: Instruction, args: list[str]) -> str:
        """A load or gather."""
        text, memory = self.text, instruction.attribute
        assert instruction.result is not None
        lanes, size = instruction.result.lanes, memory.dtype.nbytes
        type_ = vector(in_memory(memory.dtype), lanes)
        address = self._address(memory, instruction, args[0])
        scope = self.scopes.get(memory, "")
        mask = args[1] if len(args) > 1 else None
        if lanes == 1:
            loaded = self._read_scalar(type_, address, size, scope, mask)
        elif instruction.op is Op.LOAD and mask is None:
            loaded = text.value(f"load {type_}, ptr {address}, align {size}{scope}")
        else:
            mask = mask or "splat (i1 true)"
            kind, pointer = ("load", "ptr") if instruction.op is Op.LOAD else ("gather", vector("ptr", lanes))
            suffix = f"v{lanes}{'f32' if 'float' in type_ else in_memory(memory.dtype)}"
            name = f"llvm.masked.{kind}.{suffix}.{'p0' if kind == 'load' else f'v{lanes}p0'}"
            i1 = vector("i1", lanes)
            text.declarations.add(f"declare {type_} @{name}({pointer}, {i1}, {type_})")
            loaded = text.value(
                f"call {type_} @{name}({pointer} align {size} {address}, {i1} {mask}, {type_} zeroinitializer){scope}"
            )
        if memory.dtype.is_bool:
            zero = "0" if lanes == 1 else "zeroinitializer"
            return text.binary("icmp ne", type_, loaded, zero)
        return loaded

    def _read_scalar(self, type_: str, address: str, size: int, scope: str, mask: str | None) -> str:
        """One element; where the mask is false, the arguments are read instead, and 0 is the result."""
        text = self.text
        if mask is None:
            return text.value(f"load {type_}, ptr {address}, align {size}{scope}")
        zero = "0.0" if type_ == "float" else "0"
        safe = text.value(f"select i1 {mask}, ptr {address}, ptr %args")
        loaded = text.value(f"load {type_}, ptr {safe}, align {size}")
        return text.value(f"select i1 {mask}, {type_} {loaded}, {type_} {zero}")

    def write(self, instruction: Instruction, args: list[str]) -> None:
        """A store or scatter."""
        text, memory = self.text, instruction.attribute
        lanes, size = instruction.args[1].lanes, memory.dtype.nbytes
        type_ = vector(in_memory(memory.dtype), lanes)
        address, value = self._address(memory, instruction, args[0]), args[1]
        if memory.dtype.is_bool:
            value = text.convert("zext", vector("i1", lanes), value, type_)
        scope = self.scopes.get(memory, "")
        mask = args[2] if len(args) > 2 else None
        if mask is None and (lanes == 1 or instruction.op is Op.STORE):
            text.line(f"store {type_} {value}, ptr {address}, align {size}{scope}")
            return
        if lanes == 1:
            self._write_scalar(type_, value, address, size, scope, mask or "true")
            return
        kind, pointer = ("store", "ptr") if instruction.op is Op.STORE else ("scatter", vector("ptr", lanes))
        suffix = f"v{lanes}{'f32' if 'float' in type_ else in_memory(memory.dtype)}"
        name = f"llvm.masked.{kind}.{suffix}.{'p0' if kind == 'store' else f'v{lanes}p0'}"
        i1 = vector("i1", lanes)
        text.declarations.add(f"declare void @{name}({type_}, {pointer}, {i1})")
        text.line(
            f"call void @{name}({type_} {value}, {pointer} align {size} {address}, "
            f"{i1} {mask or 'splat (i1 true)'}){scope}"
        )

    def _write_scalar(self, type_: str, value: str, address: str, size: int, scope: str, mask: str) -> None:
        """One element under a mask."""
        text = self.text
        name = f"llvm.masked.store.v1{'f32' if type_ == 'float' else type_}.p0"
        one = f"<1 x {type_}>"
        vector_value = text.value(f"insertelement {one} poison, {type_} {value}, i64 0")
        vector_mask = text.value(f"insertelement <1 x i1> poison, i1 {mask}, i64 0")
        text.declarations.add(f"declare void @{name}({one}, ptr, <1 x i1>)")
        text.line(
            f"call void @{name}({one} {vector_value}, ptr align {size} {address}, <1 x i1> {vector_mask}){scope}"
        )
