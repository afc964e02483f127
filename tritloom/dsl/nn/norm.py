"""Root-mean-square normalisation."""

from __future__ import annotations

import tritloom.dsl.functions as F
from tritloom.codegen.ir.dtypes import f32
from tritloom.dsl.tensor import Tensor


def rms_norm(x: Tensor, gain: Tensor, eps: float = 1e-5) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * gain over the last dimension, computed in f32; the result has x's dtype.

    `gain` has the size of the last dimension.
    """
    wide = x.cast(f32)
    inverse = F.rsqrt((wide * wide).mean(-1, keepdims=True) + eps)
    return (wide * inverse * gain.cast(f32)).cast(x.dtype)
