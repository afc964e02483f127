"""The Vulkan backend: devices, memory, launches, recorded programs and errors. What kernels compute is
tests/conformance's."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.backends.test_opencl import IN_PLACE, SCALED, plan
from tritloom.backends import registry, vulkan, vulkan_api, vulkan_instance
from tritloom.backends.checks import MOST_ELEMENTS
from tritloom.backends.vulkan import VulkanBackend, VulkanDevice
from tritloom.backends.vulkan_api import VulkanError
from tritloom.backends.vulkan_launch import workgroups
from tritloom.backends.vulkan_physical import PhysicalDevice, find
from tritloom.backends.vulkan_pipeline import Module
from tritloom.codegen.errors import DeviceError, OutOfMemoryError, ShapeError, UnsupportedError
from tritloom.codegen.ir.dtypes import f32
from tritloom.codegen.ir.template import Launch, Plan, PlanTensor

pytestmark = pytest.mark.device("vulkan")


def physical() -> PhysicalDevice:
    found = registry.device("vulkan")
    assert isinstance(found, VulkanDevice)
    return found.physical


@pytest.fixture(scope="module", params=["mapped", "staging"])
def device(request: pytest.FixtureRequest) -> VulkanDevice:
    """A device whose memory the host sees, if it does, and the same one as if the host did not."""
    return VulkanDevice("vulkan", physical(), staging=request.param == "staging")


def scaled(device: VulkanDevice, array: NDArray[np.float32], alpha: float) -> NDArray[np.float32]:
    x, y = device.upload(array), device.allocate(array.nbytes)
    device.launch(device.compile(SCALED), [x, y], {"N": array.size}, [alpha])
    back = np.empty_like(array)
    device.read(y, back)
    return back


# what it is


def test_a_device_describes_itself(device: VulkanDevice) -> None:
    assert device.target.emitter == "spirv"
    assert device.target.max_threads >= 128
    assert device.target.shared_bytes >= 16 << 10
    assert device.memory_bytes is not None
    assert device.memory_bytes > 1 << 28
    for part in (device.physical.name, device.physical.driver, "Vulkan 1.", "GiB"):
        assert part in device.description


def test_threads_are_no_more_than_a_workgroups_subgroups_hold() -> None:
    poor = find(vulkan_instance.instance())[0]
    if not poor.pins_subgroups:
        pytest.skip(f"{poor.description} lets nobody choose a subgroup's size")
    poor.subgroups.maxComputeWorkgroupSubgroups = 2
    assert poor.target("vulkan").max_threads == 2 * poor.subgroup_size


def test_subgroups_are_full_also_where_their_size_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code takes a thread's number for its subgroup's times its size, plus the lane."""
    only = find(vulkan_instance.instance())[0]
    if not (only.subgroup_features.computeFullSubgroups and only.target("vulkan").has("subgroups")):
        pytest.skip(f"{only.description} promises no full subgroups")
    only.subgroups.requiredStages = 0
    device = VulkanDevice("vulkan", only)
    flags: list[int] = []
    create = device.context.functions.CreateComputePipelines

    def watched(*given: Any) -> Any:
        flags.append(given[3]._obj.stage.flags)
        return create(*given)

    monkeypatch.setattr(device.context.functions, "CreateComputePipelines", watched)
    words = device.compile(SCALED).words
    for width in (0, only.subgroup_size):
        device.context.logical.make(Module(words, width), None)
    assert flags[-2:] == [0, 2]


def test_devices_are_found_by_number_and_by_a_part_of_the_name() -> None:
    first = registry.device("vulkan")
    assert registry.device("vulkan:0") is first
    assert registry.device(f"vulkan:{first.description[:6]}") is first


def test_two_devices_are_worlds_of_their_own() -> None:
    one, other = VulkanDevice("vulkan", physical()), VulkanDevice("vulkan:1", physical())
    array = np.arange(100, dtype=np.float32)
    np.testing.assert_array_equal(scaled(one, array, 2), scaled(other, array, 2))
    with pytest.raises(DeviceError, match="vulkan:1 was given to vulkan"):
        one.launch(one.compile(SCALED), [one.upload(array), other.upload(array)], {"N": 100}, [1.0])


