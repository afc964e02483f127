"""What a recorded step costs the host: a plan of many kernels that do almost nothing, submitted again and again.

The host's part is the time that `run` takes to return, with one input and output that are the same as in the run before
or not; the whole is the time until the device is done, as many runs in flight as there are.

    python -m benchmarks.submit --device vulkan --kernels 500
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import asdict, dataclass
from itertools import pairwise

import click
import numpy as np

from tritloom.backends.base import Device, DeviceBuffer
from tritloom.backends.registry import device as find_device
from tritloom.codegen.ir.dtypes import f32
from tritloom.codegen.ir.template import Launch, Plan, PlanTensor
from tritloom.codegen.ir.tile import BinaryOp, Kernel, Mode
from tritloom.codegen.ir.tile_builder import Builder
from tritloom.models.cli import reported

COUNT = 64
RUNS = 50


@dataclass(frozen=True, slots=True)
class Row:
    """One result, in milliseconds a run; medians."""

    device: str
    kernels: int
    same_buffers_ms: float
    other_buffers_ms: float
    whole_ms: float


def scaled() -> Kernel:
    """`y = x * alpha`, one program of 64 elements."""
    b = Builder("scaled")
    x, y = b.buffer("x", f32["N"], Mode.IN), b.buffer("y", f32["N"], Mode.OUT)
    alpha = b.scalar("alpha", f32)
    n = b.program_axis("n", b.size("N"), COUNT)
    b.store(y, [n], b.binary(BinaryOp.MUL, b.load(x, [n]), alpha))
    return b.finish()


def chain(kernels: int) -> Plan:
    """That many launches, each of what the one before it made."""
    nbytes = 4 * COUNT
    tensors = (
        PlanTensor((COUNT,), f32, nbytes, "input"),
        PlanTensor((COUNT,), f32, nbytes, "arena", 0),
        PlanTensor((COUNT,), f32, nbytes, "arena", 256),
        PlanTensor((COUNT,), f32, nbytes, "output"),
    )
    kernel, sizes = scaled(), {"N": COUNT}
    places = [0, *(1 + i % 2 for i in range(kernels - 1)), 3]
    launches = tuple(Launch(kernel, pair, sizes, (1.0,)) for pair in pairwise(places))
    return Plan(tensors, (0,), (3,), launches, 512)


def measure(device: Device, kernels: int) -> Row:
    """Time runs of a chain of kernels."""
    program = device.prepare(chain(kernels))
    given = [device.upload(np.full(COUNT, i, np.float32)) for i in range(3)]
    results = [device.allocate(4 * COUNT) for _ in range(3)]
    for x, y in zip(given, results, strict=True):
        program.run([x], [y])
    device.synchronize()
    back = np.empty(COUNT, np.float32)
    for i, y in enumerate(results):
        device.read(y, back)
        assert (back == i).all()

    def submitted(pairs: list[tuple[DeviceBuffer, DeviceBuffer]]) -> float:
        times = []
        for run in range(RUNS):
            x, y = pairs[run % len(pairs)]
            device.synchronize()
            start = time.perf_counter()
            program.run([x], [y])
            times.append(time.perf_counter() - start)
        return 1e3 * statistics.median(times)

    pairs = list(zip(given, results, strict=True))
    same, other = submitted(pairs[:1]), submitted(pairs)
    device.synchronize()
    start = time.perf_counter()
    for _ in range(RUNS):
        program.run([given[0]], [results[0]])
    device.synchronize()
    whole = 1e3 * (time.perf_counter() - start) / RUNS
    return Row(device.name, kernels, same, other, whole)


@click.command()
@click.option("--device", "name", default="vulkan", show_default=True)
@click.option("--kernels", default=500, show_default=True, type=click.IntRange(1))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@reported
def main(name: str, kernels: int, as_json: bool) -> None:
    """Print the cost of submitting a recorded plan."""
    device = find_device(name)
    row = measure(device, kernels)
    if as_json:
        print(json.dumps(asdict(row)))
        return
    print(device.description)
    print(f"{kernels} kernels: submitted in {row.same_buffers_ms:.3f} ms with the same buffers,")
    print(f"{row.other_buffers_ms:.3f} ms with others; {row.whole_ms:.3f} ms a run until the device is done")


if __name__ == "__main__":
    main()
