"""Rotary position embedding, in the form that pairs element i with element i + D/2."""

from __future__ import annotations

import tritloom.dsl.functions as F
from tritloom.codegen.errors import ShapeError, caller_location
from tritloom.dsl.tensor import Tensor


def rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate x[B, T, H, D] by the angles of each position.

    `cos` and `sin` are [T, D], each half of the columns the same, in x's dtype. Raises ShapeError for an odd D or
    tables that do not fit.
    """
    if x.ndim != 4 or x.shape[3] % 2 or cos.shape != (x.shape[1], x.shape[3]) or sin.shape != cos.shape:
        raise ShapeError(
            f"rope of {list(x.shape)} with tables of {list(cos.shape)} and {list(sin.shape)}",
            hint="x is [B, T, H, D] with an even D, the tables are [T, D]",
            location=caller_location(),
        )
    half = x.shape[3] // 2
    rotated = F.concat([-x[..., half:], x[..., :half]], axis=3)
    return x * cos[:, None, :] + rotated * sin[:, None, :]
