"""What a model is: its config.json, read field by field and never completed from a class's defaults.

Three graphs are known, all Llama with ternary linear layers and no biases:

- `bitnet`: `BitNetForCausalLM` (microsoft/bitnet-b1.58-2B-4T); norms before o_proj and down_proj, squared ReLU.
- `bitnet_b1_58`: `BitnetForCausalLM` with `weight_bits` and `input_bits` (1bitLLM); the same graph, usually SiLU.
- `llama`: `LlamaForCausalLM` with a BitNet `quantization_config` (Falcon-E, Falcon3-1.58bit); no such norms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from tritloom.models.errors import ConfigError, describe
from tritloom.models.files import locate
from tritloom.models.jsonfile import parse_object, read_object

Architecture = Literal["bitnet", "bitnet_b1_58", "llama"]
LinearClass = Literal["autobitlinear", "bitlinear"]
QuantizationMode = Literal["online", "offline"]
Activation = Literal["relu2", "silu"]

CONFIG_NAME = "config.json"
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The seven ternary linear layers of a block, in the order of the forward pass."""

_ARCHITECTURE_CLASSES: dict[str, Architecture] = {
    "BitNetForCausalLM": "bitnet",
    "BitnetForCausalLM": "bitnet_b1_58",
    "LlamaForCausalLM": "llama",
}
_MODEL_TYPES: dict[Architecture, tuple[str, ...]] = {
    "bitnet": ("bitnet",),
    "bitnet_b1_58": ("llama", "bitnet"),
    "llama": ("llama",),
}
# Far above any model that a machine can hold: a larger value is damage, and must not become an allocation.
_LIMITS = {
    "hidden_size": 1 << 17,
    "intermediate_size": 1 << 20,
    "num_hidden_layers": 1 << 12,
    "num_attention_heads": 1 << 12,
    "num_key_value_heads": 1 << 12,
    "head_dim": 1 << 14,
    "vocab_size": 1 << 24,
    "max_position_embeddings": 1 << 26,
}


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The sizes and switches of a model. Constructing one checks it; raises ConfigError.

    `linear_class` and `mode` say how the seven projections are stored: `online` means float master weights that are
    ternarised on the fly, `offline` packed codes with a `weight_scale` that multiplies (`autobitlinear`) or divides
    (`bitlinear`).
    """

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    rms_norm_eps: float
    rope_theta: float
    max_position_embeddings: int
    tie_word_embeddings: bool
    hidden_act: Activation
    architecture: Architecture = "bitnet"
    linear_class: LinearClass = "autobitlinear"
    mode: QuantizationMode = "online"
    bos_token_id: int | None = None
    eos_token_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, limit in _LIMITS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise _bad(name, value, "a whole number")
            if not 1 <= value <= limit:
                raise _bad(name, value, f"from 1 to {limit}")
        for name in ("rms_norm_eps", "rope_theta"):
            value = getattr(self, name)
            if (
                isinstance(value, bool)
                or not isinstance(value, (int, float))
                or not math.isfinite(value)
                or value <= 0
            ):
                raise _bad(name, value, "a positive finite number")
        for name, allowed in (
            ("hidden_act", ("relu2", "silu")),
            ("architecture", tuple(_MODEL_TYPES)),
            ("linear_class", ("autobitlinear", "bitlinear")),
            ("mode", ("online", "offline")),
        ):
            if getattr(self, name) not in allowed:
                raise _bad(name, getattr(self, name), " or ".join(allowed))
        if not isinstance(self.tie_word_embeddings, bool):
            raise _bad("tie_word_embeddings", self.tie_word_embeddings, "true or false")
        if self.num_attention_heads % self.num_key_value_heads:
            raise ConfigError(
                f"num_key_value_heads ({self.num_key_value_heads}) does not divide "
                f"num_attention_heads ({self.num_attention_heads})"
            )
        if self.head_dim % 2:
            raise ConfigError(
                f"head_dim is {self.head_dim}, but rotary position embeddings need an even number"
            )
        if self.sub_norms and self.attention_size != self.hidden_size:
            raise ConfigError(
                f"num_attention_heads x head_dim ({self.num_attention_heads} x {self.head_dim}) must be hidden_size "
                f"({self.hidden_size}) in this graph"
            )
        if self.linear_class == "bitlinear" and self.mode == "online":
            raise ConfigError(
                "linear_class bitlinear has packed weights only: quantization_mode must be offline"
            )
        for name, ids in (("bos_token_id", (self.bos_token_id,)), ("eos_token_id", self.eos_token_ids)):
            for token in ids:
                if token is not None and not 0 <= token < self.vocab_size:
                    raise _bad(name, token, f"from 0 to vocab_size - 1 = {self.vocab_size - 1}")

    @property
    def sub_norms(self) -> bool:
        """Whether RMS norms stand before o_proj and down_proj."""
        return self.architecture != "llama"

    @property
    def attention_size(self) -> int:
        """Width of the queries and of o_proj's input: num_attention_heads x head_dim."""
        return self.num_attention_heads * self.head_dim

    @property
    def key_value_size(self) -> int:
        """Width of the keys and of the values: num_key_value_heads x head_dim."""
        return self.num_key_value_heads * self.head_dim

    def projection_shape(self, projection: str) -> tuple[int, int]:
        """(out, in) of one of :data:`PROJECTIONS`."""
        hidden, ffn = self.hidden_size, self.intermediate_size
        return {
            "q_proj": (self.attention_size, hidden),
            "k_proj": (self.key_value_size, hidden),
            "v_proj": (self.key_value_size, hidden),
            "o_proj": (hidden, self.attention_size),
            "gate_proj": (ffn, hidden),
            "up_proj": (ffn, hidden),
            "down_proj": (hidden, ffn),
        }[projection]

    def parameter_count(self) -> int:
        """All weights: embedding, untied head, projections and norms."""
        norms = 2 * self.hidden_size + (self.attention_size + self.intermediate_size if self.sub_norms else 0)
        linear = sum(out * width for out, width in map(self.projection_shape, PROJECTIONS))
        tables = self.vocab_size * self.hidden_size * (1 if self.tie_word_embeddings else 2)
        return tables + self.num_hidden_layers * (linear + norms) + self.hidden_size

    def to_json(self) -> bytes:
        """The config.json of a model folder. `ModelConfig.from_json(c.to_json()) == c`."""
        name = next(
            cls for cls, architecture in _ARCHITECTURE_CLASSES.items() if architecture == self.architecture
        )
        eos: int | list[int] | None = list(self.eos_token_ids) or None
        if len(self.eos_token_ids) == 1:
            eos = self.eos_token_ids[0]
        fields: dict[str, Any] = {
            "architectures": [name],
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": self.bos_token_id,
            "eos_token_id": eos,
            "head_dim": self.head_dim,
            "hidden_act": self.hidden_act,
            "hidden_size": self.hidden_size,
            "initializer_range": 0.02,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": self.max_position_embeddings,
            "model_type": _MODEL_TYPES[self.architecture][0],
            "num_attention_heads": self.num_attention_heads,
            "num_hidden_layers": self.num_hidden_layers,
            "num_key_value_heads": self.num_key_value_heads,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_theta": self.rope_theta,
            "rope_parameters": {"rope_theta": self.rope_theta, "rope_type": "default"},
            "tie_word_embeddings": self.tie_word_embeddings,
            "use_cache": True,
            "vocab_size": self.vocab_size,
        }
        if self.architecture == "bitnet_b1_58":
            fields |= {"weight_bits": 1, "input_bits": 8}
        fields["quantization_config"] = {
            "quant_method": "bitnet",
            "linear_class": self.linear_class,
            "quantization_mode": self.mode,
        }
        return msgspec.json.format(msgspec.json.encode(fields), indent=2) + b"\n"

    @classmethod
    def from_json(cls, text: bytes, *, file: str = CONFIG_NAME) -> ModelConfig:
        """Read the text of a config.json; `file` is its name in messages. Raises ConfigError."""
        return _from_fields(parse_object(text, file, ConfigError), file)


