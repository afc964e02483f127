"""Which strategy makes a dot: the first of a list that fits."""

from __future__ import annotations

from tritloom.codegen.errors import UnsupportedError
from tritloom.codegen.ir.tile import Dot, Value
from tritloom.codegen.lower.gpu.dots import DotStrategy, ExactFloatDot, PackedDot, ScalarDot
from tritloom.codegen.lower.gpu.layout import Layout
from tritloom.codegen.lower.gpu.matrices import MatrixDot
from tritloom.codegen.lower.gpu.plan import LayoutPlan
from tritloom.codegen.target import Target

STRATEGIES: tuple[DotStrategy, ...] = (MatrixDot(), PackedDot(), ExactFloatDot(), ScalarDot())
"""Best first."""


def strategy(dot: Dot, plan: LayoutPlan, target: Target) -> DotStrategy:
    """The best strategy that fits."""
    for candidate in STRATEGIES:
        if candidate.fits(dot, plan, target):
            return candidate
    raise UnsupportedError(
        f"no strategy for a dot of {dot.left.dtype} and {dot.right.dtype}", location=dot.location
    )


def operands(dot: Dot, plan: LayoutPlan, target: Target) -> list[tuple[Value, Layout]]:
    """The values that a dot reads, in the layouts in which it reads them."""
    return strategy(dot, plan, target).operands(dot, plan, target)
