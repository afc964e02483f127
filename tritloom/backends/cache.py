"""A folder of compiled code, by the hash of all that went into it: written atomically, bounded, never trusted blindly.

The folder is `$TRITLOOM_CACHE`, else `tritloom` in the user's cache folder. Every entry carries a hash of its own
bytes: one that is damaged is as good as none. A folder that cannot be written only costs time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
from pathlib import Path

VARIABLE = "TRITLOOM_CACHE"
LIMIT = 256 << 20
"""Bytes that the folder may hold; the entries that were unused longest go first."""
_MAGIC = b"tritloom 1\n"
_DIGEST = 32


def cache_folder() -> Path:
    """Where compiled code is kept."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given)
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home())
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "tritloom"


class Cache:
    """Entries of one kind, in memory and in a folder. Safe with other processes and threads at work on the same."""

    def __init__(self, kind: str, folder: Path | None = None, limit: int = LIMIT):
        self.folder = (folder or cache_folder()) / kind
        self.limit = limit
        self._memory: dict[str, bytes] = {}
        self._written = 0

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / key[2:]

    def get(self, key: str) -> bytes | None:
        """The entry, or None if there is none that is whole."""
        found = self._memory.get(key)
        if found is not None:
            return found
        path = self._path(key)
        try:
            stored = path.read_bytes()
        except OSError:
            return None
        start = len(_MAGIC) + _DIGEST
        payload = stored[start:]
        if stored[:start] != _MAGIC + hashlib.sha256(payload).digest():
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        self._memory[key] = payload
        return payload

    def put(self, key: str, payload: bytes) -> None:
        """Keep an entry, replacing what is there."""
        self._memory[key] = payload
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        except OSError:
            return
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_MAGIC + hashlib.sha256(payload).digest() + payload)
            Path(name).replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            return
        self._written += len(payload)
        if self._written > self.limit // 16 or self._written == len(payload):
            self._written = 1
            self.trim()

    def trim(self) -> None:
        """Remove the entries that were unused longest until the rest is within the limit."""
        entries = []
        for path in self.folder.glob("*/*"):
            with contextlib.suppress(OSError):
                status = path.stat()
                entries.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries, key=lambda entry: entry[:2]):
            if total <= self.limit:
                break
            with contextlib.suppress(OSError):
                path.unlink()
            total -= size
