"""What the GPU lowering makes of kernels computes as the interpreter does, on targets of every kind and no device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.codegen.lower.test_gpu import NAMES, TARGET, TARGETS, UNITS
from tests.conformance.running import expected
from tests.machine_run import Broken, run
from tests.strategies import Case, random_kernels
from tritloom.codegen.errors import UnsupportedError
from tritloom.codegen.ir.dtypes import DType, bf16, f16, f32, i8, i32, ternary
from tritloom.codegen.ir.machine import Function, Space, index
from tritloom.codegen.ir.machine_builder import MachineBuilder
from tritloom.codegen.ir.ternary import TernaryArray
from tritloom.codegen.ir.tile import BinaryOp, Kernel, Mode, ReduceOp, evaluate_size
from tritloom.codegen.ir.tile_builder import Builder
from tritloom.codegen.lower.gpu import lower_gpu
from tritloom.codegen.target import MatrixUnit, Target
from tritloom.codegen.targets import target as target_of

Tensors = Mapping[str, NDArray[Any] | TernaryArray]
EVERY = [
    *TARGETS,
    *map(target_of, ("llvmpipe", "apple-m1-metal", "mali-g610", "bmg")),
    replace(TARGET, features=frozenset({"int8-dot", "subgroups"}), subgroup_size=32, registers=64),
    replace(TARGET, features=frozenset({"subgroups"}), subgroup_size=16, matrices=UNITS, registers=32),
]


def computes(
    kernel: Kernel, target: Target, tensors: Tensors, sizes: Mapping[str, int], **scalars: Any
) -> None:
    """Assert that the machine form gives what the interpreter gives, to the bit."""
    wanted = expected(kernel, tensors, sizes, scalars)
    arrays = []
    for buffer in kernel.buffers:
        value = tensors.get(buffer.name)
        if isinstance(value, TernaryArray):
            value = value.with_layout(target.layout).words
        if value is None:
            shape = tuple(evaluate_size(dim, dict(sizes)) for dim in buffer.shape)
            value = np.zeros(shape, buffer.dtype.numpy)
        arrays.append(value)
    programs = int(np.prod(kernel.grid(dict(sizes))))
    function = lower_gpu(kernel, target)
    made = run(function, arrays, {**sizes, **scalars}, programs, target.exchange_width)
    for buffer, array in zip(kernel.buffers, made, strict=True):
        if buffer.name in wanted:
            np.testing.assert_array_equal(array, wanted[buffer.name], strict=True)


@given(case=random_kernels(), target=st.sampled_from(EVERY))
def test_random_kernels(case: Case, target: Target) -> None:
    try:
        computes(case.kernel, target, case.tensors, case.sizes, **case.scalars)
    except UnsupportedError:
        if target.max_threads > 1:
            raise  # one thread alone cannot hold the largest tiles


def numbers(dtype: DType, shape: tuple[int, ...]) -> NDArray[Any] | TernaryArray:
    random = np.random.default_rng(len(shape) + shape[0])
    low, high = {i8: (-128, 128), ternary: (-1, 2)}.get(dtype, (-3, 4))
    made = random.integers(low, high, shape)
    return TernaryArray.pack(made) if dtype is ternary else made.astype(dtype.numpy)


PAIRS = [(i8, i8), (i8, ternary), (f16, f16), (bf16, ternary), (f32, ternary)]


def product(
    left: DType, right: DType, blocks: tuple[int, int, int], multiple: int, *, shorter: bool
) -> Kernel:
    """y = x . w of rows of K, which `multiple` divides; if `shorter`, of their first `length[0]` elements."""
    b = Builder("product")
    k_size = b.size("K", multiple)
    x, w = b.buffer("x", left["M", "K"]), b.buffer("w", right["N", "K"])
    y = b.buffer("y", (i32 if left is i8 else f32)["M", "N"], Mode.OUT)
    m, n = b.program_axis("m", b.size("M"), blocks[0]), b.program_axis("n", b.size("N"), blocks[1])
    size: Any = k_size
    if shorter:
        one = b.whole_axis("one", b.const(1, i32))
        size = b.reduce(ReduceOp.MAX, b.load(b.buffer("length", i32[1]), [one]), one)
    with b.loop("k", size, blocks[2], [b.full([m, n], 0, y.dtype)]) as loop:
        made = b.dot(b.load(x, [m, loop.axis]), b.load(w, [n, loop.axis]), loop.axis)
        loop.next = [b.binary(BinaryOp.ADD, loop.values[0], made)]
    b.store(y, [m, n], loop.results[0])
    return b.finish()


@given(
    pair=st.sampled_from(PAIRS),
    target=st.sampled_from([one for one in EVERY if one.max_threads > 1]),
    blocks=st.tuples(*(st.sampled_from(sizes) for sizes in ([1, 8, 16], [1, 16, 32], [4, 16, 48, 64]))),
    shape=st.tuples(st.sampled_from([1, 7, 17]), st.sampled_from([1, 16, 33])),
    depth=st.sampled_from([(1, 1), (1, 63), (1, 65), (4, 20), (16, 80), (64, 64), (64, 128)]),
    length=st.none() | st.integers(0, 60),
)
def test_products(
    pair: tuple[DType, DType],
    target: Target,
    blocks: tuple[int, int, int],
    shape: tuple[int, int],
    depth: tuple[int, int],
    length: int | None,
) -> None:
    multiple, k = depth
    kernel = product(*pair, blocks, multiple, shorter=length is not None)
    tensors = {"x": numbers(pair[0], (shape[0], k)), "w": numbers(pair[1], (shape[1], k))}
    if length is not None:
        tensors["length"] = np.array([min(length, k)], np.int32)
    computes(kernel, target, tensors, {"M": shape[0], "N": shape[1], "K": k})


@pytest.mark.parametrize("name", ["packed", "matrices-32", "matrices-64"])
@pytest.mark.parametrize("pair", [(i8, i8), (i8, ternary), (f16, f16)], ids=str)
def test_a_sum_may_end_before_the_rows_that_it_reads(name: str, pair: tuple[DType, DType]) -> None:
    """Rows are read in wide words, of which the last would lie across the sum's end."""
    x, w = numbers(pair[0], (3, 128)), numbers(pair[1], (16, 128))
    if isinstance(w, np.ndarray):
        x[:, 100:], w[:, 100:] = 7, 7
    tensors = {"x": x, "w": w, "length": np.array([100], np.int32)}
    kernel = product(*pair, (16, 16, 32), 64, shorter=True)
    computes(kernel, TARGETS[NAMES.index(name)], tensors, {"M": 3, "N": 16, "K": 128})


