"""Compiling in a child process: what a driver that crashes or hangs there does to this one, which is nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tritloom.backends import guard
from tritloom.backends.guard import Guard
from tritloom.codegen.errors import CompileError, DeviceError

DRIVER = "Some GPU (driver 1.2)"
CHILD = """
import os, signal, sys, time
from tritloom.backends.guard_child import serve
from tritloom.codegen.errors import CompileError, DeviceError

def begin():
    print("the driver talks on being loaded", flush=True)
    return handle

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
    if request == b"slow":
        time.sleep(2)
    if request == b"refuse":
        raise CompileError("no such thing")
    if request == b"lose":
        raise DeviceError("the device was lost")
    if request == b"starve":
        raise MemoryError
    return request.upper() + b" " + str(os.getpid()).encode()

serve(begin)
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
    monkeypatch.syspath_prepend(tmp_path)
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
    with pytest.raises(CompileError, match=r"did not finish in 1 s (.*\n)*.*given the kernel `kernel<hang>`"):
        fake.compile(b"hang")
    fake.guard.limit = 30.0
    assert fake.compile(b"two")[0]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGTERM])
def test_a_child_that_died_while_it_had_nothing_to_do(fake: Fake, number: signal.Signals) -> None:
    """The next kernel has nothing to do with it."""
    pid = int(fake.compile(b"one")[1].split()[1])
    os.kill(pid, number)
    assert fake.guard._child is not None
    fake.guard._child._process.wait()
    assert fake.compile(b"two")[0]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_ctrl_c_is_the_parents(fake: Fake) -> None:
    """A terminal sends it to both."""
    pid = int(fake.compile(b"one")[1].split()[1])
    os.kill(pid, signal.SIGINT)
    time.sleep(0.2)
    assert int(fake.compile(b"two")[1].split()[1]) == pid


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no timers that interrupt")
def test_an_answer_that_nobody_waited_for_is_not_the_next_ones(fake: Fake) -> None:
    assert fake.compile(b"one")[0]

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(KeyboardInterrupt):
            fake.compile(b"slow")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert fake.compile(b"two")[1].startswith(b"TWO ")


@pytest.mark.parametrize(
    ("request_", "told"), [(b"lose", "the device was lost"), (b"starve", r"MemoryError\(\)")]
)
def test_a_child_that_cannot_go_on_says_nothing_about_the_kernel(
    fake: Fake, request_: bytes, told: str
) -> None:
    """Nor is the kernel compiled without it, as a kernel is that was refused."""
    for _ in range(2):
        with pytest.raises(
            DeviceError, match=f"given the kernel `kernel<{request_.decode()}>`: {told}"
        ) as caught:
            fake.compile(request_)
        assert not isinstance(caught.value, CompileError)
    assert fake.compile(b"two")[0]


def test_a_child_that_cannot_even_be_killed(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = int(fake.compile(b"one")[1].split()[1])
    monkeypatch.setattr(guard, "_PATIENCE", 0.5)
    fake.guard.limit = 1.0
    began = time.monotonic()
    with monkeypatch.context() as patch:
        patch.setattr(subprocess.Popen, "kill", lambda _: None)
        with pytest.raises(CompileError, match="did not finish in 1 s"):
            fake.compile(b"hang")
    assert time.monotonic() - began < 20
    os.kill(pid, signal.SIGTERM)


def test_modules_of_the_users_folder_are_not_taken_for_pythons(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "at work"
    folder.mkdir()
    (folder / "struct.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(folder)
    assert fake.compile(b"one")[0]


def test_without_a_python_to_run_there_is_an_error_and_a_way_out(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(fake.folder / "no-such-python"))
        with pytest.raises(DeviceError, match="did not start") as caught:
            fake.compile(b"one")
        assert "TRITLOOM_GUARD=0" in caught.value.hint
        patch.setattr(sys, "executable", None)  # Python may not know
        with pytest.raises(DeviceError, match="no Python"):
            fake.compile(b"one")
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(DeviceError, match="its own Python"):
        fake.compile(b"one")
    assert not fake.asked()


def test_a_child_has_the_modules_that_this_process_has(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it has them from; and Python's own come first where it is so here."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    packages = tmp_path / f"packages{os.pathsep}of others"
    packages.mkdir()
    (packages / "struct.py").write_text("raise SystemExit('not this one')")
    (packages / "vendored.py").write_text("")
    monkeypatch.setattr(sys, "path", [*sys.path, str(packages)])
    monkeypatch.setattr(guard, "_PACKAGES", packages)
    script = tmp_path / "fake_driver.py"
    script.write_text("import vendored\n" + script.read_text())
    assert fake.compile(b"one")[0]


def test_a_child_that_does_not_start_is_no_fault_of_the_kernel(tmp_path: Path) -> None:
    guard = Guard(["no_module_of_this_name"], DRIVER, 30.0, tmp_path)
    with pytest.raises(DeviceError, match=r"(?s)before it was ready.*no_module_of_this_name") as caught:
        guard.compile("key", "kernel", b"x", {})
    assert not isinstance(caught.value, CompileError)
    assert "TRITLOOM_GUARD=0" in caught.value.hint
