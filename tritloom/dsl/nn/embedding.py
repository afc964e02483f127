"""Rows of a table by token id."""

from __future__ import annotations

import tritloom.dsl.functions as F
from tritloom.codegen.ir.dtypes import f32
from tritloom.dsl.tensor import Tensor


def embedding(table: Tensor, ids: Tensor) -> Tensor:
    """f32 [..., H]: the row of table[V, H] for each id (i32), which runs from 0 to V - 1."""
    return F.gather(table, ids).cast(f32)
