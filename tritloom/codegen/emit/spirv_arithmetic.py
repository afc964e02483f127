"""Arithmetic of registers in SPIR-V: one case an operation."""

from __future__ import annotations

from collections.abc import Callable

from tritloom.codegen.emit.spirv_assembler import Id
from tritloom.codegen.emit.spirv_context import Context
from tritloom.codegen.emit.spirv_opcodes import NUMBERS
from tritloom.codegen.emit.spirv_types import storage_bits
from tritloom.codegen.ir.dtypes import DType, Kind, bool_, f16, f32, i8, i32, u32
from tritloom.codegen.ir.machine import Instruction, MachineType, Op, Register

_BINARY: dict[Op, tuple[str, str, str]] = {
    Op.ADD: ("OpFAdd", "OpIAdd", "OpIAdd"),
    Op.SUB: ("OpFSub", "OpISub", "OpISub"),
    Op.MUL: ("OpFMul", "OpIMul", "OpIMul"),
    Op.DIV: ("OpFDiv", "OpSDiv", "OpUDiv"),
    Op.REM: ("", "", "OpUMod"),
    Op.AND: ("", "OpBitwiseAnd", "OpBitwiseAnd"),
    Op.OR: ("", "OpBitwiseOr", "OpBitwiseOr"),
    Op.XOR: ("", "OpBitwiseXor", "OpBitwiseXor"),
    Op.SHL: ("", "OpShiftLeftLogical", "OpShiftLeftLogical"),
    Op.SHR: ("", "OpShiftRightArithmetic", "OpShiftRightLogical"),
}
"""Of floats, signed and unsigned integers."""
_EXACT = {Op.ADD, Op.SUB, Op.MUL}
_LOGICAL = {Op.AND: "OpLogicalAnd", Op.OR: "OpLogicalOr", Op.XOR: "OpLogicalNotEqual"}
_EXTENDED: dict[Op, tuple[str, str, str]] = {
    Op.MIN: ("FMin", "SMin", "UMin"),
    Op.MAX: ("FMax", "SMax", "UMax"),
    Op.ABS: ("FAbs", "SAbs", ""),
    Op.SQRT: ("Sqrt", "", ""),
    Op.FLOOR: ("Floor", "", ""),
    Op.ROUND: ("RoundEven", "", ""),
    Op.FMA: ("Fma", "", ""),
}
_COMPARE: dict[str, tuple[str, str, str]] = {
    "lt": ("OpFOrdLessThan", "OpSLessThan", "OpULessThan"),
    "le": ("OpFOrdLessThanEqual", "OpSLessThanEqual", "OpULessThanEqual"),
    "gt": ("OpFOrdGreaterThan", "OpSGreaterThan", "OpUGreaterThan"),
    "ge": ("OpFOrdGreaterThanEqual", "OpSGreaterThanEqual", "OpUGreaterThanEqual"),
    "eq": ("OpFOrdEqual", "OpIEqual", "OpIEqual"),
    "ne": ("OpFUnordNotEqual", "OpINotEqual", "OpINotEqual"),
}
_LIMITS = {32: (2147483520.0, 4294967040.0)}
"""The greatest floats below 2**31 and 2**32."""

Make = Callable[[Context, Instruction, Register], Id]


def column(dtype: DType) -> int:
    """Which of three variants a dtype takes: of floats, of signed or of unsigned integers."""
    return 0 if dtype.is_float else 1 if dtype.kind is Kind.INT else 2


def compute(ctx: Context, instruction: Instruction, result: Register) -> bool:
    """Emit an operation on registers; False if it is none of these."""
    make = _MAKERS.get(instruction.op)
    if make is None:
        return False
    ctx.values[result] = make(ctx, instruction, result)
    return True


def _binary(ctx: Context, instruction: Instruction, result: Register) -> Id:
    a, b = map(ctx.value, instruction.args)
    type_ = ctx.types.register(result.type)
    if result.dtype.is_bool:
        return ctx.op(_LOGICAL[instruction.op], type_, a, b)
    if instruction.op is Op.REM and result.dtype.kind is Kind.INT:
        # Under Vulkan OpSRem is undefined where an operand is negative.
        whole = ctx.op("OpIMul", type_, ctx.op("OpSDiv", type_, a, b), b)
        return ctx.op("OpISub", type_, a, whole)
    opcode = _BINARY[instruction.op][column(result.dtype)]
    if result.dtype.is_float and instruction.op in _EXACT:
        return ctx.exact(opcode, type_, a, b)
    return ctx.op(opcode, type_, a, b)


