"""Checks that a device computes what programs mean, made for machines that we have never seen.

Kernels are compared with the interpreter, and a small BitNet's training with the CPU's. Nothing here needs the test
suite, which checks far more.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritloom.backends import registry
from tritloom.backends.base import Device
from tritloom.codegen.compile import source
from tritloom.codegen.errors import TritloomError
from tritloom.codegen.ir.dtypes import DType, bf16, f16, f32, i8, i16, i32, ternary, u8, u32
from tritloom.codegen.ir.ternary import TernaryArray
from tritloom.codegen.ir.tile import (
    BinaryOp,
    Kernel,
    Mode,
    ReduceOp,
    UnaryOp,
    Value,
    const,
    evaluate_size,
)
from tritloom.codegen.ir.tile_builder import Builder
from tritloom.codegen.ir.tile_interpreter import interpret
from tritloom.models.adapter import new_adapter
from tritloom.models.checkpoint import Checkpoint, tensor_shapes
from tritloom.models.model import Model
from tritloom.models.programs import lora_trainer
from tritloom.models.shapes import find_shape
from tritloom.models.training import Recipe

Tensors = dict[str, NDArray[Any] | TernaryArray]
_FLOATS = (f32, f16, bf16)
_INTEGERS = (i8, i16, i32, u8, u32)
_PAIRS = (
    (f32, f32), (f32, ternary), (f16, f16), (f16, ternary), (bf16, bf16), (bf16, ternary), (i8, i8), (i8, ternary),
)  # fmt: skip
_LOSS_TOLERANCE = 1e-3
_FENCE = 64
"""Bytes behind each tensor that no kernel may touch."""


class Mismatch(TritloomError):
    """A device computed something else than it should."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to try on a device. `run` raises a TritloomError; `kernel` is what it compiles, if it is one kernel."""

    name: str
    run: Callable[[Device], None]
    kernel: Kernel | None = None

    def source(self, device: Device) -> str | None:
        """The code of the kernel for the device; None if there is no one kernel, or no code."""
        if self.kernel is None:
            return None
        try:
            return source(self.kernel, device.target)
        except Exception:  # noqa: BLE001  (what went wrong is told by `run`, which makes the same code)
            return None


def checks(seed: int = 0) -> list[Check]:
    """All checks, the simplest first; `seed` is that of random numbers and random kernels."""
    return [
        Check("memory", _memory),
        *(_elementwise(dtype, seed) for dtype in (*_FLOATS, *_INTEGERS)),
        _functions(),
        *(_casts(dtype) for dtype in (*_FLOATS, *_INTEGERS)),
        *(_reductions(dtype, seed) for dtype in (f32, i32)),
        *(_dot(left, right, seed) for left, right in _PAIRS),
        _control_flow(seed),
        *(_random_kernel(number, seed) for number in range(12)),
        Check("training of a small BitNet", lambda device: _training(device, seed)),
    ]


def _memory(device: Device) -> None:
    data = np.random.default_rng(0).integers(0, 256, 100_003).astype(np.uint8)
    buffer = device.upload(data)
    back = np.zeros_like(data)
    device.read(buffer, back)
    if not (back == data).all():
        raise Mismatch(f"{int((back != data).sum())} of {data.size} bytes did not come back as they were")


# kernels


def _kernel_check(
    name: str,
    kernel: Kernel,
    tensors: Tensors,
    sizes: Mapping[str, int],
    tolerance: float | Mapping[str, float] = 0.0,
) -> Check:
    """Compare with the interpreter. `tolerance` is relative, and absolute for numbers below 1; one, or by tensor."""

    def run(device: Device) -> None:
        copies = {n: t if isinstance(t, TernaryArray) else t.copy() for n, t in tensors.items()}
        wanted = interpret(kernel, copies, sizes, {})
        for tensor, got in _launched(device, kernel, tensors, sizes).items():
            most = tolerance if isinstance(tolerance, float) else tolerance.get(tensor, 0.0)
            _compare(tensor, got, wanted[tensor], most)

    return Check(name, run, kernel)