def test_a_device_that_lacks_something_is_not_offered_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    poor = find(vulkan_instance.instance())[0]
    poor.f12.bufferDeviceAddress = 0
    poor.features.shaderInt16 = 0
    assert poor.lacking() == ["bufferDeviceAddress", "shaderInt16"]
    monkeypatch.setattr(vulkan, "find", lambda _: [poor])
    assert VulkanBackend().devices() == []
    missing = VulkanBackend().missing()
    assert missing is not None
    assert f"{poor.name} lacks bufferDeviceAddress, shaderInt16" in missing.reason


def test_no_loader_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vulkan, "instance", lambda: vulkan_instance.Instance(validation=False))
    monkeypatch.setattr(vulkan_api, "LOADERS", {"linux": ("libno-such-vulkan.so",)})
    monkeypatch.setattr("sys.platform", "linux")
    assert VulkanBackend().devices() == []
    missing = VulkanBackend().missing()
    assert missing is not None
    assert "no Vulkan loader" in missing.reason
    assert "mesa-vulkan-drivers" in missing.hint


def test_a_driver_that_fails_hides_no_other_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise VulkanError("vkEnumeratePhysicalDevices", -3)

    monkeypatch.setattr(vulkan, "find", fail)
    assert VulkanBackend().devices() == []
    missing = VulkanBackend().missing()
    assert missing is not None
    assert "vkEnumeratePhysicalDevices failed with INITIALIZATION_FAILED" in missing.reason
    assert missing.hint


@pytest.mark.parametrize(
    ("system", "hint"), [("win32", "driver"), ("darwin", "MoltenVK"), ("linux", "libvulkan1")]
)
def test_every_system_has_its_hint(monkeypatch: pytest.MonkeyPatch, system: str, hint: str) -> None:
    monkeypatch.setattr("sys.platform", system)
    assert hint in vulkan_api.install_hint()


# memory


@pytest.mark.parametrize("dtype", [np.float32, np.int8, ml_dtypes.bfloat16, np.bool_])
def test_bytes_come_back(device: VulkanDevice, dtype: Any) -> None:
    array = np.arange(12).reshape(3, 4).astype(dtype)
    back = np.zeros_like(array)
    device.read(device.upload(array), back)
    assert (back == array).all()


def test_too_much_memory_is_an_error(device: VulkanDevice) -> None:
    with pytest.raises(OutOfMemoryError, match="bytes were asked for"):
        device.allocate(1 << 60)


def test_a_tensor_larger_than_a_block(device: VulkanDevice) -> None:
    count = device.context.tensors.block_bytes // 4 + 12345
    array = np.arange(count, dtype=np.float32)
    np.testing.assert_array_equal(scaled(device, array, 2), array * 2)


def test_memory_is_used_again_once_it_is_let_go(device: VulkanDevice) -> None:
    array = np.arange(1 << 20, dtype=np.float32)
    scaled(device, array, 1)
    device.synchronize()
    before = device.context.tensors.reserved
    for turn in range(40):
        assert scaled(device, array, turn)[7] == 7 * turn
    assert device.context.tensors.reserved <= before


def test_a_large_tensors_block_goes_back_to_the_driver(device: VulkanDevice) -> None:
    before = device.context.tensors.reserved
    buffer = device.allocate(device.context.tensors.block_bytes * 2)
    assert device.context.tensors.reserved >= before + buffer.nbytes
    del buffer
    gc.collect()
    device.allocate(4)
    device.synchronize()
    assert device.context.tensors.reserved <= before + device.context.tensors.block_bytes


def test_memory_that_work_still_uses_is_not_given_away(device: VulkanDevice) -> None:
    """The input of each launch is dropped at once, and the next upload would take its place if it could."""
    executable = device.compile(SCALED)
    results = []
    for turn in range(20):
        x = device.upload(np.full(300_000, turn, np.float32))
        y = device.allocate(1_200_000)
        device.launch(executable, [x, y], {"N": 300_000}, [1.0])
        del x
        results.append(y)
    back = np.empty(300_000, np.float32)
    for turn, y in enumerate(results):
        device.read(y, back)
        assert (back == turn).all()


