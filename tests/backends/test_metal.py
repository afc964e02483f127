"""The Metal backend on an imitation of the calls that it makes: order, arguments, waiting, errors. What kernels compute
is tests/conformance's."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from functools import partial
from itertools import groupby

import numpy as np
import pytest

from tests.backends.test_opencl import IN_PLACE, SCALED, arrays, plan
from tests.codegen.lower.test_gpu import row_sums
from tests.metal_shim import fake
from tests.metal_shim.device import new_device
from tritloom.backends import metal, registry
from tritloom.backends.checks import MOST_ELEMENTS, check_launch
from tritloom.backends.metal import MetalBackend, MetalDevice, MetalProgram
from tritloom.codegen.errors import CompileError, DeviceError, OutOfMemoryError, ShapeError
from tritloom.codegen.ir.dtypes import f32
from tritloom.codegen.ir.template import Launch, Plan, PlanTensor

pytestmark = pytest.mark.device("metal-shim")


@pytest.fixture
def gpu() -> fake.FakeDevice:
    return fake.FakeDevice()


@pytest.fixture
def device(gpu: fake.FakeDevice) -> Iterator[MetalDevice]:
    made = new_device(gpu)
    yield made
    made.synchronize()
    assert not gpu.committed
    assert not gpu.open_encoders


def scaled(device: MetalDevice, x: np.ndarray, alpha: float) -> np.ndarray:
    y = device.allocate(x.nbytes)
    device.launch(device.compile(SCALED), [device.upload(x), y], {"N": x.size}, [alpha])
    back = np.empty_like(x)
    device.read(y, back)
    return back


def test_a_device_describes_itself(device: MetalDevice) -> None:
    assert device.description.startswith("Imitation of an Apple GPU (Metal")
    assert device.target.name == "metal"
    assert device.target.has("subgroups")
    assert device.target.subgroup_size == 32
    assert device.target.matrices
    assert device.memory_bytes == 6 << 30


def test_a_gpu_that_is_not_apples_has_no_simdgroups_that_we_know() -> None:
    device = new_device(fake.FakeDevice(apple=False))
    assert device.target.exchange_width == 1
    assert not device.target.matrices
    source = device.compile(row_sums()).source
    assert "simd" not in source
    np.testing.assert_array_equal(scaled(device, np.arange(70, dtype=np.float32), 2.0), 2 * np.arange(70))


def test_work_is_waited_for_before_memory_changes(device: MetalDevice, gpu: fake.FakeDevice) -> None:
    x = np.arange(100, dtype=np.float32)
    given, result = device.upload(x), device.allocate(x.nbytes)
    device.launch(device.compile(SCALED), [given, result], {"N": 100}, [3.0])
    assert gpu.committed, "a launch does not wait"
    device.write(given, np.zeros(100, np.float32))
    back = np.empty_like(x)
    device.read(result, back)
    np.testing.assert_array_equal(back, 3 * x)


def test_memory_has_limits(device: MetalDevice, gpu: fake.FakeDevice) -> None:
    with pytest.raises(OutOfMemoryError, match="at most"):
        device.allocate(5 << 30)
    gpu.memory_left = 1000
    with pytest.raises(OutOfMemoryError, match="has no 4096 bytes left"):
        device.allocate(4096)
    with pytest.raises(ShapeError, match="12 bytes"):
        device.write(device.allocate(8), np.zeros(3, np.float32))


def test_the_compilers_complaint_is_told(device: MetalDevice) -> None:
    with pytest.raises(CompileError, match=r"refused the kernel `added`\n.*no kernel") as caught:
        device.build("int x;", "added")
    assert "macOS 14" in caught.value.hint, "an older one refuses every kernel"
    with pytest.raises(CompileError, match="no such function"):
        device.build(device.compile(SCALED).source, "another")


def test_fast_math_is_off_on_macos_14_as_well(device: MetalDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """The imitation's compiler refuses options that leave it on."""
    monkeypatch.setattr(fake.MTLCompileOptions, "respondsToSelector_", lambda *_: False)
    monkeypatch.setattr(fake.MTLCompileOptions, "setMathMode_", None)
    device.compile(SCALED)


