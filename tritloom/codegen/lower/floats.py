"""f16 and bf16 on processors that only compute in f32, and conversions and rounding on those that lack them.

Sums, products, quotients and square roots in f32 of f16 or bf16 operands, rounded once more, are the correctly rounded
ones: f32 has more than twice their precision and two bits.
"""

from __future__ import annotations

import numpy as np

from tritloom.codegen.ir.dtypes import DType, Kind, bf16, f16, f32, u32
from tritloom.codegen.ir.machine import Function, Instruction, MachineType, Op, Register
from tritloom.codegen.ir.machine_builder import MachineBuilder
from tritloom.codegen.lower.rewrite import rewrite

_NARROW = (f16, bf16)
_ARITHMETIC = frozenset(
    {
        Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.MIN, Op.MAX, Op.FMA, Op.SQRT, Op.RSQRT, Op.EXP, Op.LOG, Op.SIN, Op.COS,
        Op.TANH, Op.FLOOR, Op.ROUND, Op.NEG, Op.ABS,
    }
)  # fmt: skip

u16 = DType("u16", Kind.UINT, 16, np.dtype(np.uint16))
"""The bits of an f16 or bf16: a dtype that only these expansions use."""


def expand_narrow_floats(function: Function) -> Function:
    """Arithmetic, comparisons, reductions and integer conversions of f16 and bf16 by way of f32."""
    return rewrite(function, _through_f32)


def _through_f32(b: MachineBuilder, instruction: Instruction) -> Register | None:
    op, result = instruction.op, instruction.result
    assert result is not None
    if not any(arg.dtype in _NARROW for arg in instruction.args):
        if op is Op.CAST and result.dtype in _NARROW and instruction.args[0].dtype is not f32:
            return b.cast(b.cast(instruction.args[0], f32), result.dtype)
        return None
    if op in _ARITHMETIC or op is Op.REDUCE:
        wide = [b.cast(arg, f32) for arg in instruction.args]
        made = b.emit(op, MachineType(f32, result.lanes), *wide, attribute=instruction.attribute)
        return b.cast(made, result.dtype)
    if op is Op.COMPARE:
        wide = [b.cast(arg, f32) for arg in instruction.args]
        return b.emit(op, result.type, *wide, attribute=instruction.attribute)
    if op is Op.CAST and result.dtype is not f32:
        return b.cast(b.cast(instruction.args[0], f32), result.dtype)
    return None


def expand_conversions(function: Function, *, f16_too: bool, f16_widens: bool = False) -> Function:
    """f32 <-> bf16 (and f16) by integer operations: to nearest, halves to even; NaN stays NaN, denormals are kept.

    `f16_widens`: the target converts f16 to f32, but not back as it should.
    """

    def expand(b: MachineBuilder, instruction: Instruction) -> Register | None:
        result = instruction.result
        if instruction.op is not Op.CAST or result is None:
            return None
        operand = instruction.args[0]
        narrow = operand.dtype if operand.dtype in _NARROW else result.dtype
        if narrow not in _NARROW or (narrow is f16 and not f16_too):
            return None
        if operand.dtype is f16 and result.dtype is f32 and f16_widens:
            return None
        if narrow is bf16:
            return _bf16_to_f32(b, operand) if result.dtype is f32 else _f32_to_bf16(b, operand)
        return _f16_to_f32(b, operand) if result.dtype is f32 else _f32_to_f16(b, operand)

    return rewrite(function, expand)


def _bits(b: MachineBuilder, x: Register) -> Register:
    return b.bitcast(x, MachineType(u32, x.lanes))


def _float(b: MachineBuilder, x: Register) -> Register:
    return b.bitcast(x, MachineType(f32, x.lanes))


def _widened(b: MachineBuilder, x: Register) -> Register:
    """The 16 bits of a narrow float in 32."""
    return b.cast(b.bitcast(x, MachineType(u16, x.lanes)), u32)


def _narrowed(b: MachineBuilder, bits: Register, dtype: DType) -> Register:
    return b.bitcast(b.cast(bits, u16), MachineType(dtype, bits.lanes))


def _bf16_to_f32(b: MachineBuilder, x: Register) -> Register:
    return _float(b, b.shl(_widened(b, x), 16))


def _f32_to_bf16(b: MachineBuilder, x: Register) -> Register:
    bits = _bits(b, x)
    upper = b.shr(bits, 16)
    rounded = b.shr(b.add(bits, b.add(b.and_(upper, 1), 0x7FFF)), 16)
    quiet = b.or_(upper, 0x40)
    # By its bits: a driver that need not keep NaN may take it that no float differs from itself.
    nan = b.compare("gt", b.and_(bits, 0x7FFFFFFF), 0x7F800000)
    return _narrowed(b, b.select(nan, quiet, rounded), bf16)


def _f16_to_f32(b: MachineBuilder, x: Register) -> Register:
    """Exponent and fraction moved to their places; denormals by an exact subtraction of floats."""
    bits = _widened(b, x)
    sign = b.shl(b.and_(bits, 0x8000), 16)
    magnitude = b.shl(b.and_(bits, 0x7FFF), 13)
    normal = b.add(magnitude, (127 - 15) << 23)
    special = b.add(magnitude, (255 - 31) << 23)
    denormal = _bits(b, b.sub(_float(b, b.add(magnitude, 113 << 23)), 2.0**-14))
    made = b.select(b.compare("ge", magnitude, 31 << 23), special, normal)
    made = b.select(b.compare("lt", magnitude, 1 << 23), denormal, made)
    return _float(b, b.or_(made, sign))


def _f32_to_f16(b: MachineBuilder, x: Register) -> Register:
    """Rounded at bit 13 by an addition with carry; denormals by an addition of 0.5, whose last bit is 2^-24."""
    bits = _bits(b, x)
    sign = b.and_(bits, 0x80000000)
    magnitude = b.xor(bits, sign)
    odd = b.and_(b.shr(magnitude, 13), 1)
    rebased = b.sub(magnitude, (127 - 15) << 23)
    normal = b.shr(b.add(b.add(rebased, 0xFFF), odd), 13)
    denormal = b.sub(_bits(b, b.add(_float(b, magnitude), 0.5)), 126 << 23)
    special = b.select(
        b.compare("gt", magnitude, 0x7F800000),
        b.const(0x7E00, u32, x.lanes),
        b.const(0x7C00, u32, x.lanes),
    )
    made = b.select(b.compare("ge", magnitude, (127 + 16) << 23), special, normal)
    made = b.select(b.compare("lt", magnitude, (127 - 14) << 23), denormal, made)
    return _narrowed(b, b.or_(made, b.shr(sign, 16)), f16)


def expand_rounding(function: Function) -> Function:
    """FLOOR and ROUND of f32 by adding and subtracting 2^23, which leaves no fraction bits."""

    def expand(b: MachineBuilder, instruction: Instruction) -> Register | None:
        if instruction.op not in (Op.FLOOR, Op.ROUND):
            return None
        x = instruction.args[0]
        bits = _bits(b, x)
        sign = b.and_(bits, 0x80000000)
        size = _float(b, b.xor(bits, sign))
        nearest = _float(b, b.or_(_bits(b, b.sub(b.add(size, 2.0**23), 2.0**23)), sign))
        rounded = b.select(b.compare("lt", size, 2.0**23), nearest, x)
        if instruction.op is Op.ROUND:
            return rounded
        return b.select(b.compare("gt", rounded, x), b.sub(rounded, 1.0), rounded)

    return rewrite(function, expand)
