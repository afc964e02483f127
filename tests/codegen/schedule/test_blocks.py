"""The block table: sums fit the registers, and loops keep the alignment of packed weights."""

from __future__ import annotations

import pytest

from tritloom.codegen.ir.dtypes import DType, f16, f32
from tritloom.codegen.schedule.blocks import INNER_DOT, OUTER_DOT, TERNARY_DOT, dot_kind, table
from tritloom.codegen.targets import target


@pytest.mark.parametrize("name", ["cpu:avx512", "cpu:avx2", "cpu:plain"])
@pytest.mark.parametrize("rows", [1, 2, 7, 512])
@pytest.mark.parametrize("kind", [INNER_DOT, OUTER_DOT, TERNARY_DOT])
def test_dots_fit_the_registers(name: str, rows: int, kind: str) -> None:
    described = target(name)
    blocks = table(described, kind, rows)
    lanes = described.vector_bits // 32
    sums = blocks.rows * (blocks.columns if kind == INNER_DOT else blocks.columns // lanes)
    assert 1 <= blocks.rows <= rows
    assert sums + blocks.rows <= described.vector_registers
    assert blocks.loop % 16 == 0


@pytest.mark.parametrize("dtype", [f16, f32], ids=str)
@pytest.mark.parametrize("height", [1, 33, 4096])
def test_operands_of_matrix_units_fit_into_shared_memory(dtype: DType, height: int) -> None:
    described = target("metal")
    kind = dot_kind(described, dtype, dtype)
    assert kind.startswith("matrix dot")
    blocks = table(described, kind, height, 4096)
    assert (blocks.rows + blocks.columns) * (dtype.nbytes * blocks.loop + 16) <= described.shared_bytes