def test_a_pipeline_that_runs_too_few_threads_is_refused(device: MetalDevice, gpu: fake.FakeDevice) -> None:
    gpu.most_threads = 16
    with pytest.raises(CompileError, match="runs at most 16 of it"):
        device.compile(SCALED)
    gpu.most_threads = 1024
    gpu.width = 64
    with pytest.raises(CompileError, match=r"simdgroups of 32 threads, .* in simdgroups of 64"):
        device.compile(row_sums())
    device.compile(SCALED)  # has no use for simdgroups


@pytest.mark.parametrize(
    ("code", "error", "told"),
    [
        (9, DeviceError, "failed in the kernel `scaled`: it hung"),
        (8, OutOfMemoryError, "ran out of memory in"),
    ],
)
def test_what_fails_on_the_gpu_is_told(
    device: MetalDevice, gpu: fake.FakeDevice, code: int, error: type[Exception], told: str
) -> None:
    gpu.next_failure = fake.Error("it hung", code)
    with pytest.raises(error, match=told):
        scaled(device, np.zeros(4, np.float32), 1.0)
    np.testing.assert_array_equal(scaled(device, np.ones(4, np.float32), 5.0), [5, 5, 5, 5])


def test_a_failure_of_many_command_buffers_is_told_once(
    device: MetalDevice, gpu: fake.FakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a fault the GPU refuses those behind it: the next read is not to fail with each of them in turn."""
    monkeypatch.setattr(metal, "LAUNCHES", 1)
    program = device.prepare(plan(100, 4032))
    given, result = device.upload(np.ones(100, np.float32)), device.allocate(400)
    back = np.empty(100, np.float32)
    program.run([given], [result])
    for commands in gpu.committed:
        monkeypatch.setattr(commands, "run", partial(fail, commands))
    with pytest.raises(DeviceError, match="it hung"):
        device.read(result, back)
    program.run([given], [result])
    device.read(result, back)
    assert (back == 30).all()


def fail(commands: fake.Commands) -> None:
    commands.state, commands.failure = fake.MTLCommandBufferStatusError, fake.Error("it hung")


def test_a_launch_with_wrong_arguments_is_refused(device: MetalDevice) -> None:
    executable = device.compile(SCALED)
    x, y = device.allocate(16), device.allocate(16)
    with pytest.raises(ShapeError, match="takes 2 tensors"):
        device.launch(executable, [x], {"N": 4}, [2.0])
    with pytest.raises(DeviceError, match="was given to"):
        device.launch(executable, [registry.device("reference").allocate(16), y], {"N": 4}, [2.0])
    with pytest.raises(DeviceError, match="address fewer"):
        check_launch(SCALED, [16, 4 * MOST_ELEMENTS], {"N": 4}, [2.0], device.target)


@pytest.mark.parametrize(("count", "gap"), [(1, 64), (1000, 4032), (131, 4096)])
def test_a_short_plan_is_one_command_buffer_a_run(
    device: MetalDevice, gpu: fake.FakeDevice, count: int, gap: int
) -> None:
    program = device.prepare(plan(count, gap))
    for array in arrays(count):
        given, result = device.upload(array), device.allocate(array.nbytes)
        program.run([given], [result])
        assert [len(commands.dispatches) for commands in gpu.committed] == [4]
        back = np.empty_like(array)
        device.read(result, back)
        np.testing.assert_array_equal(back, array * np.float32(30))


def test_a_long_plan_is_several_command_buffers(
    device: MetalDevice, gpu: fake.FakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the GPU begins while the rest is encoded."""
    monkeypatch.setattr(metal, "LAUNCHES", 3)
    program = device.prepare(plan(100, 4032))
    array = np.arange(100, dtype=np.float32)
    given, result = device.upload(array), device.allocate(array.nbytes)
    program.run([given], [result])
    assert [len(commands.dispatches) for commands in gpu.committed] == [3, 1]
    back = np.empty_like(array)
    device.read(result, back)
    np.testing.assert_array_equal(back, array * np.float32(30))


def test_a_threads_run_is_not_cut_by_another_threads(
    device: MetalDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command buffers of two runs would otherwise take turns in the program's one arena."""
    monkeypatch.setattr(metal, "LAUNCHES", 1)
    program = device.prepare(plan(100, 4032))
    given, result = device.upload(np.ones(100, np.float32)), device.allocate(400)
    begin, turns, lock = fake.Commands.computeCommandEncoder, [], device._lock

    def begins(commands: fake.Commands) -> fake.Encoder:
        turns.append(threading.get_ident())
        return begin(commands)

    class Fair:
        """A lock that others get before who has just had it."""

        def __enter__(self) -> None:
            lock.acquire()

        def __exit__(self, *_: object) -> None:
            lock.release()
            time.sleep(0.01)

    monkeypatch.setattr(fake.Commands, "computeCommandEncoder", begins)
    monkeypatch.setattr(device, "_lock", Fair())
    threads = [threading.Thread(target=program.run, args=([given], [result])) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(turns) == 8
    assert len(list(groupby(turns))) == 2


def test_a_plan_updates_in_place_and_runs_in_order(device: MetalDevice) -> None:
    made = Plan(
        (PlanTensor((5,), f32, 20, "input"),), (0,), (0,), (Launch(IN_PLACE, (0,), {"N": 5}, (2.0,)),), 0
    )
    program = device.prepare(made)
    array = np.arange(5, dtype=np.float32)
    buffer = device.upload(array)
    for _ in range(3):
        program.run([buffer], [buffer])
    back = np.empty_like(array)
    device.read(buffer, back)
    np.testing.assert_array_equal(back, array * 8)


def test_a_profile_has_a_time_for_each_launch(device: MetalDevice) -> None:
    program = device.prepare(plan(100, 4096))
    assert isinstance(program, MetalProgram)
    array = np.ones(100, np.float32)
    given, result = device.upload(array), device.allocate(array.nbytes)
    times = program.profile([given], [result])
    assert [name for name, _ in times] == ["scaled"] * 4
    assert all(abs(seconds - 1e-6) < 1e-9 for _, seconds in times)
    back = np.empty_like(array)
    device.read(result, back)
    np.testing.assert_array_equal(back, array * 30)


def test_an_encoder_is_ended_whatever_stops_it(
    device: MetalDevice, gpu: fake.FakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(fake.Encoder, "setBytes_length_atIndex_", interrupt)
        with pytest.raises(KeyboardInterrupt):
            scaled(device, np.ones(4, np.float32), 1.0)
    assert not gpu.open_encoders
    assert not gpu.committed, "half of it was committed"
    np.testing.assert_array_equal(scaled(device, np.ones(4, np.float32), 5.0), [5, 5, 5, 5])


def test_threads_that_part_are_an_error_of_the_device() -> None:
    """Not what the lowering makes: a source with its barriers in both branches of a condition."""
    device = new_device(fake.FakeDevice(apple=False))
    executable = device.compile(row_sums())
    barrier = re.compile(r"threadgroup_barrier\(.*?\);")
    broken = barrier.sub(r"if (thread_number < 3) \g<0> else\n\g<0>", executable.source)
    executable.pipeline = device.build(broken, executable.kernel.name)
    x, y = device.upload(np.ones((4, 128), np.float32)), device.allocate(16)
    device.launch(executable, [x, y], {"M": 4, "K": 128})
    with pytest.raises(DeviceError, match=r"waits for its threadgroup at line \d+, thread 3"):
        device.synchronize()


def test_the_backend_lists_apples_gpus_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metal, "modules", (fake, fake.Objc))
    monkeypatch.setattr(fake, "machine", [fake.FakeDevice(apple=False), fake.FakeDevice()])
    found = MetalBackend().devices()
    assert [device.name for device in found] == ["metal", "metal:1"]
    assert [device.target.exchange_width for device in found] == [32, 1]
    assert MetalBackend().missing() is None


def test_what_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metal, "modules", None)
    for platform, reason in (
        ("linux", "a part of macOS"),
        ("darwin", "pyobjc-framework-Metal is not installed"),
    ):
        monkeypatch.setattr(metal.sys, "platform", platform)
        missing = MetalBackend().missing()
        assert missing is not None
        assert reason in missing.reason
        assert ".[metal]" in missing.hint
    monkeypatch.setattr(metal, "modules", (fake, fake.Objc))
    monkeypatch.setattr(fake, "machine", [])
    missing = MetalBackend().missing()
    assert missing is not None
    assert "no GPU" in missing.reason
