"""Loading machine code into a process as it is: one that has lived long, with an address space full of holes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.device("cpu")

APART = """
import ctypes
from tests.backends.test_cpu import affine
from tritloom.backends import registry

libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
PAGE, APART = 4096, 3 << 30
NOTHING, PRIVATE_ANONYMOUS_UNBACKED = 0, 0x4022


def reserve(nbytes):
    return libc.mmap(None, nbytes, NOTHING, PRIVATE_ANONYMOUS_UNBACKED, -1, 0)


device = registry.device("cpu")
device.launch(device.compile(affine()), [device.allocate(64)] * 2, {"N": 16}, [1.0])
start = reserve(13 * APART)
holes = {start + i * APART for i in range(1, 13)}
for hole in holes:
    libc.munmap(hole, PAGE)
while True:  # whatever is free above is filled
    place = reserve(PAGE)
    if place in holes:
        libc.munmap(place, PAGE)
        break
assert device.compile(affine(128)).function.address
print("loaded")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it asks Linux for pages")
def test_code_is_loaded_where_free_pages_are_far_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code finds its constants by an offset of 32 bits: they are to be mapped together."""
    monkeypatch.setenv("TRITLOOM_CACHE", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", APART],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "loaded\n"), done.stderr
