"""The OpenCL backend: memory, launches, recorded programs and errors. What kernels compute is tests/conformance's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

import tritloom as tl
from tests import support
from tests.codegen.lower.test_gpu import matmul, reversed_in_place
from tritloom.backends import opencl, registry
from tritloom.backends.checks import MOST_ELEMENTS
from tritloom.backends.opencl import OpenCLDevice, assign_slots
from tritloom.codegen.errors import CompileError, DeviceError, OutOfMemoryError, ShapeError
from tritloom.codegen.ir.dtypes import DType, f32, i8, ternary
from tritloom.codegen.ir.template import Launch, Plan, PlanTensor
from tritloom.codegen.ir.ternary import TernaryArray
from tritloom.codegen.ir.tile import BinaryOp, Kernel, Mode
from tritloom.codegen.ir.tile_builder import Builder

PLATFORMS = [
    pytest.param(platform, id=name, marks=pytest.mark.device(name))
    for name, platform in support.OPENCL_PLATFORMS.items()
]


@pytest.fixture(scope="module", params=PLATFORMS)
def device(request: pytest.FixtureRequest) -> OpenCLDevice:
    found = registry.device(f"opencl:{request.param}")
    assert isinstance(found, OpenCLDevice)
    return found


def scaled(mode: Mode = Mode.OUT) -> Kernel:
    """y = x * alpha, or x *= alpha."""
    b = Builder("scaled")
    x = b.buffer("x", f32["N"], Mode.INOUT if mode is Mode.INOUT else Mode.IN)
    y = x if mode is Mode.INOUT else b.buffer("y", f32["N"], Mode.OUT)
    alpha = b.scalar("alpha", f32)
    n = b.program_axis("n", b.size("N"), 64)
    b.store(y, [n], b.binary(BinaryOp.MUL, b.load(x, [n]), alpha))
    return b.finish()


SCALED, IN_PLACE = scaled(), scaled(Mode.INOUT)


def test_a_device_describes_itself(device: OpenCLDevice) -> None:
    assert device.name.startswith("opencl")
    assert device.target.emitter == "opencl"
    assert device.target.max_threads >= 64
    assert device.target.shared_bytes >= 16 << 10
    assert registry.device(device.name) is device


@pytest.mark.parametrize("dtype", [np.float32, np.int8, ml_dtypes.bfloat16, np.bool_])
def test_bytes_come_back(device: OpenCLDevice, dtype: Any) -> None:
    array = np.arange(12).reshape(3, 4).astype(dtype)
    buffer = device.upload(array)
    back = np.zeros_like(array)
    device.read(buffer, back)
    assert (back == array).all()


def test_too_much_memory_is_an_error(device: OpenCLDevice) -> None:
    with pytest.raises(OutOfMemoryError, match="bytes were asked for"):
        device.allocate(1 << 60)


@pytest.mark.parametrize(("error", "kind"), [("MemoryError", OutOfMemoryError), ("LogicError", DeviceError)])
def test_an_allocation_that_fails_says_why(
    device: OpenCLDevice, monkeypatch: pytest.MonkeyPatch, error: str, kind: type[DeviceError]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise getattr(opencl.cl, error)("clCreateBuffer failed")

    monkeypatch.setattr(opencl.cl, "Buffer", fail)
    with pytest.raises(DeviceError, match="an allocation of 64 bytes") as caught:
        device.allocate(64)
    assert type(caught.value) is kind


def test_memory_of_another_device_is_refused(device: OpenCLDevice) -> None:
    other = registry.device("reference").upload(np.zeros(4, np.float32))
    executable = device.compile(SCALED)
    with pytest.raises(DeviceError, match="was given to"):
        device.launch(executable, [other, device.allocate(16)], {"N": 4}, [2.0])


def test_a_launch_with_wrong_arguments_is_refused(device: OpenCLDevice) -> None:
    executable = device.compile(SCALED)
    x, y = device.allocate(16), device.allocate(16)
    with pytest.raises(ShapeError, match="takes 2 tensors"):
        device.launch(executable, [x], {"N": 4}, [2.0])
    with pytest.raises(ShapeError, match="without the size N"):
        device.launch(executable, [x, y], {}, [2.0])
    with pytest.raises(ShapeError, match="2 tensors and 1 scalars"):
        device.launch(executable, [x, y], {"N": 4})
    large = device.allocate(16)
    large.nbytes = 4 * MOST_ELEMENTS
    with pytest.raises(DeviceError, match="address fewer"):
        device.launch(executable, [x, large], {"N": 4}, [2.0])


@pytest.mark.parametrize("name", ["cbrt", "native_exp", "add_sat", "float16", "convert_int", "isequal"])
def test_a_kernel_may_be_called_like_what_is_built_in(device: OpenCLDevice, name: str) -> None:
    """PoCL finds no such kernel then."""
    x, back = np.ones(3, np.float32), np.empty(3, np.float32)
    buffer = device.upload(x)
    device.launch(device.compile(replace(IN_PLACE, name=name)), [buffer], {"N": 3}, [2.0])
    device.read(buffer, back)
    assert (back == 2).all()


def test_a_kernel_is_compiled_once(device: OpenCLDevice) -> None:
    assert device.compile(SCALED) is device.compile(SCALED)
    assert "__kernel" in device.compile(SCALED).source


def test_a_binary_that_the_driver_does_not_take_any_more_is_made_anew(
    device: OpenCLDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver may change and keep its version."""
    executable = device.compile(SCALED)
    with monkeypatch.context() as patch:
        patch.setattr(device._cache, "get", lambda _: b"of another driver")
        kept: dict[str, bytes] = {}
        patch.setattr(device._cache, "put", kept.__setitem__)
        program = device.build(executable.source, SCALED.name)
    assert program.get_info(opencl.cl.program_info.NUM_KERNELS) == 1
    assert all(len(binary) > 100 for binary in kept.values())
    assert len(kept) == 1


