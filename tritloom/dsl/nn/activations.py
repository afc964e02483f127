"""Activation functions of feed-forward layers."""

from __future__ import annotations

import tritloom.dsl.functions as F
from tritloom.dsl.tensor import Tensor


def relu(x: Tensor) -> Tensor:
    """x where it is positive, else 0. Its gradient at 0 is 0."""
    return F.where(x > 0, x, 0)


def relu2(x: Tensor) -> Tensor:
    """The square of relu(x): BitNet's activation."""
    positive = relu(x)
    return positive * positive


def silu(x: Tensor) -> Tensor:
    """x * sigmoid(x)."""
    return x * F.sigmoid(x)
