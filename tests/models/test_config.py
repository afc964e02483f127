"""config.json: every graph that is read, and every mistake as a ConfigError that names the field."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritloom.models.config import PROJECTIONS, ModelConfig, load_config
from tritloom.models.errors import ConfigError

BITNET: dict[str, Any] = {
    "architectures": ["BitNetForCausalLM"],
    "model_type": "bitnet",
    "hidden_size": 2560,
    "intermediate_size": 6912,
    "num_hidden_layers": 30,
    "num_attention_heads": 20,
    "num_key_value_heads": 5,
    "vocab_size": 128256,
    "rms_norm_eps": 1e-05,
    "rope_theta": 500000.0,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
    "hidden_act": "relu2",
    "bos_token_id": 128000,
    "eos_token_id": [128001, 128009],
    "quantization_config": {
        "quant_method": "bitnet",
        "linear_class": "autobitlinear",
        "quantization_mode": "offline",
    },
}
ONE_BIT: dict[str, Any] = {
    **{
        key: value
        for key, value in BITNET.items()
        if key not in ("quantization_config", "eos_token_id", "bos_token_id")
    },
    "architectures": ["BitnetForCausalLM"],
    "model_type": "llama",
    "hidden_size": 3200,
    "intermediate_size": 8640,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "vocab_size": 32002,
    "hidden_act": "silu",
    "rope_scaling": None,
    "weight_bits": 1,
    "input_bits": 8,
}


def parse(fields: dict[str, Any]) -> ModelConfig:
    """The config of these fields."""
    return ModelConfig.from_json(json.dumps(fields).encode())


def test_the_2b_model() -> None:
    config = parse(BITNET)
    assert (config.architecture, config.sub_norms, config.head_dim) == ("bitnet", True, 128)
    assert (config.linear_class, config.mode) == ("autobitlinear", "offline")
    assert (config.bos_token_id, config.eos_token_ids) == (128000, (128001, 128009))
    assert config.projection_shape("k_proj") == (640, 2560)
    assert config.projection_shape("down_proj") == (2560, 6912)
    assert config.parameter_count() == 2_412_820_480


def test_the_earlier_graph_has_master_weights_and_heads_of_100() -> None:
    config = parse(ONE_BIT)
    assert (config.architecture, config.sub_norms, config.mode) == ("bitnet_b1_58", True, "online")
    assert (config.hidden_act, config.head_dim, config.eos_token_ids) == ("silu", 100, ())


def test_the_llama_graph_has_no_sub_norms_and_divides_by_the_scale() -> None:
    fields = BITNET | {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu"}
    config = parse(fields | {"quantization_config": {"quant_method": "bitnet"}})
    assert (config.sub_norms, config.linear_class, config.mode) == (False, "bitlinear", "offline")


def test_rope_parameters_are_read_and_must_agree() -> None:
    without = {key: value for key, value in BITNET.items() if key != "rope_theta"}
    table = {"rope_type": "default", "rope_theta": 10000.0}
    assert parse(without | {"rope_parameters": table}).rope_theta == 10000.0
    with pytest.raises(ConfigError, match="two rotary bases"):
        parse(BITNET | {"rope_parameters": table})
    with pytest.raises(ConfigError, match="rope_theta is missing"):
        parse(without)


@pytest.mark.parametrize(
    "name",
    [name for name in BITNET if name not in ("bos_token_id", "eos_token_id", "architectures", "rope_theta")],
)
def test_a_missing_field_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is missing"):
        parse({key: value for key, value in BITNET.items() if key != name})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": 2561}, "does not divide hidden_size"),
        ({"num_key_value_heads": 3}, "does not divide"),
        ({"num_attention_heads": 0}, "num_attention_heads"),
        ({"head_dim": 64}, "must be hidden_size"),
        ({"hidden_size": 20, "head_dim": 1}, "even number"),
        ({"intermediate_size": -1}, "intermediate_size is -1"),
        ({"vocab_size": 10**12}, "vocab_size is 1000000000000"),
        ({"vocab_size": "big"}, "vocab_size is 'big'"),
        ({"num_hidden_layers": 2.5}, "num_hidden_layers is 2.5"),
        ({"num_hidden_layers": True}, "num_hidden_layers is True"),
        ({"rms_norm_eps": 0}, "rms_norm_eps"),
        ({"rms_norm_eps": "1e-5"}, "rms_norm_eps"),
        ({"rope_theta": -1.0}, "rope_theta"),
        ({"rope_theta": 10**400}, "JSON|rope_theta"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "yarn"),
        (
            {"rope_parameters": {"rope_theta": 500000.0, "partial_rotary_factor": 0.5}},
            "partial_rotary_factor",
        ),
        ({"attention_bias": True}, "biases"),
        ({"mlp_bias": True}, "biases"),
        ({"sliding_window": 512}, "causal attention"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"hidden_act": ["relu2"]}, "hidden_act"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings"),
        ({"eos_token_id": 128256}, "eos_token_id"),
        ({"eos_token_id": "end"}, "eos_token_id"),
        ({"bos_token_id": -1}, "bos_token_id"),
        ({"architectures": ["MistralForCausalLM"]}, "MistralForCausalLM"),
        ({"architectures": [{}]}, "architectures"),
        ({"model_type": "gpt2"}, "model_type is 'gpt2'"),
        ({"quantization_config": {"quant_method": "gptq"}}, "gptq"),
        ({"quantization_config": {"quant_method": "bitnet", "use_rms_norm": True}}, "use_rms_norm"),
        ({"quantization_config": {"quant_method": "bitnet", "linear_class": "other"}}, "linear_class"),
        ({"quantization_config": {"quant_method": "bitnet", "quantization_mode": "online"}}, "bitlinear"),
    ],
)
def test_an_impossible_value_is_a_config_error(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(BITNET | change)


def test_other_bit_widths_are_refused() -> None:
    with pytest.raises(ConfigError, match="weight_bits is 2"):
        parse(ONE_BIT | {"weight_bits": 2})


@pytest.mark.parametrize("text", [b"", b"[1]", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a": NaN}'])
def test_text_that_is_no_config(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(text)
    with pytest.raises(ConfigError, match=r"config\.json"):
        load_config(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*config\.json"):
        load_config(tmp_path)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.lists(st.integers()),
)


@given(st.sampled_from(sorted(BITNET)), VALUES)
def test_any_value_in_any_field_gives_a_config_or_a_config_error(name: str, value: object) -> None:
    try:
        config = parse(BITNET | {name: value})
    except ConfigError:
        return
    assert config.attention_size == config.hidden_size


@given(
    st.sampled_from([BITNET, ONE_BIT]),
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(1, 60),
    st.booleans(),
)
def test_to_json_round_trips(base: dict[str, Any], kv: int, group: int, half: int, tied: bool) -> None:
    heads = kv * group
    config = replace(
        parse(base),
        num_key_value_heads=kv,
        num_attention_heads=heads,
        head_dim=2 * half,
        hidden_size=2 * half * heads,
        tie_word_embeddings=tied,
    )
    assert ModelConfig.from_json(config.to_json()) == config
    assert all(len(config.projection_shape(name)) == 2 for name in PROJECTIONS)
