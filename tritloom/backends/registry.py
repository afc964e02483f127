"""Which devices there are: one table of backends, and the device that a name means.

Nothing falls back: a device that was asked for and is not there is an error that says how to get it.
"""

from __future__ import annotations

import importlib
import os
import threading
from functools import cache

from tritloom.backends.base import Backend, Device, Missing
from tritloom.codegen.errors import DeviceError

BACKENDS: dict[str, tuple[str, str]] = {
    "cpu": ("tritloom.backends.cpu", "CPUBackend"),
    "opencl": ("tritloom.backends.opencl", "OpenCLBackend"),
    "vulkan": ("tritloom.backends.vulkan", "VulkanBackend"),
    "metal": ("tritloom.backends.metal", "MetalBackend"),
    "reference": ("tritloom.backends.reference", "ReferenceBackend"),
}
"""Backend name -> module and class. A module is imported when its devices are first asked for."""

VARIABLE = "TRITLOOM_DEVICE"
DEFAULT = "cpu"


@cache
def _backend(name: str) -> Backend:
    module, kind = BACKENDS[name]
    found: Backend = getattr(importlib.import_module(module), kind)()
    return found


_lock = threading.RLock()


def _devices(name: str) -> tuple[Device, ...]:
    with _lock:  # two threads must not find two devices of one name
        return _found(name)


@cache
def _found(name: str) -> tuple[Device, ...]:
    return tuple(_backend(name).devices())


def device(name: str | Device | None = None) -> Device:
    """The device of a name: a backend ("cpu"), one of its devices by number ("opencl:1"), or by a part of the device's
    name or description ("opencl:intel", "cpu:avx2").

    None means the device that TRITLOOM_DEVICE names, else the CPU. Raises DeviceError for a name that means no device.
    """
    if isinstance(name, Device):
        return name
    wanted = name or os.environ.get(VARIABLE) or DEFAULT
    backend, _, which = wanted.partition(":")
    if backend not in BACKENDS:
        raise DeviceError(
            f"there is no backend `{backend}`, asked for as the device `{wanted}`",
            hint=f"the backends are {', '.join(BACKENDS)}; `tritloom devices` lists the devices",
        )
    found = _devices(backend)
    if not found:
        missing = _backend(backend).missing()
        reason, hint = (missing.reason, missing.hint) if missing else ("it found none", "")
        raise DeviceError(f"there is no device `{wanted}`: {reason}", hint=hint)
    if not which:
        return found[0]
    if which.isdecimal() and int(which) < len(found):
        return found[int(which)]
    for candidate in found:
        if candidate.name == wanted:
            return candidate
    for candidate in found:
        if which.lower() in f"{candidate.name} {candidate.description}".lower():
            return candidate
    raise DeviceError(
        f"no device of the backend `{backend}` is called `{which}`",
        hint="there are " + "; ".join(f"{one.name} ({one.description})" for one in found),
    )


def devices() -> list[Device]:
    """All devices of all backends, best first within each."""
    return [one for name in BACKENDS for one in _devices(name)]


def missing() -> list[Missing]:
    """The backends that have no device here: why, and what to install."""
    return [absent for name in BACKENDS if (absent := _backend(name).missing()) is not None]
