"""What every device owes besides kernels: memory, recorded plans, and errors."""

from __future__ import annotations

import numpy as np
import pytest

from tritloom.backends.base import Device
from tritloom.backends.reference import ReferenceDevice
from tritloom.codegen.errors import DeviceError, ShapeError
from tritloom.codegen.ir.dtypes import f32
from tritloom.codegen.ir.template import Launch, Plan, PlanTensor
from tritloom.codegen.ir.tile import BinaryOp, Kernel, Mode
from tritloom.codegen.ir.tile_builder import Builder


def added(amount: float) -> Kernel:
    """y = x + amount."""
    b = Builder("added")
    x, y = b.buffer("x", f32["N"]), b.buffer("y", f32["N"], Mode.OUT)
    n = b.program_axis("n", b.size("N"), 16)
    b.store(y, [n], b.binary(BinaryOp.ADD, b.load(x, [n]), amount))
    return b.finish()


def accumulated() -> Kernel:
    """y += alpha * x."""
    b = Builder("accumulated")
    x, y = b.buffer("x", f32["N"]), b.buffer("y", f32["N"], Mode.INOUT)
    alpha = b.scalar("alpha", f32)
    n = b.program_axis("n", b.size("N"), 16)
    scaled = b.binary(BinaryOp.MUL, b.load(x, [n]), alpha)
    b.store(y, [n], b.binary(BinaryOp.ADD, b.load(y, [n]), scaled))
    return b.finish()


@pytest.mark.parametrize("count", [1, 7, 64, 1000])
def test_memory_keeps_bytes(device: Device, count: int) -> None:
    given = np.random.default_rng(0).integers(0, 256, count).astype(np.uint8)
    buffer = device.upload(given)
    assert buffer.nbytes >= count
    assert buffer.device is device
    found = np.zeros(count, np.uint8)
    device.read(buffer, found)
    np.testing.assert_array_equal(found, given)
    device.write(buffer, given[: count // 2 + 1][::-1].copy())
    device.read(buffer, found)
    np.testing.assert_array_equal(found[: count // 2 + 1], given[: count // 2 + 1][::-1])
    np.testing.assert_array_equal(found[count // 2 + 1 :], given[count // 2 + 1 :])


def test_memory_of_another_device_is_refused(device: Device) -> None:
    foreign = ReferenceDevice().upload(np.zeros(4, np.float32))
    with pytest.raises(DeviceError, match="memory of reference"):
        device.read(foreign, np.zeros(4, np.float32))
    executable = device.compile(added(1.0))
    own = device.allocate(16)
    with pytest.raises(DeviceError, match="memory of reference"):
        device.launch(executable, [foreign, own], {"N": 4})


def test_a_launch_of_no_programs_does_nothing(device: Device) -> None:
    b = Builder("halves")
    x, y = b.buffer("x", f32["N"]), b.buffer("y", f32["N"], Mode.INOUT)
    n = b.program_axis("n", b.binary(BinaryOp.FLOORDIV, b.size("N"), 2), 16)
    b.store(y, [n], b.load(x, [n]))
    kept = np.full(1, 7, np.float32)
    buffer, back = device.upload(kept), np.zeros(1, np.float32)
    device.launch(device.compile(b.finish()), [device.upload(-kept), buffer], {"N": 1})
    device.read(buffer, back)
    np.testing.assert_array_equal(back, kept)


def test_an_executable_of_another_device_is_refused(device: Device) -> None:
    foreign = ReferenceDevice().compile(added(1.0))
    with pytest.raises(DeviceError, match="`added` was compiled for reference, not for"):
        device.launch(foreign, [device.allocate(16), device.allocate(16)], {"N": 4})


def test_an_array_that_does_not_fit_is_refused(device: Device) -> None:
    buffer = device.allocate(8)
    with pytest.raises(
        ShapeError, match="an array of 12 bytes was given to be copied to or from a buffer of 8"
    ):
        device.write(buffer, np.zeros(3, np.float32))
    with pytest.raises(ShapeError, match="an array that is not C-contiguous of 4 bytes"):
        device.read(buffer, np.zeros((2, 2), np.int8).T)


def plan(length: int) -> Plan:
    """`total += 3 (x + 1)`, `y = (x + 1) + 2`, with x + 1 in the arena."""
    nbytes = 4 * length
    tensors = (
        PlanTensor((length,), f32, nbytes, "input"),
        PlanTensor((length,), f32, nbytes, "input"),
        PlanTensor((length,), f32, nbytes, "arena", 128),
        PlanTensor((length,), f32, nbytes, "output"),
    )
    sizes = {"N": length}
    launches = (
        Launch(added(1.0), (0, 2), sizes),
        Launch(accumulated(), (2, 1), sizes, (3.0,)),
        Launch(added(2.0), (2, 3), sizes),
    )
    return Plan(tensors, (0, 1), (1, 3), launches, 128 + nbytes)


@pytest.mark.parametrize("length", [1, 100, 5460])
def test_a_plan_runs_again_and_again(device: Device, length: int) -> None:
    program = device.prepare(plan(length))
    x = np.arange(length, dtype=np.float32)
    total = np.zeros(length, np.float32)
    accumulator = device.upload(total)
    for turn in range(3):
        given, output = device.upload(x + turn), device.allocate(4 * length)
        program.run([given, accumulator], [accumulator, output])
        total += 3 * (x + turn + 1)
        found = np.empty(length, np.float32)
        device.read(output, found)
        np.testing.assert_array_equal(found, x + turn + 3)
    device.synchronize()
    device.read(accumulator, found)
    np.testing.assert_array_equal(found, total)


def test_buffers_that_do_not_fit_a_kernel_are_refused(device: Device) -> None:
    executable = device.compile(added(1.0))
    long, short = device.upload(np.zeros(100, np.float32)), device.allocate(16)
    other = device.allocate(400)
    for buffers, sizes in (([long, short], {"N": 100}), ([long], {"N": 4}), ([long, other], {})):
        with pytest.raises(ShapeError):
            device.launch(executable, buffers, sizes)


def test_buffers_that_do_not_fit_a_plan_are_refused(device: Device) -> None:
    program = device.prepare(plan(100))
    x, total, y = (device.upload(np.zeros(100, np.float32)) for _ in range(3))
    for inputs, outputs, wrong in (
        ([x, total], [total, device.allocate(16)], ShapeError),
        ([x], [total, y], ShapeError),
        ([x, total], [y, y], DeviceError),
        ([x, total], [total, x], DeviceError),
        ([x, total], [device.allocate(400), y], DeviceError),
    ):
        with pytest.raises(wrong):
            program.run(inputs, outputs)


def test_the_source_is_for_people(device: Device) -> None:
    executable = device.compile(added(1.0))
    assert executable.kernel.name == "added"
    assert "added" in executable.source
