"""The tile verifier: what it lets through, and each rule that it holds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given

from tests.strategies import Case, random_kernels
from tritloom.codegen.errors import VerificationError
from tritloom.codegen.ir.dtypes import f32, i32
from tritloom.codegen.ir.tile import (
    Axis,
    AxisKind,
    Binary,
    BinaryOp,
    If,
    Kernel,
    Let,
    Loop,
    Mode,
    Reduce,
    ReduceOp,
    Size,
    Store,
    const,
)
from tritloom.codegen.ir.tile_builder import Builder
from tritloom.codegen.ir.tile_verifier import verify


@given(case=random_kernels())
def test_what_the_builder_makes_is_right(case: Case) -> None:
    verify(case.kernel)


def good() -> Kernel:
    """x summed over k, stored where the size is large."""
    b = Builder("good")
    x, y = b.buffer("x", f32["M", "K"]), b.buffer("y", f32["M"], Mode.OUT)
    m = b.program_axis("m", b.size("M"), 4)
    with b.loop("k", b.size("K"), 8, [b.full([m], 0, f32)]) as loop:
        total = b.reduce(ReduceOp.SUM, b.load(x, [m, loop.axis]), loop.axis)
        loop.next = [b.binary(BinaryOp.ADD, loop.values[0], total)]
    with b.condition(b.binary(BinaryOp.GT, b.size("K"), 3)) as opened:
        doubled = b.binary(BinaryOp.MUL, loop.results[0], 2.0)
        with opened.otherwise():
            pass
        opened.pairs = [(doubled, loop.results[0])]
    b.store(y, [m], opened.results[0])
    return b.finish()


def loop_of(kernel: Kernel) -> Loop:
    return next(s for s in kernel.body.statements if isinstance(s, Loop))


def if_of(kernel: Kernel) -> If:
    return next(s for s in kernel.body.statements if isinstance(s, If))


def store_of(kernel: Kernel) -> Store:
    return next(s for s in kernel.body.statements if isinstance(s, Store))


def let(kernel: Kernel, kind: type) -> Let:
    return next(s for s in kernel.body.walk() if isinstance(s, Let) and isinstance(s.value, kind))


def used_before(kernel: Kernel) -> None:
    kernel.body.statements.reverse()


def used_outside(kernel: Kernel) -> None:
    inner = loop_of(kernel).body.statements[-1]
    assert isinstance(inner, Let)
    store_of(kernel).value = inner.value


def leaves_its_branch(kernel: Kernel) -> None:
    inner = if_of(kernel).then.statements[0]
    assert isinstance(inner, Let)
    store_of(kernel).value = inner.value


def twice(kernel: Kernel) -> None:
    kernel.body.statements.insert(0, kernel.body.statements[0])


def wrong_dtype(kernel: Kernel) -> None:
    let(kernel, Binary).value.dtype = i32


def wrong_axes(kernel: Kernel) -> None:
    let(kernel, Reduce).value.axes = ()


def mixed(kernel: Kernel) -> None:
    value = if_of(kernel).then.statements[0]
    assert isinstance(value, Let)
    assert isinstance(value.value, Binary)
    value.value.right = const(2, i32)


def written_input(kernel: Kernel) -> None:
    kernel.buffers[1].mode = Mode.IN


def read_output(kernel: Kernel) -> None:
    kernel.buffers[0].mode = Mode.OUT


def other_buffer(kernel: Kernel) -> None:
    other = Builder("other").buffer("z", f32["M"], Mode.OUT)
    other.shape = kernel.buffers[1].shape
    store_of(kernel).buffer = other


def other_size(kernel: Kernel) -> None:
    kernel.program_axes[0].size = Size(axes=(), dtype=i32, name="M")


def loop_size(kernel: Kernel) -> None:
    kernel.program_axes = (*kernel.program_axes, Axis("late", store_of(kernel).value, 4, AxisKind.PROGRAM))


def zero_block(kernel: Kernel) -> None:
    kernel.program_axes[0].block = 0


def loop_as_program(kernel: Kernel) -> None:
    loop_of(kernel).axis.kind = AxisKind.PROGRAM


def carried_type(kernel: Kernel) -> None:
    loop_of(kernel).variables[0].initial = const(0.0, f32)


def merged_type(kernel: Kernel) -> None:
    if_of(kernel).merges[0].if_false = const(0.0, f32)


def tile_condition(kernel: Kernel) -> None:
    if_of(kernel).condition = loop_of(kernel).variables[0].result


def same_names(kernel: Kernel) -> None:
    kernel.buffers[1].name = "x"


BREAKS: list[tuple[Callable[[Kernel], None], str]] = [
    (used_before, "is used where it is not computed"),
    (used_outside, "is used where it is not computed"),
    (leaves_its_branch, "is used where it is not computed"),
    (twice, "is computed twice"),
    (wrong_dtype, "its operands give"),
    (wrong_axes, "its operands give"),
    (mixed, "`mul` of f32 and i32"),
    (written_input, "is an input and is written"),
    (read_output, "is an output and is read"),
    (other_buffer, "the buffer `z` is not one of the kernel's"),
    (other_size, "the size `M` is not one of the kernel's"),
    (loop_size, "`late` is not known at launch"),
    (zero_block, "no positive block"),
    (loop_as_program, "a program axis"),
    (carried_type, "changes its type in the loop over `k`"),
    (merged_type, "another type in each branch"),
    (tile_condition, "no bool scalar"),
    (same_names, "two parameters are named `x`"),
]


@pytest.mark.parametrize(("damage", "message"), BREAKS, ids=[damage.__name__ for damage, _ in BREAKS])
def test_a_broken_kernel(damage: Callable[[Kernel], None], message: str) -> None:
    kernel = good()
    verify(kernel)
    damage(kernel)
    with pytest.raises(VerificationError, match="kernel good: ") as caught:
        verify(kernel)
    assert message in caught.value.message
