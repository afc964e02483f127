"""Tile kernels as text: readable, complete, and the same for the same kernel."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from hypothesis import given

from tests.strategies import Case, random_kernels
from tests.support import REPOSITORY
from tritloom.codegen.errors import SourceLocation
from tritloom.codegen.ir.dtypes import f32, i8, i32, ternary
from tritloom.codegen.ir.tile import BinaryOp, Kernel, Mode, ReduceOp, UnaryOp
from tritloom.codegen.ir.tile_builder import Builder
from tritloom.codegen.ir.tile_printer import format_kernel


def everything(block: int = 8, limit: float = 0.1, multiple: int = 16, op: UnaryOp = UnaryOp.EXP) -> Kernel:
    """A kernel with each kind of statement and value."""
    b = Builder("everything", SourceLocation("/home/user/model.py", 10))
    x, w = b.buffer("x", i8["M", "K"]), b.buffer("w", ternary["N", "K"])
    g = b.buffer("g", f32["M", 4])
    y, z = b.buffer("y", f32["M", "N"], Mode.OUT), b.buffer("z", f32["M"], Mode.INOUT)
    eps = b.scalar("eps", f32)
    size = b.size("L", multiple_of=multiple)
    n = b.program_axis("n", b.size("N"), 48)
    m = b.program_axis("m", b.size("M"), block)
    d = b.whole_axis("d", b.const(3, i32), 4)
    zero = b.full([m, n], 0, i32)
    zero.name = "acc"
    with b.loop("k", b.size("K"), 64, [zero], stop=size) as loop:
        here = SourceLocation("/home/user/model.py", 17, 4, 9)
        product = b.dot(b.load(x, [m, loop.axis], location=here), b.load(w, [n, loop.axis]), loop.axis)
        loop.values[0].name = "acc"
        loop.next = [b.binary(BinaryOp.ADD, loop.values[0], product)]
    chosen = b.binary(BinaryOp.GT, eps, limit)
    scaled = b.cast(loop.results[0], f32)
    with b.condition(chosen) as opened:
        grown = b.unary(op, scaled)
        with opened.otherwise():
            less = b.binary(BinaryOp.SUB, scaled, 1.5)
        opened.pairs = [(grown, less)]
    b.store(y, [m, n], opened.results[0])
    row = b.reduce(ReduceOp.MAX, b.load(g, [m, d]), d)
    positive = b.binary(BinaryOp.GE, row, 0.0)
    b.store(z, [m], b.select(positive, row, eps), positive)
    return b.finish()


def test_golden(golden: Callable[[str, str], None]) -> None:
    golden("everything.tile", format_kernel(everything()))
    golden("everything_without_locations.tile", format_kernel(everything(), locations=False))


def test_what_decides_the_kernel_is_in_the_text() -> None:
    text = format_kernel(everything(), locations=False)
    others = [everything(block=4), everything(limit=0.2), everything(multiple=8), everything(op=UnaryOp.TANH)]
    assert len({text, *(format_kernel(other, locations=False) for other in others)}) == 5


def test_the_text_without_locations_has_none() -> None:
    assert "model.py" in format_kernel(everything())
    assert "model.py" not in format_kernel(everything(), locations=False)
    assert "/home" not in format_kernel(everything())


def test_the_text_is_the_same_in_another_process() -> None:
    code = "from tests.codegen.ir.test_tile_printer import *; print(format_kernel(everything()), end='')"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert found.stdout == format_kernel(everything())


@given(case=random_kernels())
def test_random_kernels_print_each_value_once(case: Case) -> None:
    text = format_kernel(case.kernel, locations=False)
    assert text == format_kernel(case.kernel, locations=False)
    left = [line.split(":")[0].strip() for line in text.splitlines() if ": " in line and " = " in line]
    names = [name for name in left if not name.startswith(("kernel", "program", "loop", "whole", "store"))]
    assert len(names) == len(set(names))
