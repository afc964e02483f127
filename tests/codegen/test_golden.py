"""Generated code as it stands, so that a change of it is seen in review; `pytest --update-golden` rewrites it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tritloom.dsl import language as tl
from tritloom.dsl.kernel import Kernel, kernel

ENDINGS = {"opencl": "cl", "metal": "metal", "vulkan": "spvasm"}


@kernel
def add(
    x: tl.f32["M", "N"],
    y: tl.f32["N"],
    z: tl.out(tl.f32["M", "N"]),
    BM: int = tl.tunable(2),
    BN: int = tl.tunable(32),
) -> None:
    M, N = x.shape
    m, n = tl.programs(M, BM), tl.programs(N, BN)
    z[m, n] = x[m, n] + y[n]


@kernel
def rms_norm(
    x: tl.f32["M", "K"],
    g: tl.f32["K"],
    y: tl.out(tl.f32["M", "K"]),
    BM: int = tl.tunable(1),
    BK: int = tl.tunable(32),
) -> None:
    M, K = x.shape
    m = tl.programs(M, BM)
    squares = tl.zeros(m)
    for k in tl.blocks(K, BK):
        squares += tl.sum(x[m, k] * x[m, k], k)
    r = tl.rsqrt(squares / K + 1e-5)
    for k in tl.blocks(K, BK):
        y[m, k] = x[m, k] * r * g[k]


@kernel
def ternary_matmul(
    x: tl.i8["M", "K"],
    w: tl.ternary["N", "K"],
    y: tl.out(tl.i32["M", "N"]),
    BM: int = tl.tunable(2),
    BN: int = tl.tunable(16),
    BK: int = tl.tunable(16),
) -> None:
    M, K = x.shape
    N, _ = w.shape
    n, m = tl.programs(N, BN), tl.programs(M, BM)
    total = tl.zeros(m, n, dtype=tl.i32)
    for k in tl.blocks(K, BK):
        total += tl.dot(x[m, k], w[n, k], k)
    y[m, n] = total


@pytest.mark.parametrize("target", ["cpu:avx512", "cpu:avx2", "aarch64", "opencl", "metal", "vulkan"])
@pytest.mark.parametrize("example", [add, rms_norm, ternary_matmul], ids=lambda example: example.name)
def test_source(example: Kernel, target: str, golden: Callable[[str, str], None]) -> None:
    golden(
        f"{example.name}.{target.replace(':', '-')}.{ENDINGS.get(target, 'll')}",
        example.source(target=target),
    )
