"""Shared memory of a workgroup, and the barriers that its use needs.

All uses are short: a tile is written, the threads meet, it is read. So arrays are scratch, used again and again, and a
barrier is made only where an access could meet an earlier one of another thread. What a loop's earlier turn left behind
is not tracked: the first access in a turn waits. Buffers that one program both writes and reads are treated alike.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from tritloom.codegen.errors import UnsupportedError
from tritloom.codegen.ir.dtypes import DType
from tritloom.codegen.ir.machine import Memory, Space
from tritloom.codegen.lower.gpu.builder import ScopedBuilder

Access = tuple[str, Hashable]
"""Read or write, and a key: accesses of one key, not None, are by one thread an element."""
ALIGNMENT = 16
"""Bytes; elements of an array are read in vectors of up to so many."""


class SharedMemory:
    """The scratch arrays of one function, and its barriers."""

    def __init__(self, builder: ScopedBuilder, slots: int):
        self.builder = builder
        self.slots = slots
        """How many arrays of one dtype are used in turn before one is used again (which costs a barrier)."""
        self.arrays: dict[DType, list[Memory]] = {}
        self._pending: dict[Memory, set[Access]] = {}
        """Accesses since the last barrier."""
        self._unknown = False

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        sizes = (m.dtype.nbytes * (m.length or 0) for group in self.arrays.values() for m in group)
        return sum(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes)

    def scratch(self, dtype: DType, length: int, taken: tuple[Memory, ...] = ()) -> Memory:
        """An array of at least `length` elements that may be written now; `taken` are still in use."""
        group = self.arrays.setdefault(dtype, [])
        free = [memory for memory in group if memory not in taken]
        clean = [memory for memory in free if not self._pending.get(memory)]
        if clean and not self._unknown:
            memory = clean[0]
        elif free and len(group) >= self.slots:
            memory = free[0]
        else:
            name = f"scratch_{dtype.name}" + (f"_{len(group)}" if group else "")
            memory = self.builder.array(name, dtype, Space.SHARED, length)
            group.append(memory)
        memory.length = max(memory.length or 0, length)
        self.access(memory, "write")
        return memory

    def access(self, memory: Memory, kind: str, key: Hashable = None) -> None:
        """Make a barrier if an access ("read" or "write") to the memory must wait for an earlier one."""
        before = self._pending.setdefault(memory, set())
        entry = (kind, key)
        conflicts = any(
            "write" in (kind, earlier_kind) and (key is None or earlier_key != key)
            for earlier_kind, earlier_key in before
        )
        if conflicts or self._unknown:
            self.barrier()
        self._pending.setdefault(memory, set()).add(entry)

    def barrier(self) -> None:
        """Wait for the other threads."""
        self.builder.barrier()
        self._pending = {}
        self._unknown = False

    @contextmanager
    def repeated(self) -> Iterator[None]:
        """Of a loop's body: what its earlier turn and the code before it left behind is not known."""
        self._unknown = True
        yield
        self._unknown = True

    def branches(self) -> Branches:
        """For the bodies of a condition."""
        return Branches(self)


class Branches:
    """Keeps what is pending at the start of a condition, for its second body and for the code after it."""

    def __init__(self, shared: SharedMemory):
        self._shared = shared
        self._before = ({m: set(k) for m, k in shared._pending.items()}, shared._unknown)
        self._after: tuple[dict[Memory, set[Access]], bool] | None = None

    def second(self) -> None:
        """The first body ends here and the other begins."""
        self._after = (self._shared._pending, self._shared._unknown)
        pending, self._shared._unknown = self._before
        self._shared._pending = {m: set(k) for m, k in pending.items()}

    def end(self) -> None:
        """The second body ends here."""
        if self._after is None:
            raise RuntimeError("a condition ends before its second body")
        pending, unknown = self._after
        for memory, kinds in pending.items():
            self._shared._pending.setdefault(memory, set()).update(kinds)
        self._shared._unknown = self._shared._unknown or unknown


def check_budget(shared: SharedMemory, budget: int, kernel: str, blocks: str) -> None:
    """Raise UnsupportedError if the arrays do not fit."""
    if shared.nbytes > budget:
        raise UnsupportedError(
            f"`{kernel}` needs {shared.nbytes} bytes of shared memory, the target has {budget}",
            hint=f"make its blocks smaller ({blocks})",
        )
