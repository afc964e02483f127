"""Which device: by name, by `TRITLOOM_DEVICE`, or by default."""

from __future__ import annotations

from tritloom.backends import registry
from tritloom.backends.base import Device


def device(name: str | Device | None = None) -> Device:
    """The device of that name, as in "cpu", "opencl:1" or "reference".

    None means the one that the environment variable TRITLOOM_DEVICE names, else the best there is. Raises DeviceError,
    saying how to get it, for a device that is missing.
    """
    return name if isinstance(name, Device) else registry.device(name)


def devices() -> list[Device]:
    """All devices of this machine that programs can run on."""
    return registry.devices()
