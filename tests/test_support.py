"""A missing backend skips, a required one fails, the summary tells which ran: seen from a run of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import spirv_tools, support
from tests.support import REPOSITORY

_SAMPLE = """
import pytest
from tests import spirv_tools, support

support.missing_reason = {"cpu": None, "aarch64": "no emulator", "reference": None}.get

@pytest.mark.device("cpu")
def test_on_cpu():
    pass

@pytest.mark.device("aarch64")
def test_marked():
    raise AssertionError("never reached")

def test_in_the_body():
    support.require_backend("reference")
    support.require_backend("aarch64")
    raise AssertionError("never reached")

def test_everywhere(backend_name):
    pass

@pytest.mark.parametrize("backend_name", ["one"])
def test_own_choice(backend_name):
    assert backend_name == "one"
"""


def _run(folder: Path, *arguments: str, **variables: str) -> tuple[int, str]:
    file = folder / "test_sample.py"
    file.write_text(_SAMPLE)
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "TRITLOOM"))
    }
    environment |= {"PYTHONPATH": str(REPOSITORY), "NO_COLOR": "1"} | variables
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-rsf", "-q"]
    command += ["-o", "markers=device(name): backend", "--rootdir", str(folder), *arguments, str(file)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["one process", "xdist"])
def test_missing_backend_skips_and_is_reported(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    code, output = _run(tmp_path, *arguments)
    assert code == 0, output
    assert f"{len(support.RUNNABLE) + 2} passed, 2 skipped" in output
    assert "backend aarch64 is missing: no emulator" in output
    assert "backends: reference ran (1); cpu ran (2); opencl-pocl ran (1); opencl-intel ran (1); " in output


def test_required_backend_fails(tmp_path: Path) -> None:
    code, output = _run(tmp_path, TRITLOOM_REQUIRE_BACKENDS="cpu, aarch64")
    assert code == 1, output
    assert "backend aarch64 is required and missing: no emulator" in output
    assert (
        f"1 failed, {len(support.RUNNABLE) + 2} passed, 1 error" in output
    )  # a mark fails before the test starts, which pytest calls an error


def test_misspelt_requirement_is_refused(tmp_path: Path) -> None:
    code, output = _run(tmp_path, TRITLOOM_REQUIRE_BACKENDS="cpu,opencl")
    assert code == pytest.ExitCode.USAGE_ERROR, output
    assert "no backend opencl; there are reference, cpu" in output


def test_oracle_is_required_in_ci_only(tmp_path: Path) -> None:
    sample = tmp_path / "test_oracle.py"
    sample.write_text("def test_oracle(oracle):\n    assert (oracle / 'fwd.npz').is_file()\n")
    arguments = (str(sample), "-k", "test_oracle")
    absent = str(tmp_path / "absent")
    assert "1 skipped" in _run(tmp_path, *arguments, TRITLOOM_ORACLE=absent, CI="")[1]
    assert "1 error" in _run(tmp_path, *arguments, TRITLOOM_ORACLE=absent, CI="true")[1]
    present = tmp_path / "present"
    present.mkdir()
    (present / "fwd.npz").touch()
    assert "1 passed" in _run(tmp_path, *arguments, TRITLOOM_ORACLE=str(present), CI="true")[1]


def test_a_tool_of_a_required_backend_is_required_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every test of Vulkan would be skipped for want of the validator, and CI would be content."""
    monkeypatch.setattr(spirv_tools, "validator", lambda: None)
    monkeypatch.setenv(support.REQUIRE_VARIABLE, "vulkan")
    with pytest.raises((pytest.fail.Exception, pytest.skip.Exception)) as caught:
        spirv_tools.problems(b"")
    assert isinstance(caught.value, pytest.fail.Exception)
    assert "vulkan is required: no spirv-val" in str(caught.value)
    monkeypatch.setenv(support.REQUIRE_VARIABLE, "cpu")
    with pytest.raises(pytest.skip.Exception, match="no spirv-val"):
        spirv_tools.problems(b"")
