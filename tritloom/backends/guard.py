"""Compiling where a crash does no harm: a driver that dies or hangs on a kernel must not take the user's data with it.

A kernel that a driver has not seen yet is compiled in a child process first. If that dies or takes too long, the kernel
is refused with its name, the driver, what happened and the files that its source was saved in, and it is not tried
again with the same driver. `TRITLOOM_GUARD=0` compiles without a child.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import msgspec

from tritloom.backends.cache import Cache, cache_folder
from tritloom.codegen.errors import CompileError, DeviceError

VARIABLE = "TRITLOOM_GUARD"
LIMIT = 300.0
"""Seconds that a driver may take for one kernel."""
GOOD, REFUSED, FAILED = 0, 1, 2
"""First byte of an answer: the payload is what the device's module wants to keep, the driver's complaint about the
kernel, or why the child cannot go on, whatever the kernel."""
_PATIENCE = 10.0
"""Seconds that a child may take to end."""
_TOLD = 2000
"""Bytes of what it wrote that an error repeats."""
_LENGTH = struct.Struct("<Q")
_PACKAGES = Path(__file__).resolve().parents[2]


def enabled() -> bool:
    """Whether kernels are compiled in a child process first."""
    return os.environ.get(VARIABLE, "1") != "0"


class _Verdict(msgspec.Struct):
    """What is remembered of a kernel that a driver cannot compile."""

    outcome: str
    files: list[str]


class Guard:
    """Compiles for one device in a child process, which is started when it is first needed and then kept.

    `command` is a module to run and its arguments. It writes one frame when it is ready, and then one answer for each
    frame that it reads (see :func:`serve`).
    """

    def __init__(self, command: Sequence[str], driver: str, limit: float = LIMIT, folder: Path | None = None):
        self.command = list(command)
        self.driver = driver
        """The device with its driver, for people."""
        self.limit = limit
        self._folder = folder or cache_folder()
        self._verdicts = Cache("guard", folder)
        self._lock = threading.Lock()
        self._child: _Child | None = None

    def compile(
        self, key: str, name: str, request: bytes, sources: Mapping[str, bytes]
    ) -> tuple[bool, bytes]:
        """Whether the driver took the kernel, and what the child answered.

        `key` tells kernel and driver; `sources` are what is saved if it crashes, by the ending of the file's name.
        Raises CompileError for a driver that crashes or hangs, now or when it was last tried, and DeviceError where
        the child cannot work.
        """
        with self._lock:
            known = self._verdicts.get(key)
            if known is not None:
                verdict = msgspec.json.decode(known, type=_Verdict)
                raise self._error(name, f"{verdict.outcome} when it was last tried", verdict.files)
            child = self._taken()
            try:
                answer = child.ask(request, self.limit)
            except BaseException:
                child.kill()
                raise
            if answer and answer[0] == FAILED:
                child.kill()
                raise self._useless(
                    f"failed, given the kernel `{name}`: {answer[1:].decode(errors='replace')}"
                )
            if answer:
                self._child = child
                return answer[0] == GOOD, answer[1:]
            outcome = child.end()
            files = self._save(key, name, sources)
            if outcome not in _FROM_OUTSIDE:
                self._verdicts.put(key, msgspec.json.encode(_Verdict(outcome, files)))
            raise self._error(name, f"{outcome}{child.told()}", files)

    def _taken(self) -> _Child:
        """The child, or a new one. It is kept only once it has answered: if the wait for the answer is interrupted, as
        by Ctrl-C, the answer must not be taken for that to the next request."""
        child, self._child = self._child, None
        if child is not None and child.ended:  # since its last answer, which is not the next kernel's fault
            child.end()
            child = None
        return child or self._start()

    def _start(self) -> _Child:
        if getattr(sys, "frozen", False):  # its executable is the program itself, which would run once more
            raise self._useless("cannot be started by a program that has its own Python in it")
        if not sys.executable:
            raise self._useless("cannot be started: there is no Python that this process knows of")
        try:
            child = _Child(self.command)
        except OSError as error:
            raise self._useless(f"did not start: {error}") from error
        try:
            ready = child.receive(self.limit)
        except BaseException:
            child.kill()
            raise
        if not ready:
            outcome = child.end()
            raise self._useless(f"{outcome} before it was ready{child.told()}")
        return child

    def _useless(self, what: str) -> DeviceError:
        return DeviceError(
            f"the process that compiles for {self.driver} {what}",
            hint=f"if the device works elsewhere, please report it; {VARIABLE}=0 compiles without that process",
        )

    def _save(self, key: str, name: str, sources: Mapping[str, bytes]) -> list[str]:
        folder = self._folder / "failed"
        base = f"{re.sub(r'[^0-9A-Za-z_]', '_', name)[:60]}-{key[:12]}"
        saved = []
        for ending, content in sources.items():
            path = folder / f"{base}{ending}"
            with contextlib.suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                saved.append(str(path))
        return saved

    def _error(self, name: str, outcome: str, files: Sequence[str]) -> CompileError:
        kept = f"\nits source is in {' and '.join(files)}" if files else ""
        return CompileError(
            f"the compiler of {self.driver} {outcome}, given the kernel `{name}`{kept}",
            hint="update the driver and report it to its maker with that source. To try it again with the same driver, "
            f"remove the folder {self._verdicts.folder}",
        )

    def close(self) -> None:
        """End the child."""
        with self._lock:
            if self._child is not None:
                self._child.end()
                self._child = None


_BEGIN = """
import json, runpy, sys
sys.path[:] = json.loads(sys.argv[1])
module = sys.argv[2]
del sys.argv[1:3]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
"""Runs a module with the modules that this process has, and not those of the folder that the user is in."""


