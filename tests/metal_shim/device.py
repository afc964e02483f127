"""The Metal backend's device on the imitation of a GPU."""

from __future__ import annotations

import functools

from tests.metal_shim import fake
from tritloom.backends.metal import MetalDevice


def new_device(gpu: fake.FakeDevice | None = None) -> MetalDevice:
    """A device of its own."""
    return MetalDevice("metal", gpu or fake.FakeDevice(), fake, fake.Objc)


@functools.cache
def shim_device() -> MetalDevice:
    """The one device of the conformance suite."""
    return new_device()
