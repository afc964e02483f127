"""Model folders: the reference folders agree, damage of any kind is a CheckpointError, saving is all or nothing."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from tests.support import REPOSITORY
from tritloom.models import files
from tritloom.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, tensor_shapes
from tritloom.models.config import PROJECTIONS, ModelConfig
from tritloom.models.errors import CheckpointError, SaveError
from tritloom.models.files import save_files
from tritloom.models.ternary import TernaryWeight, has_invalid_code, pack, ternarise, unpack

CONFIG = ModelConfig(
    hidden_size=24,
    intermediate_size=35,
    num_hidden_layers=2,
    num_attention_heads=6,
    num_key_value_heads=3,
    head_dim=4,
    vocab_size=11,
    rms_norm_eps=1e-5,
    rope_theta=10000.0,
    max_position_embeddings=64,
    tie_word_embeddings=False,
    hidden_act="relu2",
)


def random_checkpoint(config: ModelConfig = CONFIG, dtype: Any = np.float32) -> Checkpoint:
    """Master weights of small random numbers."""
    random = np.random.default_rng(0)
    shapes = tensor_shapes(config)
    return Checkpoint(
        config, {key: random.normal(0, 0.1, shape).astype(dtype) for key, shape in shapes.items()}
    )


def same(a: Checkpoint, b: Checkpoint) -> bool:
    """Whether two checkpoints hold the same bits."""
    if a.config != b.config or a.tensors.keys() != b.tensors.keys():
        return False
    for key in a.tensors:
        left, right = a[key], b[key]
        if isinstance(left, TernaryWeight) and isinstance(right, TernaryWeight):
            if not np.array_equal(left.packed, right.packed) or left.scale != right.scale:
                return False
        elif not np.array_equal(a.array(key), b.array(key)) or a.array(key).dtype != b.array(key).dtype:
            return False
    return True


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved master checkpoint."""
    save_checkpoint(tmp_path / "model", random_checkpoint())
    return tmp_path / "model"


@pytest.fixture
def packed_folder(tmp_path: Path) -> Path:
    """A saved packed checkpoint."""
    save_checkpoint(tmp_path / "packed", random_checkpoint().as_packed())
    return tmp_path / "packed"


def edit(folder: Path, change: dict[str, Any]) -> None:
    """Replace tensors of a saved model; None removes one."""
    tensors = {**load_file(folder / "model.safetensors"), **change}
    save_file(
        {name: tensor for name, tensor in tensors.items() if tensor is not None}, folder / "model.safetensors"
    )


def edit_config(folder: Path, change: dict[str, Any]) -> None:
    """Replace fields of a saved config.json."""
    fields = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(fields | change))


# The packed form


