"""The programs end to end on a tiny model: pretraining, fine-tuning, generation, and the command line."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.support import device_named
from tritloom.codegen.errors import BoundsError, ShapeError
from tritloom.models import load_model
from tritloom.models.adapter import load_adapter, new_adapter
from tritloom.models.cli import main
from tritloom.models.data import Example
from tritloom.models.errors import AdapterError
from tritloom.models.finetune import FinetuneSettings, finetune
from tritloom.models.generation import Generator, Sampling
from tritloom.models.pretrain import PretrainSettings, pretrain
from tritloom.models.reporting import Reporter
from tritloom.models.training import Recipe

pytestmark = pytest.mark.slow

THINGS = ("cat", "dog", "sun", "moon", "tree")
EXAMPLES = [
    Example(f"what is a {thing}?", f"a {thing} is a thing of {kind}.")
    for thing in THINGS
    for kind in ("joy", "light", "wood")
] * 4


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model folder, made by the pretraining program itself."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    settings = PretrainSettings(
        out=folder,
        device="cpu",
        hidden=32,
        ffn=44,
        layers=2,
        heads=2,
        kv_heads=1,
        vocab=300,
        context=32,
        batch=4,
        steps=120,
        learning_rate=5e-3,
    )
    with Reporter(json=False) as reporter:
        perplexity = pretrain(settings, EXAMPLES, EXAMPLES[:6], reporter)
    assert perplexity < 10  # of 300 tokens
    return folder


def _data(folder: Path) -> Path:
    """Answers that the base model was not trained on, in words that it knows."""
    file = folder / "data.jsonl"
    lines = [
        {"question": f"what is a {thing}?", "answer": f"joy of {thing}, light of {thing}."}
        for thing in THINGS
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines * 4))
    return file


def test_finetune_reports_and_writes_the_adapter(base: Path, tmp_path: Path) -> None:
    settings = FinetuneSettings(
        base=base,
        data=_data(tmp_path),
        out=tmp_path / "adapter",
        device="cpu",
        rank=3,
        steps=6,
        context=32,
        batch=4,
        heldout=0.3,
    )
    with Reporter(json=False) as reporter:
        outcome = finetune(settings, reporter)
    assert outcome.steps == 6
    assert outcome.loss_before is not None
    assert outcome.loss_after is not None
    assert outcome.loss_after != outcome.loss_before
    assert outcome.answers
    adapter = load_adapter(outcome.adapter, load_model(base, device="cpu").config)
    assert adapter.r == 3
    assert any(np.abs(value).max() > 0 for key, value in adapter.tensors.items() if "lora_B" in key)


def test_training_lowers_the_loss(base: Path, tmp_path: Path) -> None:
    arguments = [
        "--base",
        base,
        "--data",
        _data(tmp_path),
        "--out",
        tmp_path / "a",
        "--steps",
        60,
        "--context",
        32,
    ]
    options = [
        "--batch",
        "4",
        "--rank",
        "4",
        "--learning-rate",
        "1e-2",
        "--heldout",
        "0",
        "--device",
        "cpu",
        "--json",
    ]
    result = CliRunner().invoke(main, ["finetune", *map(str, arguments), *options])
    assert result.exit_code == 0, result.stderr
    losses = [json.loads(line)["loss"] for line in result.stdout.splitlines()]
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:5])


def test_json_is_one_line_a_step(base: Path, tmp_path: Path) -> None:
    arguments = [
        "--base",
        base,
        "--data",
        _data(tmp_path),
        "--out",
        tmp_path / "a",
        "--steps",
        5,
        "--context",
        32,
        "--batch",
        2,
    ]
    result = CliRunner().invoke(
        main, ["finetune", *map(str, arguments), "--rank", "2", "--device", "cpu", "--json"]
    )
    assert result.exit_code == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]
    assert all(line["loss"] > 0 and line["tokens_per_second"] > 0 for line in lines)
    assert (tmp_path / "a" / "adapter_model.safetensors").is_file()


def test_the_same_seed_gives_the_same_adapter(base: Path, tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        settings = FinetuneSettings(
            base=base,
            data=_data(tmp_path),
            out=tmp_path / name,
            device="cpu",
            rank=2,
            steps=4,
            context=32,
            batch=2,
            heldout=0.0,
        )
        with Reporter(json=True) as reporter:
            finetune(settings, reporter)
        found.append((tmp_path / name / "adapter_model.safetensors").read_bytes())
    assert found[0] == found[1]


def test_generation_with_a_cache_equals_the_whole_sequence(base: Path, backend_name: str) -> None:
    model = load_model(base, device=device_named(backend_name))
    prompt = [5, 17, 42, 100, 7]
    generated = list(Generator(model, 24).generate(prompt, 6))
    sequence = list(prompt)
    for _ in range(6):
        sequence.append(int(model.logits([sequence])[0, -1].argmax()))
    assert generated == sequence[len(prompt) :]


def test_generation_ends_with_the_context_and_at_stops(base: Path) -> None:
    model = load_model(base, device="cpu")
    tokens = list(Generator(model, 10).generate([1, 2, 3], 50))
    assert len(tokens) == 8  # seven that fit behind the prompt, and the one after them
    assert list(Generator(model, 10).generate([1, 2, 3], 50, stop=tokens[:1])) == []
    with pytest.raises(ShapeError, match="context"):
        list(Generator(model, 3).generate([1, 2, 3], 1))


def test_sampling_keeps_to_its_limits() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
    random = np.random.default_rng(0)
    assert {Sampling(1.0, top_k=2).choose(logits, random) for _ in range(200)} == {0, 1}
    assert {Sampling(1.0, top_p=0.79).choose(logits, random) for _ in range(200)} == {0, 1}
    assert {Sampling(1.0, top_p=0.9).choose(logits, random) for _ in range(300)} == {0, 1, 2}
    assert {Sampling(5.0).choose(logits, random) for _ in range(400)} == {0, 1, 2, 3}
    assert Sampling().choose(logits, random) == 0
    with pytest.raises(ShapeError):
        Sampling(temperature=-1)


def test_the_learning_rate_rises_and_falls() -> None:
    recipe = Recipe(steps=100, learning_rate=1.0, warmup=10)
    rates = [recipe.rate(step) for step in range(1, 101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == 1.0
    assert rates[-1] == pytest.approx(0.1)
    assert all(after <= before for before, after in itertools.pairwise(rates[9:]))


def test_wrong_arguments_of_the_model_are_errors(base: Path) -> None:
    model = load_model(base, device="cpu")
    with pytest.raises(ShapeError, match="batch, tokens"):
        model.logits([1, 2, 3])
    with pytest.raises(BoundsError, match="vocabulary"):
        model.logits([[1, 2, 3000]])
    with pytest.raises(AdapterError, match="no adapter"):
        model.loss_and_grads([[1, 2]], [[1, 2]])
    model.set_adapter(new_adapter(model.config, 2, 4.0))
    with pytest.raises(ShapeError, match="labels"):
        model.loss_and_grads([[1, 2]], [[1, 2, 3]])
    with pytest.raises(BoundsError, match="label"):
        model.loss_and_grads([[1, 2]], [[1, -5]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["finetune", "--base", "nowhere"], "config.json"),
        (["finetune", "--data", "missing.jsonl"], "missing.jsonl"),
        (["finetune", "--targets", "q_proj,z_proj"], "z_proj"),
        (["generate", "hello", "--device", "tpu"], "tpu"),
        (["generate", "hello", "--adapter", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_end_with_one_paragraph(arguments: list[str], message: str, base: Path) -> None:
    if "--base" not in arguments:
        arguments = [*arguments, "--base", str(base)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
