"""Pieces of one stretch of memory: which are free, and which of them to give."""

from __future__ import annotations

from bisect import bisect_left


class FreeList:
    """Offsets within `size` bytes. The smallest hole that fits is taken; neighbouring holes become one."""

    def __init__(self, size: int, alignment: int):
        self.size = size
        self.alignment = alignment
        self._offsets = [0] if size else []
        self._lengths = [size] if size else []

    def rounded(self, nbytes: int) -> int:
        """The bytes that a piece of `nbytes` takes up."""
        return max(-(-nbytes // self.alignment) * self.alignment, self.alignment)

    def take(self, nbytes: int) -> int | None:
        """The offset of a new piece, a multiple of the alignment, or None where no hole is large enough."""
        wanted = self.rounded(nbytes)
        best = -1
        for i, length in enumerate(self._lengths):
            if length >= wanted and (best < 0 or length < self._lengths[best]):
                best = i
        if best < 0:
            return None
        offset = self._offsets[best]
        if self._lengths[best] == wanted:
            del self._offsets[best], self._lengths[best]
        else:
            self._offsets[best] += wanted
            self._lengths[best] -= wanted
        return offset

    def give(self, offset: int, nbytes: int) -> None:
        """Make a piece free that `take` gave for `nbytes`."""
        length = self.rounded(nbytes)
        i = bisect_left(self._offsets, offset)
        self._offsets.insert(i, offset)
        self._lengths.insert(i, length)
        for first in (i, i - 1):
            if 0 <= first < len(self._offsets) - 1:
                if self._offsets[first] + self._lengths[first] == self._offsets[first + 1]:
                    self._lengths[first] += self._lengths[first + 1]
                    del self._offsets[first + 1], self._lengths[first + 1]

    @property
    def free(self) -> int:
        """Bytes that are free."""
        return sum(self._lengths)

    @property
    def empty(self) -> bool:
        """Whether nothing is taken."""
        return self.free == self.size

    def holes(self) -> list[tuple[int, int]]:
        """Offset and length of each hole, in order."""
        return list(zip(self._offsets, self._lengths, strict=True))