def _extended(ctx: Context, instruction: Instruction, result: Register) -> Id:
    name = _EXTENDED[instruction.op][column(result.dtype)]
    made = ctx.module.extended(
        ctx.types.register(result.type), name, *(ctx.value(arg) for arg in instruction.args)
    )
    if instruction.op is Op.FMA:
        ctx.module.decorate(made, "NoContraction")
    return made


def _rsqrt(ctx: Context, instruction: Instruction, result: Register) -> Id:
    type_ = ctx.types.register(result.type)
    root = ctx.module.extended(type_, "Sqrt", ctx.value(instruction.args[0]))
    return ctx.op("OpFDiv", type_, ctx.numbers(1.0, result.type), root)


def _negated(ctx: Context, instruction: Instruction, result: Register) -> Id:
    opcode = "OpFNegate" if result.dtype.is_float else "OpSNegate"
    return ctx.op(opcode, ctx.types.register(result.type), ctx.value(instruction.args[0]))


def _inverted(ctx: Context, instruction: Instruction, result: Register) -> Id:
    opcode = "OpLogicalNot" if result.dtype.is_bool else "OpNot"
    return ctx.op(opcode, ctx.types.register(result.type), ctx.value(instruction.args[0]))


def _compare(ctx: Context, instruction: Instruction, result: Register) -> Id:
    operand, type_ = instruction.args[0], ctx.types.register(result.type)
    a, b = map(ctx.value, instruction.args)
    if operand.dtype.is_bool:
        opcodes = {"eq": "OpLogicalEqual", "ne": "OpLogicalNotEqual"}
        if instruction.attribute not in opcodes:
            raise ctx.unsupported(instruction.op, "of bools by size")
        return ctx.op(opcodes[instruction.attribute], type_, a, b)
    return ctx.op(_COMPARE[instruction.attribute][column(operand.dtype)], type_, a, b)


def _select(ctx: Context, instruction: Instruction, result: Register) -> Id:
    return ctx.op("OpSelect", ctx.types.register(result.type), *map(ctx.value, instruction.args))


def _lookup(ctx: Context, instruction: Instruction, result: Register) -> Id:
    """A tree of choices, the lowest bit first."""
    which = instruction.args[0]
    truth = ctx.types.register(MachineType(bool_, result.lanes))
    words, type_ = ctx.types.register(which.type), ctx.types.register(result.type)
    value, zero = ctx.value(which), ctx.numbers(0, which.type)
    chosen = [ctx.numbers(number, result.type) for number in instruction.attribute]
    bit = 1
    while len(chosen) > 1:
        masked = ctx.op("OpBitwiseAnd", words, value, ctx.numbers(bit, which.type))
        isset = ctx.op("OpINotEqual", truth, masked, zero)
        pairs = zip(chosen[::2], chosen[1::2], strict=True)
        chosen = [ctx.op("OpSelect", type_, isset, high, low) for low, high in pairs]
        bit *= 2
    return chosen[0]


# conversions


def _cast(ctx: Context, instruction: Instruction, result: Register) -> Id:
    operand = instruction.args[0]
    source, target, lanes = operand.dtype, result.dtype, result.lanes
    value = ctx.value(operand)
    if source is target:
        return value
    if source is f16:
        return _f16_to_f32(ctx, value, result)
    if source.is_bool:
        return ctx.op(
            "OpSelect",
            ctx.types.register(result.type),
            value,
            ctx.numbers(1, result.type),
            ctx.numbers(0, result.type),
        )
    if target.is_bool:
        opcode = "OpFUnordNotEqual" if source is f32 else "OpINotEqual"
        wide, type_ = _widened(ctx, value, operand)
        return ctx.op(opcode, ctx.types.register(result.type), wide, ctx.numbers(0, type_))
    if source is f32:
        return _float_to_integer(ctx, value, result)
    if target is f32:
        wide, _ = _widened(ctx, value, operand)
        opcode = "OpConvertSToF" if source.kind is Kind.INT else "OpConvertUToF"
        return ctx.op(opcode, ctx.types.register(result.type), wide)
    return _resized(ctx, value, source, target, lanes)