def load_config(folder: str | Path) -> ModelConfig:
    """Read `folder/config.json`. Raises ConfigError where it is missing, malformed or not supported."""
    file = locate(Path(folder), CONFIG_NAME)
    hint = "name a model folder: config.json and model.safetensors"
    return _from_fields(read_object(file, ConfigError, hint=hint), str(file))


def _from_fields(fields: dict[str, Any], file: str) -> ModelConfig:
    try:
        return _parse(fields)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error.message}", hint=error.hint) from None


def _parse(fields: dict[str, Any]) -> ModelConfig:
    architecture = _architecture(fields)
    linear_class, mode = _quantization(fields, architecture)
    for name in ("attention_bias", "mlp_bias", "use_bias", "bias"):
        if fields.get(name):
            raise ConfigError(
                f"{name} is {describe(fields[name])}: biases in linear layers are not supported"
            )
    if fields.get("sliding_window") is not None and fields.get("use_sliding_window", True):
        raise ConfigError(
            f"sliding_window is {describe(fields['sliding_window'])}: only full causal attention is supported"
        )
    hidden, heads = _integer(fields, "hidden_size"), _integer(fields, "num_attention_heads")
    if fields.get("head_dim") is not None:
        head_dim = _integer(fields, "head_dim")
    elif heads < 1 or hidden % heads:
        raise ConfigError(
            f"num_attention_heads ({heads}) does not divide hidden_size ({hidden}), and no head_dim is given"
        )
    else:
        head_dim = hidden // heads
    return ModelConfig(
        hidden_size=hidden,
        intermediate_size=_integer(fields, "intermediate_size"),
        num_hidden_layers=_integer(fields, "num_hidden_layers"),
        num_attention_heads=heads,
        num_key_value_heads=_integer(fields, "num_key_value_heads"),
        head_dim=head_dim,
        vocab_size=_integer(fields, "vocab_size"),
        rms_norm_eps=_number(fields, "rms_norm_eps"),
        rope_theta=_rope_theta(fields),
        max_position_embeddings=_integer(fields, "max_position_embeddings"),
        tie_word_embeddings=_required(fields, "tie_word_embeddings"),
        hidden_act=_required(fields, "hidden_act"),
        architecture=architecture,
        linear_class=linear_class,
        mode=mode,
        bos_token_id=next(iter(_token_ids(fields, "bos_token_id")), None),
        eos_token_ids=_token_ids(fields, "eos_token_id"),
    )


