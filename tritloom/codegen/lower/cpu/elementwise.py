"""Elementwise operations: one machine instruction, or a short sequence, for each register."""

from __future__ import annotations

from collections.abc import Callable

from tritloom.codegen.ir.dtypes import Kind
from tritloom.codegen.ir.machine import Op, Register
from tritloom.codegen.ir.machine_builder import MachineBuilder
from tritloom.codegen.ir.tile import BinaryOp, UnaryOp

_UNARY: dict[UnaryOp, Op] = {
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
_BINARY: dict[BinaryOp, Op] = {
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


def unary(b: MachineBuilder, op: UnaryOp, operand: Register) -> Register:
    """An elementwise operation of one register."""
    return b.unary(_UNARY[op], operand)


def binary(
    b: MachineBuilder, op: BinaryOp, left: Register, right: Register, divisor: int | None = None
) -> Register:
    """An elementwise operation of two registers of one type. `divisor` is the right one's value, if it is known."""
    if left.dtype.is_bool and op.is_comparison:
        return _compare_bools(b, op, left, right)
    if op.is_comparison:
        return b.compare(op.value, left, right)
    if op is BinaryOp.FLOORDIV:
        return floor_divide(b, left, right, divisor)
    if op is BinaryOp.MOD:
        return floor_modulo(b, left, right, divisor)
    return b.binary(_BINARY[op], left, right)


def _compare_bools(b: MachineBuilder, op: BinaryOp, left: Register, right: Register) -> Register:
    """Comparisons of bools, false before true, as logic."""
    rules: dict[BinaryOp, Callable[[], Register]] = {
        BinaryOp.EQ: lambda: b.not_(b.xor(left, right)),
        BinaryOp.NE: lambda: b.xor(left, right),
        BinaryOp.LT: lambda: b.and_(b.not_(left), right),
        BinaryOp.GT: lambda: b.and_(left, b.not_(right)),
        BinaryOp.LE: lambda: b.or_(b.not_(left), right),
        BinaryOp.GE: lambda: b.or_(left, b.not_(right)),
    }
    return rules[op]()


def _safe(b: MachineBuilder, left: Register, right: Register) -> tuple[Register, Register | None]:
    """A divisor that no division traps on, and for which lanes the quotient is the negated dividend instead.

    Lanes that are masked hold anything, 0 too; and the least integer by -1 overflows.
    """
    safe = b.select(b.compare("eq", right, 0), 1, right)
    if left.dtype.kind is Kind.UINT:
        return safe, None
    negates = b.compare("eq", right, -1)
    return b.select(negates, 1, safe), negates


def floor_divide(b: MachineBuilder, left: Register, right: Register, divisor: int | None = None) -> Register:
    """left // right, rounded down."""
    signed = left.dtype.kind is Kind.INT
    if divisor is not None and divisor > 0 and divisor & (divisor - 1) == 0:
        return b.shr(left, divisor.bit_length() - 1)
    negates = None
    if divisor is None or divisor in (0, -1):
        right, negates = _safe(b, left, right)
    quotient = b.div(left, right)
    if not signed:
        return quotient
    rest = b.sub(left, b.mul(quotient, right))
    below = b.and_(b.compare("ne", rest, 0), b.compare("lt", b.xor(rest, right), 0))
    floored = b.select(below, b.sub(quotient, 1), quotient)
    return floored if negates is None else b.select(negates, b.neg(left), floored)


def floor_modulo(b: MachineBuilder, left: Register, right: Register, divisor: int | None = None) -> Register:
    """left % right, with the divisor's sign."""
    signed = left.dtype.kind is Kind.INT
    if divisor is not None and divisor > 0 and divisor & (divisor - 1) == 0:
        return b.and_(left, divisor - 1)
    negates = None
    if divisor is None or divisor in (0, -1):
        right, negates = _safe(b, left, right)
    rest = b.rem(left, right)
    if not signed:
        return rest
    below = b.and_(b.compare("ne", rest, 0), b.compare("lt", b.xor(rest, right), 0))
    wrapped = b.select(below, b.add(rest, right), rest)
    return wrapped if negates is None else b.select(negates, 0, wrapped)
