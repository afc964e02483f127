"""Quotients and square roots of f32, made exact where the target's own are off by a few units in the last place.

One step of Newton's: with the remainder r = a - q * b, which a fused multiply-add gives exactly, q + r / b is the
correctly rounded quotient in all but rare cases, where it is its neighbour. Where that sum is no normal number (zeros,
infinities, NaN, denormals, divisors whose reciprocal overflows) the target's own result stands: an operand of these
kinds would spoil the correction. The choice is made by the bits, which no optimisation of floats touches.
"""

from __future__ import annotations

from tritloom.codegen.ir.dtypes import f32, u32
from tritloom.codegen.ir.machine import Function, Instruction, MachineType, Op, Register
from tritloom.codegen.ir.machine_builder import MachineBuilder
from tritloom.codegen.lower.rewrite import rewrite


def expand_division(function: Function) -> Function:
    """DIV, SQRT and RSQRT of f32 with a correction. For targets whose multiply-add is fused, and no others."""
    return rewrite(function, _expand)


def _expand(b: MachineBuilder, instruction: Instruction) -> Register | None:
    if instruction.args == () or instruction.args[0].dtype is not f32:
        return None
    match instruction.op:
        case Op.DIV:
            return _quotient(b, *instruction.args)
        case Op.SQRT:
            return _root(b, instruction.args[0])
        case Op.RSQRT:
            one = b.const(1.0, f32, instruction.args[0].lanes)
            return _quotient(b, one, _root(b, instruction.args[0]))
        case _:
            return None


def _quotient(b: MachineBuilder, dividend: Register, divisor: Register) -> Register:
    return corrected_quotient(b, dividend, divisor, b.div(dividend, divisor))


def corrected_quotient(b: MachineBuilder, dividend: Register, divisor: Register, rough: Register) -> Register:
    """The quotient, given one that is off by a few units in the last place."""
    rest = b.fma(b.neg(rough), divisor, dividend)
    return _if_normal(b, b.fma(rest, b.div(1.0, divisor), rough), rough)


def _root(b: MachineBuilder, x: Register) -> Register:
    return corrected_root(b, x, b.sqrt(x))


def corrected_root(b: MachineBuilder, x: Register, rough: Register) -> Register:
    """The square root, given one that is off by a few units in the last place."""
    rest = b.fma(b.neg(rough), rough, x)
    return _if_normal(b, b.fma(rest, b.div(0.5, rough), rough), rough)


def _if_normal(b: MachineBuilder, better: Register, rough: Register) -> Register:
    """The better one unless it is zero, denormal, infinite or NaN."""
    size = b.and_(b.bitcast(better, MachineType(u32, better.lanes)), 0x7FFFFFFF)
    return b.select(b.compare("lt", b.sub(size, 0x00800000), 0x7F000000), better, rough)
