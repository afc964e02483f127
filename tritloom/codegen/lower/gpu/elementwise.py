"""Elementwise operations, one thread's element at a time. f16 and bf16 are computed in f32 and rounded after each."""

from __future__ import annotations

from tritloom.codegen.ir.dtypes import DType, Kind, f32, i8, i32, u32
from tritloom.codegen.ir.machine import Op, Register
from tritloom.codegen.ir.tile import BinaryOp, UnaryOp
from tritloom.codegen.lower.gpu.builder import ScopedBuilder

_UNARY = {
    UnaryOp.NEG: Op.NEG,
    UnaryOp.ABS: Op.ABS,
    UnaryOp.EXP: Op.EXP,
    UnaryOp.LOG: Op.LOG,
    UnaryOp.SQRT: Op.SQRT,
    UnaryOp.RSQRT: Op.RSQRT,
    UnaryOp.SIN: Op.SIN,
    UnaryOp.COS: Op.COS,
    UnaryOp.TANH: Op.TANH,
    UnaryOp.FLOOR: Op.FLOOR,
    UnaryOp.ROUND: Op.ROUND,
    UnaryOp.NOT: Op.NOT,
}
_BINARY = {
    BinaryOp.ADD: Op.ADD,
    BinaryOp.SUB: Op.SUB,
    BinaryOp.MUL: Op.MUL,
    BinaryOp.DIV: Op.DIV,
    BinaryOp.MIN: Op.MIN,
    BinaryOp.MAX: Op.MAX,
    BinaryOp.AND: Op.AND,
    BinaryOp.OR: Op.OR,
    BinaryOp.XOR: Op.XOR,
    BinaryOp.SHL: Op.SHL,
    BinaryOp.SHR: Op.SHR,
}


def register_dtype(dtype: DType) -> DType:
    """The dtype in which a thread holds an element: unpacked ternary is i8."""
    return i8 if dtype.is_ternary else dtype


def widened(b: ScopedBuilder, register: Register) -> Register:
    """f16 and bf16 as f32, all else as it is."""
    return b.cast(register, f32) if register.dtype.is_float else register


def unary(b: ScopedBuilder, op: UnaryOp, operand: Register) -> Register:
    """An operation of one operand."""
    return b.cast(b.unary(_UNARY[op], widened(b, operand)), operand.dtype)


def binary(b: ScopedBuilder, op: BinaryOp, left: Register, right: Register) -> Register:
    """An operation of two operands of one dtype."""
    x, y = widened(b, left), widened(b, right)
    if op.is_comparison:
        return b.compare(op.value, x, y)
    if op in (BinaryOp.FLOORDIV, BinaryOp.MOD):
        return _floor_division(b, op, left, right)
    return b.cast(b.binary(_BINARY[op], x, y), left.dtype)


def _floor_division(b: ScopedBuilder, op: BinaryOp, left: Register, right: Register) -> Register:
    """Quotient or remainder rounded to minus infinity. No divisor traps: masked lanes may hold any number."""
    dtype = left.dtype
    signed = dtype.kind is Kind.INT
    wide = i32 if signed else u32
    x, y = b.cast(left, wide), b.cast(right, wide)
    divisor = b.number(right)
    if divisor is not None and divisor > 0 and divisor & (divisor - 1) == 0:
        result = b.shr(x, divisor.bit_length() - 1) if op is BinaryOp.FLOORDIV else b.and_(x, divisor - 1)
        return b.cast(result, dtype)
    traps = divisor is None or divisor in (0, -1)
    if traps:
        minus = b.compare("eq", y, -1) if signed else None
        zero = b.compare("eq", y, 0)
        y = b.select(zero if minus is None else b.or_(zero, minus), b.const(1, wide), y)
    quotient = b.div(x, y)
    rest = b.sub(x, b.mul(quotient, y))
    if not signed:
        return b.cast(quotient if op is BinaryOp.FLOORDIV else rest, dtype)
    below = b.and_(b.compare("ne", rest, 0), b.compare("lt", b.xor(rest, y), 0))
    if op is BinaryOp.MOD:
        return b.cast(b.select(below, b.add(rest, y), rest), dtype)
    result = b.select(below, b.sub(quotient, 1), quotient)
    if traps and minus is not None:
        result = b.select(minus, b.sub(b.const(0, wide), x), result)
    return b.cast(result, dtype)


def cast(b: ScopedBuilder, operand: Register, dtype: DType) -> Register:
    """Conversion by value. f16 and bf16 go by way of f32."""
    if operand.dtype is dtype:
        return operand
    source = widened(b, operand)
    if dtype.is_bool:
        return b.compare("ne", source, b.const(0, source.dtype))
    if dtype.is_float:
        return b.cast(b.cast(source, f32), dtype)
    return b.cast(source, dtype)