def test_a_write_waits_for_launches_that_read_what_was_there(device: VulkanDevice) -> None:
    executable = device.compile(SCALED)
    x, y = device.upload(np.ones(100_000, np.float32)), device.allocate(400_000)
    device.launch(executable, [x, y], {"N": 100_000}, [2.0])
    device.write(x, np.zeros(100_000, np.float32))
    back = np.empty(100_000, np.float32)
    device.read(y, back)
    assert (back == 2).all()


# launches


def test_a_launch_with_wrong_arguments_is_refused(device: VulkanDevice) -> None:
    executable = device.compile(SCALED)
    x, y = device.allocate(16), device.allocate(16)
    with pytest.raises(ShapeError, match="takes 2 tensors"):
        device.launch(executable, [x], {"N": 4}, [2.0])
    with pytest.raises(ShapeError, match="without the size N"):
        device.launch(executable, [x, y], {}, [2.0])
    with pytest.raises(ShapeError, match="was given 16 bytes"):
        device.launch(executable, [x, y], {"N": 5}, [2.0])


def test_a_buffer_whose_elements_have_no_numbers_is_refused(device: VulkanDevice) -> None:
    """They are numbered in 32 bits, and NVIDIA's and AMD's drivers give buffers of 4 GiB."""
    x, y = device.allocate(16), device.allocate(16)
    y.nbytes = 4 * MOST_ELEMENTS
    with pytest.raises(DeviceError, match="address fewer"):
        device.launch(device.compile(SCALED), [x, y], {"N": 4}, [2.0])
    made = plan(4, 64)
    large = replace(made.tensors[3], nbytes=4 * MOST_ELEMENTS)
    with pytest.raises(DeviceError, match="address fewer"):
        device.prepare(replace(made, tensors=(*made.tensors[:3], large)))


def test_a_kernel_is_compiled_once_and_can_be_read(device: VulkanDevice) -> None:
    assert device.compile(SCALED) is device.compile(SCALED)
    assert "OpEntryPoint" in device.compile(SCALED).source


def test_many_launches_follow_each_other(device: VulkanDevice) -> None:
    executable = device.compile(IN_PLACE)
    buffer = device.upload(np.ones(70, np.float32))
    for turn in range(1000):
        device.launch(executable, [buffer], {"N": 70}, [2.0 if turn % 2 else 0.5])
    back = np.empty(70, np.float32)
    device.read(buffer, back)
    assert (back == 1).all()


def test_more_programs_than_workgroups_along_x(device: VulkanDevice) -> None:
    count = 64 * 140_001 + 3
    array = np.arange(count, dtype=np.float32)
    np.testing.assert_array_equal(scaled(device, array, 0.5), array * np.float32(0.5))


def test_a_grid_of_two_dimensions_has_room_for_all_programs() -> None:
    most = (65535, 65535, 65535)
    for programs in (0, 1, 65535, 65536, 65537, 10**6, 65535 * 65535):
        x, y = workgroups(programs, most)
        assert x * y >= programs
        assert x <= 65535
        assert y <= 65535
        assert x * y - programs < max(y, 1)
    with pytest.raises(UnsupportedError, match="programs are more"):
        workgroups(65535 * 65535 + 1, most)


# recorded programs


@pytest.mark.parametrize(("count", "gap"), [(1, 64), (16, 64), (1000, 4032), (131, 4096)])
def test_a_recorded_plan_runs_again_with_other_buffers(device: VulkanDevice, count: int, gap: int) -> None:
    program = device.prepare(plan(count, gap))
    generator = np.random.default_rng(0)
    results = []
    for _ in range(5):
        array = generator.integers(-99, 99, count).astype(np.float32)
        given, result = device.upload(array), device.allocate(array.nbytes)
        program.run([given], [result])
        program.run([given], [result])
        results.append((array, result))
    for array, result in results:
        back = np.empty_like(array)
        device.read(result, back)
        np.testing.assert_array_equal(back, array * np.float32(30))


def test_an_output_may_be_an_input_updated_in_place(device: VulkanDevice) -> None:
    tensors = (PlanTensor((5,), f32, 20, "input"),)
    program = device.prepare(Plan(tensors, (0,), (0,), (Launch(IN_PLACE, (0,), {"N": 5}, (2.0,)),), 0))
    array = np.arange(5, dtype=np.float32)
    buffer = device.upload(array)
    for _ in range(30):
        program.run([buffer], [buffer])
    back = np.empty_like(array)
    device.read(buffer, back)
    np.testing.assert_array_equal(back, array * 2.0**30)


