"""Shared memory of a workgroup, and the barriers that its use needs.

All uses are short: a tile is written, the threads meet, it is read. So arrays are scratch, used again and again, and a
barrier is made only where an access could meet an earlier one of another thread. What a loop's earlier turn left behind
is not tracked: the first access in a turn waits. Buffers that one program both writes and reads are treated alike.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
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
        self._barriers = 0

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

    def read_together(self, memories: Sequence[Memory]) -> None:
        """Make a barrier if one of several reads must wait: all of them are still to come then."""
        for memory in (*memories, *memories):
            self.access(memory, "read")

    def barrier(self) -> None:
        """Wait for the other threads."""
        self.builder.barrier()
        self._barriers += 1
        self._pending = {}
        self._unknown = False

    @contextmanager
    def repeated(self) -> Iterator[None]:
        """Around a loop: what its earlier turn left behind is not known.

        A loop in which threads meet is followed by a barrier: the first access after it would want one as a rule, and
        PoCL (3.1) takes wrong branches in code that follows such a loop without one.
        """
        before, barriers = ({m: set(k) for m, k in self._pending.items()}, self._unknown), self._barriers
        self._unknown = True
        yield
        if self._barriers > barriers:
            self.barrier()
        else:
            self._pending, self._unknown = before

    @contextmanager
    def branches(self) -> Iterator[Callable[[], None]]:
        """Around a condition; what it yields is called between the two bodies. See `repeated` for the barrier."""
        before, unknown, barriers = (
            {m: set(k) for m, k in self._pending.items()},
            self._unknown,
            self._barriers,
        )
        first: dict[Memory, set[Access]] = {}

        def second() -> None:
            first.update(self._pending)
            self._pending, self._unknown = {m: set(k) for m, k in before.items()}, unknown

        yield second
        if self._barriers > barriers:
            self.barrier()
        else:
            for memory, accesses in first.items():
                self._pending.setdefault(memory, set()).update(accesses)


def check_budget(shared: SharedMemory, budget: int, kernel: str, blocks: str) -> None:
    """Raise UnsupportedError if the arrays do not fit."""
    if shared.nbytes > budget:
        raise UnsupportedError(
            f"`{kernel}` needs {shared.nbytes} bytes of shared memory, the target has {budget}",
            hint=f"make its blocks smaller ({blocks}), or powers of two, whose tiles lie in fewer bytes",
        )
