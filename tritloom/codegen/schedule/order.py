"""The order of launches: operands first; of what is ready what frees memory, else what is needed first."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Step:
    """A launch to be ordered: the tensors that it reads and makes, by any name, with their bytes in the arena."""

    reads: frozenset[Hashable]
    makes: Mapping[Hashable, int]
    after: set[int] = field(default_factory=set)
    """Further steps that must come first."""


def order(steps: Sequence[Step], kept: Iterable[Hashable] = ()) -> list[int]:
    """The numbers of the steps in the order in which to run them. What is in `kept` is never freed."""
    maker = {made: number for number, step in enumerate(steps) for made in step.makes}
    sizes = {made: nbytes for step in steps for made, nbytes in step.makes.items()}
    for made in kept:
        sizes[made] = 0
    before = [{maker[r] for r in step.reads if r in maker} | step.after for step in steps]
    followers: list[list[int]] = [[] for _ in steps]
    for number, earlier in enumerate(before):
        for other in earlier:
            followers[other].append(number)
    waiting = [len(earlier) for earlier in before]
    readers: dict[Hashable, int] = {}
    for step in steps:
        for read in step.reads:
            readers[read] = readers.get(read, 0) + 1
    ready = [number for number, count in enumerate(waiting) if count == 0]
    found: list[int] = []

    needed = _needed(before, followers)

    def urgency(number: int) -> tuple[int, ...]:
        step = steps[number]
        freed = sum(sizes.get(read, 0) for read in step.reads if readers[read] == 1)
        growth = sum(sizes[made] for made in step.makes) - freed
        return (0, growth, number) if growth <= 0 else (1, needed[number], growth, number)

    while ready:
        number = min(ready, key=urgency)
        ready.remove(number)
        found.append(number)
        for read in steps[number].reads:
            readers[read] -= 1
        for follower in followers[number]:
            waiting[follower] -= 1
            if waiting[follower] == 0:
                ready.append(follower)
    return found


def _needed(before: Sequence[set[int]], followers: Sequence[Sequence[int]]) -> list[int]:
    """For each step the least number of steps in a row that must come before one that reads its results."""
    depth = [0] * len(before)
    waiting = [len(earlier) for earlier in before]
    ready = [number for number, count in enumerate(waiting) if count == 0]
    for number in ready:
        for follower in followers[number]:
            depth[follower] = max(depth[follower], depth[number] + 1)
            waiting[follower] -= 1
            if waiting[follower] == 0:
                ready.append(follower)
    return [min((depth[f] for f in later), default=0) for later in followers]
