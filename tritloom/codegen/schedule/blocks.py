"""How large the tiles of a fused kernel are: one table, by what the target is and what the kernel does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tritloom.codegen.ir.dtypes import DType
from tritloom.codegen.schedule.expressions import Range
from tritloom.codegen.target import Target

MAP, ROW, COLUMN = "map", "row", "column"
INNER_DOT, OUTER_DOT, TERNARY_DOT = "inner dot", "outer dot", "ternary dot"
"""A product of operands that both lie along the sum (each result is a vector of partial sums), any other, and one with
packed ternary weights (a result's columns are the lanes)."""
BYTE_MATRIX_DOT, HALF_MATRIX_DOT, WORD_MATRIX_DOT = (
    f"matrix dot of {operands}" for operands in ("bytes", "halves", "words")
)
"""A product that the target's matrix units make, of operands of one, two or four bytes."""
_MATRIX_DOTS = {BYTE_MATRIX_DOT: 1, HALF_MATRIX_DOT: 2, WORD_MATRIX_DOT: 4}


@dataclass(frozen=True, slots=True)
class Blocks:
    """Largest blocks of a kind of kernel: of its innermost row range, of its innermost column range, of its loops."""

    rows: int
    columns: int
    loop: int


def dot_kind(target: Target, left: DType, right: DType, *, inner: bool = False) -> str:
    """The kind of a product of these dtypes; `inner`: both operands lie along the sum."""
    if any(unit.operand is left and (right.is_ternary or right is left) for unit in target.matrices):
        return next(kind for kind, nbytes in _MATRIX_DOTS.items() if nbytes == left.nbytes)
    if right.is_ternary:
        return TERNARY_DOT
    return INNER_DOT if inner else OUTER_DOT


def table(target: Target, kind: str, height: int, width: int = 1) -> Blocks:
    """The blocks for a kind of kernel with `height` rows of `width` columns."""
    if kind in _MATRIX_DOTS:
        return _matrix(target, _MATRIX_DOTS[kind], height, width)
    return _gpu(target, kind, height) if target.is_gpu else _cpu(target, kind, height)


def _cpu(target: Target, kind: str, height: int) -> Blocks:
    """Of dots: as many sums as there are registers, less those of the operands; of few rows more columns."""
    lanes = max(target.vector_bits // 32, 1)
    many = target.vector_registers >= 32
    if kind == TERNARY_DOT:
        rows = min(height, 8 if many else 4)
        few = {1: 8, 2: 6, 3: 4, 4: 4} if many else {1: 4, 2: 3}
        return Blocks(rows, few.get(rows, 3 if many else 2) * lanes, 64)
    if kind == INNER_DOT:
        return Blocks(min(height, 4), 6 if many else 3, 8 * lanes)
    if kind == OUTER_DOT:
        return Blocks(min(height, 8 if many else 4), (3 if many else 2) * lanes, 32)
    entries: Mapping[str, Blocks] = {
        MAP: Blocks(rows=1, columns=8 * lanes, loop=64),
        ROW: Blocks(rows=1, columns=64, loop=4 * lanes),
        COLUMN: Blocks(rows=1, columns=8 * lanes, loop=1),
    }
    return entries[kind]


_GPU: Mapping[str, Blocks] = {
    MAP: Blocks(rows=1, columns=1024, loop=256),
    ROW: Blocks(rows=1, columns=256, loop=256),
    COLUMN: Blocks(rows=1, columns=64, loop=8),
    INNER_DOT: Blocks(rows=32, columns=64, loop=32),
    OUTER_DOT: Blocks(rows=32, columns=64, loop=32),
    TERNARY_DOT: Blocks(rows=32, columns=64, loop=64),
}


def _gpu(target: Target, kind: str, height: int) -> Blocks:
    most = _GPU[kind]
    if target.few_registers and kind in (INNER_DOT, OUTER_DOT, TERNARY_DOT):
        most = Blocks(most.rows // 2, most.columns // 2, most.loop // 2)
    return Blocks(min(most.rows, fit(height, most.rows)), most.columns, most.loop)


_MATRIX_BLOCKS = (Blocks(128, 128, 64), Blocks(64, 64, 128), Blocks(32, 64, 128), Blocks(16, 64, 256))
"""Fewer rows have longer loops: what a step costs beside its products is then shared by more of them. Measured on an
H100: docs/results/vulkan.md."""
_BUSY = 128
"""Programs that keep a GPU with matrix units busy: with fewer, smaller blocks are worth their additional reads."""
_PAD = 16
"""Bytes between rows in shared memory."""
_EXCHANGE = 8 << 10
"""Bytes of shared memory through which sums leave the matrices."""


def _matrix(target: Target, nbytes: int, height: int, width: int) -> Blocks:
    """The largest blocks of which there are enough, whose sums fit into the registers of a workgroup's subgroups and
    whose operands fit into shared memory."""
    room = 8 * target.subgroup_size * target.registers // 2
    for blocks in _MATRIX_BLOCKS:
        programs = -(-height // blocks.rows) * -(-width // blocks.columns)
        enough = programs >= _BUSY and blocks.rows < 2 * height
        if blocks is _MATRIX_BLOCKS[-1] or (enough and blocks.rows * blocks.columns <= room):
            break
    loop = blocks.loop
    while (
        loop > 32
        and (blocks.rows + blocks.columns) * (nbytes * loop + _PAD) + _EXCHANGE > target.shared_bytes
    ):
        loop //= 2
    return replace(blocks, loop=loop)


_ROWS = frozenset({"m", "row"})
_COLUMNS = frozenset({"n", "lane"})


def choose(kind: str, program: Sequence[Range], loops: Sequence[Range], target: Target) -> dict[Range, int]:
    """The block of each range: the table's, or less where the range needs less.

    Of several ranges of one role only the innermost has a block of more than 1.
    """
    height = max((one.extent for one in program if one.role in _ROWS), default=1)
    width = max((one.extent for one in program if one.role in _COLUMNS), default=1)
    most = table(target, kind, height, width)
    found = dict.fromkeys(program, 1)
    for role, block in ((_ROWS, most.rows), (_COLUMNS, most.columns)):
        inner = [one for one in program if one.role in role]
        if inner:
            one = max(inner, key=lambda r: (r.extent > 1, r.place, r.serial))
            found[one] = block if kind in _MATRIX_DOTS else fit(one.extent, block)
    for one in loops:
        found[one] = fit(one.extent, most.loop)
    return found


def fit(extent: int, block: int) -> int:
    """The block for a range that may be shorter than the largest block."""
    return min(block, 1 << (extent - 1).bit_length())
