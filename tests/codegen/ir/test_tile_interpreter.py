"""The tile interpreter: what operations mean, what masked lanes hold, and which mistakes it finds."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from tritloom.codegen.errors import BoundsError, DTypeError, RaceError, ShapeError, SourceLocation
from tritloom.codegen.ir import numerics
from tritloom.codegen.ir.dtypes import bf16, f16, f32, i8, i32, ternary, u8, u32
from tritloom.codegen.ir.ternary import TernaryArray, TernaryLayout
from tritloom.codegen.ir.tile import BinaryOp, Kernel, Mode, ReduceOp, UnaryOp
from tritloom.codegen.ir.tile_builder import Builder
from tritloom.codegen.ir.tile_interpreter import UnwrittenError, interpret, poison

Array = NDArray[Any]


def floats(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def rms_norm(block: int = 4) -> Kernel:
    b = Builder("rms_norm")
    x, y = b.buffer("x", f32["M", "K"]), b.buffer("y", f32["M", "K"], Mode.OUT)
    m = b.program_axis("m", b.size("M"), block)
    with b.loop("k", b.size("K"), 16, [b.full([m], 0.0, f32)]) as loop:
        tile = b.load(x, [m, loop.axis])
        squares = b.reduce(ReduceOp.SUM, b.binary(BinaryOp.MUL, tile, tile), loop.axis)
        loop.next = [b.binary(BinaryOp.ADD, loop.values[0], squares)]
    root = b.unary(UnaryOp.RSQRT, loop.results[0])
    with b.loop("k", b.size("K"), 16) as second:
        b.store(y, [m, second.axis], b.binary(BinaryOp.MUL, b.load(x, [m, second.axis]), root))
    return b.finish()


@pytest.mark.parametrize("shape", [(1, 1), (4, 16), (7, 37)], ids=str)
def test_a_kernel(shape: tuple[int, int]) -> None:
    x = floats(*shape)
    given = np.zeros(shape, np.float32)
    result = interpret(rms_norm(), {"x": x, "y": given}, {"M": shape[0], "K": shape[1]})["y"]
    assert result is given
    np.testing.assert_allclose(given, x / np.sqrt((x * x).sum(1, keepdims=True)), rtol=1e-5)


def test_outputs_may_lie_in_memory_as_they_like() -> None:
    """A transposed array, which a view in a row could not be written through."""
    x = floats(7, 37)
    given = np.zeros((37, 7), np.float32).T
    interpret(rms_norm(), {"x": x, "y": given}, {"M": 7, "K": 37})
    np.testing.assert_allclose(given, x / np.sqrt((x * x).sum(1, keepdims=True)), rtol=1e-5)


@pytest.mark.parametrize("layout", [TernaryLayout(1), TernaryLayout(16)], ids=str)
def test_ternary_product_in_any_layout(layout: TernaryLayout) -> None:
    b = Builder("product")
    x, w = b.buffer("x", i8["M", "K"]), b.buffer("w", ternary["N", "K"])
    y = b.buffer("y", i32["M", "N"], Mode.OUT)
    m, n = b.program_axis("m", b.size("M"), 2), b.program_axis("n", b.size("N"), 3)
    with b.loop("k", b.size("K"), 16, [b.full([m, n], 0, i32)]) as loop:
        product = b.dot(b.load(w, [n, loop.axis]), b.load(x, [m, loop.axis]), loop.axis)
        loop.next = [b.binary(BinaryOp.ADD, loop.values[0], product)]
    b.store(y, [m, n], loop.results[0])
    random = np.random.default_rng(0)
    given, weights = random.integers(-128, 128, (5, 33)).astype(np.int8), random.integers(-1, 2, (7, 33))
    packed = TernaryArray.pack(weights, layout)
    result = interpret(b.finish(), {"x": given, "w": packed}, {"M": 5, "N": 7, "K": 33})
    np.testing.assert_array_equal(result["y"], given.astype(int) @ weights.T)


@pytest.mark.parametrize(
    ("array", "source", "target", "wanted"),
    [
        ([1.9, -1.9, 300.0, -300.0, np.nan, np.inf, -np.inf], f32, i8, [1, -1, 127, -128, 0, 127, -128]),
        ([-1.0, 255.9, 256.0], f32, u8, [0, 255, 255]),
        ([3e9, 5e9, -1.0], f32, u32, [3_000_000_000, 2**32 - 1, 0]),
        ([3e9, -3e9], f32, i32, [2**31 - 1, -(2**31)]),
        ([257, -129, 128], i32, i8, [1, 127, -128]),
        ([-1], i32, u32, [2**32 - 1]),
        ([257.0, 258.0, 259.0], f32, bf16, [256.0, 258.0, 260.0]),
        ([2049.0, 2051.0, 1e6], f32, f16, [2048.0, 2052.0, np.inf]),
        ([-1, 0, 1], ternary, f32, [-1.0, 0.0, 1.0]),
    ],
)
def test_casts(array: list[float], source: Any, target: Any, wanted: list[float]) -> None:
    result = numerics.cast(np.array(array).astype(source.numpy), source, target)
    assert result.dtype == target.numpy
    np.testing.assert_array_equal(result.astype(np.float64), np.array(wanted, np.float64))


def test_narrow_floats_round_after_each_operation() -> None:
    x = np.array([256.0], ml_dtypes.bfloat16)
    once = numerics.binary(BinaryOp.ADD, x, np.array([1.0], ml_dtypes.bfloat16), bf16)
    assert once[0] == 256
    long = np.full((1, 300), 1.0, ml_dtypes.bfloat16)
    assert numerics.reduce(ReduceOp.SUM, long, 1, bf16)[0] == 300
    assert numerics.reduce(ReduceOp.SUM, long, 1, bf16).dtype == ml_dtypes.bfloat16


def test_integer_operations_are_pythons() -> None:
    left, right = np.array([7, -7, 7, -7], np.int32), np.array([2, 2, -2, -2], np.int32)
    assert numerics.binary(BinaryOp.FLOORDIV, left, right, i32).tolist() == [3, -4, -4, 3]
    assert numerics.binary(BinaryOp.MOD, left, right, i32).tolist() == [1, 1, -1, -1]
    assert numerics.binary(BinaryOp.SHR, left, np.array(1, np.int32), i32).tolist() == [3, -4, 3, -4]
    assert numerics.unary(UnaryOp.ROUND, np.array([0.5, 1.5, -2.5], np.float32), f32).tolist() == [0, 2, -2]
    most = np.array([2**31 - 1], np.int32)
    assert numerics.binary(BinaryOp.ADD, most, np.array(1, np.int32), i32).tolist() == [-(2**31)]


def test_masked_lanes_are_neutral_in_reductions_and_poison_elsewhere() -> None:
    """A row's sum over the program axis ignores lanes past the end; a value of one of those is NaN."""
    b = Builder("masked")
    x, y = b.buffer("x", f32["M"]), b.buffer("y", f32["M"], Mode.OUT)
    m = b.program_axis("m", b.size("M"), 4)
    constant = b.full([m], 1.0, f32)
    least = b.reduce(ReduceOp.MIN, b.load(x, [m]), m)
    count = b.reduce(ReduceOp.SUM, constant, m)
    b.store(y, [m], b.binary(BinaryOp.ADD, b.binary(BinaryOp.MUL, count, 100.0), least))
    result = interpret(b.finish(), {"x": np.array([5, 4, 3, 2, 9], np.float32)}, {"M": 5})["y"]
    assert result.tolist() == [402.0, 402.0, 402.0, 402.0, 109.0]
    assert np.isnan(poison(f32))
    assert poison(i8) == -128
    assert poison(u32) == 2**32 - 1


