"""`tritloom doctor`: its checks pass on devices that are right, find what is wrong, and the report says it all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests import support
from tritloom.backends import registry
from tritloom.backends.base import Device
from tritloom.backends.paper import PaperDevice
from tritloom.backends.reference import ReferenceDevice
from tritloom.codegen.errors import TritloomError
from tritloom.codegen.targets import target
from tritloom.models import doctor, selftest
from tritloom.models.cli import main
from tritloom.models.doctor import examine, find_suite, report, run_suite
from tritloom.models.errors import DoctorError
from tritloom.models.selftest import Check, Mismatch, checks

CHECKS = checks()
KERNELS = [check for check in CHECKS if check.kernel is not None]
TRAINING = CHECKS[-1]


@pytest.mark.parametrize(
    "backend",
    [
        pytest.param(name, marks=pytest.mark.device(name))
        for name in ("reference", "cpu", "opencl-pocl", "metal-shim")
    ],
)
def test_kernels_are_right(backend: str) -> None:
    findings = examine(support.device_named(backend), CHECKS[:-1], print)
    assert [(found.name, found.problem) for found in findings if found.problem] == []
    assert len(findings) == len(KERNELS) + 1


@pytest.mark.slow
@pytest.mark.device("metal-shim")
def test_training_is_right() -> None:
    (found,) = examine(support.device_named("metal-shim"), [TRAINING], print)
    assert not found.problem


def test_names_differ_and_kernels_repeat() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    again = checks()
    assert [c.kernel and c.kernel.name for c in again] == [c.kernel and c.kernel.name for c in CHECKS]


class Wrong(ReferenceDevice):
    """Adds one to the last byte of what is read."""

    def read(self, buffer: Any, array: Any) -> None:
        super().read(buffer, array)
        array.reshape(-1).view("uint8")[self.place] += 1

    place = 0


@pytest.mark.parametrize(("place", "told"), [(0, "and should be"), (-1, "wrote past the end")])
def test_what_is_wrong_is_found(place: int, told: str) -> None:
    device = Wrong()
    device.place = place
    for check in KERNELS[:3]:
        with pytest.raises(Mismatch, match=told):
            check.run(device)
    with pytest.raises(Mismatch, match="1 of 100003 bytes"):
        CHECKS[0].run(device)


def test_a_loss_that_differs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def losses(device: Device, seed: int) -> Sequence[float]:
        return [3.0, 2.0] if device.name == "cpu" else [3.0005, 2.002]

    monkeypatch.setattr(selftest, "_losses", losses)
    with pytest.raises(Mismatch, match=r"the loss of step 2 is 2\.002000 and on the CPU 2\.000000"):
        TRAINING.run(ReferenceDevice())


def _fails(device: Device) -> None:
    raise TritloomError("it is broken", hint="mend it")


def test_the_report_has_all_that_we_need_to_know() -> None:
    device = registry.device("cpu")
    failing = replace(KERNELS[0], name="a failing kernel", run=_fails)
    crashing = Check("a defect", lambda device: 1 // 0)  # type: ignore[arg-type]
    said: list[str] = []
    findings = examine(device, [CHECKS[0], failing, crashing], said.append)
    assert [bool(found.problem) for found in findings] == [False, True, True]
    text = report(device, findings, suite="9 passed")
    for wanted in (
        "tritloom ", "system: ", "python: ", "numpy ", device.description, "vector_bits: ", "features: ",
        "1 of 3 checks passed", "it is broken\nhint: mend it", "ZeroDivisionError", 'define void @"elementwise_f32"',
        "--- test suite\n9 passed",
    ):  # fmt: skip
        assert wanted in text
    assert any("FAILED" in line for line in said)


@pytest.mark.parametrize("fails", [False, True])
def test_the_command_writes_the_report_and_says_by_its_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    chosen = [CHECKS[0], *([replace(CHECKS[1], run=_fails)] if fails else CHECKS[1:2])]
    monkeypatch.setattr(selftest, "checks", lambda seed: chosen)
    out = tmp_path / "report.txt"
    done = CliRunner().invoke(main, ["doctor", "--device", "cpu", "--out", str(out)])
    assert done.exit_code == int(fails), done.output
    assert f"{2 - fails} of 2 checks passed" in done.output
    assert f"{2 - fails} of 2 checks passed" in out.read_text()


def test_the_whole_suite_is_run_from_a_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the device by name; here pytest only lists what it would run."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only")
    passed, text = run_suite(find_suite(), registry.device("cpu"), print)
    assert passed, text
    assert "test_a_plan_runs_again_and_again[chosen" in text


def test_a_suite_of_which_nothing_runs_has_not_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "-x")
    absent = PaperDevice(target("amd-navi31"))
    passed, text = run_suite(find_suite(), absent, print)
    assert not passed
    assert "backend chosen is required and missing: there is no backend `amd-navi31`" in text


def test_without_a_checkout_there_is_no_suite(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "lib" / "tritloom" / "models"
    package.mkdir(parents=True)
    monkeypatch.setattr(doctor.tritloom.models, "__file__", str(package / "__init__.py"))
    with pytest.raises(DoctorError, match=r"in a clone of the project"):
        find_suite()
    monkeypatch.setattr(selftest, "checks", lambda seed: [replace(CHECKS[0], run=_fails)])
    done = CliRunner().invoke(main, ["doctor", "--device", "cpu", "--full", "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert "FAILED" not in done.output, "a check ran, and its result was lost"


def test_what_ends_the_process_leaves_a_report(tmp_path: Path) -> None:
    path = tmp_path / "report.txt"

    def crash(device: Device) -> None:
        raise SystemExit(139)

    with pytest.raises(SystemExit):
        examine(registry.device("cpu"), [CHECKS[0], Check("a crash", crash), CHECKS[1]], print, path)
    text = path.read_text()
    assert "1 of 1 checks passed" in text
    assert text.rstrip().endswith("began and did not end: a crash")


def test_a_report_that_cannot_be_written_is_told_before_anything_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selftest, "checks", lambda seed: CHECKS[:1])
    done = CliRunner().invoke(main, ["doctor", "--device", "cpu", "--out", str(tmp_path / "no" / "report")])
    assert done.exit_code == 1
    assert "report failed: No such file or directory" in done.output
    assert "ok  " not in done.output, "a check ran"


def test_a_defect_of_the_compiler_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(*_: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(selftest, "source", defect)
    check = replace(KERNELS[0], run=defect)  # type: ignore[arg-type]
    (found,) = examine(registry.device("cpu"), [check], print)
    assert "ZeroDivisionError" in found.problem
    assert not found.source