def _architecture(fields: dict[str, Any]) -> Architecture:
    model_type = _required(fields, "model_type")
    names = fields.get("architectures")
    known = ", ".join(_ARCHITECTURE_CLASSES)
    if names is None and model_type == "bitnet":
        return "bitnet"
    if not isinstance(names, list) or len(names) != 1 or names[0] not in tuple(_ARCHITECTURE_CLASSES):
        raise ConfigError(f"architectures is {describe(names)}; supported: {known}")
    architecture = _ARCHITECTURE_CLASSES[names[0]]
    if model_type not in _MODEL_TYPES[architecture]:
        raise ConfigError(f"model_type is {describe(model_type)}, which does not fit architecture {names[0]}")
    return architecture


def _quantization(fields: dict[str, Any], architecture: Architecture) -> tuple[LinearClass, QuantizationMode]:
    if architecture == "bitnet_b1_58":
        for name, value in (("weight_bits", 1), ("input_bits", 8)):
            if _integer(fields, name) != value:
                raise ConfigError(f"{name} is {describe(fields[name])}; supported: {value}")
    quantization = fields.get("quantization_config")
    if quantization is None:
        if architecture == "bitnet_b1_58":
            return "autobitlinear", "online"
        raise ConfigError(
            "quantization_config is missing: without it the weights are ordinary floats, not ternary ones",
            hint='for master weights add {"quant_method": "bitnet", "linear_class": "autobitlinear", '
            '"quantization_mode": "online"}',
        )
    if not isinstance(quantization, dict):
        raise _bad("quantization_config", quantization, "a JSON object")
    method = _required(quantization, "quant_method", "quantization_config.")
    if method != "bitnet":
        raise _bad("quantization_config.quant_method", method, "bitnet")
    if quantization.get("use_rms_norm"):
        raise ConfigError(
            "quantization_config.use_rms_norm is set: norms inside linear layers are not supported"
        )
    # The format's first version had neither field, and these meanings; files of that version are in use.
    linear_class = quantization.get("linear_class", "bitlinear")
    mode = quantization.get("quantization_mode", "offline")
    if linear_class not in ("autobitlinear", "bitlinear"):
        raise _bad("quantization_config.linear_class", linear_class, "autobitlinear or bitlinear")
    if mode not in ("online", "offline"):
        raise _bad("quantization_config.quantization_mode", mode, "online or offline")
    return linear_class, mode


