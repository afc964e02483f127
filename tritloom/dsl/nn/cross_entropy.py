"""The mean cross-entropy of a linear layer over a vocabulary, without the logits ever standing in memory as a whole."""

from __future__ import annotations

import math

import tritloom.dsl.functions as F
import tritloom.dsl.language as tl
from tritloom.codegen.errors import DTypeError, ShapeError, caller_location
from tritloom.codegen.ir.dtypes import bf16, f32, i32
from tritloom.dsl.kernel import kernel
from tritloom.dsl.tensor import Tensor, dot

_PIECE = 4096
"""Most rows of the vocabulary that one piece of the logits has."""
_LEAST_PIECES = 8


def linear_cross_entropy(
    h: Tensor, weight: Tensor, labels: Tensor, ignore: int = -100, precision: str = "f32"
) -> Tensor:
    """The mean of -log softmax(h weight^T)[label] over the rows whose label is not `ignore`; 0 if there is none.

    h is a float [T, H], weight a float [V, H], labels i32 [T]; the loss is an f32 scalar. Products are of f32 operands,
    or of bf16 ones with `precision="bf16"` or a bf16 weight; their sums are f32.

    The vocabulary is taken in pieces, each turned from logits into exponentials in place. The gradient of h is summed
    on the way, as attention to the weight's rows would be. That of the weight takes the normalised exponentials, so
    where it is wanted each piece is made a second time, from other cuts: no piece is kept from one pass to the other.
    The gradient is a constant to further derivatives.
    """
    _check(h, weight, labels, precision)
    wide = bf16 if precision == "bf16" or weight.dtype is bf16 else f32
    left, table = F.stop_gradient(h).cast(wide), F.stop_gradient(weight)
    pieces = max(_LEAST_PIECES, math.ceil(weight.shape[0] / _PIECE))
    normaliser, mixed = _forward(left, table, pieces)
    valid = labels != ignore
    ids = F.where(valid, labels, 0)
    count = F.maximum(valid.cast(f32).sum(), 1.0)
    wanted = F.gather(table, ids).cast(f32)
    picked = (left.cast(f32) * wanted.cast(wide).cast(f32)).sum(-1)
    loss = F.where(valid, normaliser - picked, 0).sum() / count
    share = F.where(valid, 1.0 / count, 0).reshape(-1, 1)
    dh = share * (mixed - wanted)
    dweight = _weight_gradient(left, table, ids, normaliser, share, pieces + 1)
    surrogate = (h.cast(f32) * dh).sum() + (weight.cast(f32) * dweight).sum()
    return F.straight_through(loss, surrogate)


def _check(h: Tensor, weight: Tensor, labels: Tensor, precision: str) -> None:
    if not h.dtype.is_float or not weight.dtype.is_float or labels.dtype is not i32:
        raise DTypeError(
            f"linear_cross_entropy of {h.dtype}, {weight.dtype} and labels of {labels.dtype}",
            hint="hidden states and weights are floats, labels are i32",
            location=caller_location(),
        )
    if precision not in ("f32", "bf16"):
        raise DTypeError(f"precision={precision!r}", hint='it is "f32" or "bf16"', location=caller_location())
    if h.ndim != 2 or weight.ndim != 2 or h.shape[1] != weight.shape[1] or labels.shape != h.shape[:1]:
        raise ShapeError(
            f"linear_cross_entropy of {list(h.shape)}, {list(weight.shape)} and labels {list(labels.shape)}",
            hint="they are [T, H], [V, H] and [T]",
            location=caller_location(),
        )


def _cuts(length: int, pieces: int) -> list[tuple[int, int]]:
    """Ranges of one size, a multiple of 16, that cover the length; the last may be shorter."""
    size = 16 * math.ceil(length / (16 * pieces))
    return [(start, min(start + size, length)) for start in range(0, length, size)]


@kernel
def exponentials(
    peak: f32["T"],
    total: f32["T"],
    logits: tl.inout(f32["T", "V"]),
    peak_after: tl.out(f32["T"]),
    total_after: tl.out(f32["T"]),
    shrink: tl.out(f32["T"]),
    BT: int = tl.tunable(4, 1, 8),
    BV: int = tl.tunable(64, 256),
) -> None:
    """A streaming softmax' step: logits become exp(logits - peak_after), and `shrink` is what earlier ones lose."""
    T, V = logits.shape
    t = tl.programs(T, BT)
    before = peak[t]
    highest = before
    for v in tl.blocks(V, BV):
        highest = tl.max(highest, tl.max(logits[t, v], v))
    factor = tl.exp(before - highest)
    added = total[t] * factor
    for v in tl.blocks(V, BV):
        p = tl.exp(logits[t, v] - highest)
        logits[t, v] = p
        added = added + tl.sum(p, v)
    peak_after[t] = highest
    total_after[t] = added
    shrink[t] = factor


def _forward(left: Tensor, table: Tensor, pieces: int) -> tuple[Tensor, Tensor]:
    """log sum exp of each row's logits, f32 [T]; and the mean of the table's rows that their softmax weighs, [T, H]."""
    rows = left.shape[0]
    peak, total = F.full((rows,), -1e30), F.zeros((rows,))
    mixed: Tensor | None = None
    for start, stop in _cuts(table.shape[0], pieces):
        piece = table[start:stop].cast(left.dtype)
        p, peak, total, shrink = exponentials(peak, total, dot(left, piece))
        part = dot(p.cast(left.dtype), piece.T)
        mixed = part if mixed is None else mixed * shrink.reshape(-1, 1) + part
    if mixed is None:
        raise ShapeError("an empty vocabulary")
    return peak + F.log(total), mixed / total.reshape(-1, 1)


def _weight_gradient(
    left: Tensor, table: Tensor, ids: Tensor, normaliser: Tensor, share: Tensor, pieces: int
) -> Tensor:
    """P^T h - (share * h added up by label), f32 [V, H], with P = softmax(logits) * share."""
    rows = []
    for start, stop in _cuts(table.shape[0], pieces):
        logits = dot(left, table[start:stop].cast(left.dtype))
        p = F.exp(logits - normaliser.reshape(-1, 1)) * share
        rows.append(dot(p.cast(left.dtype).T, left.T))
    return F.concat(rows) - F.scatter_add(ids, share * left.cast(f32), table.shape[0])
