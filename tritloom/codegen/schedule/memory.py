"""Places a program's intermediate tensors in one arena: tensors whose lives do not meet may share bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ALIGNMENT = 256
"""Of every tensor in the arena, in bytes: what sub-buffers of GPUs want at most."""


@dataclass(frozen=True, slots=True)
class Life:
    """A tensor of `nbytes` that is written first by launch `first` and read last by launch `final`."""

    nbytes: int
    first: int
    final: int


def lives(launches: Sequence[Sequence[int]], sizes: Mapping[int, int]) -> dict[int, Life]:
    """The lives of the tensors in `sizes` (number to bytes), from the tensors of each launch."""
    first: dict[int, int] = {}
    final: dict[int, int] = {}
    for step, tensors in enumerate(launches):
        for tensor in tensors:
            if tensor in sizes:
                first.setdefault(tensor, step)
                final[tensor] = step
    return {tensor: Life(sizes[tensor], first[tensor], final[tensor]) for tensor in first}


def place(tensors: Mapping[int, Life], alignment: int = ALIGNMENT) -> tuple[dict[int, int], int]:
    """(offset of each tensor, bytes of the arena). Each tensor takes the smallest gap that holds it."""
    starting: dict[int, list[int]] = {}
    ending: dict[int, list[int]] = {}
    for tensor, life in tensors.items():
        starting.setdefault(life.first, []).append(tensor)
        ending.setdefault(life.final, []).append(tensor)
    offsets: dict[int, int] = {}
    gaps: list[tuple[int, int]] = []
    """Free (offset, bytes) below `end`, in order."""
    end = 0
    for step in sorted({*starting, *ending}):
        for tensor in sorted(starting.get(step, ()), key=lambda t: -tensors[t].nbytes):
            size = _rounded(tensors[tensor].nbytes, alignment)
            fitting = [gap for gap in gaps if gap[1] >= size]
            if fitting:
                gap = min(fitting, key=lambda g: (g[1], g[0]))
                place_in = gaps.index(gap)
                offsets[tensor] = gap[0]
                rest = (gap[0] + size, gap[1] - size)
                gaps[place_in : place_in + 1] = [rest] if rest[1] else []
            elif gaps and gaps[-1][0] + gaps[-1][1] == end:
                offsets[tensor] = gaps.pop()[0]
                end = offsets[tensor] + size
            else:
                offsets[tensor] = end
                end += size
        for tensor in ending.get(step, ()):
            gaps = _freed(gaps, offsets[tensor], _rounded(tensors[tensor].nbytes, alignment))
    return offsets, end


def _rounded(nbytes: int, alignment: int) -> int:
    return -(-max(nbytes, 1) // alignment) * alignment


def _freed(gaps: list[tuple[int, int]], offset: int, size: int) -> list[tuple[int, int]]:
    """The gaps with one more, neighbours joined."""
    joined: list[tuple[int, int]] = []
    for start, length in sorted([*gaps, (offset, size)]):
        if joined and joined[-1][0] + joined[-1][1] == start:
            joined[-1] = (joined[-1][0], joined[-1][1] + length)
        else:
            joined.append((start, length))
    return joined
