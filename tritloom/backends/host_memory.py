"""How much memory this machine has for programs of this process."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup/memory.max")


def machine_memory() -> int | None:
    """Bytes of the machine's memory, or of the container's where it has less; None where the system does not tell."""
    total = _windows() if sys.platform == "win32" else _posix()
    try:
        allowed = int(_CGROUP.read_text())
    except (OSError, ValueError):  # no such container, or "max"
        return total
    return allowed if total is None else min(total, allowed)


def _posix() -> int | None:
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None
    return total if total > 0 else None


def _windows() -> int | None:
    kilobytes = ctypes.c_ulonglong()
    kernel32 = ctypes.CDLL("kernel32")
    if not kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes)):
        return None
    return kilobytes.value << 10
