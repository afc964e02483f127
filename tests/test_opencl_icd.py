"""OpenCL runtimes are found side by side, and each compiles and runs a kernel."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path

import numpy as np
import pytest

from tests import opencl_icd
from tests.support import OPENCL_PLATFORMS


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.device(name)) for name in OPENCL_PLATFORMS]
)
def test_platform_runs_a_kernel(name: str) -> None:
    import pyopencl as cl

    platform = next(p for p in cl.get_platforms() if p.name == OPENCL_PLATFORMS[name])
    context = cl.Context(platform.get_devices()[:1])
    queue = cl.CommandQueue(context)
    source = (
        "kernel void twice_plus_one(global int *x) { x[get_global_id(0)] = 2 * x[get_global_id(0)] + 1; }"
    )
    flags = cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR
    values = np.arange(37, dtype=np.int32)
    buffer = cl.Buffer(context, flags, hostbuf=values)
    cl.Program(context, source).build().twice_plus_one(queue, values.shape, None, buffer)
    result = np.empty_like(values)
    cl.enqueue_copy(queue, result, buffer)
    np.testing.assert_array_equal(result, 2 * values + 1)


@pytest.fixture
def system_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "vendors"
    folder.mkdir()
    (folder / "pocl.icd").write_text("libpocl.so.2\n")
    monkeypatch.setattr(opencl_icd, "_SYSTEM_FOLDER", folder)
    monkeypatch.delenv("OCL_ICD_VENDORS", raising=False)
    return folder


@pytest.mark.usefixtures("system_folder")
def test_the_new_folder_holds_the_system_entries_and_intel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "libintelocl.so"
    monkeypatch.setattr(opencl_icd, "_intel_library", lambda: library)
    monkeypatch.setenv("OCL_ICD_VENDORS", "")  # so that the variable is put back after the test
    first = opencl_icd.ensure_icds()
    assert first == {"pocl": Path("libpocl.so.2"), "intel": library}
    assert opencl_icd.ensure_icds() == first  # a second call reads the folder that the first made


@pytest.mark.usefixtures("system_folder")
def test_without_intel_the_system_folder_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", absent)
    assert opencl_icd.ensure_icds() == {"pocl": Path("libpocl.so.2")}
    assert "OCL_ICD_VENDORS" not in os.environ


def test_a_setting_of_the_user_is_left_alone(system_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = system_folder / "pocl.icd"
    monkeypatch.setenv("OCL_ICD_VENDORS", str(entry))
    assert opencl_icd.ensure_icds() == {"pocl": Path("libpocl.so.2")}
    assert os.environ["OCL_ICD_VENDORS"] == str(entry)
