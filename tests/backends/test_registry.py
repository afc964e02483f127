"""Which device a name means."""

from __future__ import annotations

import threading
import time

import pytest

from tritloom.backends import registry
from tritloom.backends.base import Backend, Device, Missing
from tritloom.backends.reference import ReferenceDevice


class Slow(Backend):
    """A backend that takes long to find its device."""

    name = "slow"

    def devices(self) -> list[Device]:
        time.sleep(0.2)
        return [ReferenceDevice()]

    def missing(self) -> Missing | None:
        return None


def test_threads_that_ask_at_once_get_the_same_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory of one device is of no use to another."""
    monkeypatch.setitem(registry.BACKENDS, "slow", (__name__, "Slow"))
    found: list[Device] = []
    threads = [threading.Thread(target=lambda: found.append(registry.device("slow"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert all(one is found[0] for one in found)