def _f16_to_f32(ctx: Context, bits: Id, result: Register) -> Id:
    types = ctx.types
    made = []
    for lane in range(result.lanes):
        one = bits if result.lanes == 1 else ctx.op("OpCompositeExtract", types.stored(f16), bits, lane)
        word = ctx.op("OpUConvert", types.u32, one)
        pair = ctx.module.extended(types.vector(types.f32, 2, "f32"), "UnpackHalf2x16", word)
        made.append(ctx.op("OpCompositeExtract", types.f32, pair, 0))
    return made[0] if len(made) == 1 else ctx.op("OpCompositeConstruct", types.register(result.type), *made)


def _widened(ctx: Context, value: Id, operand: Register) -> tuple[Id, MachineType]:
    """A narrow integer in 32 bits; all else as it is."""
    dtype = operand.dtype
    if dtype.is_float or storage_bits(dtype) == 32:
        return value, operand.type
    wide = i32 if dtype.kind is Kind.INT else u32
    return _resized(ctx, value, dtype, wide, operand.lanes), MachineType(wide, operand.lanes)


def _resized(ctx: Context, value: Id, source: DType, target: DType, lanes: int) -> Id:
    """An integer in another width: it wraps, or is extended by its own sign."""
    if storage_bits(source) == storage_bits(target):
        return value
    opcode = "OpSConvert" if source.kind is Kind.INT else "OpUConvert"
    return ctx.op(opcode, ctx.types.register(MachineType(target, lanes)), value)


def _float_to_integer(ctx: Context, value: Id, result: Register) -> Id:
    """Truncates and saturates, NaN to 0; a conversion of SPIR-V alone is undefined outside of the range."""
    target, lanes, types = result.dtype, result.lanes, ctx.types
    signed = target.kind is Kind.INT
    floats, words = MachineType(f32, lanes), MachineType(u32, lanes)
    bits = storage_bits(target)
    least = -(2 ** (bits - 1)) if signed else 0
    greatest = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    bound = _LIMITS[32][0 if signed else 1] if bits == 32 else float(greatest)
    number, whole = types.register(floats), types.register(words)
    truth = types.register(MachineType(bool_, lanes))
    clamped = ctx.module.extended(
        number, "FClamp", value, ctx.numbers(float(least), floats), ctx.numbers(bound, floats)
    )
    made = ctx.op("OpConvertFToS" if signed else "OpConvertFToU", whole, clamped)
    if bits == 32:
        beyond = ctx.op("OpFOrdGreaterThan", truth, value, ctx.numbers(bound, floats))
        made = ctx.op("OpSelect", whole, beyond, ctx.numbers(greatest, words), made)
    # NaN by its bits, which no driver's float optimisations touch.
    raw = ctx.op("OpBitcast", whole, value)
    size = ctx.op("OpBitwiseAnd", whole, raw, ctx.numbers(0x7FFFFFFF, words))
    nan = ctx.op("OpUGreaterThan", truth, size, ctx.numbers(0x7F800000, words))
    made = ctx.op("OpSelect", whole, nan, ctx.numbers(0, words), made)
    return _resized(ctx, made, u32, target, lanes)


# vectors


def _extract(ctx: Context, instruction: Instruction, result: Register) -> Id:
    value = ctx.value(instruction.args[0])
    if instruction.args[0].lanes == 1:
        return value
    return ctx.op("OpCompositeExtract", ctx.types.register(result.type), value, instruction.attribute)


def _insert(ctx: Context, instruction: Instruction, result: Register) -> Id:
    vector, scalar = map(ctx.value, instruction.args)
    if result.lanes == 1:
        return scalar
    return ctx.op("OpCompositeInsert", ctx.types.register(result.type), scalar, vector, instruction.attribute)


def _splat(ctx: Context, instruction: Instruction, result: Register) -> Id:
    return ctx.splat(ctx.value(instruction.args[0]), ctx.types.register(result.type), result.lanes)


def _shuffle(ctx: Context, instruction: Instruction, result: Register) -> Id:
    a, b = instruction.args
    lanes: tuple[int, ...] = instruction.attribute
    type_ = ctx.types.register(result.type)
    if a.lanes == 1:
        chosen = [ctx.value((a, b)[lane]) for lane in lanes]
        return chosen[0] if len(lanes) == 1 else ctx.op("OpCompositeConstruct", type_, *chosen)
    if len(lanes) == 1:
        source = ctx.value(a if lanes[0] < a.lanes else b)
        return ctx.op("OpCompositeExtract", type_, source, lanes[0] % a.lanes)
    return ctx.op("OpVectorShuffle", type_, ctx.value(a), ctx.value(b), *lanes)


