"""Gradients of functions of tensors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from tritloom.codegen.autodiff import gradient
from tritloom.codegen.errors import GradientError, caller_location
from tritloom.codegen.ir.tensor import Node
from tritloom.codegen.ir.tensor_ops import make
from tritloom.dsl.tensor import Tensor, as_tensor
from tritloom.dsl.tree import tree_flatten, tree_unflatten

Function = Callable[..., Any]

_tags = itertools.count()


def value_and_grad(function: Function, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Function:
    """A function that returns (value, gradients): `function`'s value and its gradient by the arguments `argnums`.

    `function` returns a float scalar tensor, or (that, anything) with `has_aux`; then the value is that pair. The
    gradients have the structure of the argument (a tuple of them if `argnums` is one), whose leaves are float tensors.
    Raises GradientError for anything else.
    """

    def differentiated(*arguments: Any) -> Any:
        chosen = (argnums,) if isinstance(argnums, int) else tuple(argnums)
        given = list(arguments)
        sources: list[Node] = []
        places = []
        for position in chosen:
            if not -len(given) <= position < len(given):
                raise GradientError(f"argument {position} of a function that was given {len(given)}")
            leaves, structure = tree_flatten(given[position])
            variables = []
            for leaf in leaves:
                sources.append(_variable(leaf, position))
                variables.append(Tensor(sources[-1]))
            given[position] = tree_unflatten(structure, variables)
            places.append((structure, len(variables)))
        value = function(*given)
        loss = value[0] if has_aux and isinstance(value, tuple) and len(value) == 2 else value
        if not isinstance(loss, Tensor):
            wanted = "a pair of a scalar tensor and anything" if has_aux else "a scalar tensor"
            raise GradientError(
                f"the function returned {type(value).__name__}",
                hint=f"return {wanted}" + ("" if has_aux else ", or pass has_aux=True for a pair"),
            )
        flat = iter([Tensor(node) for node in gradient(loss.node, sources)])
        trees = [tree_unflatten(structure, [next(flat) for _ in range(count)]) for structure, count in places]
        return value, trees[0] if isinstance(argnums, int) else tuple(trees)

    return differentiated


def grad(function: Function, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Function:
    """A function that returns the gradients alone, or (gradients, aux) with `has_aux`. See :func:`value_and_grad`."""
    both = value_and_grad(function, argnums, has_aux)

    def differentiated(*arguments: Any) -> Any:
        value, gradients = both(*arguments)
        return (gradients, value[1]) if has_aux else gradients

    return differentiated


def _variable(leaf: Any, position: int) -> Node:
    """A node of its own with the leaf's value, so that a tensor that is given twice has two gradients."""
    tensor = as_tensor(leaf)
    if tensor is None or not tensor.dtype.is_float:
        kind = type(leaf).__name__ if tensor is None else f"{tensor.dtype}{list(tensor.shape)}"
        raise GradientError(
            f"the gradient by argument {position}, which holds a leaf of {kind}",
            hint="differentiate by float tensors alone: pass the others as another argument",
            location=caller_location(),
        )
    return make("straight_through", [tensor.node, tensor.node], tag=next(_tags))
