"""Forward and backward products with packed ternary weights, against the machine's own dot instructions.

Forward is y[M, N] = x . W^T with x i8 and W ternary [N, K], sums in i32. Backward is dX[M, K] = dY . W with dY bf16 and
W^T packed as a ternary matrix of its own, sums in f32. On a CPU the ceiling is what independent chains of the same dot
instruction reach on as many threads, measured beside each product. On a GPU a product runs many times in one recorded
program, each after the one before. Entries are checked against NumPy before timing.

    python -m benchmarks.ternary_matmul --device cpu --threads 1 --json
    python -m benchmarks.ternary_matmul --device vulkan --json
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from tritloom.backends.base import DeviceBuffer
from tritloom.backends.cpu import CPUDevice
from tritloom.backends.cpu_runtime import ARGUMENTS, CHUNK, FUNCTION, PROGRAMS, THREADS_VARIABLE, new_table
from tritloom.backends.registry import device
from tritloom.codegen.compile import emit
from tritloom.codegen.ir.dtypes import DType, bf16, f32, i8, i32, ternary, u8
from tritloom.codegen.ir.machine import Function, MachineType
from tritloom.codegen.ir.machine_builder import MachineBuilder
from tritloom.codegen.ir.template import Launch, Plan, PlanTensor
from tritloom.codegen.ir.ternary import TernaryArray
from tritloom.codegen.ir.tile import BinaryOp, Kernel, Mode
from tritloom.codegen.ir.tile_builder import Builder
from tritloom.codegen.schedule.blocks import dot_kind, table
from tritloom.codegen.target import Target
from tritloom.models.cli import reported

ROWS = (1, 32, 128, 512)
GPU_ROWS = (1, 128, 512, 2048, 4096)
GPU_SECONDS = 0.02
"""What one recorded program of a GPU is to take: so many times its product is in it."""
SHAPES = ((2560, 2560), (2560, 6912), (6912, 2560))
"""(K, N) of the layers of a 2-billion-parameter BitNet."""
TURNS = 20_000


@dataclass(frozen=True, slots=True)
class Row:
    """One result. `gops` counts a product and a sum as two operations; there is no ceiling of a GPU."""

    device: str
    threads: int | None
    direction: str
    M: int
    K: int
    N: int
    gops: float
    ceiling_gops: float | None
    ratio: float | None


def matmul_kernel(left: DType, shape: tuple[int, int, int], target: Target) -> Kernel:
    """`y[M, N] = x[M, K] . w[N, K]` with ternary w, in blocks that suit the target and the shape (M, K, N).

    As a program's kernels do, it knows of the sizes which powers of two they are multiples of.
    """
    blocks = table(target, dot_kind(target, left, ternary), shape[0], shape[2])
    bm, bn, bk = blocks.rows, blocks.columns, blocks.loop
    sums = i32 if left is i8 else f32
    b = Builder(f"matmul_{left}_ternary")
    for name, size, block in zip("MKN", shape, (bm, bk, bn), strict=True):
        b.size(name, next(step for step in (block, 16, 1) if size % step == 0))
    x, w = b.buffer("x", left["M", "K"]), b.buffer("w", ternary["N", "K"])
    y = b.buffer("y", sums["M", "N"], Mode.OUT)
    n, m = b.program_axis("n", w.shape[0], bn), b.program_axis("m", x.shape[0], bm)
    with b.loop("k", x.shape[1], bk, [b.full([m, n], 0, sums)]) as loop:
        product = b.dot(b.load(x, [m, loop.axis]), b.load(w, [n, loop.axis]), loop.axis)
        loop.next = [b.binary(BinaryOp.ADD, loop.values[0], product)]
    b.store(y, [m, n], loop.results[0])
    return b.finish()


def peak_function(left: DType, target: Target) -> tuple[Function, int]:
    """Chains of the dot instruction that products of this dtype use, and the operations of one program.

    Each sum is its own factor, so that no part of an instruction that is emulated can be taken out of the loop.
    """
    b = MachineBuilder(f"peak_{left}")
    out = b.buffer("out", i32 if left is i8 else f32)
    lanes = target.vector_bits // 32
    chains = target.vector_registers * 3 // 4
    paired = left is bf16 and target.has("bf16-dot")
    group = 4 if left is i8 else 2 if paired else 1
    seed = b.splat(b.program(), lanes)
    starts = [b.add(seed, chain) for chain in range(chains)]
    codes = b.bitcast(b.and_(seed, 0x01010101), MachineType(u8, 4 * lanes))
    if left is not i8:
        starts = [b.cast(start, f32) for start in starts]
    with b.for_(0, TURNS, 1, starts) as turns:
        for value in turns.values:
            if left is i8:
                factor = b.bitcast(value, MachineType(i8, 4 * lanes))
                turns.next.append(b.dot4_us(value, codes, factor, small=True))
            elif paired:
                factor = b.bitcast(value, MachineType(bf16, 2 * lanes))
                turns.next.append(b.dot2_bf16(value, factor, factor))
            else:
                turns.next.append(b.fma(value, value, value))
    total = turns.results[0]
    for value in turns.results[1:]:
        total = b.add(total, value)
    b.store(out, b.program(), b.reduce("add", total))
    return b.finish(), 2 * chains * TURNS * lanes * group


def best_time(run: Callable[[], None], budget: float = 0.4) -> float:
    """The least of several runs' seconds."""
    run()
    best, spent = float("inf"), 0.0
    while spent < budget:
        start = time.perf_counter()
        run()
        taken = time.perf_counter() - start
        best, spent = min(best, taken), spent + taken
    return best


