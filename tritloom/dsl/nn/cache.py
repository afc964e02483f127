"""Caches of keys and values: rows appended in place."""

from __future__ import annotations

import tritloom.dsl.language as tl
from tritloom.codegen.errors import ShapeError, caller_location
from tritloom.codegen.ir.dtypes import f32, i32
from tritloom.dsl.kernel import kernel
from tritloom.dsl.tensor import Tensor


@kernel
def append(
    cache: tl.inout(f32["B", "C", "N"]),
    rows: f32["B", "T", "N"],
    offset: i32[1],
    BN: int = tl.tunable(64, 256),
) -> None:
    """A row for each program."""
    B, T, N = rows.shape
    b = tl.programs(B, 1)
    t = tl.programs(T, 1)
    n = tl.programs(N, BN)
    cache[b, t + offset[0], n] = rows[b, t, n]


def append_rows(cache: Tensor, rows: Tensor, offset: Tensor) -> Tensor:
    """The cache [B, C, ...] with rows [B, T, ...] written at offset, offset + 1, ... (i32 [1]); f32, no gradient.

    In place where the cache's old value is not needed. offset + T must be C at most: the interpreter reports a write
    past the end, a device does not.
    """
    if cache.ndim < 2 or cache.shape[0] != rows.shape[0] or cache.shape[2:] != rows.shape[2:]:
        raise ShapeError(
            f"append_rows of {list(rows.shape)} to a cache of {list(cache.shape)}",
            hint="they are [B, T, ...] and [B, C, ...]",
            location=caller_location(),
        )
    batch, capacity = cache.shape[:2]
    updated: Tensor = append(
        cache.reshape(batch, capacity, -1), rows.reshape(batch, rows.shape[1], -1), offset
    )
    return updated.reshape(cache.shape)
