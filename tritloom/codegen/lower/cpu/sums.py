"""The sums of a dot: in registers where there are enough, in a private array otherwise."""

from __future__ import annotations

from tritloom.codegen.ir.dtypes import DType, i32
from tritloom.codegen.ir.machine import Register, index
from tritloom.codegen.lower.cpu.context import Context


class Sums:
    """`count` registers of `lanes` lanes that live through a loop.

    In registers they are the loop's state; more than `limit` of them lie in an array, and the state is empty.
    """

    def __init__(self, ctx: Context, dtype: DType, lanes: int, count: int, limit: int):
        self.ctx = ctx
        self.lanes = lanes
        self.count = count
        self._array = ctx.array("sums", dtype, count * lanes) if count > limit else None

    @property
    def in_memory(self) -> bool:
        """Whether they lie in an array."""
        return self._array is not None

    def _address(self, number: int) -> Register:
        """The place of a register. It is hidden from the optimiser, which would spread the array over registers."""
        b = self.ctx.b
        hidden = self.ctx.once("zero", lambda: b.cast(b.min(b.program(), b.const(0, i32)), index))
        return b.add(hidden, number * self.lanes)

    def begin(self, registers: list[Register]) -> list[Register]:
        """The state that holds these registers."""
        if self._array is None:
            return registers
        for number, register in enumerate(registers):
            self.ctx.b.store(self._array, self._address(number), register)
        return []

    def get(self, state: list[Register], number: int) -> Register:
        """One register of the state."""
        if self._array is None:
            return state[number]
        return self.ctx.b.load(self._array, self._address(number), self.lanes)

    def put(self, state: list[Register], number: int, register: Register) -> None:
        """Replace one register of the state."""
        if self._array is None:
            state[number] = register
        else:
            self.ctx.b.store(self._array, self._address(number), register)

    def all(self, state: list[Register]) -> list[Register]:
        """All registers of the state."""
        return [self.get(state, number) for number in range(self.count)]


def sum_lanes(ctx: Context, vectors: list[Register]) -> list[Register]:
    """The sums of the lanes of each of up to V vectors of V lanes, one in each lane of a vector, V - 1 adds in all.

    Each round halves the vectors: of two, the even blocks of lanes are added to the odd ones, side by side.
    """
    b, width = ctx.b, ctx.width
    done = []
    for first in range(0, len(vectors), width):
        part = vectors[first : first + width]
        part = part + [part[-1]] * (width - len(part))
        half = width // 2
        while half:
            merged = []
            for a, c in zip(part[: len(part) // 2], part[len(part) // 2 :], strict=True):
                low = [lane if not lane & half else lane - half + width for lane in range(width)]
                high = [place + half for place in low]
                merged.append(b.add(b.shuffle(a, c, low), b.shuffle(a, c, high)))
            part = merged
            half //= 2
        done.append(part[0])
    return done
