"""Loads and stores at computed indices, loops with bounds, conditions, and degenerate shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conformance.running import conforms
from tritloom.backends.base import Device
from tritloom.codegen.ir.dtypes import DType, bf16, bool_, f16, f32, i8, i16, i32, u8, u32
from tritloom.codegen.ir.tile import BinaryOp, Mode, ReduceOp, UnaryOp
from tritloom.codegen.ir.tile_builder import Builder

Array = NDArray[Any]
SHAPES = ((1, 1), (1, 5460), (7, 13), (100, 3), (17, 100))


def data(shape: tuple[int, ...], dtype: DType = f32, seed: int = 0) -> Array:
    low = 0 if dtype in (u8, u32, bool_) else -5
    return np.random.default_rng(seed).integers(low, 6, shape).astype(dtype.numpy)


@pytest.mark.parametrize("blocks", [(1, 64), (8, 16), (3, 5)], ids=str)
def test_broadcasts_over_ragged_shapes(device: Device, blocks: tuple[int, int]) -> None:
    b = Builder("outer")
    x, g = b.buffer("x", f32["M", "N"]), b.buffer("g", f32["N"])
    y = b.buffer("y", f32["M", "N"], Mode.OUT)
    m = b.program_axis("m", b.size("M"), blocks[0])
    n = b.program_axis("n", b.size("N"), blocks[1])
    scaled = b.binary(BinaryOp.MUL, b.load(x, [m, n]), b.load(g, [n]))
    b.store(y, [m, n], b.binary(BinaryOp.ADD, scaled, b.cast(b.index(m), f32)))
    kernel = b.finish()
    for rows, columns in SHAPES:
        tensors = {"x": data((rows, columns)), "g": data((columns,))}
        conforms(device, kernel, tensors, {"M": rows, "N": columns})


@pytest.mark.parametrize("dtype", [f32, f16, bf16, i8, i16, i32, u8, u32, bool_], ids=str)
def test_copy_transposed(device: Device, dtype: DType) -> None:
    b = Builder("transpose")
    x, y = b.buffer("x", dtype["M", "N"]), b.buffer("y", dtype["N", "M"], Mode.OUT)
    m = b.program_axis("m", b.size("M"), 8)
    n = b.program_axis("n", b.size("N"), 16)
    b.store(y, [n, m], b.load(x, [m, n]))
    kernel = b.finish()
    for rows, columns in ((1, 1), (19, 37)):
        conforms(device, kernel, {"x": data((rows, columns), dtype)}, {"M": rows, "N": columns})


def test_gather(device: Device) -> None:
    b = Builder("gather")
    table, ids = b.buffer("table", f32["V", "D"]), b.buffer("ids", i32["T"])
    y = b.buffer("y", f32["T", "D"], Mode.OUT)
    t = b.program_axis("t", b.size("T"), 4)
    with b.loop("d", b.size("D"), 16) as loop:
        b.store(y, [t, loop.axis], b.load(table, [b.load(ids, [t]), loop.axis]))
    ids_data = np.random.default_rng(1).integers(0, 11, 23).astype(np.int32)
    tensors = {"table": data((11, 37)), "ids": ids_data}
    conforms(device, b.finish(), tensors, {"V": 11, "D": 37, "T": 23})


def test_scatter_with_a_guard(device: Device) -> None:
    """A permutation of the rows, but for those that a condition leaves out."""
    b = Builder("scatter")
    x, order = b.buffer("x", f32["T"]), b.buffer("order", i32["T"])
    y = b.buffer("y", f32["T"], Mode.INOUT)
    t = b.program_axis("t", b.size("T"), 8)
    value = b.load(x, [t])
    b.store(y, [b.load(order, [t])], value, b.binary(BinaryOp.GT, value, 0.0))
    order_data = np.random.default_rng(2).permutation(29).astype(np.int32)
    tensors = {"x": data((29,)), "order": order_data, "y": data((29,), seed=3)}
    conforms(device, b.finish(), tensors, {"T": 29})


def test_guarded_shift_reads_nothing_outside(device: Device) -> None:
    b = Builder("shift")
    x, y = b.buffer("x", f32["M", "N"]), b.buffer("y", f32["M", "N"], Mode.OUT)
    m = b.program_axis("m", b.size("M"), 2)
    n = b.program_axis("n", b.size("N"), 16)
    before = b.binary(BinaryOp.SUB, b.index(n), 3)
    b.store(y, [m, n], b.load(x, [m, before], b.binary(BinaryOp.GE, before, 0)))
    conforms(device, b.finish(), {"x": data((5, 41))}, {"M": 5, "N": 41})


def test_strided_and_repeated_indices(device: Device) -> None:
    """x[2 n + 1], x[n // 3] and x[N - 1 - n]."""
    b = Builder("strided")
    x, y = b.buffer("x", f32["L"]), b.buffer("y", f32["N", 3], Mode.OUT)
    n = b.program_axis("n", b.size("N"), 16)
    index = b.index(n)
    odd = b.binary(BinaryOp.ADD, b.binary(BinaryOp.MUL, index, 2), 1)
    third = b.binary(BinaryOp.FLOORDIV, index, 3)
    last = b.binary(BinaryOp.SUB, b.binary(BinaryOp.SUB, b.size("N"), 1), index)
    for column, at in enumerate((odd, third, last)):
        b.store(y, [index, b.const(column, i32)], b.load(x, [at]))
    conforms(device, b.finish(), {"x": data((70,))}, {"L": 70, "N": 35})


@pytest.mark.parametrize(("start", "stop"), [(0, 100), (3, 50), (16, 17), (31, 1000), (40, 40), (70, 20)])
def test_loop_bounds(device: Device, start: int, stop: int) -> None:
    b = Builder("bounds")
    x, y = b.buffer("x", f32["M", "K"]), b.buffer("y", f32["M"], Mode.OUT)
    first, last = b.scalar("first", i32), b.scalar("last", i32)
    m = b.program_axis("m", b.size("M"), 4)
    zero = b.full([m], 0, f32)
    with b.loop("k", b.size("K"), 16, [zero], start=first, stop=last) as loop:
        total = b.reduce(ReduceOp.SUM, b.load(x, [m, loop.axis]), loop.axis)
        loop.next = [b.binary(BinaryOp.ADD, loop.values[0], total)]
    b.store(y, [m], loop.results[0])
    conforms(device, b.finish(), {"x": data((6, 67))}, {"M": 6, "K": 67}, {"first": start, "last": stop})


def test_a_loop_of_the_program_itself(device: Device) -> None:
    """A triangle: each program sums up to its own last index, as causal attention does."""
    b = Builder("triangle")
    x, y = b.buffer("x", f32["T", "T"]), b.buffer("y", f32["T"], Mode.OUT)
    t = b.program_axis("t", b.size("T"), 8)
    index = b.index(t)
    stop = b.binary(BinaryOp.ADD, b.reduce(ReduceOp.MAX, index, t), 1)
    with b.loop("s", b.size("T"), 16, [b.full([t], 0, f32)], stop=stop) as loop:
        seen = b.binary(BinaryOp.LE, b.index(loop.axis), index)
        masked = b.select(seen, b.load(x, [t, loop.axis]), 0.0)
        total = b.reduce(ReduceOp.SUM, masked, loop.axis)
        loop.next = [b.binary(BinaryOp.ADD, loop.values[0], total)]
    b.store(y, [t], loop.results[0])
    for length in (1, 8, 37):
        conforms(device, b.finish(), {"x": data((length, length))}, {"T": length})


def test_nested_loops_carry_values(device: Device) -> None:
    b = Builder("nested")
    x, y = b.buffer("x", f32["M", "N", "K"]), b.buffer("y", f32["M"], Mode.OUT)
    m = b.program_axis("m", b.size("M"), 2)
    with b.loop("n", b.size("N"), 3, [b.full([m], 0, f32), b.full([m], -100, f32)]) as outer:
        zero = b.full([m, outer.axis], 0, f32)
        with b.loop("k", b.size("K"), 8, [zero]) as inner:
            total = b.reduce(ReduceOp.SUM, b.load(x, [m, outer.axis, inner.axis]), inner.axis)
            inner.next = [b.binary(BinaryOp.ADD, inner.values[0], total)]
        rows = inner.results[0]
        summed = b.binary(BinaryOp.ADD, outer.values[0], b.reduce(ReduceOp.SUM, rows, outer.axis))
        greatest = b.binary(BinaryOp.MAX, outer.values[1], b.reduce(ReduceOp.MAX, rows, outer.axis))
        outer.next = [summed, greatest]
    b.store(y, [m], b.binary(BinaryOp.ADD, outer.results[0], outer.results[1]))
    conforms(device, b.finish(), {"x": data((5, 7, 19))}, {"M": 5, "N": 7, "K": 19})


@pytest.mark.parametrize("alpha", [-1.0, 2.0])
def test_conditions(device: Device, alpha: float) -> None:
    """A condition on a scalar, one on an element, and a store inside of a branch."""
    b = Builder("conditions")
    x, flags = b.buffer("x", f32["M"]), b.buffer("flags", i32[2])
    y, z = b.buffer("y", f32["M"], Mode.OUT), b.buffer("z", f32["M"], Mode.INOUT)
    scalar = b.scalar("alpha", f32)
    m = b.program_axis("m", b.size("M"), 8)
    tile = b.load(x, [m])
    with b.condition(b.binary(BinaryOp.GT, scalar, 0.0)) as opened:
        scaled = b.binary(BinaryOp.MUL, tile, scalar)
        with opened.otherwise():
            other = b.binary(BinaryOp.SUB, tile, 1.0)
        opened.pairs = [(scaled, other)]
    b.store(y, [m], opened.results[0])
    with b.condition(b.binary(BinaryOp.EQ, b.load(flags, [b.const(1, i32)]), 7)):
        b.store(z, [m], tile)
    for flag in (7, 8):
        tensors = {"x": data((21,)), "flags": np.array([0, flag], np.int32), "z": data((21,), seed=5)}
        conforms(device, b.finish(), tensors, {"M": 21}, {"alpha": alpha})


def test_a_kernel_of_one_program(device: Device) -> None:
    b = Builder("single")
    x, y = b.buffer("x", f32["K"]), b.buffer("y", f32[1], Mode.OUT)
    with b.loop("k", b.size("K"), 16, [b.const(0.0, f32)]) as loop:
        total = b.reduce(ReduceOp.SUM, b.load(x, [loop.axis]), loop.axis)
        loop.next = [b.binary(BinaryOp.ADD, loop.values[0], total)]
    b.store(y, [b.const(0, i32)], loop.results[0])
    conforms(device, b.finish(), {"x": data((53,))}, {"K": 53})


def test_softmax_row(device: Device) -> None:
    """The streaming softmax: a running maximum and a rescaled sum."""
    b = Builder("softmax")
    x, y = b.buffer("x", f32["M", "K"]), b.buffer("y", f32["M", "K"], Mode.OUT)
    m = b.program_axis("m", b.size("M"), 4)
    with b.loop("k", b.size("K"), 16, [b.full([m], -1e30, f32), b.full([m], 0, f32)]) as loop:
        tile = b.load(x, [m, loop.axis])
        top = b.binary(BinaryOp.MAX, loop.values[0], b.reduce(ReduceOp.MAX, tile, loop.axis))
        scale = b.unary(UnaryOp.EXP, b.binary(BinaryOp.SUB, loop.values[0], top))
        grown = b.unary(UnaryOp.EXP, b.binary(BinaryOp.SUB, tile, top))
        total = b.binary(BinaryOp.MUL, loop.values[1], scale)
        loop.next = [top, b.binary(BinaryOp.ADD, total, b.reduce(ReduceOp.SUM, grown, loop.axis))]
    with b.loop("k", b.size("K"), 16) as second:
        tile = b.load(x, [m, second.axis])
        grown = b.unary(UnaryOp.EXP, b.binary(BinaryOp.SUB, tile, loop.results[0]))
        b.store(y, [m, second.axis], b.binary(BinaryOp.DIV, grown, loop.results[1]))
    conforms(device, b.finish(), {"x": data((7, 45))}, {"M": 7, "K": 45}, tolerances={"y": (1e-5, 1e-9)})


def test_a_row_is_read_by_all_threads_before_one_updates_it(device: Device) -> None:
    """Threads along k hold copies of t = y[m]; the one that stores must not overtake the others' loads."""
    b = Builder("copies")
    y, x = b.buffer("y", f32["M"], Mode.INOUT), b.buffer("x", f32["M", "K"])
    z = b.buffer("z", f32["M", "K"], Mode.OUT)
    m = b.program_axis("m", b.size("M"), 4)
    before = b.load(y, [m])
    b.store(y, [m], b.binary(BinaryOp.ADD, before, 1.0))
    with b.loop("k", b.size("K"), 32) as loop:
        b.store(z, [m, loop.axis], b.binary(BinaryOp.ADD, b.load(x, [m, loop.axis]), before))
    conforms(device, b.finish(), {"x": data((9, 100)), "y": data((9,), seed=1)}, {"M": 9, "K": 100})


def test_an_element_goes_from_thread_to_thread(device: Device) -> None:
    """y[m + k] is one place in the text, and in each turn of the loop another thread's element."""
    b = Builder("rolling")
    y, x = b.buffer("y", f32["N"], Mode.INOUT), b.buffer("x", f32["M"])
    m = b.program_axis("m", b.size("M"), 32)
    with b.loop("k", b.size("K"), 1) as loop:
        turn = b.reduce(ReduceOp.MAX, b.index(loop.axis), loop.axis)
        at = b.binary(BinaryOp.ADD, b.index(m), turn)
        doubled = b.binary(BinaryOp.MUL, b.load(y, [at]), 2.0)
        b.store(y, [at], b.binary(BinaryOp.ADD, doubled, b.load(x, [m])))
    tensors = {"x": data((20,)), "y": data((30,), seed=1)}
    conforms(device, b.finish(), tensors, {"M": 20, "N": 30, "K": 5})


def test_blocks_of_a_loop_meet_in_their_elements(device: Device) -> None:
    """y[(k + k // 16) % 16], read and written in each block of sixteen, and written alone to z: the last one counts."""
    b = Builder("rotated")
    y, x = b.buffer("y", f32[16], Mode.INOUT), b.buffer("x", f32["K"])
    z = b.buffer("z", f32[16], Mode.OUT)
    with b.loop("k", b.size("K"), 16) as loop:
        index = b.index(loop.axis)
        turned = b.binary(BinaryOp.ADD, index, b.binary(BinaryOp.FLOORDIV, index, 16))
        at = b.binary(BinaryOp.MOD, turned, 16)
        tile = b.load(x, [loop.axis])
        b.store(z, [at], tile)
        b.store(y, [at], b.binary(BinaryOp.ADD, b.binary(BinaryOp.MUL, b.load(y, [at]), 2.0), tile))
    conforms(device, b.finish(), {"x": data((64,)), "y": data((16,), seed=1)}, {"K": 64})


def test_two_lanes_update_one_element_alike(device: Device) -> None:
    """Both lanes of y[m // 2] read what was there before the store."""
    b = Builder("halves")
    y, x = b.buffer("y", f32["N"], Mode.INOUT), b.buffer("x", f32["M"])
    m = b.program_axis("m", b.size("M"), 32)
    b.load(x, [m])
    at = b.binary(BinaryOp.FLOORDIV, b.index(m), 2)
    b.store(y, [at], b.binary(BinaryOp.ADD, b.load(y, [at]), 1.0))
    conforms(device, b.finish(), {"x": data((20,)), "y": data((10,), seed=1)}, {"M": 20, "N": 10})