@given(st.integers(1, 23), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_packing_round_trips_for_any_number_of_rows(out: int, width: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(-1, 2, (out, width)).astype(np.int8)
    packed = pack(codes)
    assert packed.shape == (-(-out // 4), width)
    assert not has_invalid_code(packed)
    np.testing.assert_array_equal(unpack(packed, out), codes)


def test_rows_lie_a_quarter_apart_in_the_bits_of_a_byte() -> None:
    codes = np.array([[-1], [0], [1], [0], [1], [1], [-1], [0]], np.int8)
    assert pack(codes).tolist() == [[0 | 2 << 2 | 2 << 4 | 0 << 6], [1 | 1 << 2 | 2 << 4 | 1 << 6]]


def test_ternarise_rounds_half_to_even_and_clamps() -> None:
    weight = ternarise(np.array([[0.5, -0.5, 1.5], [-3.0, 0.25, 0.25]], np.float32))
    assert weight.scale == 1.0
    assert weight.codes().tolist() == [[0, 0, 1], [-1, 0, 0]]


def test_ternarise_clamps_the_scale_of_tiny_weights() -> None:
    weight = ternarise(np.full((4, 4), 1e-34, np.float32))
    assert weight.scale == pytest.approx(1e-5)
    assert not weight.codes().any()


def test_ternarise_refuses_what_is_not_finite() -> None:
    with pytest.raises(CheckpointError, match="not finite"):
        ternarise(np.array([[1.0, np.nan]], np.float32))


# The reference folders


def test_the_reference_packings_are_the_ternarised_master(oracle: Path) -> None:
    master, packed, divided = (load_checkpoint(oracle / name) for name in ("master", "packed", "packed_bl"))
    assert master.config.mode == "online"
    assert (packed.config.linear_class, divided.config.linear_class) == ("autobitlinear", "bitlinear")
    projections = [key for key in master.tensors if key.rpartition(".")[2] in PROJECTIONS]
    assert len(projections) == 14
    for key in projections:
        formed = master.ternary(key)
        for stored in (packed.ternary(key), divided.ternary(key)):
            np.testing.assert_array_equal(stored.packed, formed.packed)
            assert stored.scale == pytest.approx(formed.scale, rel=1e-6)
    for key in master.tensors.keys() - set(projections):
        np.testing.assert_array_equal(master.array(key), packed.array(key))
        np.testing.assert_array_equal(master.array(key), divided.array(key))


def test_saving_the_reference_writes_the_same_tensors(oracle: Path, tmp_path: Path) -> None:
    for name in ("master", "packed", "packed_bl"):
        save_checkpoint(tmp_path / name, load_checkpoint(oracle / name))
        ours, theirs = (load_file(where / name / "model.safetensors") for where in (tmp_path, oracle))
        assert ours.keys() == theirs.keys()
        for key in theirs:
            assert ours[key].dtype == theirs[key].dtype
            np.testing.assert_allclose(ours[key], theirs[key], rtol=1e-6 if key.endswith("_scale") else 0)


# Round trips and variants


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("tied", [True, False])
def test_master_and_packed_round_trip(dtype: Any, tied: bool, tmp_path: Path) -> None:
    checkpoint = random_checkpoint(replace(CONFIG, tie_word_embeddings=tied), dtype)
    for name, form in (
        ("master", checkpoint),
        ("packed", checkpoint.as_packed()),
        ("half", checkpoint.as_packed(float_dtype=np.float16)),
    ):
        save_checkpoint(tmp_path / name, form)
        assert same(load_checkpoint(tmp_path / name), form)
    save_checkpoint(tmp_path / "divided", checkpoint.as_packed("bitlinear"))
    divided = load_checkpoint(tmp_path / "divided")
    assert divided.ternary("layers.1.up_proj").scale == pytest.approx(
        checkpoint.ternary("layers.1.up_proj").scale
    )
    assert checkpoint.head().shape == (11, 24)


@pytest.mark.parametrize("architecture", ["bitnet", "bitnet_b1_58", "llama"])
def test_the_three_graphs_have_their_own_names(architecture: Any, tmp_path: Path) -> None:
    checkpoint = random_checkpoint(replace(CONFIG, architecture=architecture))
    save_checkpoint(tmp_path / "m", checkpoint)
    names = load_file(tmp_path / "m" / "model.safetensors").keys()
    assert ("model.layers.0.self_attn.attn_sub_norm.weight" in names) == (architecture == "bitnet")
    assert ("model.layers.0.mlp.ffn_layernorm.weight" in names) == (architecture == "bitnet_b1_58")
    assert same(load_checkpoint(tmp_path / "m"), checkpoint)


def test_shards_are_read_through_their_index(folder: Path) -> None:
    whole = load_checkpoint(folder)
    tensors = load_file(folder / "model.safetensors")
    weight_map = {
        name: f"model-0000{1 + number % 2}-of-00002.safetensors" for number, name in enumerate(tensors)
    }
    for shard in set(weight_map.values()):
        save_file({name: t for name, t in tensors.items() if weight_map[name] == shard}, folder / shard)
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    assert same(load_checkpoint(folder), whole)
    index.write_text(json.dumps({"weight_map": {**weight_map, "extra": "../model.safetensors"}}))
    with pytest.raises(CheckpointError, match="not a file of this folder"):
        load_checkpoint(folder)
    index.write_text(json.dumps({"weight_map": {**weight_map, "extra": next(iter(weight_map.values()))}}))
    with pytest.raises(CheckpointError, match="lacks extra"):
        load_checkpoint(folder)
    index.write_text('{"weight_map": [1]}')
    with pytest.raises(CheckpointError, match="weight_map"):
        load_checkpoint(folder)


def test_codes_stored_as_floats_are_packed(packed_folder: Path) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    packed = load_checkpoint(packed_folder)
    edit(packed_folder, {name: packed.ternary("layers.0.up_proj").codes().astype(np.float32)})
    assert same(load_checkpoint(packed_folder), packed)
    edit(packed_folder, {name: np.full((35, 24), 0.5, np.float32)})
    with pytest.raises(CheckpointError, match="other than -1, 0 and 1"):
        load_checkpoint(packed_folder)


def test_a_tied_head_may_be_stored_if_it_is_the_embedding(tmp_path: Path) -> None:
    checkpoint = random_checkpoint(replace(CONFIG, tie_word_embeddings=True))
    save_checkpoint(tmp_path, checkpoint)
    edit(
        tmp_path,
        {
            "lm_head.weight": checkpoint.array("embed"),
            "model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(2, np.float32),
        },
    )
    assert same(load_checkpoint(tmp_path), checkpoint)
    edit(tmp_path, {"lm_head.weight": checkpoint.array("embed") + 1})
    with pytest.raises(CheckpointError, match="tie_word_embeddings"):
        load_checkpoint(tmp_path)


# Damage

NORM = "model.norm.weight"
Q_PROJ = "model.layers.0.self_attn.q_proj.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({NORM: None}, f"lacks {NORM}"),
        ({"surprise": np.ones(1, np.float32)}, "holds surprise"),
        ({NORM: np.ones(25, np.float32)}, r"has shape \[25\], config.json expects \[24\]"),
        ({NORM: np.full(24, np.nan, np.float32)}, "not finite"),
        ({NORM: np.full(24, np.inf, np.float16)}, "not finite"),
        ({NORM: np.ones(24, np.float64)}, "dtype F64"),
        ({Q_PROJ: np.ones((24, 24), np.uint8)}, "uint8"),
        ({Q_PROJ: np.full((24, 24), -np.inf, ml_dtypes.bfloat16)}, "not finite"),
    ],
)
def test_a_wrong_master_tensor_is_named(folder: Path, change: dict[str, Any], message: str) -> None:
    edit(folder, change)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({Q_PROJ: np.full((6, 24), 3, np.uint8)}, f"{Q_PROJ} holds the code 3"),
        ({Q_PROJ: np.zeros((24, 24), np.uint8)}, r"expects \[6, 24\]"),
        ({f"{Q_PROJ}_scale": np.array([np.nan], np.float32)}, "_scale is nan"),
        ({f"{Q_PROJ}_scale": np.ones(2, np.float32)}, "expected one float"),
        ({f"{Q_PROJ}_scale": None}, "lacks .*_scale"),
    ],
)
def test_a_wrong_packed_tensor_is_named(packed_folder: Path, change: dict[str, Any], message: str) -> None:
    edit(packed_folder, change)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(packed_folder)


