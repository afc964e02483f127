"""`tritloom devices`: every device with its description, every missing one with its remedy, and the known GPUs."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from tritloom.backends import registry
from tritloom.backends.base import Missing
from tritloom.backends.paper import PaperDevice
from tritloom.codegen import gpus
from tritloom.codegen.targets import target
from tritloom.models import devices
from tritloom.models.cli import main


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["devices", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(autouse=True)
def known_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two devices, one of them a GPU, and a backend that is missing."""
    gpu = PaperDevice(target("amd-navi31"), "a GPU")
    gpu.memory_bytes = 20 << 30
    cpu = PaperDevice(target("cpu:avx2"), "a CPU")
    monkeypatch.setattr(devices, "all_devices", lambda: [gpu, cpu])
    monkeypatch.setattr(devices, "find_device", lambda: cpu)
    absent = Missing("other", "no driver [of its] is installed", "install it")
    monkeypatch.setattr(devices, "all_missing", lambda: [absent])


def test_as_data() -> None:
    told = json.loads(run("--json"))
    assert [device["name"] for device in told["devices"]] == ["amd-navi31", "cpu:avx2"]
    gpu, cpu = told["devices"]
    assert gpu["memory_bytes"] == 20 << 30
    assert (gpu["language"], gpu["threads"], gpu["shared_bytes"], gpu["subgroup_size"]) == (
        *("spirv", 1024, 65536),
        32,
    )
    assert gpu["int8_dot"]
    assert gpu["f16"]
    assert gpu["matrices"][0] == {
        "rows": 16,
        "columns": 16,
        "depth": 16,
        "operand": "i8",
        "accumulator": "i32",
    }
    assert cpu["memory_bytes"] is None
    assert cpu["vector_bits"] == 256
    assert told["missing"] == [
        {"name": "other", "reason": "no driver [of its] is installed", "install": "install it"}
    ]
    assert "targets" not in told


def test_for_people() -> None:
    shown = run()
    for words in ("a GPU", "20.0 GiB", "SPIR-V", "64.0 KiB", "i8 16x16x16", "a CPU", "machine code (LLVM)"):
        assert words in shown
    assert "other is missing: no driver [of its] is installed. To get it: install it" in shown
    assert "adreno-830" not in shown


def test_the_default_is_marked() -> None:
    assert [device["default"] for device in json.loads(run("--json"))["devices"]] == [False, True]
    assert run().count("(default)") == 1
    assert "cpu:avx2 (default)" in run()


def test_a_default_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(registry.VARIABLE, "abacus")
    monkeypatch.setattr(devices, "find_device", registry.device)
    assert "there is no default: there is no backend `abacus`" in run()
    assert not any(device["default"] for device in json.loads(run("--json"))["devices"])


def test_known_gpus() -> None:
    told = json.loads(run("--json", "--targets"))
    assert [gpu["name"] for gpu in told["targets"]] == list(gpus.NAMES)
    adreno = next(gpu for gpu in told["targets"] if gpu["name"] == "adreno-830")
    assert adreno["memory_gib"] == [12, 16]
    assert "adreno-830" in run("--targets")


def test_the_real_ones_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "all_devices", registry.devices)
    monkeypatch.setattr(devices, "all_missing", registry.missing)
    told = json.loads(run("--json"))
    names = {device["name"] for device in told["devices"]}
    assert {"cpu", "reference"} <= names
    for name in registry.BACKENDS:
        there = any(device.partition(":")[0] == name for device in names)
        absent = [one for one in told["missing"] if one["name"] == name]
        assert there != bool(absent)
        assert all(one["reason"] and one["install"] for one in absent)
