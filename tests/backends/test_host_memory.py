"""How much memory devices say that programs may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from tritloom.backends import host_memory, registry


def test_the_containers_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(host_memory, "_CGROUP", limit)
    whole = host_memory.machine_memory()
    assert whole is not None
    assert whole > 1 << 28
    limit.write_text("max\n")
    assert host_memory.machine_memory() == whole
    limit.write_text("1048576\n")
    assert host_memory.machine_memory() == 1 << 20


def test_every_device_knows_its_memory() -> None:
    for device in registry.devices():
        assert device.memory_bytes is not None
        assert device.memory_bytes > 1 << 28
