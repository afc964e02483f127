"""The CPU device: memory, launches, recorded plans on several threads, and what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import REPOSITORY
from tritloom.backends.base import DeviceBuffer
from tritloom.backends.cache import Cache
from tritloom.backends.cpu import CPUBackend, CPUDevice
from tritloom.backends.cpu_compiler import Compiler
from tritloom.backends.cpu_runtime import Pool, thread_count
from tritloom.codegen.errors import CompileError, DeviceError, OutOfMemoryError, ShapeError
from tritloom.codegen.ir.dtypes import f32, i32
from tritloom.codegen.ir.template import Launch, Plan, PlanTensor
from tritloom.codegen.ir.tile import BinaryOp, Kernel, Mode
from tritloom.codegen.ir.tile_builder import Builder
from tritloom.codegen.targets import host_cpu

pytestmark = pytest.mark.device("cpu")
LENGTH = 10_007


def affine(block: int = 64, mode: Mode = Mode.OUT) -> Kernel:
    """y = x * a + 1."""
    b = Builder("affine")
    x = b.buffer("x", f32["N"])
    y = b.buffer("y", f32["N"], mode)
    a = b.scalar("a", f32)
    n = b.program_axis("n", x.shape[0], block)
    product = b.binary(BinaryOp.MUL, b.load(x, [n]), a)
    b.store(y, [n], b.binary(BinaryOp.ADD, product, 1.0))
    return b.finish()


@pytest.fixture(scope="module")
def device() -> CPUDevice:
    found = CPUBackend().devices()[0]
    assert isinstance(found, CPUDevice)
    return found


def with_threads(device: CPUDevice, threads: int) -> CPUDevice:
    """A device of its own with that many threads."""
    made = CPUDevice(device.target, device._shared_pool)
    pool = Pool(made.compiler, threads)
    made._shared_pool = type("Fixed", (), {"get": staticmethod(lambda: pool)})()
    return made


def tensor(role: str, offset: int = 0) -> PlanTensor:
    return PlanTensor((LENGTH,), f32, 4 * LENGTH, role, offset)


def chain(steps: int, kernel: Kernel | None = None) -> Plan:
    """steps + 1 launches of y = x * a + 1 with a = 0, 1, 2...: through two places of the arena to the output."""
    kernel = kernel or affine()
    second = (4 * LENGTH + 63) // 64 * 64
    tensors = (tensor("input"), tensor("arena"), tensor("arena", second), tensor("output"))
    places = [0, *[1 + i % 2 for i in range(steps)], 3]
    launches = tuple(
        Launch(kernel, (places[i], places[i + 1]), {"N": LENGTH}, (float(i + 1) / 2,))
        for i in range(steps + 1)
    )
    return Plan(tensors, (0,), (3,), launches, 2 * second)


def expected(x: Any, steps: int) -> Any:
    for i in range(steps + 1):
        x = x * np.float32((i + 1) / 2) + np.float32(1)
    return x


def result(device: CPUDevice, buffer: DeviceBuffer) -> Any:
    out = np.empty(LENGTH, np.float32)
    device.read(buffer, out)
    return out


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_plan_gives_the_same_on_any_number_of_threads(device: CPUDevice, threads: int) -> None:
    own = with_threads(device, threads)
    program = own.prepare(chain(9))
    for seed in range(20):
        x = np.random.default_rng(seed).normal(size=LENGTH).astype(np.float32)
        given, made = own.upload(x), own.allocate(4 * LENGTH)
        program.run([given], [made])
        np.testing.assert_allclose(result(own, made), expected(x, 9), rtol=1e-5)
        first = result(own, made)
        program.run([given], [made])
        np.testing.assert_array_equal(result(own, made), first)


def test_programs_run_from_several_python_threads(device: CPUDevice) -> None:
    own = with_threads(device, 2)
    program = own.prepare(chain(3))
    wrong: list[int] = []

    def work(seed: int) -> None:
        x = np.full(LENGTH, seed, np.float32)
        given, made = own.upload(x), own.allocate(4 * LENGTH)
        for _ in range(20):
            program.run([given], [made])
        if not np.allclose(result(own, made), expected(x, 3)):
            wrong.append(seed)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_every_program_runs_once(device: CPUDevice) -> None:
    """Each program adds 1 to its own counter, under more threads than cores."""
    own = with_threads(device, 7)
    b = Builder("count")
    counts = b.buffer("counts", i32["N"], Mode.INOUT)
    n = b.program_axis("n", counts.shape[0], 1)
    b.store(counts, [n], b.binary(BinaryOp.ADD, b.load(counts, [n]), 1))
    kernel = b.finish()
    tensors = (PlanTensor((997,), i32, 4 * 997, "input"),)
    launches = tuple(Launch(kernel, (0,), {"N": 997}) for _ in range(30))
    program = own.prepare(Plan(tensors, (0,), (0,), launches, 0))
    held = own.upload(np.zeros(997, np.int32))
    for _ in range(5):
        program.run([held], [held])
    out = np.empty(997, np.int32)
    own.read(held, out)
    np.testing.assert_array_equal(out, 150)


def test_launches_on_overlapping_memory(device: CPUDevice) -> None:
    kernel = affine()
    held = device.upload(np.arange(LENGTH, dtype=np.float32))
    device.launch(device.compile(kernel), [held, held], {"N": LENGTH}, [2.0])
    np.testing.assert_array_equal(result(device, held), np.arange(LENGTH, dtype=np.float32) * 2 + 1)
    tensors = (tensor("input"), tensor("output"))
    plan = Plan(tensors, (0,), (1,), (Launch(kernel, (0, 1), {"N": LENGTH}, (1.0,)),), 0)
    with pytest.raises(DeviceError, match="one buffer was given for two tensors"):
        device.prepare(plan).run([held], [held])
    in_place = Plan(tensors[:1], (0,), (0,), (Launch(kernel, (0, 0), {"N": LENGTH}, (1.0,)),), 0)
    device.prepare(in_place).run([held], [held])
    np.testing.assert_array_equal(result(device, held), np.arange(LENGTH, dtype=np.float32) * 2 + 2)


def test_buffers_of_wrong_length_are_refused(device: CPUDevice) -> None:
    executable = device.compile(affine())
    short, whole = device.allocate(4 * LENGTH - 1), device.allocate(4 * LENGTH)
    with pytest.raises(
        ShapeError, match=r"`y` of `affine` is f32\[10007\], 40028 bytes, and was given 40027"
    ):
        device.launch(executable, [whole, short], {"N": LENGTH}, [1.0])
    with pytest.raises(ShapeError, match="without the size N"):
        device.launch(executable, [whole, whole], {}, [1.0])
    with pytest.raises(ShapeError, match="takes 2 tensors and 1 scalars and was given 1 and 1"):
        device.launch(executable, [whole], {"N": 1}, [1.0])
    program = device.prepare(chain(1))
    with pytest.raises(ShapeError, match=r"the input f32\[10007\] of the program needs 40028 bytes"):
        program.run([short], [whole])
    with pytest.raises(ShapeError, match="takes 1 inputs and 1 outputs and was given 1 and 0"):
        program.run([whole], [])


def test_sizes_that_a_kernel_is_not_made_for_are_refused(device: CPUDevice) -> None:
    b = Builder("aligned")
    n = b.program_axis("n", b.size("N", 64), 64)
    b.store(b.buffer("y", f32["N"], Mode.OUT), [n], b.load(b.buffer("x", f32["N"]), [n]))
    executable, memory = device.compile(b.finish()), device.allocate(4 * 128)
    for size in (100, 0):
        with pytest.raises(ShapeError, match=f"with N = {size} and was made for positive multiples of 64"):
            device.launch(executable, [memory, memory], {"N": size})


def test_memory_of_another_device_is_refused(device: CPUDevice) -> None:
    other = CPUBackend().devices()[0]
    held = other.allocate(4 * LENGTH)
    with pytest.raises(DeviceError, match=r"\.to\(device\)"):
        device.launch(device.compile(affine()), [held, held], {"N": LENGTH}, [1.0])
    with pytest.raises(DeviceError, match=r"\.to\(device\)"):
        device.prepare(chain(1)).run([held], [device.allocate(4 * LENGTH)])


def test_code_for_another_device_is_refused(device: CPUDevice) -> None:
    executable = CPUBackend().devices()[-1].compile(affine())
    held = device.allocate(4 * LENGTH)
    with pytest.raises(DeviceError, match=r"`affine` was compiled for cpu:.*, not for cpu"):
        device.launch(executable, [held, held], {"N": LENGTH}, [1.0])


def test_memory_is_aligned_and_seen_without_a_copy(device: CPUDevice) -> None:
    for nbytes in (1, 63, 64, 4097):
        assert device.allocate(nbytes).address % 64 == 0
    held = device.allocate(24)
    device.write(held, np.arange(6, dtype=np.float32))
    held.view(np.float32, (2, 3))[1, 2] = 9
    out = np.empty(6, np.float32)
    device.read(held, out)
    np.testing.assert_array_equal(out, [0, 1, 2, 3, 4, 9])
    with pytest.raises(
        ShapeError, match="an array of 32 bytes was given to be copied to or from a buffer of 24"
    ):
        device.write(held, np.zeros(8, np.float32))


def test_too_much_memory(device: CPUDevice) -> None:
    with pytest.raises(OutOfMemoryError, match="no memory for 1152921504606846976 bytes on cpu"):
        device.allocate(1 << 60)


def test_a_compiled_kernel_is_kept(device: CPUDevice) -> None:
    kernel = affine()
    assert device.compile(kernel) is device.compile(kernel)
    assert "define void" in device.compile(kernel).source


def test_malformed_code_is_a_compile_error(tmp_path: Path) -> None:
    compiler = Compiler(host_cpu(), Cache("cpu", tmp_path))
    with pytest.raises(CompileError, match="LLVM refuses the code of `broken`"):
        compiler.load("broken", 'define void @"broken"() { ret i32 0 }')


def test_levels_of_this_processor() -> None:
    names = [one.name for one in CPUBackend().devices()]
    assert names[0] == "cpu"
    if host_cpu().llvm_triple.startswith("x86_64"):
        assert names[-1] == "cpu:plain"


@pytest.mark.parametrize("given", ["0", "two", "-1", ""])
def test_a_bad_number_of_threads(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITLOOM_THREADS", given)
    with pytest.raises(DeviceError, match="TRITLOOM_THREADS is"):
        thread_count()
    monkeypatch.setenv("TRITLOOM_THREADS", "3")
    assert thread_count() == 3


def run_python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_the_process_ends_while_threads_wait(tmp_path: Path) -> None:
    code = """
import numpy as np
from tests.backends.test_cpu import LENGTH, CPUBackend, chain
d = CPUBackend().devices()[0]
p = d.prepare(chain(2))
a, b = d.upload(np.ones(LENGTH, np.float32)), d.allocate(4 * LENGTH)
p.run([a], [b])
print(d.pool.threads)
"""
    assert run_python(code, TRITLOOM_THREADS="3", TRITLOOM_CACHE=str(tmp_path)).strip() == "3"


def buffers(device: CPUDevice, arrays: Sequence[Any]) -> list[DeviceBuffer]:
    return [device.upload(array) for array in arrays]


def test_a_forked_process_starts_threads_of_its_own(device: CPUDevice) -> None:
    own = with_threads(device, 2)
    program = own.prepare(chain(2))
    x = np.ones(LENGTH, np.float32)
    given, made = buffers(own, [x, x])
    program.run([given], [made])
    child = os.fork()
    if child == 0:
        program.run([given], [made])
        os._exit(0 if np.allclose(result(own, made), expected(x, 2)) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
