"""How large the tiles of a fused kernel are: one table, by what the target is and what the kernel does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tritloom.codegen.schedule.expressions import Range
from tritloom.codegen.target import Target


@dataclass(frozen=True, slots=True)
class Blocks:
    """Largest blocks of a kind of kernel: of the innermost range of its rows, of its columns, of its loops."""

    rows: int
    columns: int
    loop: int


_CPU: Mapping[str, Blocks] = {
    "map": Blocks(rows=1, columns=256, loop=64),
    "row": Blocks(rows=1, columns=64, loop=64),
    "column": Blocks(rows=1, columns=64, loop=1),
    "dot": Blocks(rows=4, columns=64, loop=32),
    "ternary dot": Blocks(rows=8, columns=48, loop=64),
    "ternary dot, few rows": Blocks(rows=4, columns=64, loop=64),
}

_GPU: Mapping[str, Blocks] = {
    "map": Blocks(rows=1, columns=1024, loop=256),
    "row": Blocks(rows=1, columns=256, loop=256),
    "column": Blocks(rows=1, columns=64, loop=8),
    "dot": Blocks(rows=32, columns=64, loop=32),
    "ternary dot": Blocks(rows=32, columns=64, loop=64),
    "ternary dot, few rows": Blocks(rows=4, columns=64, loop=64),
}

_ROWS = frozenset({"m", "row"})
_COLUMNS = frozenset({"n", "lane"})


def table(target: Target) -> Mapping[str, Blocks]:
    """The table of a target: one for processors with vector registers, one for those with threads."""
    return _CPU if target.emitter in ("llvm", "none") else _GPU


def choose(kind: str, program: Sequence[Range], loops: Sequence[Range], target: Target) -> dict[Range, int]:
    """The block of each range. Blocks are powers of two (or the table's own), no larger than the range needs.

    Of several ranges of one role only the innermost has a block of more than 1.
    """
    entries = table(target)
    height = max((one.extent for one in program if one.role in _ROWS), default=1)
    if kind == "ternary dot" and height <= entries["ternary dot, few rows"].rows:
        kind = "ternary dot, few rows"
    most = entries[kind]
    found = dict.fromkeys(program, 1)
    for role, block in ((_ROWS, most.rows), (_COLUMNS, most.columns)):
        inner = [one for one in program if one.role in role]
        if inner:
            one = max(inner, key=lambda r: (r.extent > 1, r.place, r.serial))
            found[one] = fit(one.extent, block)
    for one in loops:
        found[one] = fit(one.extent, most.loop)
    return found


def fit(extent: int, block: int) -> int:
    """The block for a range that may be shorter than the largest block."""
    return min(block, 1 << (extent - 1).bit_length())