def test_a_guard_reads_nothing_and_counts_as_zero() -> None:
    b = Builder("guarded")
    x, y = b.buffer("x", f32["M"]), b.buffer("y", f32["M"], Mode.OUT)
    m = b.program_axis("m", b.size("M"), 4)
    above = b.binary(BinaryOp.ADD, b.index(m), 1)
    b.store(y, [m], b.load(x, [above], b.binary(BinaryOp.LT, above, b.size("M"))))
    result = interpret(b.finish(), {"x": np.arange(5, dtype=np.float32)}, {"M": 5})["y"]
    assert result.tolist() == [1, 2, 3, 4, 0]


def shifted(by: int) -> Kernel:
    b = Builder("shifted")
    x, y = b.buffer("x", f32["M", "K"]), b.buffer("y", f32["M", "K"], Mode.OUT)
    m, k = b.program_axis("m", b.size("M"), 2), b.program_axis("k", b.size("K"), 4)
    here = SourceLocation(__file__, 1, 0, 3)
    b.store(y, [m, k], b.load(x, [b.binary(BinaryOp.ADD, b.index(m), by), k], location=here))
    return b.finish()


def test_a_read_out_of_bounds_names_everything() -> None:
    with pytest.raises(BoundsError) as caught:
        interpret(shifted(1), {"x": floats(4, 8)}, {"M": 4, "K": 8})
    message = caught.value.message
    assert message.startswith("`x` of shape (4, 8) is read at (4, 0) by the program (m=1, k=0)")
    assert "M=4, K=8" in message
    assert caught.value.location == SourceLocation(__file__, 1, 0, 3)
    with pytest.raises(BoundsError, match=r"is read at \(-1, 0\) by the program \(m=0, k=0\)"):
        interpret(shifted(-1), {"x": floats(4, 8)}, {"M": 4, "K": 8})
    interpret(shifted(0), {"x": floats(4, 8)}, {"M": 4, "K": 8})