def _launched(
    device: Device, kernel: Kernel, tensors: Tensors, sizes: Mapping[str, int]
) -> dict[str, NDArray[Any]]:
    buffers, results = [], []
    for buffer in kernel.buffers:
        given = tensors.get(buffer.name)
        if isinstance(given, TernaryArray):
            buffers.append(device.upload(given.with_layout(device.target.layout).words))
            continue
        shape = tuple(evaluate_size(dim, dict(sizes)) for dim in buffer.shape)
        nbytes = int(np.prod(shape, dtype=np.int64)) * buffer.dtype.nbytes
        data = np.full(nbytes + _FENCE, 0xA5, np.uint8)
        if given is not None:
            data[:nbytes] = np.ascontiguousarray(given).reshape(-1).view(np.uint8)
        buffers.append(device.upload(data))
        if buffer.mode is not Mode.IN:
            results.append((buffer, shape, nbytes, buffers[-1]))
    device.launch(device.compile(kernel), buffers, {size.name: sizes[size.name] for size in kernel.sizes})
    found = {}
    for buffer, shape, nbytes, memory in results:
        raw = np.empty(nbytes + _FENCE, np.uint8)
        device.read(memory, raw)
        if not (raw[nbytes:] == 0xA5).all():
            raise Mismatch(f"`{kernel.name}` wrote past the end of {buffer.name}")
        found[buffer.name] = raw[:nbytes].view(buffer.dtype.numpy).reshape(shape)
    return found


def _compare(name: str, got: NDArray[Any], want: NDArray[Any], tolerance: float) -> None:
    wide, expected = got.astype(np.float64), want.astype(np.float64)
    same = np.isclose(wide, expected, rtol=tolerance, atol=tolerance, equal_nan=True)
    if not same.all():
        at = tuple(int(i) for i in np.argwhere(~same)[0])
        raise Mismatch(
            f"{name}{list(at)} is {got[at]!r} and should be {want[at]!r} ({int((~same).sum())} of {want.size} differ)"
        )


def _numbers(dtype: DType, shape: tuple[int, ...], seed: int) -> NDArray[Any]:
    random = np.random.default_rng(seed)
    low, high = (0, 11) if dtype in (u8, u32) else (-11, 11)
    numbers = random.integers(low, high + 1, shape).astype(np.float64)
    return np.asarray((numbers / 2 if dtype.is_float else numbers).astype(dtype.numpy))


def _elementwise(dtype: DType, seed: int) -> Check:
    b = Builder(f"elementwise_{dtype}")
    m = b.program_axis("m", b.size("M"), 64)
    x, z = b.buffer("x", dtype["M"]), b.buffer("z", dtype["M"])
    operations = [BinaryOp.ADD, BinaryOp.MUL, BinaryOp.MIN, BinaryOp.MAX]
    if dtype.is_integer:
        operations += [BinaryOp.AND, BinaryOp.OR, BinaryOp.XOR]
    for operation in operations:
        y = b.buffer(f"y_{operation.value}", dtype["M"], Mode.OUT)
        b.store(y, [m], b.binary(operation, b.load(x, [m]), b.load(z, [m])))
    y = b.buffer("y_select", dtype["M"], Mode.OUT)
    less = b.binary(BinaryOp.LT, b.load(x, [m]), b.load(z, [m]))
    b.store(y, [m], b.select(less, b.load(x, [m]), b.load(z, [m])))
    tensors: Tensors = {"x": _numbers(dtype, (101,), seed), "z": _numbers(dtype, (101,), seed + 1)}
    return _kernel_check(f"elementwise of {dtype}", b.finish(), tensors, {"M": 101})


_RANGES = {
    UnaryOp.EXP: (-80.0, 80.0),
    UnaryOp.LOG: (1e-30, 1e30),
    UnaryOp.SQRT: (0.0, 1e6),
    UnaryOp.RSQRT: (1e-6, 1e6),
    UnaryOp.SIN: (-100.0, 100.0),
    UnaryOp.COS: (-100.0, 100.0),
    UnaryOp.TANH: (-9.0, 9.0),
    UnaryOp.FLOOR: (-9.0, 9.0),
    UnaryOp.ROUND: (-9.0, 9.0),
}


def _functions() -> Check:
    b = Builder("functions")
    m = b.program_axis("m", b.size("M"), 64)
    tensors: Tensors = {}
    for operation, (low, high) in _RANGES.items():
        x = b.buffer(f"x_{operation.value}", f32["M"])
        y = b.buffer(f"y_{operation.value}", f32["M"], Mode.OUT)
        b.store(y, [m], b.unary(operation, b.load(x, [m])))
        tensors[x.name] = np.linspace(low, high, 299).astype(np.float32)
    x, z = b.buffer("dividend", f32["M"]), b.buffer("divisor", f32["M"])
    b.store(
        b.buffer("quotient", f32["M"], Mode.OUT),
        [m],
        b.binary(BinaryOp.DIV, b.load(x, [m]), b.load(z, [m])),
    )
    tensors["dividend"] = np.linspace(-5, 7, 299).astype(np.float32)
    tensors["divisor"] = np.linspace(0.1, 1e5, 299).astype(np.float32)
    names = [
        f"y_{operation.value}" for operation in _RANGES if operation not in (UnaryOp.FLOOR, UnaryOp.ROUND)
    ]
    return _kernel_check(
        "functions of f32", b.finish(), tensors, {"M": 299}, dict.fromkeys([*names, "quotient"], 2e-6)
    )


