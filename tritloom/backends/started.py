"""What a driver makes at a device's first use: once for all threads, and for one process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from tritloom.backends.checks import check_process

T = TypeVar("T")


class Started(Generic[T]):
    """A device at work, made when it is first asked for."""

    def __init__(self, make: Callable[[], T], description: str):
        self._make = make
        self._description = description
        self._lock = threading.Lock()
        self._made: T | None = None
        self._process = 0

    def get(self) -> T:
        """What `make` gave. Raises DeviceError in a process that was forked from the one in which it was made."""
        if self._made is None:
            with self._lock:  # two threads must not find two
                if self._made is None:
                    self._process = os.getpid()  # first: whoever finds the one finds the other
                    self._made = self._make()
        check_process(self._description, self._process)
        return self._made
