"""BitNet's graph: token ids to hidden states, for every config that the package reads.

Weights are a tree of tensors. `embed` [vocab, hidden], `final_norm` [hidden], `head` [vocab, hidden] where untied, and
`layers`, a list of dicts with the norms and the seven projections. A projection is frozen, `{"weight": ternary
[out, in], "scale": f32[1]}`, or a float32 master [out, in] that is ternarised on the fly (pretraining).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tritloom.dsl.nn as nn
from tritloom.dsl.tensor import Tensor
from tritloom.models.adapter import module_path
from tritloom.models.config import ModelConfig

Weights = dict[str, Any]
Adapters = list[dict[str, dict[str, Tensor]]]
"""One dict a layer: projection -> {"A": [r, in], "B": [out, r]}."""


@dataclass(frozen=True, slots=True)
class Graph:
    """What is fixed when a program is traced: the config, the LoRA scaling of each adapted module path, and the
    precision of operands in the backward products with ternary weights and in the loss ("f32" or "bf16")."""

    config: ModelConfig
    scaling: Mapping[str, float] = field(default_factory=dict)
    precision: str = "f32"

    def hidden(
        self,
        weights: Weights,
        adapters: Adapters | None,
        ids: Tensor,
        rotation: tuple[Tensor, Tensor],
        caches: list[tuple[Tensor, Tensor]] | None = None,
        offset: Tensor | None = None,
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Hidden states [batch * tokens, hidden] after the final norm, and the updated caches.

        `ids` is i32 [batch, tokens]; `rotation` the cosines and sines f32 [tokens, head_dim]. With `caches` (a layer's
        keys and values, each f32 [batch, capacity, kv heads, head_dim]) the tokens stand at positions `offset`,
        `offset` + 1, ... (i32[1]) and see all cached positions before them.
        """
        batch, tokens = ids.shape
        x = nn.embedding(weights["embed"], ids).reshape(batch * tokens, self.config.hidden_size)
        updated = []
        for number, layer in enumerate(weights["layers"]):
            adapter = adapters[number] if adapters else {}
            cache = caches[number] if caches else None
            linear = _Linears(self, number, layer, adapter)
            attended, cache = self._attention(x, layer, linear, (batch, tokens), rotation, cache, offset)
            x = x + attended
            x = x + self._feed_forward(x, layer, linear)
            if cache is not None:
                updated.append(cache)
        return nn.rms_norm(x, weights["final_norm"], self.config.rms_norm_eps), updated

    def _attention(
        self,
        x: Tensor,
        layer: Weights,
        linear: _Linears,
        shape: tuple[int, int],
        rotation: tuple[Tensor, Tensor],
        cache: tuple[Tensor, Tensor] | None,
        offset: Tensor | None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        config = self.config
        h = nn.rms_norm(x, layer["attn_norm"], config.rms_norm_eps)
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
        heads["v_proj"] = heads["k_proj"]
        q, k, v = (linear(name, h).reshape(*shape, count, config.head_dim) for name, count in heads.items())
        q, k = nn.rope(q, *rotation), nn.rope(k, *rotation)
        if cache is not None:
            assert offset is not None
            cache = nn.append_rows(cache[0], k, offset), nn.append_rows(cache[1], v, offset)
            k, v = cache
        attended = nn.causal_attention(q, k, v, offset=offset).reshape(x.shape[0], config.attention_size)
        if config.sub_norms:
            attended = nn.rms_norm(attended, layer["attn_sub_norm"], config.rms_norm_eps)
        return linear("o_proj", attended), cache

    def _feed_forward(self, x: Tensor, layer: Weights, linear: _Linears) -> Tensor:
        config = self.config
        h = nn.rms_norm(x, layer["ffn_norm"], config.rms_norm_eps)
        gate = linear("gate_proj", h)
        up = linear("up_proj", h)
        activated = (nn.relu2(gate) if config.hidden_act == "relu2" else nn.silu(gate)) * up
        if config.sub_norms:
            activated = nn.rms_norm(activated, layer["ffn_sub_norm"], config.rms_norm_eps)
        return linear("down_proj", activated)

    def head(self, weights: Weights) -> Tensor:
        """The output table [vocab, hidden]: the embedding where they are tied."""
        table: Tensor = weights["embed" if self.config.tie_word_embeddings else "head"]
        return table

    def logits(self, weights: Weights, hidden: Tensor) -> Tensor:
        """f32 [rows, vocab]."""
        return nn.linear(hidden, self.head(weights))

    def loss(
        self,
        weights: Weights,
        adapters: Adapters | None,
        ids: Tensor,
        labels: Tensor,
        rotation: tuple[Tensor, Tensor],
    ) -> Tensor:
        """The mean cross-entropy (f32 scalar) of the tokens whose label is not -100.

        `labels` is i32 [batch * tokens], already shifted: row i's label is the token after token i.
        """
        hidden, _ = self.hidden(weights, adapters, ids, rotation)
        return nn.linear_cross_entropy(hidden, self.head(weights), labels, precision=self.precision)


@dataclass(frozen=True, slots=True)
class _Linears:
    """The seven projections of one layer, each with its adapter where it has one."""

    graph: Graph
    number: int
    layer: Weights
    adapter: dict[str, dict[str, Tensor]]

    def __call__(self, name: str, x: Tensor) -> Tensor:
        stored = self.layer[name]
        weight, scale = (
            (stored["weight"], stored["scale"]) if isinstance(stored, dict) else nn.ternarise(stored)
        )
        lora = None
        if name in self.adapter:
            scaling = self.graph.scaling[module_path(self.number, name)]
            lora = (self.adapter[name]["A"], self.adapter[name]["B"], scaling)
        return nn.ternary_linear(x, weight, scale, lora=lora, precision=self.graph.precision)


@lru_cache(maxsize=8)
def rotation_tables(
    config: ModelConfig, start: int, count: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cosines and sines [count, head_dim] of positions start, start + 1, ..., each half of the columns repeated.

    Angles are position * theta^(-2i / head_dim), in float32 as the published models compute them.
    """
    exponents = np.arange(0, config.head_dim, 2, dtype=np.float32) / np.float32(config.head_dim)
    frequencies = np.float32(1) / np.float32(config.rope_theta) ** exponents
    angles = np.outer(np.arange(start, start + count, dtype=np.float32), frequencies.astype(np.float32))
    angles = np.concatenate([angles, angles], axis=1)
    return np.cos(angles), np.sin(angles)


def shifted_labels(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Labels [batch, tokens] (-100 = no loss, aligned with the ids) -> flat [batch * tokens], each row shifted left."""
    shifted = np.full_like(labels, -100)
    shifted[:, :-1] = labels[:, 1:]
    return shifted.reshape(-1)