def _casts(dtype: DType) -> Check:
    b = Builder(f"casts_{dtype}")
    m = b.program_axis("m", b.size("M"), 64)
    x = b.buffer("x", dtype["M"])
    for other in (*_FLOATS, *_INTEGERS):
        if other is not dtype:
            y = b.buffer(f"y_{other}", other["M"], Mode.OUT)
            b.store(y, [m], b.cast(b.load(x, [m]), other))
    special = [0.0, 0.5, 1.5, 2.5, -0.5, -1.5, 100.25, 127.9, -128.0, 128.0, 300.0, -300.0, 65504.0, -7.0]
    special += [np.nan, np.inf, -np.inf] if dtype.is_float else []
    low, high = (-np.inf, np.inf) if dtype.is_float else dtype.limits
    values = np.clip(np.array(special), low, high).astype(dtype.numpy)
    return _kernel_check(f"casts of {dtype}", b.finish(), {"x": values}, {"M": len(values)})


def _reductions(dtype: DType, seed: int) -> Check:
    b = Builder(f"reductions_{dtype}")
    x = b.buffer("x", dtype["M", "K"])
    m = b.program_axis("m", b.size("M"), 4)
    results = [b.buffer(f"y_{op.value}", dtype["M"], Mode.OUT) for op in ReduceOp]
    combine = {ReduceOp.SUM: BinaryOp.ADD, ReduceOp.MAX: BinaryOp.MAX, ReduceOp.MIN: BinaryOp.MIN}
    starts = [
        b.full([m], {ReduceOp.SUM: 0, ReduceOp.MAX: -100, ReduceOp.MIN: 100}[op], dtype) for op in ReduceOp
    ]
    with b.loop("k", b.size("K"), 128, starts) as loop:
        tile = b.load(x, [m, loop.axis])
        loop.next = [
            b.binary(combine[op], value, b.reduce(op, tile, loop.axis))
            for op, value in zip(ReduceOp, loop.values, strict=True)
        ]
    for result, value in zip(results, loop.results, strict=True):
        b.store(result, [m], value)
    return _kernel_check(
        f"reductions of {dtype}", b.finish(), {"x": _numbers(dtype, (9, 300), seed)}, {"M": 9, "K": 300}
    )


def _dot(left: DType, right: DType, seed: int) -> Check:
    """Numbers are small halves, so that every product and sum is exact in any order."""
    total = i32 if left is i8 else f32
    b = Builder(f"dot_{left}_{right}")
    x, w = b.buffer("x", left["M", "K"]), b.buffer("w", right["N", "K"])
    y = b.buffer("y", total["M", "N"], Mode.OUT)
    m, n = b.program_axis("m", b.size("M"), 32), b.program_axis("n", b.size("N"), 32)
    with b.loop("k", b.size("K"), 32, [b.full([m, n], 0, total)]) as loop:
        product = b.dot(b.load(x, [m, loop.axis]), b.load(w, [n, loop.axis]), loop.axis)
        loop.next = [b.binary(BinaryOp.ADD, loop.values[0], product)]
    b.store(y, [m, n], loop.results[0])
    weights = np.random.default_rng(seed).integers(-1, 2, (70, 100)).astype(np.int8)
    tensors: Tensors = {
        "x": _numbers(left, (45, 100), seed + 1),
        "w": TernaryArray.pack(weights) if right.is_ternary else _numbers(right, (70, 100), seed + 2),
    }
    sizes = {"M": 45, "N": 70, "K": 100}
    return _kernel_check(f"dot of {left} and {right}", b.finish(), tensors, sizes)


