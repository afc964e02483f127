"""A mistake on a benchmark's command line is a paragraph on stderr and the exit status 1, as everywhere."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner

from benchmarks import submit, ternary_matmul, training_step
from benchmarks.vendors import __main__ as vendors


def told(command: click.Command, *arguments: str) -> str:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 1, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit)
    assert "hint:" in result.stderr
    return result.stderr


@pytest.mark.parametrize("module", [submit, ternary_matmul, training_step], ids=lambda one: one.__name__)
def test_a_device_that_is_not_there(module: SimpleNamespace) -> None:
    assert "there is no backend `voodoo`" in told(module.main, "--device", "voodoo")


@pytest.mark.parametrize("option", ["--gpu", "--describe"])
def test_a_gpu_that_the_lab_has_not(monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    lab = SimpleNamespace(vulkan=("adreno-830",), intel=("bmg",))
    monkeypatch.setattr(vendors, "missing_reason", lambda: None)
    monkeypatch.setattr(vendors, "lab_file", lambda: Path("lab.py"))
    monkeypatch.setattr(vendors, "Lab", lambda _: lab)
    assert "the lab has no GPU `opencl`" in told(vendors.main, option, "opencl")
