"""`tritloom doctor`: tries a device on the user's machine, and writes a report that can be sent to us."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import tritloom.models
from tritloom.backends.base import Device
from tritloom.codegen.errors import TritloomError
from tritloom.models.errors import DoctorError
from tritloom.models.selftest import Check
from tritloom.version import VERSION

Say = Callable[[str], None]
_PACKAGES = ("numpy", "ml_dtypes", "llvmlite", "pyopencl", "pyobjc-core", "pyobjc-framework-Metal")
_TEST_DEVICE, _REQUIRED = "TRITLOOM_TEST_DEVICE", "TRITLOOM_REQUIRE_BACKENDS"
"""The first names one more device to the test suite, which calls its tests `chosen`; the second forbids to skip any."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of a check."""

    name: str
    seconds: float
    problem: str = ""
    """Empty if it passed."""
    source: str = ""
    """The code of the kernel that failed, if it was one kernel."""


def machine() -> list[str]:
    """Lines on the machine and what is installed on it."""
    versions = []
    for package in _PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{package} absent")
    return [
        f"tritloom {VERSION}",
        f"machine: {platform.machine()}, {os.cpu_count()} processors",
        f"system: {platform.platform()}",
        f"python: {platform.python_implementation()} {platform.python_version()}",
        f"packages: {', '.join(versions)}",
    ]


def describe(device: Device) -> list[str]:
    """Lines on a device and the target that programs for it are compiled for."""
    target = device.target
    parts = []
    for one in fields(target):
        value = getattr(target, one.name)
        if isinstance(value, frozenset):
            value = ", ".join(sorted(value)) or "none"
        elif one.name == "matrices":
            shown = (f"{u.rows}x{u.columns}x{u.depth} {u.operand} -> {u.accumulator}" for u in value)
            value = ", ".join(shown) or "none"
        parts.append(f"  {one.name}: {value}")
    memory = "unknown" if device.memory_bytes is None else f"{device.memory_bytes / 2**30:.1f} GiB"
    return [f"device: {device.name}: {device.description}", f"memory: {memory}", "target:", *parts]


def examine(device: Device, checks: Sequence[Check], say: Say, path: Path | None = None) -> list[Finding]:
    """Run checks on a device, and say what became of each. A defect of ours is a finding like any other.

    With a `path` the report so far is there before each check, for a driver that ends this process. Raises OSError.
    """
    findings: list[Finding] = []
    for check in checks:
        if path is not None:
            path.write_text(report(device, findings, running=check.name), encoding="utf-8")
        started = time.perf_counter()
        problem = ""
        try:
            check.run(device)
        except TritloomError as error:
            problem = str(error)
        except Exception:  # noqa: BLE001  (the report is to hold whatever goes wrong on a machine that we cannot see)
            problem = traceback.format_exc()
        seconds = time.perf_counter() - started
        found = Finding(check.name, seconds, problem, (check.source(device) or "") if problem else "")
        findings.append(found)
        say(f"{'FAILED' if problem else 'ok':6} {seconds:8.2f} s  {check.name}")
        if problem:
            say("\n".join(f"    {line}" for line in problem.splitlines()))
    return findings


def report(device: Device, findings: Sequence[Finding], suite: str = "", running: str = "") -> str:
    """The report as text. `suite` is what the test suite printed, if it ran; `running` is the check that has begun."""
    failed = [found for found in findings if found.problem]
    lines = [
        *machine(),
        "",
        *describe(device),
        "",
        f"{len(findings) - len(failed)} of {len(findings)} checks passed",
    ]
    for found in findings:
        lines.append(f"{'FAILED' if found.problem else 'ok':6} {found.seconds:8.2f} s  {found.name}")
    if running:
        lines.append(f"began and did not end: {running}")
    for found in failed:
        lines += ["", f"--- {found.name}", found.problem]
        if found.source:
            lines += ["", f"--- source of {found.name}", found.source]
    if suite:
        lines += ["", "--- test suite", suite]
    return "\n".join([*lines, ""])


def find_suite() -> Path:
    """The folder of the conformance suite. Raises DoctorError where there is no checkout or no pytest."""
    root = Path(tritloom.models.__file__).resolve().parents[2]
    suite = root / "tests" / "conformance"
    if not suite.is_dir() or importlib.util.find_spec("pytest") is None:
        raise DoctorError(
            "the test suite is not here",
            hint="run `python -m pip install '.[test]' && python -m tritloom doctor --full` in a clone of the project",
        )
    return suite


def run_suite(suite: Path, device: Device, say: Say) -> tuple[bool, str]:
    """Run the conformance suite of :func:`find_suite` on the device: whether it passed, and what it printed."""
    say("the conformance suite runs; this takes minutes")
    root = suite.parents[1]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-k", "chosen", str(suite)]
    environment = {**os.environ, _TEST_DEVICE: device.name, _REQUIRED: "chosen"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    text = f"{done.stdout}{done.stderr}".strip()
    say("\n".join(text.splitlines()[-15:]))
    return done.returncode == 0, text
