"""What BitNet models are made of, as functions of tensors."""

from tritloom.dsl.nn.activations import relu, relu2, silu
from tritloom.dsl.nn.attention import causal_attention
from tritloom.dsl.nn.cache import append_rows
from tritloom.dsl.nn.cross_entropy import linear_cross_entropy
from tritloom.dsl.nn.embedding import embedding
from tritloom.dsl.nn.linear import linear, lora, ternary_linear
from tritloom.dsl.nn.norm import rms_norm
from tritloom.dsl.nn.optimiser import adamw_update
from tritloom.dsl.nn.quantise import dequantised, quantise_activations, ternarise
from tritloom.dsl.nn.rope import rope

__all__ = [
    "adamw_update",
    "append_rows",
    "causal_attention",
    "dequantised",
    "embedding",
    "linear",
    "linear_cross_entropy",
    "lora",
    "quantise_activations",
    "relu",
    "relu2",
    "rms_norm",
    "rope",
    "silu",
    "ternarise",
    "ternary_linear",
]
