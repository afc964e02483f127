"""Memory in SPIR-V: buffers by their device address, shared and private arrays as variables.

Pointers into a variable cannot be cast, so each array is declared as what all of its accesses are multiples of: words
of 32 bits, pairs or fours of them, or else its own elements. Wider accesses are then made of several. A pointer into a
buffer is cast where whole words are accessed, which are aligned to their size; vectors of elements are not, and are
taken element by element.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tritloom.codegen.emit.spirv_assembler import Id
from tritloom.codegen.emit.spirv_context import Context
from tritloom.codegen.emit.spirv_opcodes import NUMBERS
from tritloom.codegen.ir.dtypes import DType, f32, u32
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

_READS = {Op.LOAD, Op.GATHER, Op.LOAD_WORDS, Op.MATRIX_LOAD}
_WRITES = {Op.STORE, Op.SCATTER, Op.STORE_WORDS, Op.MATRIX_STORE}
ACCESSES = frozenset(_READS | _WRITES)
_WORD = 4
"""Bytes."""
_ROW = 16
"""Bytes to which the rows of a matrix in memory are aligned."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a memory lies and how it is declared."""

    memory: Memory
    storage: str
    pointer: Id
    """The variable, or the loaded address of a buffer."""
    unit: int
    """Bytes of one element as it is declared."""
    shared_use: bool
    """Whether the accesses of one thread must be seen by others."""

    @property
    def natural(self) -> bool:
        """Whether it is declared as its own elements, not as words."""
        return self.unit == self.memory.dtype.nbytes

    @property
    def buffer(self) -> bool:
        """Whether it is a kernel's argument."""
        return self.memory.space is Space.GLOBAL


@dataclass(slots=True)
class Use:
    """What a function does with a memory."""

    unit: int
    """The greatest number of bytes, up to 16, that all accesses are multiples of."""
    read: bool = False
    written: bool = False


def memory_of(instruction: Instruction) -> Memory:
    """The memory that an access names."""
    attribute = instruction.attribute
    memory = attribute.memory if isinstance(attribute, MatrixAccess) else attribute
    assert isinstance(memory, Memory)
    return memory


def uses(function: Function) -> dict[Memory, Use]:
    """What the function does with each memory that it touches."""
    found: dict[Memory, Use] = {}
    for statement in function.body.walk():
        if not isinstance(statement, Instruction) or statement.op not in ACCESSES:
            continue
        use = found.setdefault(memory_of(statement), Use(_ROW))
        use.unit = min(use.unit, _access_bytes(statement))
        use.read |= statement.op in _READS
        use.written |= statement.op in _WRITES
    return found


def _access_bytes(instruction: Instruction) -> int:
    """The bytes to which an access of an array is aligned, in whole elements of which it can be made."""
    dtype = memory_of(instruction).dtype
    if dtype.is_bool:
        return dtype.nbytes
    match instruction.op:
        case Op.MATRIX_LOAD | Op.MATRIX_STORE:
            access = instruction.attribute
            value = instruction.args[1] if instruction.result is None else instruction.result
            shape = value.type.matrix
            assert shape is not None
            # Matrices lie beside each other in a row, so that a narrow one begins between two units of 16 bytes.
            along = shape.rows if access.transposed else shape.columns
            unit = math.gcd(_ROW, access.stride * dtype.nbytes, along * dtype.nbytes)
            return unit if unit >= _WORD else dtype.nbytes
        case Op.LOAD | Op.STORE | Op.LOAD_WORDS | Op.STORE_WORDS:
            value = instruction.args[1] if instruction.result is None else instruction.result
            nbytes = value.dtype.nbytes * value.lanes
            masked = len(instruction.args) > (1 if instruction.result is not None else 2)
            lane_masks = masked and instruction.args[-1].lanes > 1
            return dtype.nbytes if nbytes not in (4, 8, 16) or lane_masks else nbytes
        case _:
            return dtype.nbytes


