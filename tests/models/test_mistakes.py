"""Mistakes on the command line and in Python: one paragraph, a status that is not 0, nothing half written."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tests.support import REPOSITORY
from tritloom.codegen.errors import BoundsError, DeviceError, DTypeError, ShapeError, TritloomError
from tritloom.models import finetune as finetuning
from tritloom.models import load_model
from tritloom.models.adapter import SHIPPED_NAME, new_adapter, save_adapter
from tritloom.models.checkpoint import Checkpoint, save_checkpoint, tensor_shapes
from tritloom.models.cli import main
from tritloom.models.config import ModelConfig
from tritloom.models.errors import AdapterError, SaveError
from tritloom.models.files import save_files
from tritloom.models.model import Model
from tritloom.models.tokenizer import train_bpe

QUESTIONS = [{"question": "what is a cat?", "answer": "a thing"}, {"question": "a dog?", "answer": "a joy"}]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of one small layer."""
    tokenizer = train_bpe(["what is a cat? a thing. a dog? a joy."], 270)
    config = ModelConfig(
        hidden_size=12,
        intermediate_size=10,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=6,
        vocab_size=tokenizer.vocab_size,
        rms_norm_eps=1e-5,
        rope_theta=10000.0,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        hidden_act="relu2",
        eos_token_ids=tokenizer.eos_ids,
    )
    random = np.random.default_rng(0)
    shapes = tensor_shapes(config)
    tensors = {key: random.normal(0, 0.3, shape).astype(np.float32) for key, shape in shapes.items()}
    folder = tmp_path_factory.mktemp("models") / "base"
    save_checkpoint(folder, Checkpoint(config, tensors).as_packed(), tokenizer.files())
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two questions."""
    file = tmp_path / "data.jsonl"
    file.write_text("".join(json.dumps(question) + "\n" for question in QUESTIONS))
    return file


def arguments(base: Path, data: Path, out: Path) -> list[str]:
    """A fine-tune of two steps."""
    paths = ["finetune", "--base", str(base), "--data", str(data), "--out", str(out)]
    sizes = ["--steps", "2", "--batch", "2", "--context", "16", "--rank", "1", "--heldout", "0"]
    return [*paths, *sizes, "--device", "reference"]


def failing(*command: str) -> str:
    """What a command that must fail says."""
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    assert 1 <= len(result.stderr.splitlines()) <= 2
    assert result.stderr.startswith("error: ")
    return result.stderr


# Files


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("\n \n", "the file is empty"),
        ('{"question": "a", "answer": "b"}\n{"question": \n', ":2: not valid JSON"),
        ('\n{"question": "a"}\n', ":2: answer is missing"),
        ('{"text": 3}\n', ":1: text is 3"),
        ("[]\n", ":1: "),
    ],
)
def test_malformed_data_is_named_by_line(text: str, message: str, base: Path, tmp_path: Path) -> None:
    file = tmp_path / "wrong.jsonl"
    file.write_text(text)
    error = failing(*arguments(base, file, tmp_path / "out"))
    assert f"{file}" in error
    assert message in error
    assert not (tmp_path / "out").exists()


def _truncate(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-40])


def _exchange(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((1 << 40).to_bytes(8, "little") + b"{}")


def _resize(folder: Path) -> None:
    fields = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(fields | {"intermediate_size": 11}))


def _remove_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_truncate, "not a whole safetensors file"),
        (_exchange, "not a whole safetensors file"),
        (_resize, "different models"),
        (_remove_tokenizer, "tokenizer.json"),
    ],
)
def test_a_damaged_base_is_refused(
    damage: Callable[[Path], None], message: str, base: Path, data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(base, folder)
    damage(folder)
    assert message in failing(*arguments(folder, data, tmp_path / "out"))
    assert message in failing("generate", "hello", "--base", str(folder), "--device", "reference")
    assert not (tmp_path / "out").exists()


# Settings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs", "nan"], "nan epochs"),
        (["--epochs", "-1"], "-1.0 epochs"),
        (["--learning-rate", "inf"], "learning rate is inf"),
        (["--alpha", "nan"], "alpha is nan"),
        (["--rank", "99999"], "rank r is 99999"),
        (["--heldout", "nan"], "held-out part is nan"),
        (["--device", "opencl:nowhere"], "opencl"),
        (["--device", "abacus"], "abacus"),
    ],
)
def test_impossible_settings(
    options: list[str], message: str, base: Path, data: Path, tmp_path: Path
) -> None:
    assert message in failing(*arguments(base, data, tmp_path / "out"), *options)
    assert not (tmp_path / "out").exists()


def test_a_batch_or_context_that_cannot_be_had_is_said(base: Path, data: Path, tmp_path: Path) -> None:
    wanted = ["--batch", "4096", "--context", "4096", "--steps", "1"]
    result = CliRunner().invoke(main, [*arguments(base, data, tmp_path / "out"), *wanted])
    assert result.exit_code == 0, result.output
    assert "context 4,096 -> 64 (the model's limit)" in result.stdout.splitlines()
    assert "batch 4,096 -> 1 (all the data)" in result.stdout.splitlines()
    assert "1 step of 1 x 64 tokens" in result.stdout
    generating = ["generate", "a", "--base", str(base), "--device", "reference", "--max-tokens", "1"]
    assert CliRunner().invoke(main, generating).stderr == ""
    result = CliRunner().invoke(main, [*generating, "--context", "100000"])
    assert result.exit_code == 0, result.output
    assert result.stderr == "context 100,000 -> 64 (the model's limit)\n"


def test_one_example_has_no_held_out_loss_and_that_is_said(base: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.jsonl"
    file.write_text(json.dumps(QUESTIONS[0]) + "\n")
    for heldout, said in (("0.1", True), ("0", False)):
        result = CliRunner().invoke(main, [*arguments(base, file, tmp_path / "out"), "--heldout", heldout])
        assert result.exit_code == 0, result.output
        assert "1 example to train on, 0 held out; 2 steps of 1 x 16 tokens" in result.stdout
        reason = "too few examples to hold any out: no held-out loss"
        assert (reason in result.stdout.splitlines()) == said


def test_an_empty_prompt(base: Path) -> None:
    error = failing("generate", "", "--plain", "--base", str(base), "--device", "reference")
    assert "the prompt holds no token" in error


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([1, 2], ShapeError, "batch, tokens"),
        ([[1, 2], [3]], ShapeError, "rows of different lengths"),
        ([[1.0]], ShapeError, "float64"),
        ([[True]], ShapeError, "bool"),
        ([[]], ShapeError, "expected integers"),
        ([[1 << 80]], ShapeError, "expected integers"),
        ([[0, -1]], BoundsError, r"-1 at \(0, 1\)"),
        (np.array([[2**63]], np.uint64), BoundsError, "9223372036854775808"),
    ],
)
def test_wrong_ids(ids: Any, error: type[TritloomError], message: str, base: Path) -> None:
    model = load_model(base, device="reference")
    with pytest.raises(error, match=message):
        model.logits(ids)
    with pytest.raises(error, match=message):
        model.loss(ids, ids)


def test_wrong_labels(base: Path) -> None:
    model = load_model(base, device="reference")
    for labels, error in (([[1]], ShapeError), ([[1, 2], [3]], ShapeError), ([[0.5, 1]], ShapeError)):
        with pytest.raises(error, match="labels"):
            model.loss([[1, 2]], labels)
    with pytest.raises(BoundsError, match=r"label 270 at \(0, 1\)"):
        model.loss([[1, 2]], [[1, 270]])


def test_a_device_or_precision_that_is_none(base: Path) -> None:
    with pytest.raises(DeviceError, match="not a name"):
        load_model(base, device=3)  # type: ignore[arg-type]
    with pytest.raises(DTypeError, match="f64"):
        load_model(base, device="reference", precision="f64")


def test_an_adapter_of_another_model_is_refused_and_the_present_one_stays(base: Path) -> None:
    model: Model = load_model(base, device="reference")
    own = new_adapter(model.config, 1, 2.0)
    model.set_adapter(own)
    for change in ({"hidden_size": 16, "head_dim": 8}, {"num_hidden_layers": 2}):
        fields = json.loads(model.config.to_json()) | change
        other = ModelConfig.from_json(json.dumps(fields).encode())
        with pytest.raises(AdapterError, match="another base model"):
            model.set_adapter(new_adapter(other, 1, 2.0))
    assert model.adapter is own
    assert model.loss_and_grads([[1, 2]], [[1, 2]])[1].keys() == own.tensors.keys()


# Where an adapter belongs


def test_an_adapter_names_its_base_as_another_machine_can_read_it(
    base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "adapter"
    shipped = tmp_path / "shipped"
    shutil.copytree(base, shipped)
    monkeypatch.setattr(finetuning, "SHIPPED_MODEL", shipped)
    again = tmp_path / "adapter" / ".." / "shipped"
    for folder, name in ((base, str(base)), (shipped, SHIPPED_NAME), (again, SHIPPED_NAME)):
        result = CliRunner().invoke(main, arguments(folder, data, out))
        assert result.exit_code == 0, result.output
        assert json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"] == name
    generating = ["generate", "a cat?", "--adapter", str(out), "--device", "reference", "--max-tokens", "1"]
    result = CliRunner().invoke(main, generating)
    assert result.exit_code == 0, result.output


# What to do next


def test_help_names_the_forms_of_data() -> None:
    shown = CliRunner().invoke(main, ["finetune", "--help"], terminal_width=200).stdout
    for form in (
        '{"prompt", "completion"}',
        '{"question", "answer"}',
        '{"messages": ',
        '{"text"}',
        "FILE.txt",
    ):
        assert form in shown


@pytest.mark.parametrize("plain", [False, True])
def test_a_fine_tune_ends_with_the_command_that_generates(
    plain: bool, base: Path, data: Path, tmp_path: Path
) -> None:
    if plain:
        data = tmp_path / "data.txt"
        data.write_text("what is a cat? a thing.\n")
    result = CliRunner().invoke(main, arguments(base, data, tmp_path / "my adapter"))
    assert result.exit_code == 0, result.output
    said = result.stdout.splitlines()[-1].removeprefix("try it: ")
    program, *words = shlex.split(said)
    assert program == "tritloom"
    assert words[-1] == "..."
    assert ("--plain" in words) == plain
    result = CliRunner().invoke(main, [*words[:-1], "a cat?", "--max-tokens", "1"])
    assert result.exit_code == 0, result.output


# Saving


def test_an_adapter_that_will_be_replaced_is_named(base: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "adapter"
    said = f"{out} holds an adapter, which the new one will replace"
    for again in (False, True):
        result = CliRunner().invoke(main, arguments(base, data, out))
        assert result.exit_code == 0, result.output
        assert (said in result.stdout.splitlines()) == again


def test_a_place_that_cannot_be_saved_to_is_found_before_the_training(
    base: Path, data: Path, tmp_path: Path
) -> None:
    result = CliRunner().invoke(main, [*arguments(base, data, data / "below"), "--json"])
    assert result.exit_code == 1
    assert "cannot save" in result.stderr
    assert result.stdout == ""  # no step


def test_a_rehearsal_leaves_everything_as_it_was(tmp_path: Path) -> None:
    save_files(tmp_path / "old", {"a": b"1", "b": b"2"})
    for name in ("old", "new", "empty"):
        if name == "empty":
            (tmp_path / name).mkdir()
        save_files(tmp_path / name, {"a": b"3"}, rehearse=True)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "empty",
        "old",
        "old/a",
        "old/b",
    ]
    assert (tmp_path / "old" / "a").read_bytes() == b"1"
    with pytest.raises(SaveError, match="cannot save"):
        save_files(tmp_path / "old" / "a" / "below", {"a": b"3"}, rehearse=True)


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
from tritloom.models.cli import main
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="sets a limit that only POSIX has")
def test_files_that_the_system_does_not_let_grow(base: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "adapter"
    config = load_model(base, device="reference").config
    save_adapter(out, new_adapter(config, 1, 2.0, ("q_proj",), seed=7), "older")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    process = subprocess.run(
        [sys.executable, "-c", LIMITED, "1000", *arguments(base, data, out)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 1
    assert process.stderr.startswith("error: cannot save ")
    assert "Traceback" not in process.stderr
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_output_to_a_full_disk(base: Path) -> None:
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "tritloom", "generate", "a", "--base", str(base), "--device", "reference"],
            cwd=REPOSITORY,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert process.returncode == 1
    assert process.stderr.splitlines() == ["error: reading or writing failed: No space left on device"]
