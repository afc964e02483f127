"""Causal attention as three kernels that stream over the keys, so that no matrix of scores ever stands in memory.

The forward pass keeps one number a row, the logarithm of the softmax' sum; the backward pass makes each block of the
probabilities again from it. Dao et al., "FlashAttention", arXiv:2205.14135.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import tritloom.dsl.functions as F
import tritloom.dsl.language as tl
from tritloom.codegen.errors import DTypeError, ShapeError, caller_location
from tritloom.codegen.ir.dtypes import f32, i32
from tritloom.codegen.target import Target
from tritloom.dsl.kernel import GradientContext, kernel
from tritloom.dsl.tensor import Tensor

_WIDE = 64
"""Numbers of a head for which the usual blocks were chosen."""
_ROOM = 48 << 10
"""Shared memory, and registers of a thread, with which the usual blocks do for twice as many too."""
_REGISTERS = 128


@kernel
def attention(
    q: f32["B", "T", "H", "D"],
    k: f32["B", "S", "G", "D"],
    v: f32["B", "S", "G", "D"],
    offset: i32[1],
    scale: f32,
    out: tl.out(f32["B", "T", "H", "D"]),
    normaliser: tl.out(f32["B", "T", "H"]),
    BT: int = tl.tunable(16, 32, 8, 4, 2, 1),
    BS: int = tl.tunable(32, 64, 16),
) -> None:
    """Streaming softmax: a program has some queries of one head."""
    B, T, H, D = q.shape
    _, S, G, _ = k.shape
    b = tl.programs(B, 1)
    h = tl.programs(H, 1)
    t = tl.programs(T, BT)
    d = tl.whole(D)
    g = h // (H // G)
    position = t + offset[0]
    query = q[b, t, h, d] * scale
    peak = tl.full(b, t, h, value=-1e30)
    total = tl.zeros(b, t, h)
    mixed = tl.zeros(b, t, h, d)
    for s in tl.blocks(S, BS, stop=tl.max(position, t) + 1):
        scores = tl.where(s <= position, tl.dot(query, k[b, s, g, d], d), -1e30)
        higher = tl.max(peak, tl.max(scores, s))
        shrink = tl.exp(peak - higher)
        p = tl.where(s <= position, tl.exp(scores - higher), 0.0)
        total = total * shrink + tl.sum(p, s)
        mixed = mixed * shrink + tl.dot(p, v[b, s, g, d], s)
        peak = higher
    out[b, t, h, d] = mixed / total
    normaliser[b, t, h] = peak + tl.log(total)


@kernel
def attention_query_gradient(
    q: f32["B", "T", "H", "D"],
    k: f32["B", "S", "G", "D"],
    v: f32["B", "S", "G", "D"],
    offset: i32[1],
    dout: f32["B", "T", "H", "D"],
    normaliser: f32["B", "T", "H"],
    shift: f32["B", "T", "H"],
    scale: f32,
    dq: tl.out(f32["B", "T", "H", "D"]),
    BT: int = tl.tunable(16, 32, 8, 4, 2, 1),
    BS: int = tl.tunable(32, 64, 16),
) -> None:
    """dq; `shift` is the sum of dout * out over d, less the gradient of the normaliser."""
    B, T, H, D = q.shape
    _, S, G, _ = k.shape
    b = tl.programs(B, 1)
    h = tl.programs(H, 1)
    t = tl.programs(T, BT)
    d = tl.whole(D)
    g = h // (H // G)
    position = t + offset[0]
    query = q[b, t, h, d] * scale
    upstream = dout[b, t, h, d]
    level = normaliser[b, t, h]
    mean = shift[b, t, h]
    gradient = tl.zeros(b, t, h, d)
    for s in tl.blocks(S, BS, stop=tl.max(position, t) + 1):
        keys = k[b, s, g, d]
        p = tl.where(s <= position, tl.exp(tl.dot(query, keys, d) - level), 0.0)
        change = p * (tl.dot(upstream, v[b, s, g, d], d) - mean)
        gradient = gradient + tl.dot(change, keys, s)
    dq[b, t, h, d] = gradient * scale


@kernel
def attention_key_gradient(
    q: f32["B", "T", tl.static("H"), "D"],
    k: f32["B", "S", tl.static("G"), "D"],
    v: f32["B", "S", "G", "D"],
    offset: i32[1],
    dout: f32["B", "T", "H", "D"],
    normaliser: f32["B", "T", "H"],
    shift: f32["B", "T", "H"],
    scale: f32,
    dk: tl.out(f32["B", "S", "G", "D"]),
    dv: tl.out(f32["B", "S", "G", "D"]),
    BT: int = tl.tunable(32, 16, 64),
    BS: int = tl.tunable(16, 32, 8),
) -> None:
    """dk and dv: a program has some keys of one head, and visits all queries that see them."""
    B, T, H, D = q.shape
    _, S, G, _ = k.shape
    b = tl.programs(B, 1)
    g = tl.programs(G, 1)
    s = tl.programs(S, BS)
    d = tl.whole(D)
    keys = k[b, s, g, d] * scale
    values = v[b, s, g, d]
    first = tl.max(tl.min(s, s) - offset[0], 0)
    to_keys = tl.zeros(b, s, g, d)
    to_values = tl.zeros(b, s, g, d)
    for r in tl.blocks(H // G, 1):
        h = g * (H // G) + r
        for t in tl.blocks(T, BT, start=first):
            query = q[b, t, h, d]
            upstream = dout[b, t, h, d]
            seen = s <= t + offset[0]
            p = tl.where(seen, tl.exp(tl.dot(query, keys, d) - normaliser[b, t, h]), 0.0)
            change = p * (tl.dot(upstream, values, d) - shift[b, t, h])
            to_values = to_values + tl.sum(tl.dot(p, upstream, t), r)
            to_keys = to_keys + tl.sum(tl.dot(change, query, t), r)
    dk[b, s, g, d] = to_keys * scale
    dv[b, s, g, d] = to_values


def _blocks(rows: int, columns: int) -> Callable[[Mapping[str, int], Target], dict[str, int]]:
    """Queries and keys that a program holds: a half or a quarter of `rows` and `columns` where a thread has few
    registers, half the queries of wide heads where there is little room, and no more queries than there are."""

    def choose(sizes: Mapping[str, int], target: Target) -> dict[str, int]:
        share = 1 if target.registers > 64 else 2 if target.registers > 32 else 4
        cramped = target.max_threads > 1 and (target.registers < _REGISTERS or target.shared_bytes < _ROOM)
        narrower = 2 if cramped and sizes.get("D", 1) > _WIDE else 1
        queries = rows // share // narrower
        return {"BT": min(queries, 1 << (sizes.get("T", queries) - 1).bit_length()), "BS": columns // share}

    return choose


attention.defaults(_blocks(16, 32))
attention_query_gradient.defaults(_blocks(16, 32))
attention_key_gradient.defaults(_blocks(32, 16))


@attention.vjp
def _(context: GradientContext, dout: Tensor, dnormaliser: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    shift = (dout * context.out).sum(-1) - dnormaliser
    given = (context.q, context.k, context.v, context.offset, dout, context.normaliser, shift, context.scale)
    dk, dv = attention_key_gradient(*given)
    return attention_query_gradient(*given), dk, dv


def causal_attention(q: Tensor, k: Tensor, v: Tensor, offset: Tensor | None = None) -> Tensor:
    """softmax(q k^T / sqrt(D)) v, a query seeing the keys up to its position: f32 [B, T, H, D].

    q is [B, T, H, D]; k and v are [B, S, G, D], H a multiple of G: each key head serves H / G query heads in a row.
    Query t stands at position t, so S = T; with `offset` (i32 [1]) at position offset + t, for a cache of S keys
    whose rows past the last position are not read (offset + T is S at most). All floats; computed in f32.
    """
    _check(q, k, v, offset)
    start = F.zeros((1,), i32) if offset is None else offset
    results: tuple[Tensor, Tensor] = attention(
        q.cast(f32),
        k.cast(f32),
        v.cast(f32),
        start,
        1 / math.sqrt(q.shape[3]),
    )
    return results[0]


def _check(q: Tensor, k: Tensor, v: Tensor, offset: Tensor | None) -> None:
    for name, one in (("q", q), ("k", k), ("v", v)):
        if not one.dtype.is_float:
            raise DTypeError(f"`{name}` of causal_attention is {one.dtype}", location=caller_location())
    fits = (
        q.ndim == 4
        and k.ndim == 4
        and k.shape == v.shape
        and (q.shape[0], q.shape[3]) == (k.shape[0], k.shape[3])
        and q.shape[2] % k.shape[2] == 0
        and (q.shape[1] == k.shape[1] if offset is None else q.shape[1] <= k.shape[1])
    )
    if not fits:
        raise ShapeError(
            f"causal_attention of q {list(q.shape)}, k {list(k.shape)} and v {list(v.shape)}",
            hint="q is [B, T, H, D], k and v [B, S, G, D] with H a multiple of G, and S = T unless offset= is given",
            location=caller_location(),
        )
    if offset is not None and (offset.dtype is not i32 or offset.shape != (1,)):
        raise ShapeError(
            f"the offset of causal_attention is {offset.dtype}{list(offset.shape)}",
            hint="it is i32 [1]",
            location=caller_location(),
        )
