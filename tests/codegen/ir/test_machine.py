"""The machine form's builder, verifier and printer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tritloom.codegen.errors import VerificationError
from tritloom.codegen.ir.dtypes import bf16, bool_, f32, i8, i32, ternary, u8
from tritloom.codegen.ir.machine import (
    Function,
    Instruction,
    MachineType,
    Memory,
    Op,
    Register,
    Space,
    index,
)
from tritloom.codegen.ir.machine_builder import MachineBuilder
from tritloom.codegen.ir.machine_printer import format_machine
from tritloom.codegen.ir.machine_verifier import RULES, verify_machine

F4, I4, B4 = MachineType(f32, 4), MachineType(i32, 4), MachineType(bool_, 4)
F, I1, X = MachineType(f32), MachineType(i32), MachineType(index)


def sums() -> Function:
    """The sum of x, or 0 where a size is 0."""
    b = MachineBuilder("sums")
    x, y = b.buffer("x", f32, writable=False), b.buffer("y", f32)
    b.declare_size("n")
    n = b.size("n")
    with b.for_(0, n, 4, [b.const(0.0, f32, 4)], unroll=2) as loop:
        loop.next = [b.add(loop.values[0], b.load(x, b.cast(loop.variable, index), 4))]
    with b.if_(b.compare("eq", n, 0)) as branch:
        with branch.otherwise():
            total = b.reduce("add", loop.results[0])
        branch.pairs = [(b.const(0.0, f32), total)]
    b.store(y, b.cast(b.program(), index), branch.results[0])
    return b.finish()


def test_a_built_function_is_well_formed() -> None:
    verify_machine(sums())


def test_printed() -> None:
    assert (
        format_machine(sums())
        == """\
function sums(const f32* x, f32* y, i32 n):
    %0: i32 = size n
    %1: f32x4 = 0.0
    %2: i32 = 0
    %3: i32 = 4
    %4: f32 = 0.0
    %5: i32 = program
    for %6 in %2, %0, %3 unroll 2 carrying %7: f32x4 = %1:
        %8: index = cast %6
        %9: f32x4 = load x[%8]
        %10: f32x4 = add %7, %9
        %7 <- %10
    %11 = %7
    %12: bool = compare.eq %0, %2
    if %12:
        pass
    else:
        %13: f32 = reduce.add %11
    %14: f32 = %4 if %12 else %13
    %15: index = cast %5
    store y[%15, %14]
