"""Sizes of published models, for programs that are planned or measured without one's weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from tritloom.models.config import ModelConfig, load_config
from tritloom.models.errors import ConfigError

_SHIPPED: Final = ModelConfig(
    hidden_size=256,
    intermediate_size=704,
    num_hidden_layers=6,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=64,
    vocab_size=4096,
    rms_norm_eps=1e-5,
    rope_theta=10000.0,
    max_position_embeddings=4096,
    tie_word_embeddings=True,
    hidden_act="relu2",
    mode="offline",
)


def _sizes(hidden: int, ffn: int, layers: int, heads: int, kv_heads: int, vocab: int) -> ModelConfig:
    return replace(
        _SHIPPED,
        hidden_size=hidden,
        intermediate_size=ffn,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=hidden // heads,
        vocab_size=vocab,
    )


SHAPES: Final[dict[str, ModelConfig]] = {
    "shipped": _SHIPPED,
    "125m": _sizes(768, 2048, 12, 12, 12, 32000),
    "1b": _sizes(2048, 3584, 24, 32, 32, 32000),
    "2b-4t": replace(_sizes(2560, 6912, 30, 20, 5, 128256), rope_theta=500000.0),
    "13b": _sizes(5120, 13824, 40, 40, 40, 32000),
}
"""By the name that the command line takes: the model that ships with the package, the sizes that QVAC Fabric published
figures for, and microsoft/bitnet-b1.58-2B-4T."""


def find_shape(name: str) -> ModelConfig:
    """The config of a name of SHAPES, or of a model folder. Raises ConfigError."""
    if name in SHAPES:
        return SHAPES[name]
    if Path(name).is_dir():
        return load_config(name)
    raise ConfigError(
        f"no model is called {name!r}, and there is no such folder",
        hint=f"name one of {', '.join(SHAPES)}, or a folder with a config.json",
    )