def _control_flow(seed: int) -> Check:
    """A loop that carries a value, which each turn halves where it is positive."""
    b = Builder("control_flow")
    x, y = b.buffer("x", f32["M", "K"]), b.buffer("y", f32["M"], Mode.OUT)
    m = b.program_axis("m", b.size("M"), 8)
    with b.loop("k", b.size("K"), 16, [b.full([m], 0, f32)]) as loop:
        part = b.reduce(ReduceOp.SUM, b.load(x, [m, loop.axis]), loop.axis)
        total = b.binary(BinaryOp.ADD, loop.values[0], part)
        positive = b.binary(BinaryOp.GT, total, 0.0)
        loop.next = [b.select(positive, b.binary(BinaryOp.MUL, total, 0.5), total)]
    b.store(y, [m], loop.results[0])
    return _kernel_check(
        "control flow", b.finish(), {"x": _numbers(f32, (21, 90), seed)}, {"M": 21, "K": 90}, 1e-5
    )


def _random_kernel(number: int, seed: int) -> Check:
    """A random expression of two matrices, a row and a column, and its sums along the rows."""
    random = np.random.default_rng((seed, number))
    b = Builder(f"random_{number}")
    x, z = b.buffer("x", f32["M", 37]), b.buffer("z", f32["M", 37])
    row, column = b.buffer("row", f32[37]), b.buffer("column", f32["M"])
    y, s = b.buffer("y", f32["M", 37], Mode.OUT), b.buffer("s", f32["M"], Mode.OUT)
    block = int(random.choice([1, 3, 8, 16]))
    m, n = b.program_axis("m", b.size("M"), block), b.whole_axis("n", const(37))
    values: list[Value] = [b.load(x, [m, n]), b.load(z, [m, n]), b.load(row, [n]), b.load(column, [m])]
    binary = [BinaryOp.ADD, BinaryOp.SUB, BinaryOp.MUL, BinaryOp.MIN, BinaryOp.MAX]
    unary = [UnaryOp.NEG, UnaryOp.ABS, UnaryOp.TANH, UnaryOp.SIN]
    for _ in range(int(random.integers(5, 15))):
        left, right = (values[int(i)] for i in random.integers(0, len(values), 2))
        kind = random.random()
        if kind < 0.65:
            made = b.binary(binary[int(random.integers(len(binary)))], left, right)
        elif kind < 0.85:
            made = b.unary(unary[int(random.integers(len(unary)))], left)
        else:
            made = b.select(b.binary(BinaryOp.LT, left, right), right, left)
        values.append(b.binary(BinaryOp.MAX, b.binary(BinaryOp.MIN, made, 8.0), -8.0))
    result = b.binary(BinaryOp.ADD, values[-1], b.load(x, [m, n]))
    b.store(y, [m, n], result)
    b.store(s, [m], b.reduce(ReduceOp.SUM, result, n))
    shapes = {"x": (29, 37), "z": (29, 37), "row": (37,), "column": (29,)}
    tensors: Tensors = {
        name: np.asarray(random.normal(size=shape).astype(np.float32)) for name, shape in shapes.items()
    }
    return _kernel_check(f"random kernel {number}", b.finish(), tensors, {"M": 29}, 1e-3)


# models


def _training(device: Device, seed: int) -> None:
    """Five steps of LoRA on a small BitNet: the losses are those of the CPU."""
    wanted, got = list(_losses(registry.device("cpu"), seed)), list(_losses(device, seed))
    for step, (want, loss) in enumerate(zip(wanted, got, strict=True), 1):
        if not abs(loss - want) <= _LOSS_TOLERANCE:
            raise Mismatch(
                f"the loss of step {step} is {loss:.6f} and on the CPU {want:.6f} (all: {got}, {wanted})"
            )


def _losses(device: Device, seed: int) -> Iterator[float]:
    config = replace(
        find_shape("shipped"),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        vocab_size=300,
        mode="online",
    )
    random = np.random.default_rng(seed)
    tensors: dict[str, Any] = {}
    for key, shape in tensor_shapes(config).items():
        drawn = random.normal(0, 0.7, shape)
        tensors[key] = (1 + 0.1 * drawn if "norm" in key else 0.1 * drawn).astype(np.float32)
    model = Model(Checkpoint(config, tensors).as_packed("autobitlinear"), device)
    model.set_adapter(new_adapter(config, 4, 8.0, seed=seed))
    trainer = lora_trainer(model.graph, model.adapters or [], Recipe(5, 0.01, warmup=1), device)
    ids = random.integers(0, config.vocab_size, (2, 24), dtype=np.int32)
    batch = (model.weights, *model.batch(ids, ids))
    for progress in trainer.run(itertools.repeat(batch, 5), lambda _: ids.size):
        yield progress.loss
