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
_LEAST_PIECES = 4


def linear_cross_entropy(h: Tensor, weight: Tensor, labels: Tensor, ignore: int = -100) -> Tensor:
    """The mean of -log softmax(h weight^T)[label] over the rows whose label is not `ignore`; 0 if there is none.

    h is a float [T, H], weight a float [V, H], labels i32 [T]; the loss is an f32 scalar. The vocabulary is taken in
    pieces: the forward pass keeps one number a row, the backward pass makes each piece of the logits again and adds its
    share to the gradients. The two passes cut the vocabulary at different places, so that no piece of the first is
    kept for the second.
    """
    _check(h, weight, labels)
    valid = labels != ignore
    ids = F.where(valid, labels, 0)
    count = F.maximum(valid.cast(f32).sum(), 1.0)
    operand = h.cast(weight.dtype)
    pieces = max(_LEAST_PIECES, math.ceil(weight.shape[0] / _PIECE))
    normaliser = _log_normaliser(F.stop_gradient(operand), F.stop_gradient(weight), pieces)
    wanted = F.gather(weight, ids).cast(f32)
    picked = (operand.cast(f32) * wanted).sum(-1)
    loss = F.where(valid, normaliser - picked, 0).sum() / count
    share = F.where(valid, 1.0 / count, 0)
    surrogate = _surrogate(h, weight, operand, ids, wanted, normaliser, share, pieces + 1)
    return F.straight_through(loss, surrogate)


def _check(h: Tensor, weight: Tensor, labels: Tensor) -> None:
    if not h.dtype.is_float or not weight.dtype.is_float or labels.dtype is not i32:
        raise DTypeError(
            f"linear_cross_entropy of {h.dtype}, {weight.dtype} and labels of {labels.dtype}",
            hint="hidden states and weights are floats, labels are i32",
            location=caller_location(),
        )
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
def log_sum_exp_onward(
    before: f32["T"],
    logits: f32["T", "V"],
    after: tl.out(f32["T"]),
    BT: int = tl.tunable(4, 1, 8),
    BV: int = tl.tunable(64, 256),
) -> None:
    """after = log(exp(before) + the sum of exp(logits) of the row), streaming over the row."""
    T, V = logits.shape
    t = tl.programs(T, BT)
    peak = before[t]
    total = tl.full(t, value=1.0)
    for v in tl.blocks(V, BV):
        row = logits[t, v]
        higher = tl.max(peak, tl.max(row, v))
        total = total * tl.exp(peak - higher) + tl.sum(tl.exp(row - higher), v)
        peak = higher
    after[t] = peak + tl.log(total)


def _log_normaliser(operand: Tensor, weight: Tensor, pieces: int) -> Tensor:
    """log sum exp of each row's logits, f32 [T]. Its kernel keeps each piece from being fused with the next."""
    total = F.full((operand.shape[0],), -1e30)
    for start, stop in _cuts(weight.shape[0], pieces):
        total = log_sum_exp_onward(total, dot(operand, weight[start:stop]))
    return total


def _surrogate(
    h: Tensor,
    weight: Tensor,
    operand: Tensor,
    ids: Tensor,
    wanted: Tensor,
    normaliser: Tensor,
    share: Tensor,
    pieces: int,
) -> Tensor:
    """A scalar, linear in h and weight, whose gradients are those of the loss.

    With P = softmax(logits) * share, one row a token: dh = P weight - share * weight[label] and
    dweight = P^T h - (share * h added up by label).
    """
    wide = bf16 if weight.dtype is bf16 else f32
    column = share.reshape(-1, 1)
    left, table = F.stop_gradient(operand), F.stop_gradient(weight)
    dh = -(column * F.stop_gradient(wanted))
    rows = []
    for start, stop in _cuts(weight.shape[0], pieces):
        piece = table[start:stop]
        p = F.exp(dot(left, piece) - normaliser.reshape(-1, 1)) * column
        p = p.cast(wide)
        dh = dh + dot(p, piece.cast(wide).T)
        rows.append(dot(p.T, left.cast(wide).T))
    dweight = F.concat(rows) - F.scatter_add(ids, column * left.cast(f32), weight.shape[0])
    to_h = (h.cast(f32) * F.stop_gradient(dh)).sum()
    return to_h + (weight.cast(f32) * F.stop_gradient(dweight)).sum()
