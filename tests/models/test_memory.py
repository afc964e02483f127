"""What a fine-tune needs of its device's memory: the estimate against what is taken, and the refusal beforehand."""

from __future__ import annotations

import json
import re
import weakref
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.support import device_named
from tritloom.backends import cpu, cpu_program
from tritloom.backends.base import Device
from tritloom.backends.cpu_launch import CPUBuffer
from tritloom.backends.cpu_launch import allocate as allocate_cpu
from tritloom.backends.opencl import OpenCLDevice, OpenCLProgram
from tritloom.backends.paper import PaperDevice
from tritloom.codegen.errors import OutOfMemoryError
from tritloom.codegen.targets import target
from tritloom.dsl.tensor import Tensor
from tritloom.models import finetune as finetuning
from tritloom.models import pretrain as pretraining
from tritloom.models.bitnet import Graph
from tritloom.models.cli import main
from tritloom.models.finetune import SHIPPED_MODEL, FinetuneSettings, finetune
from tritloom.models.memory import Estimate, estimate, require_memory, size
from tritloom.models.model import Model
from tritloom.models.programs import PROGRAMS, Sizes, abstract_weights, nbytes
from tritloom.models.reporting import Reporter
from tritloom.models.shapes import SHAPES, find_shape

SIZES = Sizes(batch=4, context=64, rank=4)


def data(folder: Path) -> Path:
    file = folder / "data.jsonl"
    pairs = ({"question": f"what is {n}?", "answer": f"{n} is a number " * 20} for n in range(40))
    file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    return file


def settings(folder: Path, sizes: Sizes = SIZES) -> FinetuneSettings:
    return FinetuneSettings(
        data=data(folder),
        out=folder / "adapter",
        device="cpu",
        rank=sizes.rank,
        batch=sizes.batch,
        context=sizes.context,
        steps=2,
    )


class Meter:
    """Counts the bytes that are taken on the CPU device and not given back."""

    def __init__(self) -> None:
        self.now = self.peak = 0

    def allocate(self, device: Device, nbytes: int) -> CPUBuffer:
        buffer = allocate_cpu(device, nbytes)
        self.now += nbytes
        self.peak = max(self.peak, self.now)
        weakref.finalize(buffer, self.free, nbytes)
        return buffer

    def free(self, nbytes: int) -> None:
        self.now -= nbytes


@pytest.mark.slow
@pytest.mark.device("cpu")
def test_the_estimate_is_what_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Meter()
    monkeypatch.setattr(cpu, "allocate", meter.allocate)
    monkeypatch.setattr(cpu_program, "allocate", meter.allocate)
    with Reporter(json=True) as reporter:
        finetune(settings(tmp_path), reporter)
    need = estimate(find_shape(str(SHIPPED_MODEL)), SIZES, device_named("cpu"))
    assert abs(need.total - meter.peak) < 0.1 * meter.peak, (str(need), size(meter.peak))


@pytest.mark.device("opencl-pocl")
def test_opencl_takes_what_it_says() -> None:
    device = device_named("opencl-pocl")
    plan = PROGRAMS["train"](SHAPES["shipped"], Sizes(context=16, rank=1), device).plan
    taken: list[int] = []

    class Counting(OpenCLProgram):
        def __init__(self) -> None:
            assert isinstance(device, OpenCLDevice)
            self.plan, self._device = plan, device
            memories = {id(memory): memory for memory in self._place().values()}
            taken.extend(memory.size for memory in memories.values())

    Counting()
    assert device.program_bytes(plan) == sum(taken)


