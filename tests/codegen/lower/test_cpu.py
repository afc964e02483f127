"""Kernels lowered for CPUs, run on this machine at each level of its instruction set, against the tile interpreter."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from tests.strategies import Case, random_kernels
from tritloom.backends.cpu import CPUBackend, CPUDevice
from tritloom.codegen.ir.dtypes import ALL, DType, TensorSpec, bf16, bool_, f16, f32, i8, i32, ternary
from tritloom.codegen.ir.machine import For, Instruction, Op
from tritloom.codegen.ir.machine_verifier import verify_machine
from tritloom.codegen.ir.ternary import TernaryArray
from tritloom.codegen.ir.tile import BinaryOp, Kernel, Mode, ReduceOp, UnaryOp, Value, evaluate_size
from tritloom.codegen.ir.tile_builder import Builder
from tritloom.codegen.ir.tile_interpreter import interpret
from tritloom.codegen.lower.cpu import lower_cpu
from tritloom.codegen.targets import target

DEVICES = {device.name: device for device in CPUBackend().devices()}
LEVELS = ("cpu", "cpu:avx2", "cpu:plain")
ADD, SUB, MUL, MAX = BinaryOp.ADD, BinaryOp.SUB, BinaryOp.MUL, BinaryOp.MAX
Arrays = dict[str, Any]


@pytest.fixture(params=LEVELS)
def device(request: pytest.FixtureRequest) -> CPUDevice:
    """The CPU at one level of its instruction set."""
    found = DEVICES.get(request.param)
    if not isinstance(found, CPUDevice):
        pytest.skip(f"this processor has not all of {request.param}")
    return found


def rng() -> np.random.Generator:
    """The same random numbers in each test."""
    return np.random.default_rng(7)


def floats(*shape: int, dtype: Any = np.float32) -> NDArray[Any]:
    """Normal numbers."""
    return rng().standard_normal(shape).astype(dtype)


def bytes_(*shape: int) -> NDArray[np.int8]:
    """All of i8."""
    return rng().integers(-128, 128, shape).astype(np.int8)


def weights(*shape: int) -> TernaryArray:
    """Random ternary weights."""
    return TernaryArray.pack(rng().integers(-1, 2, shape).astype(np.int8))


def run(
    device: CPUDevice, kernel: Kernel, arrays: Arrays, sizes: dict[str, int], scalars: Arrays | None = None
) -> Arrays:
    """The outputs of a kernel on a device."""
    verify_machine(lower_cpu(kernel, device.target))
    executable = device.compile(kernel)
    buffers, outputs = [], {}
    for buffer in kernel.buffers:
        given = arrays.get(buffer.name)
        if isinstance(given, TernaryArray):
            buffers.append(device.upload(given.with_layout(device.target.layout).words))
            continue
        shape = tuple(evaluate_size(dim, sizes) for dim in buffer.shape)
        if given is None:
            given = np.full(shape, 77, buffer.dtype.numpy)
        buffers.append(device.upload(np.asarray(given)))
        if buffer.mode is not Mode.IN:
            outputs[buffer.name] = (buffers[-1], np.empty(shape, buffer.dtype.numpy))
    device.launch(executable, buffers, sizes, [(scalars or {})[s.name] for s in kernel.scalars])
    for memory, array in outputs.values():
        device.read(memory, array)
    return {name: array for name, (_, array) in outputs.items()}


def check(
    device: CPUDevice,
    kernel: Kernel,
    arrays: Arrays,
    sizes: dict[str, int],
    scalars: Arrays | None = None,
    tolerance: float = 2e-5,
) -> None:
    """The device computes what the interpreter does."""
    copies = {n: a.copy() if isinstance(a, np.ndarray) else a for n, a in arrays.items()}
    expected = interpret(kernel, copies, sizes, scalars)
    found = run(device, kernel, arrays, sizes, scalars)
    for name, wanted in expected.items():
        got = found[name]
        if wanted.dtype.kind in "iub":
            np.testing.assert_array_equal(got, wanted, err_msg=name)
        else:
            step = float(ml_dtypes.finfo(wanted.dtype).eps)
            sizable = np.abs(wanted.astype(np.float32))
            scale = float(sizable.max(initial=1.0, where=np.isfinite(sizable)))
            np.testing.assert_allclose(
                got.astype(np.float32),
                wanted.astype(np.float32),
                rtol=max(tolerance, step),
                atol=max(tolerance, step) * scale,
                err_msg=name,
            )


RAGGED = [1, 2, 17, 100, 257]


@pytest.mark.parametrize("block", [1, 16, 48, 50])
def test_elementwise(device: CPUDevice, block: int) -> None:
    b = Builder("axpy")
    x, y = b.buffer("x", f32["N"]), b.buffer("y", f32["N"], Mode.OUT)
    a = b.scalar("a", f32)
    axis = b.program_axis("n", x.shape[0], block)
    v = b.load(x, [axis])
    b.store(y, [axis], b.binary(ADD, b.binary(MUL, v, a), b.unary(UnaryOp.EXP, v)))
    kernel = b.finish()
    for n in RAGGED:
        check(device, kernel, {"x": floats(n)}, {"N": n}, {"a": 1.5})


def test_rows_and_columns(device: CPUDevice) -> None:
    b = Builder("scale")
    x, s, g = b.buffer("x", f32["M", "N"]), b.buffer("s", f32["M"]), b.buffer("g", f32["N"])
    y, t = b.buffer("y", f32["M", "N"], Mode.OUT), b.buffer("t", f32["N", "M"], Mode.OUT)
    rows, columns = b.program_axis("m", x.shape[0], 4), b.program_axis("n", x.shape[1], 32)
    v = b.binary(MUL, b.load(x, [rows, columns]), b.load(s, [rows]))
    b.store(y, [rows, columns], b.binary(MUL, v, b.load(g, [columns])))
    b.store(t, [columns, rows], v)
    kernel = b.finish()
    for m, n in [(1, 1), (3, 17), (9, 100), (5, 31)]:
        check(device, kernel, {"x": floats(m, n), "s": floats(m), "g": floats(n)}, {"M": m, "N": n})


@pytest.mark.parametrize("dtype", [f32, bf16, i8])
def test_transpose(device: CPUDevice, dtype: DType) -> None:
    b = Builder("transpose")
    x, y = b.buffer("x", dtype["M", "N"]), b.buffer("y", dtype["N", "M"], Mode.OUT)
    rows, columns = b.program_axis("m", x.shape[0], 16), b.program_axis("n", x.shape[1], 16)
    b.store(y, [columns, rows], b.load(x, [rows, columns]))
    kernel = b.finish()
    for m, n in [(16, 16), (17, 33), (40, 5)]:
        array = bytes_(m, n) if dtype is i8 else floats(m, n, dtype=dtype.numpy)
        check(device, kernel, {"x": array}, {"M": m, "N": n})


@pytest.mark.parametrize("op", list(ReduceOp))
def test_row_reductions(device: CPUDevice, op: ReduceOp) -> None:
    b = Builder("rows")
    x, y, z = (
        b.buffer("x", f32["M", "K"]),
        b.buffer("y", f32["M"], Mode.OUT),
        b.buffer("z", f32["M", "K"], Mode.OUT),
    )
    rows = b.program_axis("m", x.shape[0], 4)
    first = {ReduceOp.SUM: 0.0, ReduceOp.MAX: -1e30, ReduceOp.MIN: 1e30}[op]
    update = {ReduceOp.SUM: BinaryOp.ADD, ReduceOp.MAX: BinaryOp.MAX, ReduceOp.MIN: BinaryOp.MIN}[op]
    with b.loop("k", x.shape[1], 32, [b.full([rows], first, f32)]) as loop:
        v = b.load(x, [rows, loop.axis])
        loop.next = [b.binary(update, loop.values[0], b.reduce(op, v, loop.axis))]
    b.store(y, [rows], loop.results[0])
    with b.loop("k", x.shape[1], 32) as again:
        b.store(z, [rows, again.axis], b.binary(SUB, b.load(x, [rows, again.axis]), loop.results[0]))
    kernel = b.finish()
    for k in RAGGED:
        check(device, kernel, {"x": floats(6, k)}, {"M": 6, "K": k})


@pytest.mark.parametrize("dtype", [f16, bf16, i32])
def test_column_reductions(device: CPUDevice, dtype: DType) -> None:
    b = Builder("columns")
    x, y = b.buffer("x", dtype["M", "N"]), b.buffer("y", dtype["N"], Mode.OUT)
    columns = b.program_axis("n", x.shape[1], 32)
    with b.loop("m", x.shape[0], 8, [b.full([columns], 0, dtype)]) as loop:
        v = b.load(x, [loop.axis, columns])
        loop.next = [b.binary(ADD, loop.values[0], b.reduce(ReduceOp.SUM, v, loop.axis))]
    b.store(y, [columns], loop.results[0])
    array = (
        floats(13, 45, dtype=dtype.numpy)
        if dtype.is_float
        else rng().integers(-9, 9, (13, 45)).astype(np.int32)
    )
    check(device, b.finish(), {"x": array}, {"M": 13, "N": 45}, tolerance=3e-2)


def test_whole_axis_softmax(device: CPUDevice) -> None:
    b = Builder("softmax")
    x, y = b.buffer("x", f32["M", 100]), b.buffer("y", f32["M", 100], Mode.OUT)
    rows, columns = b.program_axis("m", x.shape[0], 3), b.whole_axis("n", x.shape[1])
    v = b.load(x, [rows, columns])
    e = b.unary(UnaryOp.EXP, b.binary(SUB, v, b.reduce(ReduceOp.MAX, v, columns)))
    b.store(y, [rows, columns], b.binary(BinaryOp.DIV, e, b.reduce(ReduceOp.SUM, e, columns)))
    check(device, b.finish(), {"x": floats(7, 100)}, {"M": 7})


@pytest.mark.parametrize("d", [1, 16, 100])
def test_gather_and_scatter_rows(device: CPUDevice, d: int) -> None:
    b = Builder("gather")
    table, ids = b.buffer("table", f32["V", "D"]), b.buffer("ids", i32["T"])
    y, z = b.buffer("y", f32["T", "D"], Mode.OUT), b.buffer("z", f32["V", "D"], Mode.INOUT)
    token, column = b.program_axis("t", ids.shape[0], 4), b.program_axis("d", table.shape[1], 32)
    at = b.load(ids, [token])
    row = b.load(table, [at, column])
    b.store(y, [token, column], row)
    b.store(z, [at, column], row)
    arrays = {"table": floats(50, d), "ids": rng().permutation(50)[:11].astype(np.int32), "z": floats(50, d)}
    check(device, b.finish(), arrays, {"V": 50, "D": d, "T": 11})


def test_element_gather_with_guard(device: CPUDevice) -> None:
    b = Builder("guarded")
    x, ids = b.buffer("x", f32["V"]), b.buffer("ids", i32["T"])
    y, z = b.buffer("y", f32["T"], Mode.OUT), b.buffer("z", f32["T"], Mode.INOUT)
    t = b.program_axis("t", ids.shape[0], 32)
    at = b.load(ids, [t])
    inside = b.binary(BinaryOp.AND, b.binary(BinaryOp.GE, at, 0), b.binary(BinaryOp.LT, at, x.shape[0]))
    v = b.load(x, [at], inside)
    b.store(y, [t], v)
    b.store(z, [t], b.unary(UnaryOp.NEG, v), inside)
    ids_ = rng().integers(-10, 40, 45).astype(np.int32)
    check(device, b.finish(), {"x": floats(23), "ids": ids_, "z": floats(45)}, {"V": 23, "T": 45})


def test_guarded_scalars(device: CPUDevice) -> None:
    b = Builder("first")
    x, y = b.buffer("x", f32["N"]), b.buffer("y", f32["N"], Mode.INOUT)
    n = b.program_axis("n", x.shape[0], 1)
    odd = b.binary(BinaryOp.EQ, b.binary(BinaryOp.MOD, b.index(n), 2), 1)
    before = b.load(
        x, [b.binary(ADD, b.index(n), 1)], b.binary(BinaryOp.LT, b.index(n), b.binary(SUB, x.shape[0], 1))
    )
    b.store(y, [n], before, odd)
    check(device, b.finish(), {"x": floats(7), "y": floats(7)}, {"N": 7})


@pytest.mark.parametrize("source", [d for d in ALL if not d.is_ternary], ids=str)
def test_casts(device: CPUDevice, source: DType) -> None:
    targets = [d for d in ALL if d is not source and not d.is_ternary]
    b = Builder("casts")
    x = b.buffer("x", source["N"])
    outs = [b.buffer(f"y{d}", d["N"], Mode.OUT) for d in targets]
    n = b.program_axis("n", x.shape[0], 32)
    v = b.load(x, [n])
    for out in outs:
        b.store(out, [n], b.cast(v, out.dtype))
    if source.is_float:
        numbers = [0, 0.5, -0.5, 1.5, -2.5, 300, -300, 1e6, -1e6, np.inf, -np.inf, 7.75] * 4
        with np.errstate(over="ignore"):
            array = np.array(numbers, source.numpy)
    elif source.is_bool:
        array = rng().integers(0, 2, 45).astype(np.bool_)
    else:
        low, high = (int(v) for v in source.limits)
        array = np.concatenate([rng().integers(low, high, 40), [low, high, 0, 1]]).astype(source.numpy)
    kernel, sizes = b.finish(), {"N": len(array)}
    found = run(device, kernel, {"x": array}, sizes)
    for name, wanted in interpret(kernel, {"x": array.copy()}, sizes, None).items():
        np.testing.assert_array_equal(found[name].astype(np.float64), wanted.astype(np.float64), err_msg=name)


@pytest.mark.parametrize("op", [BinaryOp.FLOORDIV, BinaryOp.MOD])
@pytest.mark.parametrize("dtype", [d for d in ALL if d.is_integer], ids=str)
def test_integer_division(device: CPUDevice, op: BinaryOp, dtype: DType) -> None:
    b = Builder("divide")
    x, d = b.buffer("x", dtype["N"]), b.buffer("d", dtype["N"])
    y, c, p = (b.buffer(name, dtype["N"], Mode.OUT) for name in "ycp")
    n = b.program_axis("n", x.shape[0], 32)
    v = b.load(x, [n])
    b.store(y, [n], b.binary(op, v, b.load(d, [n])))
    b.store(c, [n], b.binary(op, v, 7))
    b.store(p, [n], b.binary(op, v, 8))
    low, high = (int(v) for v in dtype.limits)
    x_, d_ = rng().integers(low, high, 45), rng().integers(max(low, -9), 9, 45)
    d_[d_ == 0] = 1
    check(device, b.finish(), {"x": x_.astype(dtype.numpy), "d": d_.astype(dtype.numpy)}, {"N": 45})


@pytest.mark.parametrize("dtype", [f32, bf16, i32, i8, bool_], ids=str)
def test_binary_operations(device: CPUDevice, dtype: DType) -> None:
    bitwise = (BinaryOp.AND, BinaryOp.OR, BinaryOp.XOR)
    whole = (*bitwise, BinaryOp.SHL, BinaryOp.SHR)
    skipped: tuple[BinaryOp, ...] = (BinaryOp.FLOORDIV, BinaryOp.MOD)
    skipped += whole if dtype.is_float else (BinaryOp.DIV,)
    ops = [op for op in BinaryOp if op not in skipped]
    if dtype.is_bool:
        ops = [op for op in ops if op in bitwise or op.is_comparison]
    b = Builder("binary")
    x, d, e = (b.buffer(name, dtype["N"]) for name in "xde")
    n = b.program_axis("n", x.shape[0], 32)
    v, w, positive = (b.load(buffer, [n]) for buffer in (x, d, e))
    for op in ops:
        out = b.buffer(op.value, bool_["N"] if op.is_comparison else dtype["N"], Mode.OUT)
        b.store(out, [n], b.binary(op, v, positive if op in (BinaryOp.DIV, *whole[3:]) else w))
    values = [
        rng().integers(-5, 6, 40),
        np.random.default_rng(8).integers(-5, 6, 40),
        rng().integers(1, 6, 40),
    ]
    check(device, b.finish(), {k: a.astype(dtype.numpy) for k, a in zip("xde", values)}, {"N": 40})


def test_unary_operations(device: CPUDevice) -> None:
    b = Builder("unary")
    x, p, c = b.buffer("x", f32["N"]), b.buffer("p", f32["N"]), b.buffer("c", bool_["N"])
    n = b.program_axis("n", x.shape[0], 32)
    for op in UnaryOp:
        positive = op in (UnaryOp.LOG, UnaryOp.SQRT, UnaryOp.RSQRT)
        source = c if op is UnaryOp.NOT else p if positive else x
        out = b.buffer(op.value, source.dtype["N"], Mode.OUT)
        b.store(out, [n], b.unary(op, b.load(source, [n])))
    array = floats(45) * 3
    arrays = {"x": array, "p": np.abs(array) + np.float32(0.1), "c": array > 0}
    check(device, b.finish(), arrays, {"N": 45})


def test_conditions(device: CPUDevice) -> None:
    b = Builder("branches")
    x, y = b.buffer("x", f32["M", "N"]), b.buffer("y", f32["M", "N"], Mode.OUT)
    limit = b.scalar("limit", i32)
    m, n = b.program_axis("m", x.shape[0], 1), b.program_axis("n", x.shape[1], 32)
    v = b.load(x, [m, n])
    condition = b.binary(BinaryOp.LT, b.index(m), limit)
    scalar = b.reduce(ReduceOp.MAX, b.select(condition, 1.0, b.full([m], 0.0, f32)), m)
    with b.condition(b.binary(BinaryOp.GT, scalar, 0.5)) as branch:
        a = b.binary(MUL, v, 2.0)
        with branch.otherwise():
            c = b.unary(UnaryOp.NEG, v)
        branch.pairs = [(a, c)]
    b.store(y, [m, n], branch.results[0])
    check(device, b.finish(), {"x": floats(5, 40)}, {"M": 5, "N": 40}, {"limit": 3})


@pytest.mark.parametrize("open_start", [False, True])
def test_loop_bounds(device: CPUDevice, open_start: bool) -> None:
    b = Builder("bounds")
    x, y, r = (
        b.buffer("x", f32["M", "N"]),
        b.buffer("y", f32["M"], Mode.OUT),
        b.buffer("r", f32["M"], Mode.OUT),
    )
    first, last = b.scalar("start", i32), b.scalar("stop", i32)
    m = b.program_axis("m", x.shape[0], 2)
    zero = b.full([m], 0.0, f32)
    carried = [zero, b.full([m], -9.0, f32)]
    with b.loop("n", x.shape[1], 16, carried, start=None if open_start else first, stop=last) as loop:
        v = b.load(x, [m, loop.axis])
        total = b.binary(ADD, loop.values[0], b.reduce(ReduceOp.SUM, b.binary(MUL, v, v), loop.axis))
        loop.next = [total, b.binary(MAX, loop.values[1], b.reduce(ReduceOp.MAX, v, loop.axis))]
    b.store(y, [m], loop.results[0])
    b.store(r, [m], loop.results[1])
    kernel = b.finish()
    for start, stop in [(0, 50), (3, 50), (17, 18), (40, 90), (20, 20), (5, -3)]:
        check(device, kernel, {"x": floats(3, 77)}, {"M": 3, "N": 77}, {"start": start, "stop": stop})


def test_flat_index_arithmetic(device: CPUDevice) -> None:
    """Heads in a flat row: quotients and remainders in addresses."""
    b = Builder("heads")
    x, y = b.buffer("x", f32["T", "W"]), b.buffer("y", f32["H", "T", 32], Mode.OUT)
    t, w = b.program_axis("t", x.shape[0], 2), b.program_axis("w", x.shape[1], 32)
    at = b.index(w)
    head, inner = b.binary(BinaryOp.FLOORDIV, at, 32), b.binary(BinaryOp.MOD, at, 32)
    b.store(y, [head, t, inner], b.load(x, [t, w]))
    check(device, b.finish(), {"x": floats(5, 96)}, {"T": 5, "W": 96, "H": 3})


# dots


def matmul(
    left: TensorSpec,
    right: TensorSpec,
    blocks: tuple[int, int, int],
    prepare: Callable[[Builder, Value], Value] | None = None,
) -> Kernel:
    """y[M, N] = x[M, K] . w[N, K] in blocks of (m, n, k), with something done to x first."""
    b = Builder("matmul")
    x, w = b.buffer("x", left), b.buffer("w", right)
    bm, bn, bk = blocks
    result = i32 if prepare is None and left.dtype is i8 else f32
    m, n = b.size("M"), b.size("N")
    columns, rows = b.program_axis("n", n, bn), b.program_axis("m", m, bm)
    with b.loop("k", b.size("K"), bk, [b.full([rows, columns], 0, result)]) as loop:
        loaded = b.load(x, [rows, loop.axis])
        v = loaded if prepare is None else prepare(b, loaded)
        product = b.dot(v, b.load(w, [columns, loop.axis]), loop.axis)
        loop.next = [b.binary(ADD, loop.values[0], product)]
    y = b.buffer("y", result["M", "N"], Mode.OUT)
    b.store(y, [rows, columns], loop.results[0])
    return b.finish()


SHAPES = [(1, 1, 1), (3, 17, 100), (9, 50, 64), (2, 5, 257), (8, 48, 128)]


@pytest.mark.parametrize("blocks", [(8, 48, 64), (3, 32, 32), (1, 16, 512), (3, 5, 24)], ids=str)
def test_dot_i8_ternary(device: CPUDevice, blocks: tuple[int, int, int]) -> None:
    kernel = matmul(i8["M", "K"], ternary["N", "K"], blocks)
    for m, n, k in SHAPES:
        check(device, kernel, {"x": bytes_(m, k), "w": weights(n, k)}, {"M": m, "N": n, "K": k})


@pytest.mark.parametrize("dtype", [f32, bf16, f16], ids=str)
@pytest.mark.parametrize("blocks", [(4, 32, 32), (2, 16, 48), (2, 6, 20)], ids=str)
def test_dot_float_ternary(device: CPUDevice, dtype: DType, blocks: tuple[int, int, int]) -> None:
    kernel = matmul(dtype["M", "K"], ternary["N", "K"], blocks)
    for m, n, k in SHAPES:
        arrays = {"x": floats(m, k, dtype=dtype.numpy), "w": weights(n, k)}
        check(device, kernel, arrays, {"M": m, "N": n, "K": k})


@pytest.mark.parametrize("dtype", [f32, bf16, f16, i8], ids=str)
@pytest.mark.parametrize("blocks", [(4, 6, 64), (4, 16, 16), (2, 3, 8), (6, 16, 40)], ids=str)
def test_dot_same_dtypes(device: CPUDevice, dtype: DType, blocks: tuple[int, int, int]) -> None:
    make = bytes_ if dtype is i8 else functools.partial(floats, dtype=dtype.numpy)
    kernel = matmul(dtype["M", "K"], dtype["N", "K"], blocks)
    for m, n, k in SHAPES:
        check(device, kernel, {"x": make(m, k), "w": make(n, k)}, {"M": m, "N": n, "K": k})


def test_dot_of_a_long_ragged_row(device: CPUDevice) -> None:
    kernel = matmul(i8["M", "K"], ternary["N", "K"], (8, 48, 64))
    check(device, kernel, {"x": bytes_(9, 5460), "w": weights(50, 5460)}, {"M": 9, "N": 50, "K": 5460})


@pytest.mark.parametrize("other", [(f32, f32), (f32, ternary), (bf16, ternary)], ids=str)
def test_dot_of_computed_operand(device: CPUDevice, other: tuple[DType, DType]) -> None:
    left, right = other

    def prepare(b: Builder, v: Value) -> Value:
        return b.cast(b.binary(MUL, b.unary(UnaryOp.TANH, v), 2.0), left)

    kernel = matmul(f32["M", "K"], right["N", "K"], (4, 32, 32), prepare)
    w = weights(37, 45) if right.is_ternary else floats(37, 45)
    check(device, kernel, {"x": floats(5, 45), "w": w}, {"M": 5, "N": 37, "K": 45}, tolerance=1e-4)


def test_quantise_and_dot(device: CPUDevice) -> None:
    """Activations quantised in the kernel: the i8 operand is computed."""
    b = Builder("quantise")
    x, w = b.buffer("x", f32["M", "K"]), b.buffer("w", ternary["N", "K"])
    y = b.buffer("y", f32["M", "N"], Mode.OUT)
    n, m = b.program_axis("n", w.shape[0], 32), b.program_axis("m", x.shape[0], 4)
    with b.loop("k", x.shape[1], 32, [b.full([m], 1e-5, f32)]) as most:
        v = b.unary(UnaryOp.ABS, b.load(x, [m, most.axis]))
        most.next = [b.binary(MAX, most.values[0], b.reduce(ReduceOp.MAX, v, most.axis))]
    scale = b.binary(BinaryOp.DIV, b.const(127.0, f32), most.results[0])
    with b.loop("k", x.shape[1], 64, [b.full([m, n], 0, i32)]) as loop:
        q = b.unary(UnaryOp.ROUND, b.binary(MUL, b.load(x, [m, loop.axis]), scale))
        q8 = b.cast(q, i8)
        loop.next = [b.binary(ADD, loop.values[0], b.dot(q8, b.load(w, [n, loop.axis]), loop.axis))]
    b.store(y, [m, n], b.binary(BinaryOp.DIV, b.cast(loop.results[0], f32), scale))
    check(device, b.finish(), {"x": floats(7, 100), "w": weights(41, 100)}, {"M": 7, "N": 41, "K": 100})


def test_dot_with_contiguous_columns(device: CPUDevice) -> None:
    """y = x . w with w[K, N], and its transposed relatives."""
    b = Builder("nn")
    x, w, xt = b.buffer("x", f32["M", "K"]), b.buffer("w", f32["K", "N"]), b.buffer("xt", f32["K", "M"])
    y, z = b.buffer("y", f32["M", "N"], Mode.OUT), b.buffer("z", f32["M", "N"], Mode.OUT)
    rows, columns = b.program_axis("m", x.shape[0], 4), b.program_axis("n", w.shape[1], 32)
    zero = b.full([rows, columns], 0.0, f32)
    with b.loop("k", x.shape[1], 8, [zero, zero]) as loop:
        right = b.load(w, [loop.axis, columns])
        one = b.dot(b.load(x, [rows, loop.axis]), right, loop.axis)
        two = b.dot(b.load(xt, [loop.axis, rows]), right, loop.axis)
        loop.next = [b.binary(ADD, loop.values[0], one), b.binary(ADD, two, loop.values[1])]
    b.store(y, [rows, columns], loop.results[0])
    b.store(z, [rows, columns], loop.results[1])
    kernel = b.finish()
    for m, n, k in [(5, 33, 19), (1, 16, 64), (12, 100, 7)]:
        arrays = {"x": floats(m, k), "w": floats(k, n), "xt": floats(k, m)}
        check(device, kernel, arrays, {"M": m, "N": n, "K": k})


@pytest.mark.parametrize(("tokens", "head"), [(1, 16), (19, 32), (40, 100)])
def test_attention(device: CPUDevice, tokens: int, head: int) -> None:
    """Streaming softmax: dots of computed operands, carried row values, a causal guard, whole axes."""
    b = Builder("attention")
    q, k, v = (b.buffer(name, f32["T", head]) for name in "qkv")
    y = b.buffer("y", f32["T", head], Mode.OUT)
    m, d = b.program_axis("m", q.shape[0], 8), b.whole_axis("d", q.shape[1])
    query = b.binary(MUL, b.load(q, [m, d]), 0.25)
    carried = [b.full([m], -1e30, f32), b.full([m], 0.0, f32), b.full([m, d], 0.0, f32)]
    with b.loop("n", k.shape[0], 16, carried) as loop:
        n = loop.axis
        top, total, acc = loop.values
        scores = b.dot(query, b.load(k, [n, d]), d)
        scores = b.select(b.binary(BinaryOp.LE, b.index(n), b.index(m)), scores, -1e30)
        new_top = b.binary(MAX, top, b.reduce(ReduceOp.MAX, scores, n))
        p = b.unary(UnaryOp.EXP, b.binary(SUB, scores, new_top))
        shrink = b.unary(UnaryOp.EXP, b.binary(SUB, top, new_top))
        new_total = b.binary(ADD, b.binary(MUL, total, shrink), b.reduce(ReduceOp.SUM, p, n))
        update = b.dot(p, b.load(v, [n, d]), n)
        loop.next = [new_top, new_total, b.binary(ADD, b.binary(MUL, acc, shrink), update)]
    b.store(y, [m, d], b.binary(BinaryOp.DIV, loop.results[2], loop.results[1]))
    arrays = {name: floats(tokens, head) for name in "qkv"}
    check(device, b.finish(), arrays, {"T": tokens}, tolerance=1e-4)


def test_batched_dot(device: CPUDevice) -> None:
    b = Builder("batched")
    x, w, y = (
        b.buffer("x", f32["B", "M", 8]),
        b.buffer("w", f32["B", "N", 8]),
        b.buffer("y", f32["B", "M", "N"], Mode.OUT),
    )
    batch, m = b.program_axis("b", x.shape[0], 2), b.program_axis("m", x.shape[1], 3)
    n, k = b.program_axis("n", w.shape[1], 16), b.whole_axis("k", x.shape[2])
    b.store(y, [batch, m, n], b.dot(b.load(x, [batch, m, k]), b.load(w, [batch, n, k]), k))
    check(device, b.finish(), {"x": floats(3, 4, 8), "w": floats(3, 20, 8)}, {"B": 3, "M": 4, "N": 20})


def test_ternary_cast(device: CPUDevice) -> None:
    b = Builder("unpack")
    w = b.buffer("w", ternary["N", "K"])
    y, t = b.buffer("y", i8["N", "K"], Mode.OUT), b.buffer("t", f32["K", "N"], Mode.OUT)
    n, k = b.program_axis("n", w.shape[0], 4), b.program_axis("k", w.shape[1], 16)
    v = b.load(w, [n, k])
    b.store(y, [n, k], b.cast(v, i8))
    b.store(t, [k, n], b.cast(v, f32))
    check(device, b.finish(), {"w": weights(21, 37)}, {"N": 21, "K": 37})


@pytest.mark.parametrize(
    ("left", "right", "blocks", "expected"),
    [
        (i8, ternary, (8, 48, 64), Op.DOT4_US),
        (bf16, ternary, (8, 48, 64), Op.DOT2_BF16),
        (f32, ternary, (8, 48, 64), Op.LOOKUP),
        (i8, i8, (4, 6, 64), Op.DOT4_SS),
        (bf16, bf16, (4, 6, 64), Op.DOT2_BF16),
    ],
    ids=str,
)
def test_dot_instructions(left: DType, right: DType, blocks: tuple[int, int, int], expected: Op) -> None:
    """A processor with dot instructions gets them, and a loop's sums are reduced after it alone."""
    wide = replace(
        target("cpu:avx512"), features=frozenset({"int8-dot", "bf16-dot", "lookup", "masked-memory"})
    )
    function = lower_cpu(matmul(left["M", "K"], right["N", "K"], blocks), wide)
    loops = [statement for statement in function.body.statements if isinstance(statement, For)]
    assert len(loops) == 2  # whole blocks, then what is left
    inside = [s.op for loop in loops for s in loop.body.walk() if isinstance(s, Instruction)]
    assert expected in inside
    assert Op.REDUCE not in inside
    whole = [s for s in loops[0].body.walk() if isinstance(s, Instruction)]
    assert all(len(s.args) == 1 for s in whole if s.op is Op.LOAD)  # no masks


@settings(max_examples=15)
@given(case=random_kernels())
@pytest.mark.parametrize("level", LEVELS)
def test_random_kernels(level: str, case: Case) -> None:
    device = DEVICES.get(level)
    if not isinstance(device, CPUDevice):
        pytest.skip(f"this processor has not all of {level}")
    check(device, case.kernel, case.tensors, case.sizes, case.scalars)


def test_updates_in_place(device: CPUDevice) -> None:
    b = Builder("update")
    x, g = b.buffer("x", f32["M", "N"], Mode.INOUT), b.buffer("g", f32["M", "N"])
    m, n = b.program_axis("m", x.shape[0], 4), b.program_axis("n", x.shape[1], 16)
    b.store(x, [m, n], b.binary(SUB, b.load(x, [m, n]), b.load(g, [m, n])))
    b.store(x, [m, n], b.binary(MUL, b.load(x, [m, n]), 2.0))
    check(device, b.finish(), {"x": floats(5, 33), "g": floats(5, 33)}, {"M": 5, "N": 33})