def test_programs_and_launches_keep_their_order(device: VulkanDevice) -> None:
    tensors = (PlanTensor((5,), f32, 20, "input"),)
    program = device.prepare(Plan(tensors, (0,), (0,), (Launch(IN_PLACE, (0,), {"N": 5}, (3.0,)),), 0))
    buffer = device.upload(np.ones(5, np.float32))
    executable = device.compile(IN_PLACE)
    for _ in range(4):
        device.launch(executable, [buffer], {"N": 5}, [0.0])
        program.run([buffer], [buffer])
        device.write(buffer, np.ones(5, np.float32))
        device.launch(executable, [buffer], {"N": 5}, [5.0])
        program.run([buffer], [buffer])
    back = np.empty(5, np.float32)
    device.read(buffer, back)
    assert (back == 15).all()


def test_a_program_that_is_dropped_finishes_first(device: VulkanDevice) -> None:
    array = np.ones(1000, np.float32)
    given, result = device.upload(array), device.allocate(array.nbytes)
    for _ in range(10):
        program = device.prepare(plan(1000, 4032))
        program.run([given], [result])
        del program
    back = np.empty_like(array)
    device.read(result, back)
    assert (back == 30).all()


def test_a_program_with_too_few_buffers_is_refused(device: VulkanDevice) -> None:
    with pytest.raises(ShapeError, match="1 inputs and 1 outputs"):
        device.prepare(plan(4, 64)).run([], [])


def test_a_recorded_launch_waits_for_what_it_needs(
    device: VulkanDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drivers of CPUs run all in order, so that results tell nothing of barriers that are not there."""
    functions, order = device.context.functions, []
    barrier, dispatch = functions.CmdPipelineBarrier, functions.CmdDispatch

    def waits(*arguments: Any) -> None:
        order.append("wait")
        barrier(*arguments)

    def runs(*arguments: Any) -> None:
        order.append("run")
        dispatch(*arguments)

    tensors = plan(8, 64).tensors
    sizes = {"N": 8}
    launches = (
        Launch(SCALED, (0, 1), sizes, (2.0,)),
        Launch(SCALED, (0, 3), sizes, (2.0,)),  # reads what the first one reads
        Launch(SCALED, (1, 2), sizes, (2.0,)),  # reads what was written
        Launch(SCALED, (0, 1), sizes, (3.0,)),  # writes what is read
        Launch(SCALED, (2, 1), sizes, (3.0,)),  # writes what was written
    )
    made = Plan(tensors, (0,), (3,), launches, 64 + 32)
    with monkeypatch.context() as patch:
        patch.setattr(functions, "CmdPipelineBarrier", waits)
        patch.setattr(functions, "CmdDispatch", runs)
        program = device.prepare(made)
    once = ["wait", "run", "run", "wait", "run", "wait", "run", "wait", "run", "wait"]
    assert order == once * 2, "two copies, each behind all work before it and before the host"
    order.clear()
    given, result = device.upload(np.ones(8, np.float32)), device.allocate(32)
    device.synchronize()
    with monkeypatch.context() as patch:
        patch.setattr(functions, "CmdPipelineBarrier", waits)
        patch.setattr(functions, "CmdDispatch", runs)
        executable = device.compile(SCALED)
        for x, y in ((given, result), (given, device.allocate(32)), (result, given)):
            device.launch(executable, [x, y], sizes, [2.0])
        program.run([given], [result])
    assert order == ["wait", "run", "run", "wait", "run", "wait"], "what was recorded is submitted as it is"


def test_a_profile_has_the_time_of_each_launch(device: VulkanDevice) -> None:
    if not device.physical.timestamp_bits:
        pytest.skip(f"{device.description} has no timestamps")
    array = np.ones(1000, np.float32)
    given, result = device.upload(array), device.allocate(array.nbytes)
    times = device.prepare(plan(1000, 4032)).profile([given], [result])
    assert [name for name, _ in times] == [SCALED.name, SCALED.name, IN_PLACE.name, SCALED.name]
    assert all(0 <= seconds < 10 for _, seconds in times)
    assert sum(seconds for _, seconds in times) > 0
    back = np.empty_like(array)
    device.read(result, back)
    assert (back == 30).all()
