"""Which launches wait for which: by the bytes that they read and write."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tritloom.backends.vulkan_queue import Hazards

ranges = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 8)).map(lambda r: (r[0], r[0] + r[1])), max_size=3
)


@given(st.lists(st.tuples(ranges, ranges), max_size=25))
def test_barriers_stand_where_bytes_meet_and_nowhere_else(
    launches: list[tuple[list[tuple[int, int]], list[tuple[int, int]]]],
) -> None:
    hazards = Hazards()
    read: set[int] = set()
    written: set[int] = set()
    for reads, writes in launches:
        r = {byte for a, b in reads for byte in range(a, b)}
        w = {byte for a, b in writes for byte in range(a, b)}
        expected = bool(written & (r | w) or read & w)
        assert hazards.next(reads, writes) == expected
        if expected:
            read, written = set(), set()
        read |= r
        written |= w


def test_neighbours_do_not_meet() -> None:
    hazards = Hazards()
    assert not hazards.next([], [(0, 64)])
    assert not hazards.next([(64, 128)], [(128, 192)])
    assert hazards.next([(191, 192)], [])
