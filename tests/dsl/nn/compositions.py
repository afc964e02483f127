"""What the functions of tl.nn mean, as compositions of plain operations or NumPy: what their tests compare with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import tritloom as tl

Array = NDArray[Any]


def causal_attention(q: tl.Tensor, k: tl.Tensor, v: tl.Tensor, offset: int = 0) -> tl.Tensor:
    """Attention that forms all scores. Query t stands at position offset + t."""
    batch, tokens, heads, size = q.shape
    seen, groups = k.shape[1], heads // k.shape[2]

    def by_head(x: tl.Tensor) -> tl.Tensor:
        return tl.stack([x] * groups, 3).reshape(batch, seen, heads, size).permute(0, 2, 1, 3)

    scores = tl.dot(q.permute(0, 2, 1, 3), by_head(k)) / float(np.sqrt(size))
    visible = tl.arange(seen)[None, :] <= tl.arange(tokens)[:, None] + offset
    p = tl.softmax(tl.where(visible, scores, -1e30))
    return (p @ by_head(v)).permute(0, 2, 1, 3)


def cross_entropy(h: tl.Tensor, weight: tl.Tensor, labels: tl.Tensor, ignore: int = -100) -> tl.Tensor:
    """The mean over valid rows of the whole logits' negative log softmax at the label."""
    logits = tl.dot(h, weight)
    valid = labels != ignore
    hit = tl.arange(weight.shape[0])[None, :] == tl.where(valid, labels, 0)[:, None]
    losses = tl.log_sum_exp(logits) - tl.where(hit, logits, 0).sum(-1)
    return tl.where(valid, losses, 0).sum() / tl.maximum(valid.cast(tl.f32).sum(), 1.0)


def quantise(x: Array) -> tuple[Array, Array]:
    """(q as int8, scale) by token, in float32 as the published models compute it."""
    scale = np.float32(127) / np.maximum(np.abs(x).max(-1, keepdims=True), np.float32(1e-5))
    return np.clip(np.rint(x * scale), -128, 127).astype(np.int8), scale


def rotate(x: Array, cos: Array, sin: Array) -> Array:
    """RoPE by pairs (i, i + D/2) as a rotation of complex numbers."""
    half = x.shape[-1] // 2
    turned = (x[..., :half] + 1j * x[..., half:]) * (cos[:, None, :half] + 1j * sin[:, None, :half])
    return np.concatenate([turned.real, turned.imag], -1)
