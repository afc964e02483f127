"""LoRA adapters: the reference folders load and are written back alike; what plain LoRA is not is refused."""

from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from tests.models.test_checkpoint import CONFIG, snapshot
from tritloom.models import files
from tritloom.models.adapter import (
    SHIPPED_NAME,
    Adapter,
    adapter_keys,
    load_adapter,
    module_path,
    new_adapter,
    save_adapter,
)
from tritloom.models.config import PROJECTIONS, ModelConfig, load_config
from tritloom.models.errors import AdapterError, SaveError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved adapter of rank 3 on two projections."""
    save_adapter(tmp_path / "adapter", new_adapter(CONFIG, 3, 6, ("down_proj", "q_proj")), "base")
    return tmp_path / "adapter"


def edit_config(folder: Path, change: dict[str, Any]) -> None:
    """Replace fields of adapter_config.json."""
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))


def edit_tensors(folder: Path, change: dict[str, Any]) -> None:
    """Replace tensors; None removes one."""
    file = folder / "adapter_model.safetensors"
    tensors = {**load_file(file), **change}
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, file)


@pytest.mark.parametrize(("name", "base"), [("adapter_online", "master"), ("adapter_offline", "packed")])
def test_the_reference_adapters_load_and_are_written_alike(
    name: str, base: str, oracle: Path, tmp_path: Path
) -> None:
    adapter = load_adapter(oracle / name, load_config(oracle / base))
    assert (adapter.r, adapter.alpha, set(adapter.target_modules)) == (4, 8.0, set(PROJECTIONS))
    assert len(adapter.modules()) == 14
    assert {adapter.scaling(module) for module in adapter.modules()} == {2.0}
    save_adapter(tmp_path / name, adapter, f"ref/{base}")
    ours, theirs = (where / name / "adapter_model.safetensors" for where in (tmp_path, oracle))
    with safe_open(ours, "np") as a, safe_open(theirs, "np") as b:
        assert a.metadata() == b.metadata()
    written, reference = load_file(ours), load_file(theirs)
    assert written.keys() == reference.keys()
    for key in reference:
        np.testing.assert_array_equal(written[key], reference[key])
    configs = [json.loads((where / name / "adapter_config.json").read_text()) for where in (tmp_path, oracle)]
    for config in configs:
        config["target_modules"] = sorted(config["target_modules"])
    assert configs[0] == configs[1]


def test_the_parameters_of_the_gradients_are_the_adapters_keys(oracle: Path) -> None:
    adapter = load_adapter(oracle / "adapter_online", load_config(oracle / "master"))
    with np.load(oracle / "lora_online.npz") as reference:
        # There the parameters have the names that they have inside PEFT, with the adapter's own name in them.
        named = {
            f"p.{key}".replace(".weight", ".default.weight"): value for key, value in adapter.tensors.items()
        }
        assert named.keys() == {key for key in reference if key.startswith("p.")}
        for key, tensor in named.items():
            np.testing.assert_array_equal(tensor, reference[key])


@given(
    st.sets(st.sampled_from(PROJECTIONS), min_size=1), st.integers(1, 9), st.floats(0.5, 64), st.booleans()
)
def test_any_projections_and_ranks_round_trip(
    tmp_path_factory: pytest.TempPathFactory, targets: set[str], r: int, alpha: float, rslora: bool
) -> None:
    folder = tmp_path_factory.mktemp("adapter")
    adapter = new_adapter(CONFIG, r, alpha, tuple(sorted(targets)), seed=1, use_rslora=rslora)
    save_adapter(folder, adapter, "base")
    loaded = load_adapter(folder, CONFIG)
    assert loaded.tensors.keys() == adapter.tensors.keys()
    assert all(np.array_equal(loaded.tensors[key], tensor) for key, tensor in adapter.tensors.items())
    module = loaded.modules()[0]
    assert loaded.scaling(module) == pytest.approx(alpha / (math.sqrt(r) if rslora else r))
    assert len(loaded.modules()) == 2 * len(targets)


def test_a_new_adapter_changes_nothing_and_depends_on_its_seed() -> None:
    first, again, other = (new_adapter(CONFIG, 2, 4, seed=seed) for seed in (0, 0, 1))
    for key, tensor in first.tensors.items():
        np.testing.assert_array_equal(tensor, again.tensors[key])
        assert tensor.any() == ("lora_A" in key)
    assert any(not np.array_equal(first.tensors[key], other.tensors[key]) for key in first.tensors)
    with pytest.raises(AdapterError, match="lm_head"):
        new_adapter(CONFIG, 2, 4, ("lm_head",))
    with pytest.raises(AdapterError, match="rank r is 0"):
        new_adapter(CONFIG, 0, 4)


def test_patterns_give_modules_their_own_rank_and_alpha(tmp_path: Path) -> None:
    special, usual = module_path(1, "q_proj"), module_path(0, "q_proj")
    tensors: dict[str, Any] = {}
    for module, rank in ((usual, 2), (special, 5)):
        key_a, key_b = adapter_keys(module)
        tensors |= {key_a: np.ones((rank, 24), np.float32), key_b: np.ones((24, rank), np.float32)}
    adapter = Adapter(
        2,
        4.0,
        ("q_proj",),
        tensors,
        rank_pattern={"layers.1.self_attn.q_proj": 5},
        alpha_pattern={special: 15.0},
    )
    save_adapter(tmp_path, adapter, "base")
    loaded = load_adapter(tmp_path, CONFIG)
    assert (loaded.rank(special), loaded.scaling(special)) == (5, 3.0)
    assert (loaded.rank(usual), loaded.scaling(usual)) == (2, 2.0)


def test_layers_to_transform_and_excluded_modules_are_left_out(folder: Path) -> None:
    gone = {key: None for key in load_file(folder / "adapter_model.safetensors") if "layers.0" in key}
    edit_tensors(folder, gone)
    with pytest.raises(AdapterError, match="lacks"):
        load_adapter(folder, CONFIG)
    edit_config(folder, {"layers_to_transform": [1]})
    assert load_adapter(folder, CONFIG).modules() == (module_path(1, "q_proj"), module_path(1, "down_proj"))
    edit_config(
        folder,
        {
            "layers_to_transform": None,
            "exclude_modules": ["layers.0.self_attn.q_proj", "layers.0.mlp.down_proj"],
        },
    )
    assert len(load_adapter(folder, CONFIG).modules()) == 2


def test_half_precision_tensors_become_float32(folder: Path) -> None:
    key = adapter_keys(module_path(0, "q_proj"))[0]
    half = np.full((3, 24), 0.1, ml_dtypes.bfloat16)
    edit_tensors(folder, {key: half})
    loaded = load_adapter(folder, CONFIG).tensors[key]
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, half.astype(np.float32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "IA3"}, "IA3"),
        ({"use_dora": True}, "use_dora is True"),
        ({"use_qalora": True}, "use_qalora"),
        ({"bias": "all"}, "bias is 'all'"),
        ({"lora_bias": True}, "lora_bias"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"layer_replication": [[0, 2]]}, "layer_replication"),
        ({"init_lora_weights": "pissa"}, "pissa"),
        ({"a_field_of_the_future": {"x": 1}}, "a_field_of_the_future"),
        ({"r": 0}, "r is 0"),
        ({"r": "3"}, "r is '3'"),
        ({"r": 4}, r"\[3, 24\], expected floats \[4, 24\]"),
        ({"lora_alpha": None}, "lora_alpha is None"),
        ({"target_modules": None}, "target_modules is None"),
        ({"target_modules": ".*_proj$"}, "regular expression"),
        ({"target_modules": ["query"]}, "names none of"),
        ({"target_modules": ["q_proj"]}, "belongs to no adapted module"),
        ({"target_modules": ["q_proj", "down_proj", "k_proj"]}, "lacks"),
        ({"rank_pattern": {"q_.*": 2}}, "rank_pattern"),
        ({"rank_pattern": {"q_proj": -1}}, "rank_pattern"),
        ({"layers_to_transform": ["1"]}, "layers_to_transform"),
        ({"use_rslora": "no"}, "use_rslora"),
        ({"lora_dropout": 2}, "lora_dropout"),
    ],
)
def test_what_is_no_plain_lora_is_refused(folder: Path, change: dict[str, Any], message: str) -> None:
    edit_config(folder, change)
    with pytest.raises(AdapterError, match=message):
        load_adapter(folder, CONFIG)


KEY_B = adapter_keys(module_path(1, "down_proj"))[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({KEY_B: None}, f"lacks {KEY_B}"),
        ({KEY_B: np.ones((23, 3), np.float32)}, r"expected floats \[24, 3\]"),
        ({KEY_B: np.ones((24, 3), np.uint8)}, "expected floats"),
        ({KEY_B: np.full((24, 3), np.nan, np.float32)}, "not finite"),
        ({"base_model.model.lm_head.lora_A.weight": np.ones((3, 24), np.float32)}, "lm_head"),
        ({adapter_keys(module_path(2, "q_proj"))[0]: np.ones((3, 24), np.float32)}, "with 2 layers"),
    ],
)
def test_a_wrong_tensor_is_named(folder: Path, change: dict[str, Any], message: str) -> None:
    edit_tensors(folder, change)
    with pytest.raises(AdapterError, match=message):
        load_adapter(folder, CONFIG)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("some/folder", "this adapter was trained on 'some/folder': give that with --base"),
        (SHIPPED_NAME, "trained on the model that ships with Tritloom: leave out --base"),
        (None, "trained on another base model: give that with --base"),
        (["a"], "trained on another base model: give that with --base"),
    ],
)
@pytest.mark.parametrize(
    "change", [{"num_hidden_layers": 1}, {"num_hidden_layers": 3}, {"intermediate_size": 50}]
)
def test_an_adapter_of_another_base_names_that(
    folder: Path, change: dict[str, int], name: object, hint: str
) -> None:
    edit_config(folder, {"base_model_name_or_path": name})
    other = ModelConfig.from_json(json.dumps(json.loads(CONFIG.to_json()) | change).encode())
    with pytest.raises(AdapterError) as caught:
        load_adapter(folder, other)
    assert hint in caught.value.hint


def test_missing_and_damaged_files(folder: Path) -> None:
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(AdapterError, match="not a whole safetensors file"):
        load_adapter(folder, CONFIG)
    weights.rename(folder / "adapter_model.bin")
    with pytest.raises(AdapterError, match="pickle"):
        load_adapter(folder, CONFIG)
    (folder / "adapter_config.json").write_text("[]")
    with pytest.raises(AdapterError, match="JSON object"):
        load_adapter(folder, CONFIG)
    with pytest.raises(AdapterError, match="cannot read"):
        load_adapter(folder / "nowhere", CONFIG)


def test_a_full_disk_keeps_the_older_adapter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot(folder)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(SaveError, match="No space left"):
        save_adapter(folder, new_adapter(CONFIG, 7, 1), "base")
    assert snapshot(folder) == before
    monkeypatch.undo()
    save_adapter(folder, new_adapter(CONFIG, 7, 1), "base")
    assert load_adapter(folder, CONFIG).r == 7