@pytest.mark.parametrize("scale", [0.0, 1e-42])
def test_a_dividing_scale_needs_a_finite_inverse(scale: float, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, random_checkpoint().as_packed("bitlinear"))
    edit(tmp_path, {f"{Q_PROJ}_scale": np.array([scale], np.float32)})
    with pytest.raises(CheckpointError, match="_scale"):
        load_checkpoint(tmp_path)


def test_a_config_of_another_size_or_mode_is_noticed(folder: Path) -> None:
    edit_config(folder, {"num_hidden_layers": 3})
    with pytest.raises(CheckpointError, match=r"lacks model\.layers\.2"):
        load_checkpoint(folder)
    quantization = {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "offline"}
    edit_config(folder, {"num_hidden_layers": 2, "quantization_config": quantization})
    with pytest.raises(CheckpointError, match="_scale"):
        load_checkpoint(folder)


def test_a_folder_without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="has neither"):
        load_checkpoint(folder)


def header_of(tensors: dict[str, Any]) -> bytes:
    """A safetensors header."""
    text = json.dumps(tensors).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 7,
        (1 << 62).to_bytes(8, "little") + b"{}",
        header_of({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}),
        header_of({"a": {"dtype": "F32", "shape": [1 << 62, 8], "data_offsets": [0, 16]}}) + bytes(16),
        header_of({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]}}) + bytes(8),
        header_of({"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}) + bytes(8),
        header_of(
            {
                "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
                "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]},
            }
        )
        + bytes(12),
        header_of({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}) + bytes(4),
        header_of({"a": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]}}) + bytes(8),
    ],
)
def test_hostile_files_are_refused_in_one_paragraph(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors") as caught:
        load_checkpoint(folder)
    assert len(str(caught.value).splitlines()) <= 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_damage_never_gives_anything_but_a_checkpoint_error(packed_folder: Path, data: st.DataObject) -> None:
    file = packed_folder / "model.safetensors"
    keep = packed_folder / "whole"
    if not keep.exists():
        keep.write_bytes(file.read_bytes())
    content = bytearray(keep.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 3))):
        area = data.draw(st.sampled_from([8, header, len(content)]))
        content[data.draw(st.integers(0, area - 1))] ^= 1 << data.draw(st.integers(0, 7))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    file.write_bytes(content)
    try:
        checkpoint = load_checkpoint(packed_folder)
    except CheckpointError:
        return
    assert all(np.isfinite(checkpoint.array(key)).all() for key in ("embed", "final_norm", "lm_head"))


