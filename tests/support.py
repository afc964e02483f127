"""Which backends can run here, and what a test does when the one that it needs cannot.

A test says what it needs with `@pytest.mark.device("cpu")`, with `require_backend("cpu")` in its body, or by taking
the argument `backend_name`, which runs it once for each of :data:`RUNNABLE`. A missing backend skips the test with a
reason, or fails it when the environment variable `TRITLOOM_REQUIRE_BACKENDS` (names with commas) lists the backend.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Final, NoReturn

import numpy as np
import pytest

from benchmarks.vendors import lab
from tritloom.backends.base import Device
from tritloom.codegen.errors import DeviceError
from tritloom.codegen.ir.tile import Kernel

REPOSITORY: Final = Path(__file__).resolve().parent.parent
"""The folder that holds pyproject.toml."""

DEVICE_VARIABLE: Final = "TRITLOOM_TEST_DEVICE"
CHOSEN: Final = os.environ.get(DEVICE_VARIABLE)
"""The name of one more device to test, such as "opencl:nvidia"; its tests are called `chosen`."""

RUNNABLE: Final = (
    "reference",
    "cpu",
    "opencl-pocl",
    "opencl-intel",
    "vulkan",
    "metal-shim",
    *(("chosen",) if CHOSEN else ()),
)
"""The backends that run programs in this process: what a conformance test is run for."""

BACKENDS: Final = (*RUNNABLE, "aarch64", "lab")
"""All names a test may require. `metal-shim` is the Metal backend with kernels that are compiled for this CPU;
`aarch64` is the CPU backend's code for that machine, run under qemu-user; `lab` the vendors' compilers of
`benchmarks.vendors`, which compile and run nothing."""

REQUIRE_VARIABLE: Final = "TRITLOOM_REQUIRE_BACKENDS"
ORACLE_VARIABLE: Final = "TRITLOOM_ORACLE"
PROPERTY: Final = "tritloom-backend"

OPENCL_PLATFORMS: Final = {"opencl-pocl": "Portable Computing Language", "opencl-intel": "Intel(R) OpenCL"}
"""Backend name to the name of its OpenCL platform (CL_PLATFORM_NAME)."""

_OPENCL_REMEDY: Final = {
    "opencl-pocl": "apt-get install pocl-opencl-icd",
    "opencl-intel": "python -m pip install intel-opencl-rt intel-cmplr-lib-rt",
}

_current_properties: list[tuple[str, object]] | None = None


def required_backends() -> frozenset[str]:
    """The backends whose absence is a failure. Raises `pytest.UsageError` on a name that does not exist."""
    names = frozenset(
        filter(None, (part.strip() for part in os.environ.get(REQUIRE_VARIABLE, "").split(",")))
    )
    unknown = sorted(names - set(BACKENDS))
    if unknown:
        raise pytest.UsageError(
            f"{REQUIRE_VARIABLE}: no backend {', '.join(unknown)}; there are {', '.join(BACKENDS)}"
        )
    return names


@functools.cache
def missing_reason(name: str) -> str | None:
    """Why this backend cannot run here and how to get it, or None when it can."""
    if name == "reference":
        return None
    if name == "cpu":
        return None if importlib.util.find_spec("llvmlite") else "llvmlite is not installed"
    if name == "aarch64":
        tools = ("qemu-aarch64", "aarch64-linux-gnu-gcc")
        absent = [tool for tool in tools if shutil.which(tool) is None]
        remedy = "apt-get install qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
        return f"no program {' and no '.join(absent)} ({remedy})" if absent else None
    if name == "vulkan":
        return _missing_vulkan()
    if name == "chosen":
        return _missing_chosen()
    if name in OPENCL_PLATFORMS:
        return _missing_opencl(name)
    if name == "lab":
        return lab.missing_reason()
    if name == "metal-shim":
        from tests.metal_shim import compiler

        return compiler.missing_reason()
    raise ValueError(f"no backend {name!r}; there are {', '.join(BACKENDS)}")


def device_named(backend: str) -> Device:
    """The device on which a backend's tests run programs."""
    from tritloom.backends import registry

    if backend == "metal-shim":
        from tests.metal_shim.device import shim_device

        return shim_device()
    if backend == "chosen":
        return registry.device(CHOSEN)
    return registry.device(
        {"opencl-pocl": "opencl:portable", "opencl-intel": "opencl:intel"}.get(backend, backend)
    )


def _missing_opencl(name: str) -> str | None:
    try:
        import pyopencl
    except ImportError as error:
        return f"pyopencl does not import ({error}); python -m pip install '.[opencl]'"
    try:
        found = [platform.name for platform in pyopencl.get_platforms() if platform.get_devices()]
    except pyopencl.Error as error:
        return f"no OpenCL platform ({error}); {_OPENCL_REMEDY[name]}"
    if OPENCL_PLATFORMS[name] in found:
        return None
    return f"no OpenCL platform {OPENCL_PLATFORMS[name]!r} among {found}; {_OPENCL_REMEDY[name]}"


def _missing_chosen() -> str | None:
    from tritloom.backends import registry
    from tritloom.codegen.errors import DeviceError

    try:
        registry.device(CHOSEN)
    except DeviceError as error:
        return str(error)
    return None


def _missing_vulkan() -> str | None:
    from tritloom.backends.vulkan import VulkanBackend

    missing = VulkanBackend().missing()
    return f"{missing.reason}; {missing.hint}" if missing else None


def require_backend(name: str) -> None:
    """Skip the running test when the backend is missing, or fail it when the backend is required."""
    reason = missing_reason(name)
    if _current_properties is not None and (PROPERTY, name) not in _current_properties:
        _current_properties.append((PROPERTY, name))
    if reason is None:
        return
    if name in required_backends():
        pytest.fail(f"backend {name} is required and missing: {reason}", pytrace=False)
    pytest.skip(f"backend {name} is missing: {reason}")


def lacking(backend: str, what: str) -> NoReturn:
    """Skip the running test for want of a tool, or fail it when the backend that the tool serves is required."""
    if backend in required_backends():
        pytest.fail(f"backend {backend} is required: {what}", pytrace=False)
    pytest.skip(what)


def follow(item: pytest.Item) -> None:
    """Record what :func:`require_backend` is asked for from now on as properties of this test."""
    global _current_properties  # noqa: PLW0603  (pytest runs one test at a time in a process)
    _current_properties = item.user_properties


def oracle_folder() -> Path | None:
    """The folder of reference tensors: `$TRITLOOM_ORACLE`, else `../shared/oracle` by the checkout, else None."""
    given = os.environ.get(ORACLE_VARIABLE)
    folder = Path(given) if given else REPOSITORY.parent / "shared" / "oracle"
    return folder if (folder / "fwd.npz").is_file() else None


def assert_refused_after_fork(device: Device, fresh: Kernel) -> None:
    """Assert that a process which is forked from this one gets an error from the device and does not hang, whatever it
    begins with. `fresh` was not compiled yet."""
    if not hasattr(os, "fork"):
        pytest.skip("this system does not fork")
    device.synchronize()
    buffer = device.upload(np.ones(4, np.float32))
    child = os.fork()
    if not child:
        refused = 0
        try:
            for work in (
                lambda: device.allocate(4),
                lambda: device.compile(fresh),
                lambda: device.read(buffer, np.empty(4, np.float32)),
                device.synchronize,
            ):
                try:
                    work()
                except DeviceError as error:
                    refused += "was forked from" in error.message
        finally:
            os._exit(4 - refused)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail("the forked process hung")
