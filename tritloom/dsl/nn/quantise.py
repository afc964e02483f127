"""Quantisation as BitNet b1.58 does it: activations to 8 bits by token, weights to -1, 0, 1 by matrix.

Wang et al., "The Era of 1-bit LLMs", arXiv:2402.17764. Both pass the gradient straight through.
"""

from __future__ import annotations

import tritloom.dsl.functions as F
from tritloom.codegen.errors import DTypeError, caller_location
from tritloom.codegen.ir.dtypes import f32, i8
from tritloom.dsl.tensor import Tensor

SMALLEST = 1e-5
"""The least magnitude that a scale is made from, so that a row of zeros has one."""


def quantise_activations(x: Tensor) -> tuple[Tensor, Tensor]:
    """(q, s): q = round(x * s) as i8 and s = 127 / max|x| as f32 [..., 1], over the last dimension; x is about q / s.

    Halves round to the even number; max|x| counts as 1e-5 at least. No gradient flows through q.
    """
    wide = x.cast(f32)
    scale = 127.0 / F.maximum(F.abs(wide).max(-1, keepdims=True), SMALLEST)
    rounded = F.round(wide * scale)
    return F.clamp(rounded, -128.0, 127.0).cast(i8), scale


def dequantised(x: Tensor, q: Tensor, scale: Tensor) -> Tensor:
    """q / s as f32, with the gradient of x."""
    return F.straight_through(q.cast(f32) / scale, x.cast(f32))


def ternarise(master: Tensor) -> tuple[Tensor, Tensor]:
    """(weight, scale): scale = mean|W| as f32 [1], at least 1e-5, and weight = clip(round(W / scale), -1, 1), ternary.

    The gradient of weight * scale goes to `master` (f32 [N, K]) as it is; the scale is a constant to it.
    """
    if master.dtype is not f32 or master.ndim != 2:
        raise DTypeError(
            f"ternarise of {master.dtype}{list(master.shape)}",
            hint="master weights are f32 [out, in]",
            location=caller_location(),
        )
    scale = F.stop_gradient(F.maximum(F.abs(master).mean(), SMALLEST))
    ratio = master / scale
    rounded = F.clamp(F.round(F.stop_gradient(ratio)), -1.0, 1.0)
    return F.pack(F.straight_through(rounded, ratio)), scale.reshape(1)