def test_what_was_compiled_another_way_is_not_used_again(
    device: OpenCLDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of PoCL's ways is wrong on some processors: who tries it must not find it in the cache ever after."""
    source = device.compile(SCALED).source
    keys: list[str] = []

    def asked(key: str) -> bytes:
        keys.append(key)
        return b""

    monkeypatch.setattr(device._cache, "get", asked)
    for way in ("loops", "workitem", "loops"):
        monkeypatch.setenv("POCL_WORK_GROUP_METHOD", way)
        device.build(source, SCALED.name)
    assert keys[0] == keys[2] != keys[1]


def test_the_compilers_complaint_is_told_with_its_line(device: OpenCLDevice) -> None:
    source = "__kernel void broken(__global float *x)\n{\n  x[0] = nothing;\n}\n"
    with pytest.raises(CompileError) as error:
        device.build(source, "broken")
    assert "refused the kernel `broken`" in error.value.message
    assert "3 | x[0] = nothing;" in error.value.message


def test_threads_of_a_program_meet_in_a_buffer(device: OpenCLDevice) -> None:
    kernel = reversed_in_place(200)
    array = np.arange(200, dtype=np.int32)
    buffer = device.upload(array)
    device.launch(device.compile(kernel), [buffer], {"N": 200})
    back = np.empty_like(array)
    device.read(buffer, back)
    np.testing.assert_array_equal(back, array[::-1] + 1)


@pytest.mark.device("opencl-intel")
@pytest.mark.parametrize("right", [i8, ternary], ids=str)
def test_the_devices_own_dot_of_bytes(right: DType) -> None:
    found = registry.device(f"opencl:{support.OPENCL_PLATFORMS['opencl-intel']}")
    assert isinstance(found, OpenCLDevice)
    if "cl_khr_integer_dot_product" not in found.extensions:
        pytest.skip(f"{found.description} has no integer dot product")
    device = OpenCLDevice("opencl:dot", found.device)
    device.target = replace(device.target, features=device.target.features | {"int8-dot"})
    kernel = matmul(i8, right, 8, 16, 32)
    generator = np.random.default_rng(0)
    m, n, k = 11, 17, 100
    left = generator.integers(-128, 128, (m, k)).astype(np.int8)
    weights = generator.integers(-1, 2, (n, k)).astype(np.int8)
    stored = TernaryArray.pack(weights).words if right is ternary else weights
    result = device.allocate(4 * m * n)
    executable = device.compile(kernel)
    assert "dot4_ss_native" in executable.source
    device.launch(executable, [device.upload(left), device.upload(stored), result], {"M": m, "N": n, "K": k})
    back = np.empty((m, n), np.int32)
    device.read(result, back)
    np.testing.assert_array_equal(back, left.astype(np.int32) @ weights.T.astype(np.int32))


def arrays(count: int) -> list[NDArray[np.float32]]:
    generator = np.random.default_rng(0)
    return [generator.integers(-99, 99, count).astype(np.float32) for _ in range(2)]


def plan(count: int, gap: int) -> Plan:
    """out = x * 2 * 3 * 5 by way of two arena tensors, `gap` bytes apart, one of them changed in place."""
    nbytes = 4 * count
    tensors = (
        PlanTensor((count,), f32, nbytes, "input"),
        PlanTensor((count,), f32, nbytes, "arena", 0),
        PlanTensor((count,), f32, nbytes, "arena", gap),
        PlanTensor((count,), f32, nbytes, "output"),
    )
    sizes = {"N": count}
    launches = (
        Launch(SCALED, (0, 1), sizes, (2.0,)),
        Launch(SCALED, (1, 2), sizes, (3.0,)),
        Launch(IN_PLACE, (2,), sizes, (0.5,)),
        Launch(SCALED, (2, 3), sizes, (10.0,)),
    )
    return Plan(tensors, (0,), (3,), launches, gap + nbytes)


@pytest.mark.parametrize(("count", "gap"), [(1, 64), (16, 64), (1000, 4032), (131, 4096)])
def test_a_recorded_plan_runs_again_with_other_buffers(device: OpenCLDevice, count: int, gap: int) -> None:
    program = device.prepare(plan(count, gap))
    for array in arrays(count):
        given, result = device.upload(array), device.allocate(array.nbytes)
        program.run([given], [result])
        program.run([given], [result])
        back = np.empty_like(array)
        device.read(result, back)
        np.testing.assert_array_equal(back, array * np.float32(30))


def test_an_output_may_be_an_input_updated_in_place(device: OpenCLDevice) -> None:
    made = Plan(
        (PlanTensor((5,), f32, 20, "input"),), (0,), (0,), (Launch(IN_PLACE, (0,), {"N": 5}, (2.0,)),), 0
    )
    program = device.prepare(made)
    array = np.arange(5, dtype=np.float32)
    buffer = device.upload(array)
    for _ in range(3):
        program.run([buffer], [buffer])
    device.synchronize()
    back = np.empty_like(array)
    device.read(buffer, back)
    np.testing.assert_array_equal(back, array * 8)


def test_a_program_with_too_few_buffers_is_refused(device: OpenCLDevice) -> None:
    program = device.prepare(plan(4, 64))
    with pytest.raises(ShapeError, match="1 inputs and 1 outputs"):
        program.run([], [])


def test_a_forked_process_is_told_that_it_cannot_use_the_device(device: OpenCLDevice) -> None:
    support.assert_refused_after_fork(device, replace(SCALED, name="in_a_fork"))


def test_what_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencl, "cl", None)
    backend = opencl.OpenCLBackend()
    assert backend.devices() == []
    missing = backend.missing()
    assert missing is not None
    assert "pyopencl is not installed" in missing.reason
    assert ".[opencl]" in missing.hint


