"""AdamW and clipping by the global norm, over whole trees of float32 tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tritloom.dsl.functions as F
from tritloom.dsl import nn
from tritloom.dsl.tensor import Tensor
from tritloom.dsl.tree import tree_flatten, tree_leaves, tree_unflatten

Tree = Any


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

    `schedule`, f32[2], holds the step (counted from 1) and the learning rate; `factor`, a scalar, multiplies the
    gradients first (clipping). Matrices are decayed, vectors (norm gains) are not.
    """

    def update(
        parameter: Tensor, gradient: Tensor, moment1: Tensor, moment2: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        return nn.adamw_update(
            parameter,
            gradient if factor is None else gradient * factor,
            moment1,
            moment2,
            step=schedule[0],
            lr=schedule[1],
            betas=betas,
            eps=epsilon,
            weight_decay=weight_decay if parameter.ndim > 1 else 0.0,
        )

    leaves, structure = tree_flatten(parameters)
    others = (tree_leaves(gradients), tree_leaves(first), tree_leaves(second))
    updated = [update(*group) for group in zip(leaves, *others, strict=True)]
    new_parameters, new_first, new_second = (
        tree_unflatten(structure, [group[i] for group in updated]) for i in range(3)
    )
    return new_parameters, new_first, new_second


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
