"""The training loop: one step is one program of forward, backward, clipping and AdamW, replayed for every batch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tritloom.backends.base import Device
from tritloom.codegen.ir.dtypes import f32
from tritloom.dsl.grad import value_and_grad
from tritloom.dsl.jit import Jitted, Planned
from tritloom.dsl.tensor import Tensor, abstract, array
from tritloom.dsl.tree import tree_leaves, tree_map
from tritloom.models import optimiser
from tritloom.models.errors import TrainingError

Tree = Any
Loss = Callable[..., Tensor]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train. The learning rate rises linearly over `warmup` steps, then falls along a cosine to a tenth.

    `clip` bounds the global norm of the gradient; 0 leaves it alone.
    """

    steps: int
    learning_rate: float
    warmup: int = 10
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    clip: float = 1.0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise TrainingError(f"training of {self.steps} steps", hint="ask for one step or more")
        if not (math.isfinite(self.learning_rate) and self.learning_rate >= 0):
            raise TrainingError(
                f"the learning rate is {self.learning_rate}", hint="choose one from 1e-5 to 1e-2"
            )

    def rate(self, step: int) -> float:
        """The learning rate of step 1, 2, ..., `steps`."""
        if step <= self.warmup:
            return self.learning_rate * step / self.warmup
        done = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return self.learning_rate * (0.1 + 0.45 * (1 + math.cos(math.pi * min(done, 1.0))))


@dataclass(frozen=True, slots=True)
class Progress:
    """What a step did. `loss` is in nats a token; `tokens_per_second` counts this step alone."""

    step: int
    steps: int
    loss: float
    gradient_norm: float
    learning_rate: float
    tokens: int
    tokens_per_second: float


class Trainer:
    """Trains a tree of float32 tensors in place against `loss(parameters, *rest)`."""

    def __init__(self, loss: Loss, parameters: Tree, recipe: Recipe, device: Device):
        self.parameters = parameters
        """What is trained; abstract tensors until there are values, if need be."""
        self.recipe = recipe
        self.device = device
        self._moments: tuple[Tree, Tree] | None = None
        differentiated = value_and_grad(loss)

        def step(
            parameters: Tree, first: Tree, second: Tree, schedule: Tensor, *rest: Any
        ) -> tuple[Tree, Tree, Tree, Tensor, Tensor]:
            value, gradients = differentiated(parameters, *rest)
            norm = optimiser.global_norm(tree_leaves(gradients))
            factor = optimiser.clip_factor(norm, recipe.clip) if recipe.clip else None
            parameters, first, second = optimiser.adamw(
                parameters,
                gradients,
                first,
                second,
                schedule,
                factor=factor,
                betas=(recipe.beta1, recipe.beta2),
                epsilon=recipe.epsilon,
                weight_decay=recipe.weight_decay,
            )
            return parameters, first, second, value, norm

        self._step = Jitted(step, donate=(0, 1, 2))

    def planned(self, *batch: Any) -> Planned:
        """The program of a step for a batch (the loss's `rest`, which may be abstract), before any memory is taken."""
        moments = tree_map(lambda tensor: abstract(tensor.shape, f32, self.device), self.parameters)
        schedule = abstract((2,), f32, self.device)
        return self._step.planned(self.parameters, moments, moments, schedule, *batch)

    def _zeros(self) -> Tree:
        return tree_map(lambda one: array(np.zeros(one.shape, np.float32), self.device), self.parameters)

    def run(
        self, batches: Iterable[Sequence[Any]], tokens: Callable[[Sequence[Any]], int]
    ) -> Iterator[Progress]:
        """Train on batches (each the loss's `rest`) until the recipe's steps are done; yields after every step.

        `tokens` counts a batch's tokens. Raises TrainingError when a loss is not finite.
        """
        for number, batch in enumerate(batches, 1):
            if number > self.recipe.steps:
                return
            started = time.perf_counter()
            rate = self.recipe.rate(number)
            schedule = array(np.array([number, rate], np.float32), device=self.device)
            first, second = self._moments or (self._zeros(), self._zeros())
            self.parameters, first, second, value, norm = self._step(
                self.parameters, first, second, schedule, *batch
            )
            self._moments = first, second
            loss = float(value.numpy())
            if not math.isfinite(loss):
                raise TrainingError(
                    f"the loss of step {number} is {loss}",
                    hint="lower the learning rate, or keep the gradient clipped",
                )
            count = tokens(batch)
            yield Progress(
                number,
                self.recipe.steps,
                loss,
                float(norm.numpy()),
                rate,
                count,
                count / (time.perf_counter() - started),
            )
