"""AdamW with decoupled weight decay, and clipping by the global norm, over trees of float32 tensors.

Loshchilov and Hutter, "Decoupled Weight Decay Regularization", arXiv:1711.05101, algorithm 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tritloom.dsl.functions as F
from tritloom.dsl.tensor import Tensor
from tritloom.dsl.tree import tree_map

Tree = Any


def schedule(step: int, rate: float, betas: tuple[float, float]) -> NDArray[np.float32]:
    """What changes from step to step (1, 2, ...): the rate and the two bias corrections 1 / (1 - beta^step)."""
    return np.array([rate, 1 / (1 - betas[0] ** step), 1 / (1 - betas[1] ** step)], np.float32)


def adamw(
    parameters: Tree,
    gradients: Tree,
    first: Tree,
    second: Tree,
    schedule: Tensor,
    *,
    factor: Tensor | None,
    betas: tuple[float, float],
    epsilon: float,
    weight_decay: float,
) -> tuple[Tree, Tree, Tree]:
    """One update: the new parameters, first moments and second moments.

    `schedule` is f32[3] of :func:`schedule`; `factor`, a scalar, multiplies the gradients first (clipping). Vectors
    (norm gains) are not decayed, matrices are.
    """
    rate, correction1, correction2 = schedule[0], schedule[1], schedule[2]

    def moments1(gradient: Tensor, moment: Tensor) -> Tensor:
        scaled = gradient if factor is None else gradient * factor
        return betas[0] * moment + (1 - betas[0]) * scaled

    def moments2(gradient: Tensor, moment: Tensor) -> Tensor:
        scaled = gradient if factor is None else gradient * factor
        return betas[1] * moment + (1 - betas[1]) * scaled * scaled

    def update(parameter: Tensor, moment1: Tensor, moment2: Tensor) -> Tensor:
        step = (moment1 * correction1) / (F.sqrt(moment2 * correction2) + epsilon)
        if weight_decay and len(parameter.shape) > 1:
            step = step + weight_decay * parameter
        return parameter - rate * step

    first = tree_map(moments1, gradients, first)
    second = tree_map(moments2, gradients, second)
    return tree_map(update, parameters, first, second), first, second


def global_norm(gradients: Sequence[Tensor]) -> Tensor:
    """The Euclidean norm of all elements of all tensors together: an f32 scalar."""
    squares = [(gradient * gradient).sum() for gradient in gradients]
    while len(squares) > 1:
        squares = [_total(squares[i : i + 8]) for i in range(0, len(squares), 8)]
    return F.sqrt(squares[0])


def _total(values: Sequence[Tensor]) -> Tensor:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


def clip_factor(norm: Tensor, limit: float) -> Tensor:
    """What gradients of that norm are multiplied by so that it becomes at most `limit`."""
    return F.where(norm > limit, limit / norm, F.full_like(norm, 1.0))