def _reduce(ctx: Context, instruction: Instruction, result: Register) -> Id:
    operand, which = instruction.args[0], column(result.dtype)
    value, type_ = ctx.value(operand), ctx.types.register(result.type)
    if operand.lanes == 1:
        return value
    parts = [ctx.op("OpCompositeExtract", type_, value, lane) for lane in range(operand.lanes)]
    total = parts[0]
    for part in parts[1:]:
        if instruction.attribute == "add":
            opcode = _BINARY[Op.ADD][which]
            total = (ctx.exact if result.dtype.is_float else ctx.op)(opcode, type_, total, part)
        else:
            name = _EXTENDED[Op.MIN if instruction.attribute == "min" else Op.MAX][which]
            total = ctx.module.extended(type_, name, total, part)
    return total


# sums of four products of bytes


def _dot4(ctx: Context, instruction: Instruction, result: Register) -> Id:
    """By the device's instruction where the target has it, which takes four bytes as a word."""
    total, a, b = instruction.args
    if result.lanes != 1:
        raise ctx.unsupported(instruction.op, f"of {result.lanes} lanes")
    u32_type = ctx.types.u32
    left, right, signed = ctx.word(a), ctx.word(b), a.dtype is i8
    if ctx.target.has("int8-dot"):
        ctx.module.capability("DotProduct", "DotProductInput4x8BitPacked")
        ctx.module.extension("SPV_KHR_integer_dot_product")
        # OpSUDot takes the signed one first.
        opcode, first, second = ("OpSDot", left, right) if signed else ("OpSUDot", right, left)
        made = ctx.op(opcode, u32_type, first, second, "PackedVectorFormat4x8Bit")
        return ctx.op("OpIAdd", u32_type, ctx.value(total), made)
    made = ctx.value(total)
    eight = ctx.types.number(8)
    for byte in range(4):
        at = ctx.types.number(8 * byte)
        x = ctx.op("OpBitFieldSExtract" if signed else "OpBitFieldUExtract", u32_type, left, at, eight)
        y = ctx.op("OpBitFieldSExtract", u32_type, right, at, eight)
        made = ctx.op("OpIAdd", u32_type, made, ctx.op("OpIMul", u32_type, x, y))
    return made


def bitcast(ctx: Context, instruction: Instruction, result: Register) -> None:
    """The same bits: four bytes stay the word that they are."""
    operand = instruction.args[0]
    same_type = operand.lanes == result.lanes and (operand.dtype is f32) == (result.dtype is f32)
    if operand in ctx.packed and (same_type or result.type in (MachineType(u32), MachineType(i32))):
        (ctx.packed if same_type else ctx.values)[result] = ctx.packed[operand]
    elif same_type:
        ctx.values[result] = ctx.value(operand)
    elif result.lanes == 4 and result.dtype.bits == 8:
        ctx.packed[result] = ctx.word(operand)
    else:
        ctx.values[result] = ctx.op("OpBitcast", ctx.types.register(result.type), ctx.value(operand))


def lane_xor(ctx: Context, instruction: Instruction, result: Register) -> Id:
    """The operand of another thread of the subgroup."""
    if not ctx.target.has("subgroups"):
        raise ctx.unsupported(instruction.op, "where the subgroup's size is not known")
    ctx.module.capability("GroupNonUniformShuffle")
    return ctx.op(
        "OpGroupNonUniformShuffleXor",
        ctx.types.register(result.type),
        ctx.types.number(NUMBERS["Scope"]["Subgroup"]),
        ctx.value(instruction.args[0]),
        ctx.types.number(instruction.attribute),
    )


_MAKERS: dict[Op, Make] = {
    **dict.fromkeys(_BINARY, _binary),
    **dict.fromkeys(_EXTENDED, _extended),
    Op.RSQRT: _rsqrt,
    Op.NEG: _negated,
    Op.NOT: _inverted,
    Op.COMPARE: _compare,
    Op.SELECT: _select,
    Op.LOOKUP: _lookup,
    Op.CAST: _cast,
    Op.EXTRACT: _extract,
    Op.INSERT: _insert,
    Op.SPLAT: _splat,
    Op.SHUFFLE: _shuffle,
    Op.REDUCE: _reduce,
    Op.DOT4_SS: _dot4,
    Op.DOT4_US: _dot4,
    Op.LANE_XOR: lane_xor,
}
