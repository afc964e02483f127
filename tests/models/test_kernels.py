"""`tritloom kernels` and what it stands on: programs planned from sizes alone, the same as those that run."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tritloom.backends.paper import PaperDevice
from tritloom.backends.registry import device as find_device
from tritloom.codegen.compile import emit, lower
from tritloom.codegen.errors import CompileError, DeviceError, UnsupportedError
from tritloom.codegen.ir.dtypes import f32
from tritloom.codegen.targets import target
from tritloom.dsl.jit import Jitted
from tritloom.dsl.tensor import abstract
from tritloom.models import kernels
from tritloom.models.adapter import new_adapter
from tritloom.models.cli import main
from tritloom.models.errors import ConfigError
from tritloom.models.finetune import SHIPPED_MODEL
from tritloom.models.kernels import Compiled, kernels_of
from tritloom.models.model import load_model
from tritloom.models.programs import (
    PROGRAMS,
    Sizes,
    abstract_adapters,
    abstract_batch,
    abstract_weights,
    nbytes,
)
from tritloom.models.shapes import SHAPES, find_shape

SHIPPED = SHAPES["shipped"]


def test_abstract_trees_are_those_of_a_real_model() -> None:
    model = load_model(SHIPPED_MODEL, "cpu")
    model.set_adapter(new_adapter(model.config, 3, 6.0, ("q_proj", "down_proj")))
    ids = np.ones((2, 9), np.int32)
    real = (model.weights, model.adapters, model.batch(ids, ids))
    sizes = Sizes(batch=2, context=9, rank=3, targets=("q_proj", "down_proj"))
    paper = PaperDevice(target("cpu"))
    made = (
        abstract_weights(model.config, paper),
        abstract_adapters(model.config, 3, paper, sizes.targets),
        abstract_batch(model.config, sizes, paper),
    )
    describe = Jitted(lambda *trees: trees)
    assert _signature(describe, real) == _signature(describe, made)
    assert nbytes(made[0]) == nbytes(model.weights)


def _signature(describe: Jitted, trees: object) -> object:
    """The structure, shapes and dtypes that a trace is looked up by."""
    describe._lookup((trees,), {})
    (found,) = describe._traces
    describe._traces.clear()
    return found.structure, found.leaves


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_is_planned_without_a_device(program: str) -> None:
    planned = PROGRAMS[program](SHIPPED, Sizes(context=16, rank=2), PaperDevice(target("bmg")))
    assert planned.plan.launches
    assert (planned.transposed > 0) == (program == "train")


def test_a_planned_call_is_the_one_that_runs() -> None:
    traces: list[int] = []

    def double(x: object) -> object:
        traces.append(1)
        return x + x

    jitted = Jitted(double)
    planned = jitted.planned(abstract((3,), f32, find_device("cpu")))
    assert (planned.results, planned.transposed) == (12, 0)
    assert jitted(np.ones(3, np.float32)).numpy().tolist() == [2, 2, 2]
    assert len(traces) == 1


def test_abstract_tensors_do_not_run() -> None:
    cpu = find_device("cpu")
    with pytest.raises(DeviceError, match=r"f32\[3\] stands for a tensor's shape"):
        Jitted(lambda x: x + 1.0)(abstract((3,), f32, cpu))
    paper = PaperDevice(target("bmg"))
    with pytest.raises(DeviceError, match="bmg is a description"):
        paper.allocate(1)
    with pytest.raises(DeviceError, match="makes no plan"):
        Jitted(lambda x: x + 1.0).planned(abstract((3,), f32, find_device("reference")))


def test_the_kernels_of_a_training_step() -> None:
    rows = kernels_of("train", SHIPPED, Sizes(context=32), target("bmg"))
    names = [row.name for row in rows]
    assert len(set(names)) == len(names)
    assert sum(row.launches for row in rows) == len(
        PROGRAMS["train"](SHIPPED, Sizes(context=32), PaperDevice(target("bmg"))).plan.launches
    )
    ternary = next(row for row in rows if row.kernel.startswith("dot_i8_ternary"))
    assert ternary.dot == "int8 x 4"
    assert ternary.threads > 1
    assert ternary.shared_bytes > 0
    assert all(row.dot == "" for row in rows if row.kernel.startswith("map"))
    assert all("__kernel" in row.text and f" {row.kernel}(" in row.text for row in rows)


@pytest.mark.slow
def test_a_large_model_takes_little_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    planned = PROGRAMS["train"](SHAPES["2b-4t"], Sizes(), PaperDevice(target("bmg")))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    held = sum(t.nbytes for t in planned.plan.tensors if t.role == "input")
    assert held > 2 << 30  # what the step would have needed
    assert grown < 300 << 20


def test_the_command_writes_and_tells(tmp_path: Path) -> None:
    arguments = ["kernels", "--program", "evaluate", "--model", str(SHIPPED_MODEL), "--context", "16"]
    result = CliRunner().invoke(main, [*arguments, "--target", "tgllp", "--out", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert {row["target"] for row in rows} == {"tgllp"}
    assert sorted(file.name for file in (tmp_path / "tgllp").iterdir()) == sorted(
        f"{row['name']}.cl" for row in rows
    )
    for row in rows:
        assert (tmp_path / "tgllp" / f"{row['name']}.cl").stat().st_size == row["code_bytes"]
    shown = CliRunner().invoke(main, [*arguments, "--target", "tgllp"])
    assert f"{len(rows)} kernels" in shown.output
    assert all(row["name"] in shown.output for row in rows)
    ours = "It is what Tritloom makes; no compiler of the vendor has seen it."
    assert shown.stdout.splitlines()[-1] == f"the code is not kept: --out FOLDER writes it. {ours}"
    kept = CliRunner().invoke(main, [*arguments, "--target", "tgllp", "--out", str(tmp_path)])
    assert kept.stdout.splitlines()[-1] == f"the code is in {tmp_path}. {ours}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "voodoo"], "there is no target 'voodoo'"),
        (["--target", "bmg", "--model", "7b"], "no model is called '7b'"),
        (["--target", "bmg", "--program", "dance"], "no program is called 'dance'"),
        (["--target", "bmg", "--rank", "0"], "rank 0"),
    ],
)
def test_mistakes(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(main, ["kernels", *arguments])
    assert result.exit_code == 1
    assert message in result.stderr
    assert "hint:" in result.stderr


def test_a_kernel_that_cannot_be_made_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise UnsupportedError("too large")

    monkeypatch.setattr(kernels, "lower", refuse)
    with pytest.raises(CompileError, match=r"the kernel `.*` cannot be made for bmg: too large"):
        kernels_of("evaluate", SHIPPED, Sizes(context=8), target("bmg"))


def test_equal_code_is_one_kernel() -> None:
    plan = PROGRAMS["evaluate"](SHIPPED, Sizes(context=8), PaperDevice(target("bmg"))).plan
    rows = kernels.compiled(plan, target("bmg"))
    code = {emit(lower(launch.kernel, target("bmg")), target("bmg")) for launch in plan.launches}
    assert {row.text for row in rows} == code
    assert all(isinstance(row, Compiled) for row in rows)


def test_sizes_and_shapes_are_checked() -> None:
    with pytest.raises(ConfigError, match="0 x 128"):
        Sizes(batch=0)
    assert find_shape("125m").parameter_count() // 10**6 == 109
    assert find_shape(str(SHIPPED_MODEL)).hidden_size == SHIPPED.hidden_size
