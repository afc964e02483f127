"""Blocks that suit a CPU's dots: as many sums as there are registers, and a turn of the loop worth its overhead."""

from __future__ import annotations

from typing import NamedTuple

from tritloom.codegen.ir.dtypes import DType
from tritloom.codegen.target import Target


class DotBlocks(NamedTuple):
    """Blocks of a dot's result rows and columns and of the contracted axis."""

    rows: int
    columns: int
    contracted: int


def dot_blocks(left: DType, right: DType, rows: int, target: Target) -> DotBlocks:
    """Blocks for `[rows, K] . [N, K]`, with the columns' program axis first and the rows' fastest.

    With 32 registers eight rows times three vectors of sums leave enough for the operands; with 16, four times two. Of
    few rows more vectors keep the pipeline full.
    """
    lanes = target.vector_bits // 32
    many = target.vector_registers >= 32
    height = min(rows, 8 if many else 4)
    if right.is_ternary:
        vectors = {1: 8, 2: 6, 3: 4, 4: 4}.get(height, 3) if many else {1: 4, 2: 3}.get(height, 2)
        return DotBlocks(height, vectors * lanes, 64)
    return DotBlocks(min(rows, 4), 6 if many else 3, 8 * lanes)
