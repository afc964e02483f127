"""The devices that the suite runs on."""

from __future__ import annotations

import pytest

from tests import support
from tritloom.backends import registry
from tritloom.backends.base import Device

DEVICES = {
    "reference": ("reference", "reference"),
    "cpu": ("cpu", "cpu"),
    "cpu:avx2": ("cpu", "cpu:avx2"),
    "cpu:plain": ("cpu", "cpu:plain"),
    "vulkan": ("vulkan", "vulkan"),
    **{name: (name, f"opencl:{platform}") for name, platform in support.OPENCL_PLATFORMS.items()},
    "metal-shim": ("metal-shim", "metal-shim"),
    **({"chosen": ("chosen", support.CHOSEN)} if support.CHOSEN else {}),
}
"""Test name -> the backend that it needs, the device that it runs on."""

PARAMETERS = [
    pytest.param(device, id=name, marks=pytest.mark.device(backend))
    for name, (backend, device) in DEVICES.items()
]


@pytest.fixture(scope="session", params=PARAMETERS)
def device(request: pytest.FixtureRequest) -> Device:
    """Each device that there is."""
    if request.param == "metal-shim":
        return support.device_named(request.param)
    return registry.device(request.param)
