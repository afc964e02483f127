"""The programs of a model, planned from sizes alone: no weights, and no device but a description of one.

A plan holds every kernel that the program launches and every byte that it needs, so that both can be looked at before
anything is uploaded or run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from tritloom.backends.base import Device
from tritloom.codegen.ir.dtypes import f32, i32, ternary
from tritloom.dsl.jit import Jitted, Planned
from tritloom.dsl.tensor import Tensor, abstract
from tritloom.dsl.tree import tree_leaves
from tritloom.models.adapter import module_path
from tritloom.models.bitnet import Adapters, Graph, Weights
from tritloom.models.config import PROJECTIONS, ModelConfig
from tritloom.models.errors import ConfigError
from tritloom.models.generation import generation_step
from tritloom.models.training import Recipe, Trainer


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a program's shapes depend on, beside the model: rows a step, tokens a row, LoRA rank (0: no adapter), the
    adapted projections, and the precision of operands in backward products and in the loss."""

    batch: int = 1
    context: int = 128
    rank: int = 16
    precision: str = "f32"
    targets: tuple[str, ...] = PROJECTIONS

    def __post_init__(self) -> None:
        if min(self.batch, self.context) < 1 or self.rank < 0:
            raise ConfigError(
                f"a program of {self.batch} x {self.context} tokens and rank {self.rank}",
                hint="ask for one row and one token or more, and rank 0 or more",
            )


def abstract_weights(config: ModelConfig, device: Device) -> Weights:
    """The weights of a model as :func:`tritloom.models.model.upload_weights` places them, without values."""

    def floats(*shape: int) -> Tensor:
        return abstract(shape, f32, device)

    def projection(name: str) -> dict[str, Tensor]:
        return {"weight": abstract(config.projection_shape(name), ternary, device), "scale": floats(1)}

    norms = {"attn_norm": config.hidden_size, "ffn_norm": config.hidden_size}
    if config.sub_norms:
        norms |= {"attn_sub_norm": config.attention_size, "ffn_sub_norm": config.intermediate_size}
    layers = [
        {
            **{name: floats(size) for name, size in norms.items()},
            **{name: projection(name) for name in PROJECTIONS},
        }
        for _ in range(config.num_hidden_layers)
    ]
    table = (config.vocab_size, config.hidden_size)
    weights: Weights = {"embed": floats(*table), "final_norm": floats(config.hidden_size), "layers": layers}
    if not config.tie_word_embeddings:
        weights["head"] = floats(*table)
    return weights


def abstract_adapters(
    config: ModelConfig, rank: int, device: Device, targets: Collection[str] = PROJECTIONS
) -> Adapters:
    """An adapter of one rank, without values."""
    layer = {}
    for name in PROJECTIONS:
        if name in targets:
            out, width = config.projection_shape(name)
            layer[name] = (out, width)
    return [
        {
            name: {"A": abstract((rank, width), f32, device), "B": abstract((out, rank), f32, device)}
            for name, (out, width) in layer.items()
        }
        for _ in range(config.num_hidden_layers)
    ]


def abstract_batch(
    config: ModelConfig, sizes: Sizes, device: Device
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """What :meth:`tritloom.models.model.Model.batch` gives: ids, labels and rotary tables, without values."""
    rows, tokens = sizes.batch, sizes.context
    table = abstract((tokens, config.head_dim), f32, device)
    return abstract((rows, tokens), i32, device), abstract((rows * tokens,), i32, device), (table, table)


def graph_of(config: ModelConfig, sizes: Sizes) -> Graph:
    """The graph with an adapter of those sizes; its scaling is 2."""
    adapted = [
        module_path(layer, name)
        for layer in range(config.num_hidden_layers)
        for name in PROJECTIONS
        if name in sizes.targets and sizes.rank
    ]
    return Graph(config, dict.fromkeys(adapted, 2.0), sizes.precision)


def lora_trainer(graph: Graph, adapters: Adapters, recipe: Recipe, device: Device) -> Trainer:
    """Trains an adapter; a batch of its is (weights, ids, labels, rotary tables)."""

    def loss(
        adapters: Adapters, weights: Weights, ids: Tensor, labels: Tensor, rotation: tuple[Tensor, Tensor]
    ) -> Tensor:
        return graph.loss(weights, adapters, ids, labels, rotation)

    return Trainer(loss, adapters, recipe, device)


def _train(config: ModelConfig, sizes: Sizes, device: Device) -> Planned:
    if not sizes.rank:
        raise ConfigError("training of an adapter of rank 0", hint="ask for rank 1 or more")
    adapters = abstract_adapters(config, sizes.rank, device, sizes.targets)
    trainer = lora_trainer(graph_of(config, sizes), adapters, Recipe(1, 0.0), device)
    return trainer.planned(abstract_weights(config, device), *abstract_batch(config, sizes, device))


def _evaluate(config: ModelConfig, sizes: Sizes, device: Device) -> Planned:
    graph = graph_of(config, sizes)
    arguments = abstract_weights(config, device), _adapters(config, sizes, device)
    return Jitted(graph.loss).planned(*arguments, *abstract_batch(config, sizes, device))


def _adapters(config: ModelConfig, sizes: Sizes, device: Device) -> Adapters | None:
    return abstract_adapters(config, sizes.rank, device, sizes.targets) if sizes.rank else None


def _generate(config: ModelConfig, sizes: Sizes, device: Device, tokens: int | None = None) -> Planned:
    """A turn of generation over a cache of `context` tokens: `tokens` at once, or as many as the cache holds."""
    count = tokens or sizes.context
    kept = abstract((1, sizes.context, config.num_key_value_heads, config.head_dim), f32, device)
    table = abstract((count, config.head_dim), f32, device)
    one = abstract((1,), i32, device)
    step = generation_step(graph_of(config, sizes))
    return step.planned(
        [(kept, kept) for _ in range(config.num_hidden_layers)],
        abstract_weights(config, device),
        _adapters(config, sizes, device),
        abstract((1, count), i32, device),
        (table, table),
        one,
        one,
    )


Planning = Callable[[ModelConfig, Sizes, Device], Planned]

PROGRAMS: Final[dict[str, Planning]] = {
    "train": _train,
    "evaluate": _evaluate,
    "prefill": _generate,
    "generate": partial(_generate, tokens=1),
}
"""A LoRA training step, the loss alone, a prompt of `context` tokens, and one token more. Each raises ConfigError for
sizes that it does not have, DeviceError on the device "reference"."""


def kernel_count(planned: Planned) -> int:
    """How many kernels a program has, which are as many things to compile."""
    return len({launch.kernel for launch in planned.plan.launches})


def nbytes(tree: Any) -> int:
    """Bytes that a tree of tensors takes on its device."""
    return sum(leaf.node.attribute("key").nbytes for leaf in tree_leaves(tree))