def element(ctx: Context, dtype: DType, unit: int) -> Id:
    """The type of one element of a memory as it is declared."""
    if unit == dtype.nbytes:
        return ctx.types.stored(dtype)
    return ctx.types.words(unit // _WORD)


def declare_array(ctx: Context, memory: Memory, use: Use) -> Place:
    """The variable of a shared or private array."""
    unit = use.unit if use.unit >= _WORD else memory.dtype.nbytes
    assert memory.length is not None
    length = -(-memory.length * memory.dtype.nbytes // unit)
    array = ctx.module.once(
        "OpTypeArray", element(ctx, memory.dtype, unit), ctx.types.number(length), label=f"{memory.name}_type"
    )
    shared = memory.space is Space.SHARED
    storage = "Workgroup" if shared else "Function"
    pointer = ctx.types.pointer(storage, array)
    variable = ctx.module.global_("OpVariable", pointer, storage) if shared else ctx.module.variable(pointer)
    ctx.module.name(variable, memory.name)
    return Place(memory, storage, variable, unit, shared)


# addresses


def _unit_index(ctx: Context, place: Place, at: Id) -> Id:
    shift = (place.unit // place.memory.dtype.nbytes).bit_length() - 1
    return at if not shift else ctx.op("OpShiftRightLogical", ctx.types.u32, at, ctx.types.number(shift))


def _pointer(ctx: Context, place: Place, unit_index: Id, offset: int = 0) -> Id:
    """The pointer to an element as it is declared."""
    if offset:
        unit_index = ctx.op("OpIAdd", ctx.types.u32, unit_index, ctx.types.number(offset))
    type_ = ctx.types.pointer(place.storage, element(ctx, place.memory.dtype, place.unit))
    path = (ctx.types.number(0), unit_index) if place.buffer else (unit_index,)
    return ctx.op("OpAccessChain", type_, place.pointer, *path)


def _operands(ctx: Context, place: Place, alignment: int) -> tuple[str | int, ...]:
    """The memory operands of an access."""
    names = ["Aligned"] if place.buffer else []
    if ctx.matrices and place.shared_use:
        names.append("NonPrivatePointer")
    if not names:
        return ()
    return ("|".join(names), *([alignment] if place.buffer else []))


def _word_pointer(ctx: Context, place: Place, at: Id, words: int) -> Id:
    """A buffer's pointer to words that lie aligned to their size."""
    pointer, type_ = _pointer(ctx, place, at), ctx.types.words(words)
    if type_ == ctx.types.stored(
        place.memory.dtype
    ):  # NVIDIA's compiler (580) crashes on a cast to the same type
        return pointer
    return ctx.op("OpBitcast", ctx.types.pointer(place.storage, type_), pointer)


# elements


def _load_element(ctx: Context, place: Place, at: Id, offset: int = 0) -> Id:
    """One element of a memory that is declared as its own elements."""
    dtype = place.memory.dtype
    loaded = ctx.op(
        "OpLoad",
        ctx.types.stored(dtype),
        _pointer(ctx, place, at, offset),
        *_operands(ctx, place, dtype.nbytes),
    )
    if not dtype.is_bool:
        return loaded
    wide = ctx.op("OpUConvert", ctx.types.u32, loaded)
    return ctx.op("OpINotEqual", ctx.types.bool_, wide, ctx.types.number(0))


def _store_element(ctx: Context, place: Place, at: Id, value: Id, offset: int = 0) -> None:
    dtype = place.memory.dtype
    if dtype.is_bool:
        number = ctx.op("OpSelect", ctx.types.u32, value, ctx.types.number(1), ctx.types.number(0))
        value = ctx.op("OpUConvert", ctx.types.int_(8), number)
    pointer = _pointer(ctx, place, at, offset)
    ctx.module.effect("OpStore", pointer, value, *_operands(ctx, place, dtype.nbytes))


def _part(ctx: Context, vector: Id, type_: Id, lanes: int, lane: int) -> Id:
    return vector if lanes == 1 else ctx.op("OpCompositeExtract", type_, vector, lane)


def _whole(ctx: Context, type_: Id, parts: Sequence[Id]) -> Id:
    return parts[0] if len(parts) == 1 else ctx.op("OpCompositeConstruct", type_, *parts)


# words


def _load_words(ctx: Context, place: Place, at: Id, words: int) -> Id:
    """Words from an element on whose address is a multiple of their size."""
    types, dtype = ctx.types, place.memory.dtype
    type_ = types.words(words)
    if place.buffer:
        pointer = _word_pointer(ctx, place, at, words)
        return ctx.op("OpLoad", type_, pointer, *_operands(ctx, place, words * _WORD))
    if place.natural:
        per_word = _WORD // dtype.nbytes
        found = []
        for word in range(words):
            parts = [_load_element(ctx, place, at, word * per_word + i) for i in range(per_word)]
            vector = _whole(ctx, types.register(MachineType(dtype, per_word)), parts)
            found.append(
                vector if per_word == 1 and dtype is not f32 else ctx.op("OpBitcast", types.u32, vector)
            )
        return _whole(ctx, type_, found)
    per_unit = place.unit // _WORD
    first = _unit_index(ctx, place, at)
    unit_type = types.words(per_unit)
    units = [
        ctx.op("OpLoad", unit_type, _pointer(ctx, place, first, i), *_operands(ctx, place, place.unit))
        for i in range(words // per_unit)
    ]
    if len(units) == 1:
        return units[0]
    split = [_part(ctx, unit, types.u32, per_unit, i) for unit in units for i in range(per_unit)]
    return _whole(ctx, type_, split)


def _store_words(ctx: Context, place: Place, at: Id, value: Id, words: int) -> None:
    types, dtype = ctx.types, place.memory.dtype
    if place.buffer:
        pointer = _word_pointer(ctx, place, at, words)
        ctx.module.effect("OpStore", pointer, value, *_operands(ctx, place, words * _WORD))
        return
    parts = [_part(ctx, value, types.u32, words, i) for i in range(words)]
    if place.natural:
        per_word = _WORD // dtype.nbytes
        vector = types.register(MachineType(dtype, per_word))
        for word, part in enumerate(parts):
            if per_word > 1 or dtype is f32:
                part = ctx.op("OpBitcast", vector, part)
            for i in range(per_word):
                one = _part(ctx, part, types.stored(dtype), per_word, i)
                _store_element(ctx, place, at, one, word * per_word + i)
        return
    per_unit = place.unit // _WORD
    first = _unit_index(ctx, place, at)
    for i in range(words // per_unit):
        if words == per_unit:
            unit = value
        else:
            unit = _whole(ctx, types.words(per_unit), parts[i * per_unit : (i + 1) * per_unit])
        pointer = _pointer(ctx, place, first, i)
        ctx.module.effect("OpStore", pointer, unit, *_operands(ctx, place, place.unit))


# instructions


def _in_words(place: Place, type_: MachineType) -> bool:
    """Whether an access of elements is made in words."""
    return not place.natural and not place.buffer and type_.dtype.nbytes * type_.lanes % _WORD == 0


def load(ctx: Context, place: Place, instruction: Instruction, result: Register) -> None:
    """LOAD and LOAD_WORDS."""
    at, *mask = instruction.args
    words = result.dtype.nbytes * result.lanes // _WORD
    if instruction.op is Op.LOAD and mask and mask[0].lanes > 1:
        neighbours = [(ctx.value(at), lane) for lane in range(result.lanes)]
        ctx.values[result] = _load_lanes(ctx, place, neighbours, mask[0], result)
        return
    if instruction.op is Op.LOAD and not _in_words(place, result.type):
        lanes = range(result.lanes)
        type_ = ctx.types.register(result.type)

        def elements() -> Id:
            return _whole(ctx, type_, [_load_element(ctx, place, ctx.value(at), i) for i in lanes])

        ctx.values[result] = _masked(ctx, mask, elements, result.type)
        return
    as_words = MachineType(u32, words)
    loaded = _masked(ctx, mask, lambda: _load_words(ctx, place, ctx.value(at), words), as_words)
    if result.dtype.nbytes == 1 and result.lanes == 4:
        ctx.packed[result] = loaded
    elif result.dtype.is_integer and result.dtype.bits == 32:
        ctx.values[result] = loaded
    else:
        ctx.values[result] = ctx.op("OpBitcast", ctx.types.register(result.type), loaded)


def _masked(ctx: Context, mask: Sequence[Register], make: Callable[[], Id], type_: MachineType) -> Id:
    """What is made where the mask holds, else 0."""
    if not mask:
        return make()
    return ctx.where(ctx.value(mask[0]), make, ctx.types.register(type_), ctx.numbers(0, type_))


def _load_lanes(
    ctx: Context, place: Place, where: Sequence[tuple[Id, int]], mask: Register | None, result: Register
) -> Id:
    """Lanes one by one, each at an index and an offset from it."""
    one = MachineType(result.dtype)
    parts = []
    for lane, (at, offset) in enumerate(where):

        def make(at: Id = at, offset: int = offset) -> Id:
            return _load_element(ctx, place, at, offset)

        if mask is None:
            parts.append(make())
        else:
            held = _part(ctx, ctx.value(mask), ctx.types.bool_, mask.lanes, lane)
            parts.append(ctx.where(held, make, ctx.types.register(one), ctx.numbers(0, one)))
    return _whole(ctx, ctx.types.register(result.type), parts)


def gather(ctx: Context, place: Place, instruction: Instruction, result: Register) -> None:
    """GATHER."""
    at, *mask = instruction.args
    indices = [(_part(ctx, ctx.value(at), ctx.types.u32, at.lanes, lane), 0) for lane in range(at.lanes)]
    ctx.values[result] = _load_lanes(ctx, place, indices, mask[0] if mask else None, result)


def store(ctx: Context, place: Place, instruction: Instruction) -> None:
    """STORE, STORE_WORDS and SCATTER."""
    at, value, *mask = instruction.args
    scattered = instruction.op is Op.SCATTER
    if scattered or (mask and mask[0].lanes > 1):
        _store_lanes(ctx, place, at, value, mask[0] if mask else None, scattered=scattered)
        return

    def make() -> None:
        if instruction.op is Op.STORE_WORDS:
            _store_words(ctx, place, ctx.value(at), ctx.value(value), value.lanes)
        elif _in_words(place, value.type):
            words = value.dtype.nbytes * value.lanes // _WORD
            _store_words(ctx, place, ctx.value(at), _as_words(ctx, value, words), words)
        else:
            lanes, one = value.lanes, _lane_type(ctx, value.dtype, value.lanes)
            held = ctx.value(value)
            for lane in range(lanes):
                _store_element(ctx, place, ctx.value(at), _part(ctx, held, one, lanes, lane), lane)

    if mask:
        ctx.where(ctx.value(mask[0]), make, None, None)
    else:
        make()


def _lane_type(ctx: Context, dtype: DType, lanes: int) -> Id:
    """The type of a lane that is taken out of a vector."""
    return ctx.types.bool_ if dtype.is_bool else ctx.types.stored(dtype)


def _as_words(ctx: Context, value: Register, words: int) -> Id:
    if words == 1:
        return ctx.word(value)
    if value.dtype.is_integer and value.dtype.bits == 32:
        return ctx.value(value)
    return ctx.op("OpBitcast", ctx.types.words(words), ctx.value(value))


def _store_lanes(
    ctx: Context, place: Place, at: Register, value: Register, mask: Register | None, *, scattered: bool
) -> None:
    one = _lane_type(ctx, value.dtype, value.lanes)
    held, indices = ctx.value(value), ctx.value(at)
    for lane in range(value.lanes):
        where = _part(ctx, indices, ctx.types.u32, at.lanes, lane)
        part = _part(ctx, held, one, value.lanes, lane)
        offset = 0 if scattered else lane

        def make(where: Id = where, part: Id = part, offset: int = offset) -> None:
            _store_element(ctx, place, where, part, offset)

        if mask is None:
            make()
        else:
            ctx.where(_part(ctx, ctx.value(mask), ctx.types.bool_, mask.lanes, lane), make, None, None)


# a subgroup's matrices


def _matrix_place(ctx: Context, place: Place, access: MatrixAccess, at: Id) -> tuple[Id, Id, Id]:
    """The pointer to its first element, the layout and the stride (in elements as they are declared)."""
    index = _unit_index(ctx, place, at)
    stride = access.stride * place.memory.dtype.nbytes // place.unit
    name = "ColumnMajorKHR" if access.transposed else "RowMajorKHR"
    layout = ctx.types.number(NUMBERS["CooperativeMatrixLayout"][name])
    return _pointer(ctx, place, index), layout, ctx.types.number(stride)


def matrix_load(ctx: Context, place: Place, instruction: Instruction, result: Register) -> None:
    """MATRIX_LOAD."""
    where = _matrix_place(ctx, place, instruction.attribute, ctx.value(instruction.args[0]))
    operands = _operands(ctx, place, _access_bytes(instruction))
    ctx.values[result] = ctx.op(
        "OpCooperativeMatrixLoadKHR", ctx.types.register(result.type), *where, *operands
    )


def matrix_store(ctx: Context, place: Place, instruction: Instruction) -> None:
    """MATRIX_STORE."""
    at, value = instruction.args
    pointer, layout, stride = _matrix_place(ctx, place, instruction.attribute, ctx.value(at))
    operands = _operands(ctx, place, _access_bytes(instruction))
    ctx.module.effect("OpCooperativeMatrixStoreKHR", pointer, ctx.value(value), layout, stride, *operands)