def test_a_write_out_of_bounds_leaves_the_arrays_alone() -> None:
    b = Builder("overflow")
    y = b.buffer("y", f32["M"], Mode.INOUT)
    m = b.program_axis("m", b.size("M"), 2)
    b.store(y, [b.binary(BinaryOp.MUL, b.index(m), 2)], b.const(1.0, f32))
    given = np.zeros(5, np.float32)
    with pytest.raises(BoundsError, match=r"`y` of shape \(5,\) is written at \(6\)"):
        interpret(b.finish(), {"y": given}, {"M": 5})
    assert not given.any()


def test_a_loop_that_starts_before_zero() -> None:
    b = Builder("early")
    y = b.buffer("y", f32["M"], Mode.OUT)
    start = b.scalar("start", i32)
    with b.loop("k", b.size("M"), 4, start=start) as loop:
        b.store(y, [loop.axis], b.const(0.0, f32))
    with pytest.raises(BoundsError, match="the loop over `k` starts at -1"):
        interpret(b.finish(), {}, {"M": 4}, {"start": -1})
    interpret(b.finish(), {}, {"M": 4}, {"start": 0})


def racing(kind: str) -> Kernel:
    """Programs of a grid of 3 that meet in one element."""
    b = Builder(kind)
    y = b.buffer("y", f32["M"], Mode.INOUT)
    m = b.program_axis("m", b.size("M"), 1)
    zero, index = b.const(0, i32), b.index(m)
    following = b.binary(BinaryOp.MOD, b.binary(BinaryOp.ADD, index, 1), b.size("M"))
    if kind == "write write":
        b.store(y, [zero], b.const(1.0, f32))
    elif kind == "write read":
        b.store(y, [m], b.load(y, [following]))
    elif kind == "read write":
        before = b.load(y, [zero])
        b.store(y, [m], before)
    elif kind == "own":
        b.store(y, [m], b.binary(BinaryOp.ADD, b.load(y, [m]), 1.0))
        b.store(y, [m], b.binary(BinaryOp.ADD, b.load(y, [m]), 1.0))
    return b.finish()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("write write", r"`y` is written at \(0\) by the program \(m=1\), and the program \(m=0\) wrote it"),
        ("write read", r"`y` is written at \(1\) by the program \(m=1\), and the program \(m=0\) read it"),
        ("read write", r"`y` is read at \(0\) by the program \(m=1\), and the program \(m=0\) wrote it"),
    ],
)
def test_races(kind: str, message: str) -> None:
    with pytest.raises(RaceError, match=message):
        interpret(racing(kind), {"y": np.zeros(3, np.float32)}, {"M": 3})