def _path() -> list[str]:
    """Where this process finds modules, this package among them."""
    path = [str(Path(entry).resolve()) for entry in sys.path if entry]
    return path if str(_PACKAGES) in path else [str(_PACKAGES), *path]


class _Child:
    """The process, with a thread that reads its answers: no system waits for a pipe and a clock in the same way."""

    def __init__(self, command: Sequence[str]):
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed by end)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _BEGIN, json.dumps(_path()), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._told = ""
        self.overdue = False
        """Whether it took too long."""
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self._process.poll() is not None

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout:
            while frame := read_frame(self._process.stdout):
                self._answers.put(frame)
        self._answers.put(b"")

    def ask(self, request: bytes, limit: float) -> bytes:
        """The answer to a request; nothing if the process died or took too long."""
        assert self._process.stdin is not None
        try:
            write_frame(self._process.stdin, request)
        except OSError:
            return b""
        return self.receive(limit)

    def receive(self, limit: float) -> bytes:
        """The next answer; nothing if the process died or took too long."""
        try:
            return self._answers.get(timeout=limit)
        except queue.Empty:
            self.overdue = True
            self._limit = limit
            return b""

    def kill(self) -> None:
        """End it without a word."""
        self._process.kill()
        self._errors.close()

    def end(self) -> str:
        """End it, and what had become of it: "crashed with SIGSEGV"."""
        assert self._process.stdin is not None
        if self.overdue:
            self._process.kill()
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        code: int | None = None
        for _ in range(2):  # a process that hangs in a driver's part of the system cannot even be killed
            try:
                code = self._process.wait(timeout=_PATIENCE)
                break
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._errors.seek(max(self._errors.seek(0, os.SEEK_END) - _TOLD, 0))
        self._told = self._errors.read(_TOLD).decode(errors="replace").strip()
        self._errors.close()
        if self.overdue:
            return f"did not finish in {self._limit:.0f} s"
        if code is None:
            return "could not be ended"
        return _by_signal(-code) if code < 0 else f"ended with the code {code}"

    def told(self) -> str:
        """The end of what it wrote for people, on a line of its own."""
        return f" (it wrote: {self._told})" if self._told else ""


def _by_signal(number: int) -> str:
    try:
        return f"crashed with {signal.Signals(number).name}"
    except ValueError:
        return f"crashed with signal {number}"


_FROM_OUTSIDE = {_by_signal(number) for number in (1, 2, 9, 15)}
"""What users and systems that want memory do to a process: it says nothing about the kernel."""


def read_frame(file: IO[bytes]) -> bytes:
    """The next frame: its length in 8 bytes, then its bytes. Nothing at the end of the file."""
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return b""
    length = _LENGTH.unpack(head)[0]
    body = file.read(length)
    return body if len(body) == length else b""


def write_frame(file: IO[bytes], body: bytes) -> None:
    """Write a frame; it has at least one byte."""
    file.write(_LENGTH.pack(len(body)) + body)
    file.flush()