@pytest.mark.parametrize("width", [8, 32, 64, 128])
@pytest.mark.parametrize(("rows", "columns"), [(8, 8), (2, 16), (64, 16), (16, 24)])
def test_matrices_of_any_shape(width: int, rows: int, columns: int) -> None:
    """Also of fewer sums than a subgroup has threads."""
    unit = MatrixUnit(rows, columns, 16, f16, f32)
    target = replace(TARGET, features=frozenset({"subgroups"}), subgroup_size=width, matrices=(unit,))
    kernel = product(f16, f16, (rows, 2 * columns, 16), 1, shorter=False)
    tensors = {"x": numbers(f16, (rows + 1, 21)), "w": numbers(f16, (columns + 3, 21))}
    computes(kernel, target, tensors, {"M": rows + 1, "N": columns + 3, "K": 21})


def store_and_read(b: MachineBuilder) -> None:
    s, y = b.array("s", i32, Space.SHARED, 8), b.buffer("y", i32)
    b.store(s, b.cast(b.thread(), index), b.thread())
    b.store(y, b.cast(b.thread(), index), b.load(s, b.cast(b.xor(b.thread(), 1), index)))


def write_twice(b: MachineBuilder) -> None:
    b.store(b.buffer("y", i32), b.const(0, index), b.thread())


def reach_outside(b: MachineBuilder) -> None:
    b.store(b.buffer("y", i32), b.cast(b.add(b.thread(), 1), index), b.thread())


def wait_apart(b: MachineBuilder) -> None:
    b.buffer("y", i32)
    with b.if_(b.compare("lt", b.thread(), 3)):
        b.barrier()


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (store_and_read, "s: byte 4 meets another thread's store"),
        (write_twice, "y: byte 0 is written by two threads"),
        (reach_outside, r"y: byte 4..35 of 32"),
        (wait_apart, "barrier is not reached by all threads"),
    ],
)
def test_what_a_run_finds(build: Callable[[MachineBuilder], None], told: str) -> None:
    b = MachineBuilder("wrong")
    build(b)
    function: Function = b.finish(threads=8)
    with pytest.raises(Broken, match=told):
        run(function, [np.zeros(8, np.int32)], {}, 1)