def test_no_driver_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyopencl")
    monkeypatch.setattr(opencl.OpenCLBackend, "_platforms", staticmethod(list))
    missing = opencl.OpenCLBackend().missing()
    assert missing is not None
    assert "no OpenCL driver" in missing.reason
    assert "pocl-opencl-icd" in missing.hint


def test_slots_are_shared_only_by_tensors_that_never_live_together() -> None:
    kernel = Builder("nothing").finish()
    uses = [(0, 1), (1, 2), (2, 3), (3, 0), (4,)]
    nbytes = [64, 256, 128, 64, 256]
    plan = Plan(
        tuple(PlanTensor((n // 4,), f32, n, "arena") for n in nbytes),
        (),
        (),
        tuple(Launch(kernel, tensors, {}) for tensors in uses),
        sum(nbytes),
    )
    slots, sizes = assign_slots(plan)
    alive = {t: [i for i, tensors in enumerate(uses) if t in tensors] for t in range(5)}
    for a in range(5):
        assert sizes[slots[a]] >= nbytes[a]
        for b in range(a):
            together = alive[a][0] <= alive[b][-1] and alive[b][0] <= alive[a][-1]
            assert not together or slots[a] != slots[b]
    assert len(sizes) < len(nbytes)


def test_sine_and_cosine_of_one_number(device: OpenCLDevice) -> None:
    x = tl.array(np.array([0.3, -2.0, 30.0], np.float32), device)
    both = tl.jit(lambda x: (tl.sin(x * 0.5), tl.cos(x * 0.5)))
    sine, cosine = (found.numpy() for found in both(x))
    half = np.array([0.15, -1.0, 15.0], np.float32)
    np.testing.assert_allclose(sine, np.sin(half), rtol=2e-6)
    np.testing.assert_allclose(cosine, np.cos(half), rtol=2e-6)
