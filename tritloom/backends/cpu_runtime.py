"""Runs recorded launches on all cores: one small native driver walks a table of launches, with no Python in between.

A launch's programs are taken in chunks from an atomic counter, so cores share the work as it comes. A launch is done
when all its programs are counted as done; every thread waits for that before it goes on to the next. No thread waits
for one that has not begun: a thread that comes late joins where the others are, and leaves at once when the job is
over. Programs write different elements, so results do not depend on the number of threads.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritloom.backends.cpu_compiler import Compiler, callable_of
from tritloom.codegen.errors import DeviceError
from tritloom.codegen.target import Target

THREADS_VARIABLE = "TRITLOOM_THREADS"
CHUNKS_PER_THREAD = 8
"""How finely a launch is cut: fine enough that no thread waits long for the last one."""

WORDS = 16
"""64-bit words of a launch in the table: its first cache line is read, its second counted in."""
FUNCTION, ARGUMENTS, PROGRAMS, CHUNK, NEXT, DONE = 0, 1, 2, 3, 8, 9

Table = NDArray[np.int64]


def thread_count() -> int:
    """Threads to use: TRITLOOM_THREADS, else the cores that this process may run on."""
    given = os.environ.get(THREADS_VARIABLE)
    if given is None:
        return len(_cores())
    if not given.isdecimal() or not 1 <= int(given) <= 1024:
        raise DeviceError(
            f"{THREADS_VARIABLE} is {given!r}", hint="set it to a number of threads, 1 to 1024, or unset it"
        )
    return int(given)


def _cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _driver(target: Target) -> str:
    """The driver's LLVM IR. It uses one function of the C library, which gives up the core after a long wait."""
    arm = target.llvm_triple.startswith(("aarch64", "arm64"))
    pause = "call void @llvm.aarch64.hint(i32 1)" if arm else "call void @llvm.x86.sse2.pause()"
    declare = "declare void @llvm.aarch64.hint(i32)" if arm else "declare void @llvm.x86.sse2.pause()"
    give_up = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
    return f"""target triple = "{target.llvm_triple}"

{declare}
declare i32 @{give_up}()

define internal void @rest(i64 %turn) nounwind {{
  %often = icmp ult i64 %turn, 4000
  br i1 %often, label %short, label %long
short:
  {pause}
  ret void
long:
  %ignored = call i32 @{give_up}()
  ret void
}}

; Works on all launches of a table until each is done.
define void @tritloom_run(ptr %table, i64 %launches) nounwind {{
entry:
  br label %launch
launch:
  %number = phi i64 [ 0, %entry ], [ %following, %finished ]
  %more = icmp ult i64 %number, %launches
  br i1 %more, label %begin, label %return
begin:
  %first = mul i64 %number, {WORDS}
  %entry.function = getelementptr i64, ptr %table, i64 %first
  %entry.arguments = getelementptr i64, ptr %entry.function, i64 {ARGUMENTS}
  %entry.programs = getelementptr i64, ptr %entry.function, i64 {PROGRAMS}
  %entry.chunk = getelementptr i64, ptr %entry.function, i64 {CHUNK}
  %next = getelementptr i64, ptr %entry.function, i64 {NEXT}
  %done = getelementptr i64, ptr %entry.function, i64 {DONE}
  %function = load ptr, ptr %entry.function
  %arguments = load ptr, ptr %entry.arguments
  %programs = load i64, ptr %entry.programs
  %chunk = load i64, ptr %entry.chunk
  br label %take
take:
  %from = atomicrmw add ptr %next, i64 %chunk monotonic
  %any = icmp slt i64 %from, %programs
  br i1 %any, label %work, label %wait
work:
  %end = add i64 %from, %chunk
  %within = icmp slt i64 %end, %programs
  %to = select i1 %within, i64 %end, i64 %programs
  call void %function(ptr %arguments, i64 %from, i64 %to)
  %count = sub i64 %to, %from
  %ignored = atomicrmw add ptr %done, i64 %count release
  br label %take
wait:
  %turn = phi i64 [ 0, %take ], [ %turned, %again ]
  %so.far = load atomic i64, ptr %done acquire, align 8
  %missing = icmp slt i64 %so.far, %programs
  br i1 %missing, label %again, label %finished
again:
  call void @rest(i64 %turn)
  %turned = add i64 %turn, 1
  br label %wait
finished:
  %following = add i64 %number, 1
  br label %launch
return:
  ret void
}}

; What the thread that submits a job runs: closes the job at its end and waits until no other thread is in it.
; The pool holds the open job's number and, a cache line on, the number of other threads inside.
define void @tritloom_lead(ptr %pool, ptr %table, i64 %launches) nounwind {{
entry:
  call void @tritloom_run(ptr %table, i64 %launches)
  store atomic i64 0, ptr %pool seq_cst, align 8
  %active = getelementptr i64, ptr %pool, i64 8
  br label %wait
wait:
  %turn = phi i64 [ 0, %entry ], [ %turned, %again ]
  %inside = load atomic i64, ptr %active seq_cst, align 8
  %some = icmp ne i64 %inside, 0
  br i1 %some, label %again, label %return
again:
  call void @rest(i64 %turn)
  %turned = add i64 %turn, 1
  br label %wait
return:
  ret void
}}

; What every other thread runs: nothing if the job is over already.
define void @tritloom_join(ptr %pool, i64 %job, ptr %table, i64 %launches) nounwind {{
  %active = getelementptr i64, ptr %pool, i64 8
  %before = atomicrmw add ptr %active, i64 1 seq_cst
  %open = load atomic i64, ptr %pool seq_cst, align 8
  %ours = icmp eq i64 %open, %job
  br i1 %ours, label %work, label %leave
work:
  call void @tritloom_run(ptr %table, i64 %launches)
  br label %leave
leave:
  %after = atomicrmw sub ptr %active, i64 1 seq_cst
  ret void
}}
"""