class Bench:
    """The device under test and its ceilings."""

    def __init__(self, name: str, threads: int):
        self.device = device(name)
        self.threads = threads

    def ceiling(self, left: DType) -> float | None:
        """Gop/s of the dot instruction on all threads of a CPU."""
        cpu = self.device
        if not isinstance(cpu, CPUDevice):
            return None
        function, operations = peak_function(left, cpu.target)
        programs = 8 * self.threads
        out = cpu.allocate(4 * programs)
        native = cpu.compiler.load(function.name, emit(function, cpu.target))
        arguments = np.array([out.address], np.int64)
        table = new_table(1)
        table[0, FUNCTION], table[0, ARGUMENTS] = native.address, arguments.ctypes.data
        table[0, PROGRAMS], table[0, CHUNK] = programs, cpu.pool.chunk(programs)

        def run() -> None:
            cpu.pool.run(table)

        return operations * programs / best_time(run) / 1e9

    def product(self, direction: str, m: int, k: int, n: int) -> Row:
        """Time one product, checked first."""
        forward = direction == "forward"
        contracted, columns = (k, n) if forward else (n, k)
        left = i8 if forward else bf16
        rng = np.random.default_rng(m + k + n)
        weights = rng.integers(-1, 2, (columns, contracted)).astype(np.int8)
        x: NDArray[Any] = (
            rng.integers(-128, 128, (m, contracted)).astype(np.int8)
            if forward
            else rng.standard_normal((m, contracted), np.float32).astype(bf16.numpy)
        )
        kernel = matmul_kernel(left, (m, contracted, columns), self.device.target)
        y = np.empty((m, columns), np.int32 if forward else np.float32)
        packed = TernaryArray.pack(weights, self.device.target.layout)
        buffers = [self.device.upload(x), self.device.upload(packed.words), self.device.allocate(y.nbytes)]
        launch = Launch(kernel, (0, 1, 2), {"M": m, "K": contracted, "N": columns})
        tensors = (
            PlanTensor((m, contracted), left, x.nbytes, "input"),
            PlanTensor((columns, contracted), ternary, packed.words.nbytes, "input"),
            PlanTensor((m, columns), i32 if forward else f32, y.nbytes, "output"),
        )
        ceiling = self.ceiling(left)
        seconds = self.seconds(Plan(tensors, (0, 1), (2,), (launch,), 0), buffers)
        self.device.read(buffers[2], y)
        check(x, weights, y, rng)
        gops = 2.0 * m * n * k / seconds / 1e9
        again = self.ceiling(left)
        highest = None if ceiling is None or again is None else round(max(ceiling, again), 1)
        return Row(
            self.device.name,
            self.threads if isinstance(self.device, CPUDevice) else None,
            direction,
            m,
            k,
            n,
            round(gops, 1),
            highest,
            None if highest is None else round(gops / highest, 3),
        )

    def seconds(self, plan: Plan, buffers: list[DeviceBuffer]) -> float:
        """One launch's time, the least of several runs."""

        def timed(times: int) -> float:
            repeated = replace(plan, launches=plan.launches * times)
            program = self.device.prepare(repeated)

            def run() -> None:
                program.run(buffers[:2], buffers[2:])
                self.device.synchronize()

            return best_time(run) / times

        once = timed(1)
        if isinstance(self.device, CPUDevice):
            return once
        return timed(max(1, min(1000, round(GPU_SECONDS / once))))


def check(x: NDArray[Any], weights: NDArray[np.int8], y: NDArray[Any], rng: np.random.Generator) -> None:
    """Compare sampled entries with NumPy. Raises click.ClickException where they differ."""
    rows, columns = rng.integers(0, y.shape[0], 300), rng.integers(0, y.shape[1], 300)
    exact = (x[rows].astype(np.float64) * weights[columns]).sum(axis=1)
    scale = np.abs(x[rows].astype(np.float64)).sum(axis=1)
    allowed = 0 if x.dtype == np.int8 else 1e-5
    if (np.abs(y[rows, columns] - exact) > allowed * scale).any():
        raise click.ClickException("the product differs from NumPy's")


@click.command()
@click.option(
    "--device",
    "device_name",
    default="cpu",
    show_default=True,
    help="Any device: cpu, cpu:avx2, vulkan, ...",
)
@click.option(
    "--threads",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Threads to use, each on a core of its own.",
)
@click.option(
    "--rows",
    multiple=True,
    type=click.IntRange(1),
    help=f"Values of M (default: {ROWS}; of a GPU {GPU_ROWS}).",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@reported
def main(device_name: str, threads: int, rows: tuple[int, ...], as_json: bool) -> None:
    """Measure ternary products."""
    os.environ[THREADS_VARIABLE] = str(threads)
    bench = Bench(device_name, threads)
    for k, n in SHAPES:
        for m in rows or (ROWS if isinstance(bench.device, CPUDevice) else GPU_ROWS):
            for direction in ("forward", "backward"):
                row = asdict(bench.product(direction, m, k, n))
                click.echo(
                    json.dumps(row) if as_json else "  ".join(f"{key}={value}" for key, value in row.items())
                )


if __name__ == "__main__":
    main()
