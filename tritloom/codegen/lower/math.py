"""EXP, LOG, TANH, SIN and COS of f32 as arithmetic of machine form, for targets without a vector library.

Exp and log are within 2 units in the last place, the others within 1e-6 relative, also at denormals, infinities, zeros
and NaN. The polynomials are least-squares fits at Chebyshev nodes in float64 of what remains after the leading terms.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

from tritloom.codegen.ir.dtypes import f32, i32, u32
from tritloom.codegen.ir.machine import Function, Instruction, MachineType, Op, Register
from tritloom.codegen.ir.machine_builder import MachineBuilder
from tritloom.codegen.lower.rewrite import rewrite

_LN2_HIGH = 355.0 / 512.0
"""ln 2 in ten bits, so that its product with an exponent is exact even without FMA."""
_LN2_LOW = math.log(2.0) - _LN2_HIGH


def expand_math(function: Function, only: frozenset[Op] | None = None) -> Function:
    """The function without EXP, LOG, TANH, SIN and COS of f32, or without those of them that are in `only`."""

    def expand(b: MachineBuilder, instruction: Instruction) -> Register | None:
        make = _EXPANSIONS.get(instruction.op)
        if (
            make is None
            or (only is not None and instruction.op not in only)
            or instruction.args[0].dtype is not f32
        ):
            return None
        return make(b, instruction.args[0])

    return rewrite(function, expand)


def _bits(b: MachineBuilder, x: Register) -> Register:
    return b.bitcast(x, MachineType(i32, x.lanes))


def _float(b: MachineBuilder, x: Register) -> Register:
    return b.bitcast(x, MachineType(f32, x.lanes))


def _polynomial(b: MachineBuilder, x: Register, coefficients: Sequence[float]) -> Register:
    """Horner's rule; the constant term is the last coefficient."""
    value = b.const(coefficients[0], f32, x.lanes)
    for coefficient in coefficients[1:]:
        value = b.fma(value, x, coefficient)
    return value


def _power_of_two(b: MachineBuilder, exponent: Register) -> Register:
    """2 to an i32 in [-126, 127]."""
    return _float(b, b.shl(b.add(exponent, 127), 23))


_EXP = (0.0013934545, 0.00836377684, 0.0416664556, 0.166665733, 0.5)


def _exp(b: MachineBuilder, x: Register) -> Register:
    """2^n * e^r with n the nearest integer to x / ln 2. Scaled in two steps, so that denormals are rounded once."""
    clamped = b.select(b.compare("lt", x, 90.0), x, 90.0)
    clamped = b.select(b.compare("gt", clamped, -106.0), clamped, -106.0)
    n = b.round(b.mul(clamped, 1.0 / math.log(2.0)))
    r = b.fma(n, -_LN2_LOW, b.fma(n, -_LN2_HIGH, clamped))
    power = b.add(b.fma(b.mul(r, r), _polynomial(b, r, _EXP), r), 1.0)
    whole = b.cast(n, i32)
    half = b.shr(whole, 1)
    scaled = b.mul(b.mul(power, _power_of_two(b, half)), _power_of_two(b, b.sub(whole, half)))
    return b.select(b.compare("ne", x, x), x, scaled)


_LOG = (
    0.071498476,
    -0.115748286,
    0.116630226,
    -0.124106489,
    0.142497614,
    -0.166684926,
    0.200007126,
    -0.249999896,
    0.333333313,
)