def _rope_theta(fields: dict[str, Any]) -> float:
    """The rotary base, from `rope_theta`, `rope_parameters.rope_theta` or both where they agree."""
    found: dict[str, float] = {}
    for name in ("rope_parameters", "rope_scaling"):
        table = fields.get(name)
        if table is None:
            continue
        if not isinstance(table, dict):
            raise _bad(name, table, "a JSON object")
        kind = table.get("rope_type", table.get("type", "default"))
        if kind != "default":
            raise ConfigError(
                f"{name} has rope_type {describe(kind)}: scaled rotary position embeddings are not supported"
            )
        unknown = {
            key
            for key, value in table.items()
            if key not in ("rope_type", "type", "rope_theta")
            and not (key == "partial_rotary_factor" and value == 1)
        }
        if unknown:
            raise ConfigError(f"{name} has {', '.join(sorted(unknown))}, which is not supported")
        if "rope_theta" in table:
            found[f"{name}.rope_theta"] = _number(table, "rope_theta", f"{name}.")
    if fields.get("rope_theta") is not None:
        found["rope_theta"] = _number(fields, "rope_theta")
    if fields.get("partial_rotary_factor") not in (None, 1):
        raise ConfigError(
            f"partial_rotary_factor is {describe(fields['partial_rotary_factor'])}; supported: 1"
        )
    if not found:
        raise ConfigError("rope_theta is missing (neither as rope_theta nor in rope_parameters)")
    if len(set(found.values())) > 1:
        raise ConfigError(
            "two rotary bases: " + ", ".join(f"{name} is {value:g}" for name, value in found.items())
        )
    return next(iter(found.values()))


def _token_ids(fields: dict[str, Any], name: str) -> tuple[int, ...]:
    value = fields.get(name)
    if value is None:
        return ()
    ids = value if isinstance(value, list) else [value]
    if any(isinstance(token, bool) or not isinstance(token, int) for token in ids):
        raise _bad(name, value, "a token id or a list of them")
    return tuple(ids)


def _required(fields: dict[str, Any], name: str, prefix: str = "") -> Any:
    if fields.get(name) is None:
        raise ConfigError(f"{prefix}{name} is missing")
    return fields[name]


def _integer(fields: dict[str, Any], name: str) -> int:
    value = _required(fields, name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _bad(name, value, "a whole number")
    return value


def _number(fields: dict[str, Any], name: str, prefix: str = "") -> float:
    value = _required(fields, name, prefix)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _bad(prefix + name, value, "a number")
    try:
        return float(value)
    except OverflowError:
        raise _bad(prefix + name, value, "a number") from None


def _bad(name: str, value: object, allowed: str) -> ConfigError:
    return ConfigError(f"{name} is {describe(value)}; it must be {allowed}")