def test_a_program_may_write_its_own_element_again() -> None:
    given = np.zeros(3, np.float32)
    interpret(racing("own"), {"y": given}, {"M": 3})
    assert given.tolist() == [2, 2, 2]
    interpret(racing("write write"), {"y": np.zeros(1, np.float32)}, {"M": 1})


def test_one_store_of_two_values_to_one_element() -> None:
    b = Builder("folded")
    y = b.buffer("y", f32["M"], Mode.INOUT)
    m = b.program_axis("m", b.size("M"), 4)
    half = b.binary(BinaryOp.FLOORDIV, b.index(m), 2)
    b.store(y, [half], b.cast(b.index(m), f32))
    with pytest.raises(RaceError, match=r"`y` is written twice at \(0\), with different values"):
        interpret(b.finish(), {"y": np.zeros(4, np.float32)}, {"M": 4})


def test_elements_that_are_never_written() -> None:
    b = Builder("partial")
    y = b.buffer("y", f32["M"], Mode.OUT)
    m = b.program_axis("m", b.size("M"), 4)
    b.store(y, [m], b.const(1.0, f32), b.binary(BinaryOp.NE, b.index(m), 2))
    with pytest.raises(UnwrittenError, match=r"no program writes `y` of shape \(6,\) at \(2\) \(1 of 6"):
        interpret(b.finish(), {}, {"M": 6})
    result = interpret(b.finish(), {}, {"M": 6}, check_complete=False)["y"]
    assert np.isnan(result).tolist() == [False, False, True, False, False, False]


@pytest.mark.parametrize(
    ("tensors", "sizes", "error", "message"),
    [
        ({}, {"M": 2, "K": 2}, ShapeError, "needs the tensor `x`"),
        ({"x": floats(2, 2)}, {"M": 2}, ShapeError, "needs the size `K`"),
        ({"x": floats(2, 3)}, {"M": 2, "K": 2}, ShapeError, r"has shape \(2, 3\), it should be \(2, 2\)"),
        (
            {"x": floats(2, 2).astype(np.float16)},
            {"M": 2, "K": 2},
            DTypeError,
            "is f32 and was given float16",
        ),
        (
            {"x": TernaryArray.pack(np.zeros((2, 2)))},
            {"M": 2, "K": 2},
            DTypeError,
            "was given a ternary array",
        ),
        ({"x": floats(2, 2)}, {"M": 0, "K": 2}, ShapeError, "must be a positive multiple"),
    ],
)
def test_arguments_that_do_not_fit(
    tensors: dict[str, Any], sizes: dict[str, int], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        interpret(rms_norm(), tensors, sizes)


def test_scalars_are_needed_by_name() -> None:
    b = Builder("scaled")
    y, alpha = b.buffer("y", f16["M"], Mode.OUT), b.scalar("alpha", f32)
    m = b.program_axis("m", b.size("M"), 4)
    b.store(y, [m], b.expand(b.cast(alpha, f16), [m]))
    with pytest.raises(DTypeError, match="needs the scalar `alpha`"):
        interpret(b.finish(), {}, {"M": 2})
    assert interpret(b.finish(), {}, {"M": 2}, {"alpha": 0.1})["y"].tolist() == [np.float16(0.1)] * 2
