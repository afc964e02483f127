"""Reductions and products of tiles, over ragged and degenerate shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conformance.running import conforms
from tritloom.backends.base import Device
from tritloom.codegen.ir.dtypes import DType, bf16, f16, f32, i8, i16, i32, ternary, u8, u32
from tritloom.codegen.ir.ternary import TernaryArray
from tritloom.codegen.ir.tile import BinaryOp, Kernel, Mode, ReduceOp
from tritloom.codegen.ir.tile_builder import Builder

Array = NDArray[Any]
SHAPES = ((1, 1), (3, 7), (5, 100), (8, 64), (2, 5460), (17, 1))
DOT_SHAPES = ((1, 1, 1), (3, 5, 7), (8, 48, 64), (13, 49, 100), (1, 97, 130), (33, 17, 16))
DOT_PAIRS = (
    (i8, i8),
    (i8, ternary),
    (f32, f32),
    (f16, f16),
    (bf16, bf16),
    (f32, ternary),
    (f16, ternary),
    (bf16, ternary),
)


def integers(dtype: DType, shape: tuple[int, ...], seed: int, low: int = -3, high: int = 3) -> Array:
    """Small whole numbers: their sums of products are exact in every dtype that accumulates."""
    low = 0 if dtype in (u8, u32) else low
    return np.random.default_rng(seed).integers(low, high + 1, shape).astype(dtype.numpy)


def row_reductions(dtype: DType) -> Kernel:
    """The sum, the greatest and the least element of each row, in a loop."""
    b = Builder("rows")
    x = b.buffer("x", dtype["M", "K"])
    m = b.program_axis("m", b.size("M"), 4)
    low, high = (-3, 3) if dtype.limits[0] < 0 else (0, 3)
    has_sum = dtype.is_float or dtype.bits == 32
    initial = [b.full([m], low, dtype), b.full([m], high, dtype)] + (
        [b.full([m], 0, dtype)] if has_sum else []
    )
    with b.loop("k", b.size("K"), 24, initial) as loop:
        tile = b.load(x, [m, loop.axis])
        greatest = b.binary(BinaryOp.MAX, loop.values[0], b.reduce(ReduceOp.MAX, tile, loop.axis))
        least = b.binary(BinaryOp.MIN, loop.values[1], b.reduce(ReduceOp.MIN, tile, loop.axis))
        loop.next = [greatest, least]
        if has_sum:
            loop.next.append(b.binary(BinaryOp.ADD, loop.values[2], b.reduce(ReduceOp.SUM, tile, loop.axis)))
    for name, result in zip(("greatest", "least", "total"), loop.results):
        b.store(b.buffer(name, dtype["M"], Mode.OUT), [m], result)
    return b.finish()


@pytest.mark.parametrize("dtype", [f32, f16, bf16, i8, i16, i32, u8, u32], ids=str)
def test_rows(device: Device, dtype: DType) -> None:
    kernel = row_reductions(dtype)
    for seed, (rows, columns) in enumerate(SHAPES):
        if dtype in (f16, bf16) and columns > 64:
            columns = 64  # the sum of more would round
        x = integers(dtype, (rows, columns), seed, -1, 1)
        conforms(device, kernel, {"x": x}, {"M": rows, "K": columns})


def test_sum_of_floats_is_close(device: Device) -> None:
    x = np.random.default_rng(0).standard_normal((5, 5460)).astype(np.float32)
    kernel = row_reductions(f32)
    bound = 5460 * 2.0**-24 * float(np.abs(x).sum(1).max())
    conforms(device, kernel, {"x": x}, {"M": 5, "K": 5460}, tolerances={"total": (0.0, bound)})


def test_reductions_over_each_axis_of_a_tile(device: Device) -> None:
    b = Builder("axes")
    x = b.buffer("x", f32["M", "N", 8])
    m = b.program_axis("m", b.size("M"), 4)
    n = b.program_axis("n", b.size("N"), 8)
    d = b.whole_axis("d", b.const(8, i32))
    tile = b.load(x, [m, n, d])
    for axis, dims in ((m, "m"), (n, "n"), (d, "d")):
        reduced = b.reduce(ReduceOp.SUM, tile, axis)
        kept = [a for a in (m, n, d) if a is not axis]
        y = b.buffer(f"y_{dims}", f32["M", "N", 8], Mode.OUT)
        assert list(reduced.axes) == kept
        b.store(y, [m, n, d], reduced)
    everything = tile
    for axis in (d, n, m):
        everything = b.reduce(ReduceOp.MAX, everything, axis)  # type: ignore[assignment]
    b.store(b.buffer("top", f32["M", "N"], Mode.OUT), [m, n], everything)
    conforms(device, b.finish(), {"x": integers(f32, (7, 13, 8), 0)}, {"M": 7, "N": 13})


def matmul(left: DType, right: DType, blocks: tuple[int, int, int]) -> Kernel:
    """y[m, n] = sum over k of x[m, k] * w[n, k]."""
    b = Builder("matmul")
    x, w = b.buffer("x", left["M", "K"]), b.buffer("w", right["N", "K"])
    y = b.buffer("y", (i32 if left is i8 else f32)["M", "N"], Mode.OUT)
    n = b.program_axis("n", b.size("N"), blocks[1])
    m = b.program_axis("m", b.size("M"), blocks[0])
    with b.loop("k", b.size("K"), blocks[2], [b.full([m, n], 0, y.dtype)]) as loop:
        product = b.dot(b.load(x, [m, loop.axis]), b.load(w, [n, loop.axis]), loop.axis)
        loop.next = [b.binary(BinaryOp.ADD, loop.values[0], product)]
    b.store(y, [m, n], loop.results[0])
    return b.finish()


DOTS = [
    (left, right, blocks)
    for left, right in DOT_PAIRS
    for blocks in [
        *([(8, 48, 64), (4, 64, 64)] if right is ternary else [(8, 32, 16)]),
        (1, 16, 32),
        (16, 16, 16),
        (5, 7, 9),
    ]
]
"""Blocks like the scheduler's, and others that it would not choose."""