def test_a_checkpoint_that_does_not_fit_its_config_cannot_be_made() -> None:
    whole = random_checkpoint()
    tensors = dict(whole.tensors)
    with pytest.raises(CheckpointError, match="lacks embed"):
        Checkpoint(CONFIG, {key: tensor for key, tensor in tensors.items() if key != "embed"})
    with pytest.raises(CheckpointError, match="tensor embed has shape"):
        Checkpoint(CONFIG, {**tensors, "embed": np.zeros((1, 1), np.float32)})
    with pytest.raises(CheckpointError, match="float, which does not fit"):
        Checkpoint(replace(CONFIG, mode="offline"), tensors)
    with pytest.raises(CheckpointError, match="is packed"):
        whole.as_packed().array("layers.0.q_proj")


# Saving


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file under a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("existing", ["nothing", "empty", "older", "other"])
def test_a_full_disk_leaves_everything_as_it_was(
    existing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "model"
    if existing != "nothing":
        target.mkdir()
    if existing == "older":
        save_checkpoint(target, random_checkpoint())
    if existing == "other":
        (target / "notes.txt").write_text("mine")
    before = snapshot(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(SaveError, match="No space left on device"):
        save_checkpoint(target, random_checkpoint().as_packed())
    assert snapshot(tmp_path) == before
    assert target.exists() == (existing != "nothing")
    assert sorted(path.name for path in tmp_path.iterdir()) == (["model"] if existing != "nothing" else [])


def test_saving_replaces_the_older_model_and_keeps_other_files(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    packed = random_checkpoint().as_packed()
    save_checkpoint(folder, packed, {"tokenizer.json": b"{}"})
    assert same(load_checkpoint(folder), packed)
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "model.safetensors",
        "notes.txt",
        "tokenizer.json",
    ]


def test_places_that_cannot_be_saved_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match="not a folder"):
        save_files(tmp_path / "file", {"a": b""})
    with pytest.raises(SaveError, match="cannot save"):
        save_files(tmp_path / "file" / "below", {"a": b""})
    (tmp_path / "folder" / "a").mkdir(parents=True)
    with pytest.raises(SaveError, match="it is a folder"):
        save_files(tmp_path / "folder", {"a": b"", "b": b""})
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["a"]


KILLED_SAVE = """
import os, pathlib, signal, sys
from tritloom.models import files

moves = int(sys.argv[2])
replace = pathlib.Path.replace

def dying(self, target):
    global moves
    if moves == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    moves -= 1
    return replace(self, target)

pathlib.Path.replace = dying
if moves < 0:
    files._sync_folder = lambda folder: os.kill(os.getpid(), signal.SIGKILL)
files.save_files(sys.argv[1], {"one": b"new", "two": b"new"})
"""


@pytest.mark.skipif(os.name == "nt", reason="sends SIGKILL")
@pytest.mark.parametrize(("moves", "expected"), [(-1, b"old"), (0, b"new"), (1, b"new")])
def test_a_kill_during_saving_leaves_all_old_or_all_new(moves: int, expected: bytes, tmp_path: Path) -> None:
    save_files(tmp_path, {"one": b"old", "two": b"old", "three": b"kept"})
    process = subprocess.run(
        [sys.executable, "-c", KILLED_SAVE, str(tmp_path), str(moves)], cwd=REPOSITORY, check=False
    )
    assert process.returncode == -signal.SIGKILL
    assert {files.locate(tmp_path, name).read_bytes() for name in ("one", "two")} == {expected}
    save_files(tmp_path, {"three": b"next"})
    assert snapshot(tmp_path) == {"one": expected, "three": b"next", "two": expected}
    assert len(list(tmp_path.iterdir())) == 3