"""
    )


def test_equal_constants_are_one_register() -> None:
    b = MachineBuilder("constants")
    assert b.const(1, i32) is b.const(1, i32)
    assert b.const(1, i32) is not b.const(1, i32, 4)
    assert b.const(0.0, f32) is not b.const(-0.0, f32)
    assert b.const(1, i32) is not b.const(True, bool_)
    with b.if_(b.const(True, bool_)):
        inside = b.const(7, i32)
    b.add(inside, 1)
    verify_machine(b.finish())


def test_the_builder_refuses_operands_of_two_types() -> None:
    b = MachineBuilder("mixed")
    with pytest.raises(VerificationError, match="an operation of i32 and f32x4"):
        b.add(b.const(1, i32), b.const(1.0, f32, 4))
    with pytest.raises(VerificationError, match="of two Python numbers"):
        b.add(1, 2)
    with pytest.raises(VerificationError, match="a constant of 4 lanes is given 3"):
        b.const((1, 2, 3), i32, 4)


def test_every_operation_has_a_rule() -> None:
    assert set(RULES) == set(Op)


Broken = tuple[str, Callable[[Callable[..., Register], MachineBuilder, Memory], Any], str]
EMIT: list[Broken] = [
    ("add", lambda e, b, m: b.emit(Op.ADD, F4, e(F4), e(I4)), "operands and a result of one type"),
    ("add bools", lambda e, b, m: b.emit(Op.ADD, B4, e(B4), e(B4)), "does not take bool"),
    ("and floats", lambda e, b, m: b.emit(Op.AND, F4, e(F4), e(F4)), "does not take f32"),
    ("exp of i32", lambda e, b, m: b.emit(Op.EXP, I4, e(I4)), "does not take i32"),
    ("fma of two", lambda e, b, m: b.emit(Op.FMA, F4, e(F4), e(F4)), "takes 3 operand"),
    ("const", lambda e, b, m: b.emit(Op.CONST, MachineType(i8), attribute=200), "200 does not fit"),
    ("const lanes", lambda e, b, m: b.emit(Op.CONST, I4, attribute=(1, 2)), "has 2 numbers for 4 lanes"),
    ("size", lambda e, b, m: b.emit(Op.SIZE, I1, attribute="K"), "no argument `K`"),
    ("compare", lambda e, b, m: b.emit(Op.COMPARE, B4, e(F4), e(F4), attribute="lo"), "no predicate 'lo'"),
    ("compare lanes", lambda e, b, m: b.emit(Op.COMPARE, F4, e(F4), e(F4), attribute="lt"), "a bool a lane"),
    ("select", lambda e, b, m: b.emit(Op.SELECT, F4, e(MachineType(bool_)), e(F4), e(F4)), "bool a lane"),
    ("cast", lambda e, b, m: b.emit(Op.CAST, I1, e(F4)), "keeps its lanes"),
    ("bitcast", lambda e, b, m: b.emit(Op.BITCAST, I1, e(F4)), "keeps the total width"),
    ("splat", lambda e, b, m: b.emit(Op.SPLAT, F4, e(F4)), "takes a scalar"),
    ("extract", lambda e, b, m: b.emit(Op.EXTRACT, F, e(F4), attribute=4), "has no lane 4"),
    ("insert", lambda e, b, m: b.emit(Op.INSERT, F4, e(F4), e(I1), attribute=0), "scalar of its dtype"),
    (
        "shuffle",
        lambda e, b, m: b.emit(Op.SHUFFLE, F, e(F4), e(F4), attribute=(8,)),
        "outside of its 8 lanes",
    ),
    ("reduce", lambda e, b, m: b.emit(Op.REDUCE, F, e(F4), attribute="mul"), "no kind 'mul'"),
    ("load", lambda e, b, m: b.emit(Op.LOAD, I4, e(X), attribute=m), "moves i32"),
    ("load index", lambda e, b, m: b.emit(Op.LOAD, F4, e(I4), attribute=m), "an index of i32x4"),
    ("load mask", lambda e, b, m: b.emit(Op.LOAD, F4, e(X), e(B4), e(B4), attribute=m), "number of operands"),
    ("mask lanes", lambda e, b, m: b.emit(Op.LOAD, F, e(X), e(B4), attribute=m), "mask of boolx4 for 1"),
    ("gather", lambda e, b, m: b.emit(Op.GATHER, F4, e(X), attribute=m), "an index of index"),
    ("store", lambda e, b, m: b.store(m, e(X), e(F4)), "which is only read"),
    ("foreign", lambda e, b, m: b.load(Memory("z", f32, Space.GLOBAL), e(X)), "`z` is no memory"),
    ("dot4", lambda e, b, m: b.dot4_us(e(I4), e(MachineType(i8, 16)), e(MachineType(i8, 16))), "u8x16"),
    ("dot2", lambda e, b, m: b.dot2_bf16(e(F4), e(MachineType(bf16, 8)), e(MachineType(bf16, 4))), "bf16x8"),
    ("lookup", lambda e, b, m: b.lookup((1.0, 2.0), e(I4), f32), "needs 4 or 16 numbers"),
    (
        "ternary",
        lambda e, b, m: b.emit(Op.CAST, MachineType(ternary), e(MachineType(u8))),
        "register of ternary",
    ),
    ("before", lambda e, b, m: b.neg(Register(F)), "not made before it"),
]


@pytest.mark.parametrize(("make", "message"), [row[1:] for row in EMIT], ids=[row[0] for row in EMIT])
def test_broken_instructions(make: Callable[..., Any], message: str) -> None:
    b = MachineBuilder("broken")
    memory = b.buffer("x", f32, writable=False)

    def example(type_: MachineType) -> Register:
        return b.const(1 if not type_.dtype.is_bool else True, type_.dtype, type_.lanes)

    make(example, b, memory)
    with pytest.raises(VerificationError, match=message):
        verify_machine(b.finish())


def test_a_value_of_a_loop_is_not_seen_after_it() -> None:
    b = MachineBuilder("leak")
    with b.for_(0, 4) as loop:
        inside = b.add(loop.variable, 1)
    b.neg(inside)
    with pytest.raises(VerificationError, match="not made before it"):
        verify_machine(b.finish())


def test_a_register_is_assigned_once() -> None:
    b = MachineBuilder("twice")
    again = b.neg(b.const(1, i32))
    b.append(Instruction(Op.NEG, again, (b.const(2, i32),)))
    with pytest.raises(VerificationError, match="assigned twice"):
        verify_machine(b.finish())


def test_loops_carry_what_they_were_given() -> None:
    b = MachineBuilder("loops")
    with (
        pytest.raises(VerificationError, match="carries 1 values and was given 0"),
        b.for_(0, 4, 1, [b.const(0, i32)]),
    ):
        pass
    with (
        pytest.raises(VerificationError, match="carries i32 and was given f32"),
        b.for_(0, 4, 1, [b.const(0, i32)]) as loop,
    ):
        loop.next = [b.const(0.0, f32)]
    b = MachineBuilder("float")
    with b.for_(b.const(0.0, f32), b.const(1.0, f32), b.const(1.0, f32)):
        pass
    with pytest.raises(VerificationError, match="a loop over f32"):
        verify_machine(b.finish())


def test_conditions_are_scalar_bools() -> None:
    b = MachineBuilder("conditions")
    with b.if_(b.const(1, i32)):
        pass
    with pytest.raises(VerificationError, match="a condition of i32"):
        verify_machine(b.finish())


def test_arrays_have_lengths_and_names_of_their_own() -> None:
    b = MachineBuilder("arrays")
    b.buffer("a", f32)
    b.array("a", f32, Space.PRIVATE, 4)
    with pytest.raises(VerificationError, match="two memories have one name"):
        verify_machine(b.finish())
    b = MachineBuilder("arrays")
    b.array("a", f32, Space.PRIVATE, 0)
    with pytest.raises(VerificationError, match="private of length 0"):
        verify_machine(b.finish())