def test_too_little_memory_is_refused_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = device_named("cpu")
    need = estimate(find_shape(str(SHIPPED_MODEL)), SIZES, device)
    monkeypatch.setattr(device, "memory_bytes", need.total - need.varying // 2)

    def load(*_: object) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(finetuning, "load_model", load)
    with Reporter(json=True) as reporter, pytest.raises(OutOfMemoryError) as caught:
        finetune(settings(tmp_path), reporter)
    assert not (tmp_path / "adapter").exists()
    error = caught.value
    assert f"cpu ({device.description}) has {size(device.memory_bytes or 0)}" in error.message
    assert f"needs {size(need.total)}: {size(need.weights)} weights" in error.message
    assert "optimiser state" in error.message
    proposals = re.findall(r"(--[^(]*) \(", error.hint)
    assert len(proposals) == 2
    for options in proposals:
        changed = dict(re.findall(r"--(\w+) (\d+)", options))
        sizes = Sizes(**({"batch": 4, "context": 64, "rank": 4} | {k: int(v) for k, v in changed.items()}))
        assert estimate(find_shape(str(SHIPPED_MODEL)), sizes, device).total <= (device.memory_bytes or 0)


def test_the_command_line_says_what_would_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = device_named("cpu")
    need = estimate(find_shape(str(SHIPPED_MODEL)), Sizes(batch=2, context=64), device)
    monkeypatch.setattr(device, "memory_bytes", need.total - 1)
    out = ["--data", str(data(tmp_path)), "--out", str(tmp_path / "adapter"), "--device", "cpu"]
    result = CliRunner().invoke(main, ["finetune", *out, "--batch", "2", "--context", "64", "--steps", "1"])
    assert result.exit_code == 1
    assert "hint: these fit: --batch 1 (" in result.stderr


def _refusal(memory: int | None, sizes: Sizes = SIZES) -> str:
    device = PaperDevice(target("bmg"), "a small GPU")
    device.memory_bytes = memory
    step = PROGRAMS["train"](SHAPES["shipped"], sizes, device)
    require_memory(SHAPES["shipped"], sizes, device, step)
    return ""


def test_what_fits_is_let_through() -> None:
    need = estimate(SHAPES["shipped"], SIZES, PaperDevice(target("bmg")))
    assert _refusal(None) == _refusal(need.total) == ""
    with pytest.raises(OutOfMemoryError):
        _refusal(need.total - 1)


def test_weights_that_are_too_large_for_any_choice() -> None:
    with pytest.raises(
        OutOfMemoryError, match=r"no batch or context fits, since .* MiB do not depend on them"
    ):
        _refusal(1 << 20)


def test_a_smaller_rank_is_proposed_where_that_is_what_helps() -> None:
    sizes = Sizes(batch=1, context=16, rank=256)
    need = estimate(SHAPES["shipped"], sizes, PaperDevice(target("bmg")))
    with pytest.raises(OutOfMemoryError) as caught:
        _refusal(need.fixed - 1, sizes)
    assert "--rank 128" in caught.value.hint


@pytest.mark.parametrize(
    ("spare", "hint"), [(1 << 20, "choose a --context below 170"), (-1, "take another device or model")]
)
def test_generating_is_refused_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch, spare: int, hint: str
) -> None:
    device = device_named("cpu")
    weights = nbytes(abstract_weights(find_shape(str(SHIPPED_MODEL)), device))
    monkeypatch.setattr(device, "memory_bytes", weights + spare)
    monkeypatch.setattr(Model, "__init__", _loaded)
    result = CliRunner().invoke(main, ["generate", "hello", "--device", "cpu", "--context", "1000000"])
    assert result.exit_code == 1, result.output
    positions = find_shape(str(SHIPPED_MODEL)).max_position_embeddings
    assert f"generating over {positions} tokens needs at least" in result.stderr
    assert f"{size(weights)} weights, " in result.stderr
    assert f"hint: {hint}" in result.stderr


def _loaded(*_: object) -> None:
    raise AssertionError("weights were loaded")


def _pretraining(folder: Path, batch: int) -> list[str]:
    text = folder / "text.txt"
    text.write_text("the rain in spain falls on the plain\n\n" * 200)
    arguments = ["pretrain", "--device", "cpu", "--data", str(text), "--out", str(folder / "model")]
    arguments += ["--hidden", "64", "--ffn", "64", "--layers", "1", "--heads", "2", "--vocab", "300"]
    return [*arguments, "--context", "64", "--batch", str(batch), "--steps", "1"]


def test_pretraining_is_refused_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_named("cpu"), "memory_bytes", 1 << 20)
    monkeypatch.setattr(pretraining, "initial_weights", _loaded)
    result = CliRunner().invoke(main, _pretraining(tmp_path, 64))
    assert result.exit_code == 1, result.output
    assert "with 64 x 64 tokens needs at least" in result.stderr
    assert "intermediate results of a step" in result.stderr
    assert "hint: choose a smaller --batch" in result.stderr


@pytest.mark.slow
def test_the_step_that_is_planned_beforehand_is_the_one_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced: list[Graph] = []
    loss = Graph.loss

    def counted(graph: Graph, *given: Any) -> Tensor:
        traced.append(graph)
        return loss(graph, *given)

    monkeypatch.setattr(Graph, "loss", counted)
    assert CliRunner().invoke(main, _pretraining(tmp_path, 4)).exit_code == 0
    assert len(traced) == 2, "a training step, and the loss in the end"


def test_the_parts_add_up() -> None:
    parts = Estimate(1, 2, 4, 8, 16, 32, 64, 128)
    assert (parts.total, parts.fixed, parts.varying) == (255, 143, 112)
    assert str(parts).startswith("1 B weights, 2 B the same packed for the backward pass, 4 B adapter")
    assert [size(count) for count in (0, 999, 1024, 1536, 200 << 20, 3 << 30)] == [
        *("0 B", "999 B", "1.0 KiB", "1.5 KiB"),
        *("200 MiB", "3.0 GiB"),
    ]
