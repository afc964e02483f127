"""Pieces of one stretch of memory never overlap, and what is given back is whole again."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tritloom.backends.free_list import FreeList

SIZE = 4096


@given(
    alignment=st.sampled_from([1, 64, 256]),
    steps=st.lists(st.tuples(st.booleans(), st.integers(1, SIZE + 1), st.integers(0, 99)), max_size=60),
)
def test_pieces_are_apart_and_holes_become_one(alignment: int, steps: list[tuple[bool, int, int]]) -> None:
    pieces = FreeList(SIZE, alignment)
    taken: list[tuple[int, int]] = []
    for give, nbytes, which in steps:
        if give and taken:
            pieces.give(*taken.pop(which % len(taken)))
        else:
            offset = pieces.take(nbytes)
            if offset is None:
                assert all(length < pieces.rounded(nbytes) for _, length in pieces.holes())
                continue
            assert offset % alignment == 0
            assert offset + nbytes <= SIZE
            assert all(offset + nbytes <= start or start + n <= offset for start, n in taken)
            taken.append((offset, nbytes))
        holes = pieces.holes()
        assert pieces.free == SIZE - sum(pieces.rounded(n) for _, n in taken)
        assert all(start + length < following for (start, length), (following, _) in pairwise(holes))
    for piece in taken:
        pieces.give(*piece)
    assert pieces.empty
    assert pieces.holes() == [(0, SIZE)]


def test_the_smallest_hole_that_fits_is_taken() -> None:
    pieces = FreeList(1024, 64)
    first, second, third, _ = (pieces.take(n) for n in (256, 64, 128, 64))
    assert (first, second, third) == (0, 256, 320)
    pieces.give(0, 256)
    pieces.give(320, 128)
    assert pieces.take(100) == 320
    assert pieces.take(256) == 0
    assert pieces.take(2000) is None