def new_table(launches: int) -> Table:
    """A table of that many launches, on a cache line's boundary."""
    words = np.zeros(launches * WORDS + 8, np.int64)
    start = (-words.ctypes.data % 64) // 8
    return words[start : start + launches * WORDS].reshape(launches, WORDS)


class Pool:
    """Threads that wait for jobs. One job runs at a time; the submitting thread works on it too."""

    def __init__(self, compiler: Compiler, threads: int):
        self.threads = threads
        self.lock = threading.RLock()
        """Held while a job is made and run."""
        ir = _driver(compiler.target)
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self._lead = callable_of(compiler.load("tritloom_lead", ir), pointer, pointer, number)
        self._join = callable_of(compiler.load("tritloom_join", ir), pointer, number, pointer, number)
        state = new_table(1)[0]
        self._state = state
        self._pool = state.ctypes.data
        self._job = 0
        self._queues: list[SimpleQueue[tuple[int, Table]]] = []
        self._process = 0
        cores = _cores()
        # Threads stay on their cores only if they need all of them; else the system places them better.
        self._pins = (
            cores if threads > 1 and threads == len(cores) and hasattr(os, "sched_setaffinity") else []
        )

    def chunk(self, programs: int) -> int:
        """Programs that a thread takes at once."""
        return (
            max(1, programs // (self.threads * CHUNKS_PER_THREAD)) if self.threads > 1 else max(1, programs)
        )

    def run(self, table: Table) -> None:
        """Run all launches of a table in order, and return when they are done."""
        with self.lock:
            table[:, NEXT : DONE + 1] = 0
            if self.threads == 1 or not (table[:, PROGRAMS] > 1).any():
                self._lead(self._pool, table.ctypes.data, len(table))
                return
            self._start()
            self._job += 1
            self._state[0] = self._job
            for queue in self._queues:
                queue.put((self._job, table))
            with self._pinned():
                self._lead(self._pool, table.ctypes.data, len(table))

    def _start(self) -> None:
        """Start the threads, once in a process: a fork leaves them behind."""
        if self._process == os.getpid():
            return
        self._process = os.getpid()
        self._state[:] = 0
        self._queues = [SimpleQueue() for _ in range(self.threads - 1)]
        for number, queue in enumerate(self._queues, start=1):
            worker = threading.Thread(
                target=self._work, args=(number, queue), name=f"tritloom-{number}", daemon=True
            )
            worker.start()

    def _work(self, number: int, queue: SimpleQueue[tuple[int, Table]]) -> None:
        if self._pins:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, {self._pins[number]})
        while True:
            job, table = queue.get()
            self._join(self._pool, job, table.ctypes.data, len(table))

    @contextlib.contextmanager
    def _pinned(self) -> Any:
        """The calling thread on the first core while it works, and as before afterwards."""
        if not self._pins:
            yield
            return
        try:
            before = os.sched_getaffinity(0)
            os.sched_setaffinity(0, {self._pins[0]})
        except OSError:
            yield
            return
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)