def _log(b: MachineBuilder, x: Register) -> Register:
    """e * ln 2 + log(m) with m in [sqrt(1/2), sqrt(2)); denormals are scaled up first."""
    denormal = b.compare("lt", x, 2.0**-126)
    scaled = b.select(denormal, b.mul(x, 2.0**24), x)
    # The bits of m * 2^e less those of sqrt(1/2) have e in the exponent's place.
    root_half = 0x3F3504F3
    offset = b.sub(_bits(b, scaled), root_half)
    exponent = b.sub(
        b.shr(offset, 23), b.select(denormal, b.const(24, i32, x.lanes), b.const(0, i32, x.lanes))
    )
    mantissa = _float(b, b.add(b.and_(offset, 0x7FFFFF), root_half))
    f, e = b.sub(mantissa, 1.0), b.cast(exponent, f32)
    square = b.mul(f, f)
    tail = b.mul(b.mul(square, f), _polynomial(b, f, _LOG))
    tail = b.fma(e, _LN2_LOW, tail)
    tail = b.fma(square, -0.5, tail)
    made = b.fma(e, _LN2_HIGH, b.add(f, tail))
    made = b.select(b.compare("eq", x, math.inf), x, made)
    made = b.select(b.compare("eq", x, 0.0), b.const(-math.inf, f32, x.lanes), made)
    return b.select(b.compare("ge", x, 0.0), made, b.const(math.nan, f32, x.lanes))


_TANH = (0.00229487126, -0.00834612735, 0.0217697024, -0.0539593734, 0.133333042, -0.333333343)


def _tanh(b: MachineBuilder, x: Register) -> Register:
    """An odd polynomial near 0, elsewhere 1 - 2 / (e^2|x| + 1)."""
    size = b.abs(x)
    square = b.mul(x, x)
    near = b.fma(b.mul(size, square), _polynomial(b, square, _TANH), size)
    grown = _exp(b, b.mul(size, 2.0))
    far = b.sub(1.0, b.div(2.0, b.add(grown, 1.0)))
    made = b.select(b.compare("lt", size, 0.625), near, far)
    return _float(b, b.or_(_bits(b, made), b.and_(_bits(b, x), -(2**31))))


_SIN = (2.72469083e-06, -0.000198400638, 0.00833333191, -0.166666672)
_COS = (-2.72984352e-07, 2.48005817e-05, -0.00138888881, 0.0416666679)
_HALF_PI = (1.5703125, 0.0004837512969970703, 7.549533620476723e-08, 2.5633440682570896e-12)
"""pi / 2 in parts of eleven bits and a rest: n times a part is exact for n up to 2^13."""
_NEAR = 4096.0
"""Up to here n * pi / 2 is taken away in parts; beyond, in integers."""
_TWO_OVER_PI = (
    0x00000000,
    0xA2F9836E,
    0x4E441529,
    0xFC2757D1,
    0xF534DDC0,
    0xDB629599,
    0x3C439041,
    0xFE5163AB,
    0xDEBBC561,
    0xB7246E3A,
    0x424DD2E0,
    0x06492EEA,
    0x09D1921C,
    0xFE1DEB1C,
    0xB129A73E,
    0xE88235F5,
)
"""The bits of 2 / pi after the point, 32 a word, after one word of zeros."""


def _quadrant(b: MachineBuilder, x: Register) -> tuple[Register, Register]:
    """(n mod 4, r) with x = n * pi / 2 + r and |r| <= pi / 4."""
    n = b.round(b.mul(x, 2.0 / math.pi))
    r = x
    for part in _HALF_PI:
        r = b.fma(n, -part, r)
    quadrant, rest = b.cast(n, i32), r
    far = b.compare("ge", b.abs(x), _NEAR)
    some = b.reduce("max", b.select(far, b.const(1, i32, x.lanes), b.const(0, i32, x.lanes)))
    with b.if_(b.compare("ne", some, 0)) as branch:
        large_quadrant, large_rest = _large_quadrant(b, x)
        chosen = b.select(far, large_quadrant, quadrant), b.select(far, large_rest, rest)
        branch.pairs = [(chosen[0], quadrant), (chosen[1], rest)]
    return branch.results[0], branch.results[1]