@pytest.mark.parametrize(("left", "right", "blocks"), DOTS, ids=str)
def test_dot(device: Device, left: DType, right: DType, blocks: tuple[int, int, int]) -> None:
    kernel = matmul(left, right, blocks)
    for seed, (rows, columns, depth) in enumerate(DOT_SHAPES):
        limits = (-128, 127) if left is i8 else (-3, 3)
        x = integers(left, (rows, depth), seed, *limits)
        w: Array | TernaryArray = integers(
            right, (columns, depth), seed + 100, *((-1, 1) if right is ternary else limits)
        )
        if right is ternary:
            w = TernaryArray.pack(np.asarray(w))
        conforms(device, kernel, {"x": x, "w": w}, {"M": rows, "N": columns, "K": depth})


def test_long_int8_dot(device: Device) -> None:
    """The largest sums of 5460 products, no multiple of any block."""
    x = np.full((3, 5460), -128, np.int8)
    w = TernaryArray.pack(np.where(np.arange(50)[:, None] % 2, -1, 1) * np.ones((50, 5460), np.int8))
    conforms(device, matmul(i8, ternary, (8, 48, 64)), {"x": x, "w": w}, {"M": 3, "N": 50, "K": 5460})


def test_float_dot_is_close(device: Device) -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((9, 300)).astype(np.float32)
    w = random.standard_normal((20, 300)).astype(np.float32)
    bound = 300 * 2.0**-23 * float((np.abs(x) @ np.abs(w).T).max())
    sizes = {"M": 9, "N": 20, "K": 300}
    conforms(device, matmul(f32, f32, (4, 16, 32)), {"x": x, "w": w}, sizes, tolerances={"y": (0.0, bound)})


@pytest.mark.parametrize("right", [f32, ternary], ids=str)
def test_dot_of_computed_tiles_with_a_shared_axis(device: Device, right: DType) -> None:
    """dot(x * gain, w) where x and w share the head axis, and the transposed product over n."""
    b = Builder("heads")
    if right is ternary:
        w = b.buffer("w", ternary["N", "K"])
    else:
        w = b.buffer("w", f32["H", "N", "K"])
    x, gain = b.buffer("x", f32["H", "M", "K"]), b.buffer("gain", f32["K"])
    y = b.buffer("y", f32["H", "M", "N"], Mode.OUT)
    h = b.program_axis("h", b.size("H"), 1)
    n = b.program_axis("n", b.size("N"), 16)
    m = b.program_axis("m", b.size("M"), 4)
    with b.loop("k", b.size("K"), 16, [b.full([h, m, n], 0, f32)]) as loop:
        k = loop.axis
        scaled = b.binary(BinaryOp.MUL, b.load(x, [h, m, k]), b.load(gain, [k]))
        side = b.load(w, [n, k] if right is ternary else [h, n, k])
        loop.next = [b.binary(BinaryOp.ADD, loop.values[0], b.dot(scaled, side, k))]
    b.store(y, [h, m, n], loop.results[0])
    tensors: dict[str, Array | TernaryArray] = {
        "x": integers(f32, (3, 5, 37), 1),
        "gain": integers(f32, (37,), 2),
        "w": integers(f32, (3, 19, 37), 3),
    }
    if right is ternary:
        tensors["w"] = TernaryArray.pack(integers(ternary, (19, 37), 3, -1, 1))
    conforms(device, b.finish(), tensors, {"H": 3, "M": 5, "N": 19, "K": 37})


@pytest.mark.parametrize("left", [f32, bf16], ids=str)
def test_transposed_ternary_dot(device: Device, left: DType) -> None:
    """dX[m, k] = sum over n of dY[m, n] * W[n, k]: the sum runs over the rows of the packed matrix."""
    b = Builder("backward")
    dy, w = b.buffer("dy", left["M", "N"]), b.buffer("w", ternary["N", "K"])
    dx = b.buffer("dx", f32["M", "K"], Mode.OUT)
    k = b.program_axis("k", b.size("K"), 32)
    m = b.program_axis("m", b.size("M"), 4)
    with b.loop("n", b.size("N"), 16, [b.full([m, k], 0, f32)]) as loop:
        product = b.dot(b.load(dy, [m, loop.axis]), b.load(w, [loop.axis, k]), loop.axis)
        loop.next = [b.binary(BinaryOp.ADD, loop.values[0], product)]
    b.store(dx, [m, k], loop.results[0])
    for seed, (rows, columns, depth) in enumerate(((1, 1, 1), (5, 19, 37), (9, 64, 100))):
        tensors: dict[str, Array | TernaryArray] = {
            "dy": integers(left, (rows, columns), seed),
            "w": TernaryArray.pack(integers(ternary, (columns, depth), seed + 9, -1, 1)),
        }
        conforms(device, b.finish(), tensors, {"M": rows, "N": columns, "K": depth})
