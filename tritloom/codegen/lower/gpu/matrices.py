"""Dots on matrix units: operands in shared memory as rows, sums in a subgroup's matrices until the loop is over.

Which thread holds which element of a matrix is not known, so the sums leave by way of shared memory, one matrix at a
time in a place of the subgroup's own.
"""

from __future__ import annotations

from collections.abc import Sequence

from tritloom.codegen.ir.dtypes import DType, i32
from tritloom.codegen.ir.machine import MatrixAccess, MatrixShape, MatrixUse, Register, index
from tritloom.codegen.ir.tile import Dot
from tritloom.codegen.lower.gpu.context import Context
from tritloom.codegen.lower.gpu.dots import DotStrategy, Operands
from tritloom.codegen.lower.gpu.plan import LayoutPlan
from tritloom.codegen.lower.gpu.staging import ROWS
from tritloom.codegen.lower.gpu.tiling import Tiling, lanes
from tritloom.codegen.target import MatrixUnit, Target


class MatrixDot(DotStrategy):
    """Products of a subgroup's matrices."""

    name = "matrix"
    group = ROWS
    ahead = True

    def fits(self, dot: Dot, plan: LayoutPlan, target: Target) -> bool:
        return plan.tiling is not None and plan.tiling.takes(dot, target) is not None

    def staged(self, dot: Dot) -> DType:
        return dot.left.dtype

    def start(self, ctx: Context, dot: Dot) -> list[Register]:
        tiling, unit = _tiling(ctx, dot)
        high, wide = tiling.matrices
        shape = MatrixShape(unit.rows, unit.columns, MatrixUse.ACCUMULATOR)
        return [ctx.builder.matrix_const(0, dot.dtype, shape)] * (high * wide)

    def multiply(
        self, ctx: Context, dot: Dot, operands: Operands, sums: Sequence[Register]
    ) -> list[Register]:
        b = ctx.builder
        tiling, unit = _tiling(ctx, dot)
        left, right = operands
        high, wide = tiling.matrices
        shape_a = MatrixShape(unit.rows, unit.depth, MatrixUse.A)
        shape_b = MatrixShape(unit.depth, unit.columns, MatrixUse.B)
        row_pitch, column_pitch = left.rows[tiling.rows.axis], right.rows[tiling.columns.axis]
        access_a = MatrixAccess(left.memory, row_pitch)
        access_b = MatrixAccess(right.memory, column_pitch, transposed=True)
        subgroup_row, subgroup_column = _place(ctx, tiling)
        first_row = b.mul(subgroup_row, high * unit.rows * row_pitch)
        first_column = b.mul(subgroup_column, wide * unit.columns * column_pitch)
        totals = list(sums)
        for k in range(0, dot.axis.block, unit.depth):
            a = [
                b.matrix_load(
                    access_a, b.cast(b.add(first_row, i * unit.rows * row_pitch + k), index), shape_a
                )
                for i in range(high)
            ]
            for j in range(wide):
                at = b.cast(b.add(first_column, j * unit.columns * column_pitch + k), index)
                column = b.matrix_load(access_b, at, shape_b)
                for i in range(high):
                    totals[i * wide + j] = b.matrix_multiply_add(a[i], column, totals[i * wide + j])
        return totals

    def finish(self, ctx: Context, dot: Dot, sums: Sequence[Register]) -> list[Register]:
        b = ctx.builder
        tiling, unit = _tiling(ctx, dot)
        high, wide = tiling.matrices
        size = unit.rows * unit.columns
        memory = ctx.shared.scratch(dot.dtype, tiling.grid[0] * tiling.grid[1] * size)
        access = MatrixAccess(memory, unit.columns)
        region = b.mul(b.subgroup(), size)
        layout = ctx.plan.layout(dot.axes)
        elements: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
        for register, combination in enumerate(layout.combinations()):
            numbers = dict(zip(layout.axes, combination, strict=True))
            row = tiling.rows.offsets[numbers[tiling.rows.axis]]
            column = tiling.columns.offsets[numbers[tiling.columns.axis]]
            matrix = row // unit.rows, column // unit.columns
            elements.setdefault(matrix, []).append((register, row % unit.rows, column % unit.columns))
        _, across = lanes(unit, tiling.subgroup_size)
        lane = b.and_(b.thread(), tiling.subgroup_size - 1)
        lane_row, lane_column = b.shr(lane, across.bit_length() - 1), b.and_(lane, across - 1)
        own = b.add(region, b.add(b.mul(lane_row, unit.columns), lane_column))
        result: list[Register | None] = [None] * layout.registers
        for i in range(high):
            for j in range(wide):
                b.matrix_store(access, b.cast(region, index), sums[i * wide + j])
                b.subgroup_barrier()
                for register, row, column in elements[i, j]:
                    at = b.cast(b.add(own, row * unit.columns + column), index)
                    result[register] = b.load(memory, at)
                b.subgroup_barrier()
        ctx.shared.access(memory, "read")
        return [register for register in result if register is not None]


def _tiling(ctx: Context, dot: Dot) -> tuple[Tiling, MatrixUnit]:
    tiling = ctx.plan.tiling
    unit = None if tiling is None else tiling.takes(dot, ctx.target)
    if tiling is None or unit is None:
        raise TypeError("a dot without a tiling is given to the matrix units")
    return tiling, unit


def _place(ctx: Context, tiling: Tiling) -> tuple[Register, Register]:
    """The subgroup's row and column in the grid of subgroups."""
    b, (high, wide) = ctx.builder, tiling.grid
    number = b.subgroup()
    row = b.shr(number, wide.bit_length() - 1) if high > 1 else b.const(0, i32)
    column = b.and_(number, wide - 1) if wide > 1 else b.const(0, i32)
    return row, column
