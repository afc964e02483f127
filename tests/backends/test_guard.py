"""Compiling in a child process: what a driver that crashes or hangs there does to this one, which is nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import REPOSITORY
from tritloom.backends.guard import Guard
from tritloom.codegen.errors import CompileError, DeviceError

DRIVER = "Some GPU (driver 1.2)"
CHILD = """
import os, signal, sys, time
from tritloom.backends.guard_child import serve
from tritloom.codegen.errors import CompileError

def handle(request):
    print("the driver talks")
    with open(sys.argv[1], "ab") as log:
        log.write(request + b"\\n")
    if request == b"crash":
        print("assertion failed", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    if request == b"killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if request == b"hang":
        time.sleep(60)
    if request == b"refuse":
        raise CompileError("no such thing")
    return request.upper() + b" " + str(os.getpid()).encode()

serve(handle)
"""


class Fake:
    """A guard over a child that does as it is told."""

    def __init__(self, folder: Path, limit: float = 30.0):
        (folder / "fake_driver.py").write_text(CHILD)
        self.log = folder / "log"
        self.folder = folder / "cache"
        self.guard = Guard(["fake_driver", str(self.log)], DRIVER, limit, self.folder)

    def compile(self, what: bytes) -> tuple[bool, bytes]:
        sources = {".spv": what, ".spvasm": b"text"}
        return self.guard.compile(what.hex() * 8, f"kernel<{what.decode()}>", what, sources)

    def asked(self) -> list[bytes]:
        return self.log.read_bytes().split() if self.log.exists() else []


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(REPOSITORY)]))
    made = Fake(tmp_path)
    yield made
    made.guard.close()


def test_one_child_makes_all_kernels(fake: Fake) -> None:
    good, first = fake.compile(b"one")
    assert good
    assert first.startswith(b"ONE ")
    assert fake.compile(b"two")[1].split()[1] == first.split()[1]
    assert first.split()[1] != str(os.getpid()).encode()


def test_a_refusal_is_an_answer(fake: Fake) -> None:
    assert fake.compile(b"refuse") == (False, b"no such thing")
    assert fake.compile(b"one")[0]


def test_a_crash_names_kernel_driver_signal_and_files(fake: Fake) -> None:
    assert fake.compile(b"one")[0]
    with pytest.raises(CompileError) as caught:
        fake.compile(b"crash")
    message = caught.value.message
    assert "kernel<crash>" in message
    assert DRIVER in message
    assert "assertion failed" in message
    if sys.platform != "win32":
        assert "SIGSEGV" in message
    saved = sorted((fake.folder / "failed").iterdir())
    assert [path.read_bytes() for path in saved] == [b"crash", b"text"]
    assert all(str(path) in message for path in saved)
    assert fake.compile(b"two")[0], "a new child must serve on"


def test_a_kernel_that_crashed_is_not_tried_again(fake: Fake) -> None:
    for _ in range(2):
        with pytest.raises(CompileError, match="SIGSEGV" if sys.platform != "win32" else "code"):
            fake.compile(b"crash")
    again = Guard(fake.guard.command, DRIVER, 30.0, fake.folder)
    with pytest.raises(CompileError, match="when it was last tried"):
        again.compile(b"crash".hex() * 8, "other name", b"crash", {})
    assert fake.asked() == [b"crash"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_child_that_was_killed_says_nothing_about_the_kernel(fake: Fake) -> None:
    for _ in range(2):
        with pytest.raises(CompileError, match="SIGKILL"):
            fake.compile(b"killed")
    assert fake.asked() == [b"killed", b"killed"]


def test_a_driver_that_hangs_is_ended(fake: Fake) -> None:
    assert fake.compile(b"one")[0]
    fake.guard.limit = 1.0
    with pytest.raises(CompileError, match=r"did not finish in 1 s .*\n.*given the kernel `kernel<hang>`"):
        fake.compile(b"hang")
    fake.guard.limit = 30.0
    assert fake.compile(b"two")[0]


def test_a_child_that_does_not_start_is_no_fault_of_the_kernel(tmp_path: Path) -> None:
    guard = Guard(["no_module_of_this_name"], DRIVER, 30.0, tmp_path)
    with pytest.raises(DeviceError, match=r"before it was ready.*no_module_of_this_name") as caught:
        guard.compile("key", "kernel", b"x", {})
    assert not isinstance(caught.value, CompileError)
    assert "TRITLOOM_GUARD=0" in caught.value.hint