def _multiply_high(b: MachineBuilder, small: Register, word: Register) -> Register:
    """The upper 32 bits of the product of a number below 2^24 and a u32, by 16-bit halves."""
    low, high = b.and_(small, 0xFFFF), b.shr(small, 16)
    word_low, word_high = b.and_(word, 0xFFFF), b.shr(word, 16)
    first = b.add(b.mul(high, word_low), b.shr(b.mul(low, word_low), 16))
    second = b.add(b.mul(low, word_high), b.and_(first, 0xFFFF))
    return b.add(b.mul(high, word_high), b.add(b.shr(first, 16), b.shr(second, 16)))


def _large_quadrant(b: MachineBuilder, x: Register) -> tuple[Register, Register]:
    """The same for |x| >= 4096, exactly: the mantissa times those 96 bits of 2 / pi that decide the result mod 4."""
    unsigned = MachineType(u32, x.lanes)
    bits = b.bitcast(x, unsigned)
    exponent = b.and_(b.shr(bits, 23), 0xFF)
    mantissa = b.or_(b.and_(bits, 0x7FFFFF), 0x800000)
    # x = mantissa * 2^(exponent - 150): the first bit of 2 / pi that counts has the weight 2^(150 - exponent + 1).
    first = b.sub(exponent, 150 - 30)
    word, shift = b.shr(first, 5), b.and_(first, 31)
    words = [b.lookup(_TWO_OVER_PI, b.add(word, k), u32) for k in range(4)]
    window = [
        b.or_(b.shl(high, shift), b.shr(b.shr(low, 1), b.sub(31, shift)))
        for high, low in itertools.pairwise(words)
    ]
    low = b.mul(mantissa, window[1])
    fine = b.add(low, _multiply_high(b, mantissa, window[2]))
    carry = b.select(b.compare("lt", fine, low), b.const(1, u32, x.lanes), b.const(0, u32, x.lanes))
    turn = b.add(b.add(b.mul(mantissa, window[0]), _multiply_high(b, mantissa, window[1])), carry)
    # `turn` counts quarter turns in units of 2^-30 mod 4, `fine` its next 32 bits.
    quadrant = b.shr(b.add(turn, 1 << 29), 30)
    rest = b.bitcast(b.sub(turn, b.shl(quadrant, 30)), MachineType(i32, x.lanes))
    fraction = b.fma(b.cast(rest, f32), 2.0**-30, b.mul(b.cast(b.shr(fine, 8), f32), 2.0**-54))
    r = b.mul(fraction, math.pi / 2.0)
    number = b.bitcast(quadrant, MachineType(i32, x.lanes))
    negative = b.compare("lt", x, 0.0)
    made = b.select(negative, b.neg(number), number), b.select(negative, b.neg(r), r)
    finite = b.compare("lt", b.abs(x), math.inf)
    return made[0], b.select(finite, made[1], b.const(math.nan, f32, x.lanes))


def _wave(b: MachineBuilder, x: Register, turn: int) -> Register:
    """The sine of x + turn * pi / 2."""
    quadrant, r = _quadrant(b, x)
    if turn:
        quadrant = b.add(quadrant, turn)
    square = b.mul(r, r)
    sine = b.fma(b.mul(r, square), _polynomial(b, square, _SIN), r)
    cosine = b.fma(b.mul(square, square), _polynomial(b, square, _COS), b.fma(square, -0.5, 1.0))
    odd = b.compare("ne", b.and_(quadrant, 1), 0)
    made = b.select(odd, cosine, sine)
    sign = b.shl(b.and_(quadrant, 2), 30)
    return _float(b, b.xor(_bits(b, made), sign))


def _sin(b: MachineBuilder, x: Register) -> Register:
    return b.select(b.compare("eq", x, 0.0), x, _wave(b, x, 0))


def _cos(b: MachineBuilder, x: Register) -> Register:
    return _wave(b, x, 1)


_EXPANSIONS: dict[Op, Callable[[MachineBuilder, Register], Register]] = {
    Op.EXP: _exp,
    Op.LOG: _log,
    Op.TANH: _tanh,
    Op.SIN: _sin,
    Op.COS: _cos,
}
