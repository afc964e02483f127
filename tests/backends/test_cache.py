"""The cache of compiled code: whole entries or none, bounded, and harmless where nothing can be written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tritloom.backends.cache import Cache, cache_folder

KEY = "ab" * 32


def entry(folder: Path) -> Path:
    return folder / "cpu" / KEY[:2] / KEY[2:]


def test_entries_last(tmp_path: Path) -> None:
    Cache("cpu", tmp_path).put(KEY, b"code")
    assert Cache("cpu", tmp_path).get(KEY) == b"code"
    assert Cache("cpu", tmp_path).get("cd" * 32) is None
    assert Cache("other", tmp_path).get(KEY) is None
    assert [path.name for path in (tmp_path / "cpu").glob("*/*")] == [KEY[2:]]


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b"", lambda b: b[:20], lambda b: b[:-1] + b"?"]
)
def test_a_damaged_entry_is_none_and_is_replaced(tmp_path: Path, damage: object) -> None:
    Cache("cpu", tmp_path).put(KEY, b"code" * 10)
    path = entry(tmp_path)
    assert callable(damage)
    path.write_bytes(damage(path.read_bytes()))
    cache = Cache("cpu", tmp_path)
    assert cache.get(KEY) is None
    cache.put(KEY, b"new")
    assert Cache("cpu", tmp_path).get(KEY) == b"new"


def test_the_oldest_entries_go_first(tmp_path: Path) -> None:
    cache = Cache("cpu", tmp_path, limit=5000)
    keys = [f"{i:02d}" * 32 for i in range(10)]
    for age, key in enumerate(keys):
        cache.put(key, bytes(1000))
        os.utime(cache._path(key), (age, age))
    cache.trim()
    left = [key for key in keys if cache._path(key).exists()]
    assert left == keys[-len(left) :]
    assert 3 <= len(left) <= 4


def test_a_folder_that_cannot_be_written_only_costs_time(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    cache = Cache("cpu", blocked)
    cache.put(KEY, b"code")
    assert cache.get(KEY) == b"code"
    assert Cache("cpu", blocked).get(KEY) is None


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRITLOOM_CACHE", str(tmp_path / "x"))
    assert cache_folder() == tmp_path / "x"
    monkeypatch.delenv("TRITLOOM_CACHE")
    assert cache_folder().name == "tritloom"
