"""The AdamW update."""

from __future__ import annotations

import math

import tritloom.dsl.functions as F
from tritloom.dsl.tensor import Tensor


def adamw_update(
    param: Tensor,
    grad: Tensor,
    m: Tensor,
    v: Tensor,
    step: Tensor,
    lr: Tensor | float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """(param, m, v) after one step of AdamW with decoupled weight decay, all f32.

    `step` is an f32 scalar tensor that counts from 1. Loshchilov and Hutter, arXiv:1711.05101, algorithm 2.
    """
    first, second = betas
    m = first * m + (1 - first) * grad
    v = second * v + (1 - second) * (grad * grad)
    corrected_m = m / _one_less_power(first, step)
    corrected_v = v / _one_less_power(second, step)
    change = corrected_m / (F.sqrt(corrected_v) + eps) + weight_decay * param
    return param - lr * change, m, v


def _one_less_power(base: float, exponent: Tensor) -> Tensor:
    """1 - base ** exponent for 0 <= base < 1, without the cancellation: 1 - e^-2w = 2 tanh(w) / (1 + tanh(w))."""
    if base == 0:
        return F.full_like(exponent, 1.0)
    half = F.tanh(exponent * (-0.5 * math.log(base)))
    return 2.0 * half / (half + 1.0)
