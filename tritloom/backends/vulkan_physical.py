"""What a Vulkan device answers about itself: whether it will do, its memory, and the target that code is made for."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cached_property

from tritloom.backends import vulkan_api as api
from tritloom.backends import vulkan_structs as vk
from tritloom.backends.vulkan_instance import Instance
from tritloom.codegen.ir.dtypes import DType, bf16, f16, f32, i8, i32
from tritloom.codegen.target import MatrixUnit, Target

KINDS = {2: "discrete GPU", 1: "integrated GPU", 3: "virtual GPU", 4: "CPU", 0: "other"}
"""VkPhysicalDeviceType, best first."""
CPU = 4
COMPUTE_QUEUE, GRAPHICS_QUEUE = 2, 1
DEVICE_LOCAL, HOST_VISIBLE, HOST_COHERENT, HOST_CACHED = 1, 2, 4, 8
"""VkMemoryPropertyFlags."""

_COMPUTE_STAGE = 0x20
_BASIC, _ARITHMETIC, _SHUFFLE, _SHUFFLE_RELATIVE = 1, 4, 16, 32
_SUBGROUP_SCOPE = 3
_NONE = 2
"""VkShaderFloatControlsIndependence: what is set for one width is set for all."""
_COMPONENTS: dict[int, DType] = {0: f16, 1: f32, 3: i8, 5: i32, 1000141000: bf16}
"""VkComponentTypeKHR."""
_MATRICES = {(i8, i32), (f16, f32), (bf16, f32)}
"""Operand and accumulator of the products that are used."""
_REGISTERS, _MATRIX_REGISTERS = 128, 256
"""Of a thread. Vulkan does not tell; the GPUs with matrix units have 255 or 256 so far (NVIDIA, AMD from RDNA3 on)."""
PREFERRED_SUBGROUP = 32

OPTIONAL_EXTENSIONS = (
    b"VK_KHR_cooperative_matrix",
    b"VK_KHR_shader_bfloat16",
    b"VK_KHR_workgroup_memory_explicit_layout",
    b"VK_KHR_portability_subset",
    b"VK_EXT_memory_budget",
)
"""Taken into use where the device has them."""
_PROMOTED = (b"VK_EXT_subgroup_size_control", b"VK_KHR_shader_integer_dot_product", b"VK_KHR_maintenance4")
"""Part of Vulkan 1.3; extensions of 1.2."""


@dataclass(frozen=True, slots=True)
class MemoryType:
    """One of a device's kinds of memory."""

    index: int
    flags: int
    heap: int
    heap_bytes: int


class PhysicalDevice:
    """A device of the instance, with all its answers."""

    def __init__(self, instance: Instance, handle: int):
        self.instance = instance
        self.handle = handle
        functions = instance.functions
        self.extensions = frozenset(
            found.name
            for found in api.listed(
                vk.ExtensionProperties, functions.EnumerateDeviceExtensionProperties, handle, None
            )
        )
        self.properties = vk.Properties2()
        functions.GetPhysicalDeviceProperties2(handle, ctypes.byref(self.properties))
        self.version: tuple[int, int, int] = _version(self.properties.apiVersion)
        self.v11, self.v12 = vk.Vulkan11Properties(), vk.Vulkan12Properties()
        self.subgroups, self.maintenance4, self.dots = (
            vk.SubgroupSizeProperties(),
            vk.Maintenance4Properties(),
            vk.IntegerDotProperties(),
        )
        self.features = vk.Features2()
        self.f11, self.f12 = vk.Vulkan11Features(), vk.Vulkan12Features()
        self.subgroup_features, self.dot_features = vk.SubgroupSizeFeatures(), vk.IntegerDotFeatures()
        self.matrix_features, self.bf16_features = vk.CooperativeMatrixFeatures(), vk.Bfloat16Features()
        self.workgroup_features = vk.WorkgroupLayoutFeatures()
        if self.version >= (1, 2, 0):
            self._ask()

    def _ask(self) -> None:
        functions = self.instance.functions
        answers: list[vk.Chained] = [self.properties, self.v11, self.v12]
        features: list[vk.Chained] = [self.features, self.f11, self.f12]
        if self.newer_or("VK_EXT_subgroup_size_control"):
            answers.append(self.subgroups)
            features.append(self.subgroup_features)
        if self.newer_or("VK_KHR_shader_integer_dot_product"):
            answers.append(self.dots)
            features.append(self.dot_features)
        if self.newer_or("VK_KHR_maintenance4"):
            answers.append(self.maintenance4)
        if b"VK_KHR_cooperative_matrix" in self.extensions:
            features.append(self.matrix_features)
        if b"VK_KHR_shader_bfloat16" in self.extensions:
            features.append(self.bf16_features)
        if b"VK_KHR_workgroup_memory_explicit_layout" in self.extensions:
            features.append(self.workgroup_features)
        vk.chain(*answers)
        functions.GetPhysicalDeviceProperties2(self.handle, ctypes.byref(self.properties))
        vk.chain(*features)
        functions.GetPhysicalDeviceFeatures2(self.handle, ctypes.byref(self.features))
        self._feature_chain = features

    def newer_or(self, extension: str) -> bool:
        """Whether the device has what Vulkan 1.3 took over from an extension."""
        return self.version >= (1, 3, 0) or extension.encode() in self.extensions

    # for people

    @property
    def name(self) -> str:
        """The hardware's name."""
        return str(self.properties.deviceName.decode(errors="replace").strip())

    @property
    def kind(self) -> int:
        """VkPhysicalDeviceType."""
        return int(self.properties.deviceType)

    @property
    def driver(self) -> str:
        """The driver's name and version."""
        name, info = (
            part.decode(errors="replace").strip() for part in (self.v12.driverName, self.v12.driverInfo)
        )
        return f"{name} {info}".strip() or f"driver {self.properties.driverVersion:#x}"

    @property
    def description(self) -> str:
        """Name, driver, version of Vulkan and memory."""
        version = ".".join(map(str, self.version[:2]))
        # Of the whole heap: what is free now changes, and a device keeps its description.
        local = [one.heap_bytes for one in self.memory_types if one.flags & DEVICE_LOCAL]
        memory = f"{max(local, default=0) / (1 << 30):.1f} GiB"
        return f"{self.name} ({KINDS.get(self.kind, 'other')}, {self.driver}, Vulkan {version}, {memory})"

    @cached_property
    def identity(self) -> bytes:
        """What tells this device with this driver from all others, in cache keys."""
        parts = (self.v11.deviceUUID, self.v11.driverUUID, self.properties.pipelineCacheUUID)
        numbers = (self.properties.driverVersion, self.properties.vendorID, self.properties.deviceID)
        return b"".join(bytes(part) for part in parts) + repr(numbers).encode() + self.driver.encode()

    # whether it will do

    def lacking(self) -> list[str]:
        """What every device must have and this one has not; empty for a device that will do."""
        if self.version < (1, 2, 0):
            return [f"Vulkan 1.2 (it has {self.version[0]}.{self.version[1]})"]
        needed = {
            "bufferDeviceAddress": self.f12.bufferDeviceAddress,
            "storageBuffer8BitAccess": self.f12.storageBuffer8BitAccess,
            "storageBuffer16BitAccess": self.f11.storageBuffer16BitAccess,
            "shaderInt8": self.f12.shaderInt8,
            "shaderInt16": self.features.shaderInt16,
            "timelineSemaphore": self.f12.timelineSemaphore,
            "a queue for compute": self.queue_family is not None,
        }
        return [name for name, there in needed.items() if not there]

    @cached_property
    def _queue_families(self) -> list[vk.QueueFamilyProperties]:
        ask = self.instance.functions.GetPhysicalDeviceQueueFamilyProperties
        return api.listed(vk.QueueFamilyProperties, ask, self.handle)

    @cached_property
    def queue_family(self) -> int | None:
        """The queue family for kernels: one with graphics, whose queue every vendor keeps fed, or any with compute."""
        families = [(i, one.flags) for i, one in enumerate(self._queue_families) if one.flags & COMPUTE_QUEUE]
        families.sort(key=lambda family: not family[1] & GRAPHICS_QUEUE)
        return families[0][0] if families else None

    @property
    def timestamp_bits(self) -> int:
        """Valid bits of a timestamp on that family's queues; 0 where it has none."""
        assert self.queue_family is not None
        return int(self._queue_families[self.queue_family].timestampValidBits)

    # memory

    @cached_property
    def memory_types(self) -> list[MemoryType]:
        """The device's kinds of memory, in its own order."""
        answer = self._memory()
        return [
            MemoryType(i, int(one.flags), int(one.heap), int(answer.heaps[one.heap].size))
            for i, one in enumerate(answer.types[: answer.typeCount])
        ]

    def _memory(self, *more: vk.Chained) -> vk.MemoryProperties2:
        answer = vk.MemoryProperties2()
        vk.chain(answer, *more)
        self.instance.functions.GetPhysicalDeviceMemoryProperties2(self.handle, ctypes.byref(answer))
        return answer

    @property
    def memory_bytes(self) -> int:
        """Bytes of the largest device-local heap that a process may use now."""
        budget = vk.MemoryBudget()
        asked = b"VK_EXT_memory_budget" in self.extensions
        answer = self._memory(*([budget] if asked else []))
        heaps = [i for i in range(answer.heapCount) if answer.heaps[i].flags & DEVICE_LOCAL]
        largest = max(heaps, key=lambda i: int(answer.heaps[i].size), default=0)
        size = int(answer.heaps[largest].size)
        allowed = int(budget.budget[largest]) if asked else 0
        return min(size, allowed) if allowed else size

    @property
    def max_allocation(self) -> int:
        """The most bytes of one buffer."""
        limits = [int(self.v11.maxMemoryAllocationSize), int(self.maintenance4.maxBufferSize)]
        return min((limit for limit in limits if limit), default=1 << 30)

    # what code is made for

    @property
    def pins_subgroups(self) -> bool:
        """Whether a pipeline may ask for a subgroup size, with full subgroups."""
        return bool(
            self.subgroup_features.subgroupSizeControl
            and self.subgroup_features.computeFullSubgroups
            and self.subgroups.requiredStages & _COMPUTE_STAGE
        )

    @property
    def subgroup_size(self) -> int:
        """Threads of a subgroup: 32 where the device lets us choose it, else its largest or its only size."""
        least, most = int(self.subgroups.minSubgroupSize), int(self.subgroups.maxSubgroupSize)
        if self.pins_subgroups:
            return PREFERRED_SUBGROUP if least <= PREFERRED_SUBGROUP <= most else most
        return int(self.v11.subgroupSize)

    def target(self, name: str) -> Target:
        """The target that the device's answers make."""
        limits = self.properties.limits
        v11 = self.v11
        features = set()
        shuffles = v11.subgroupSupportedOperations & _BASIC and v11.subgroupSupportedOperations & _SHUFFLE
        # Without control of it the size may vary from pipeline to pipeline, unless there is but one.
        known = self.pins_subgroups or 0 < self.subgroups.minSubgroupSize == self.subgroups.maxSubgroupSize
        if shuffles and known and v11.subgroupSupportedStages & _COMPUTE_STAGE and self.subgroup_size > 1:
            features.add("subgroups")
        if self.kind != CPU:  # Mesa's is a product and a sum
            features.add("fused-multiply-add")
        if self.f12.shaderFloat16:
            features.add("f16")
        v12 = self.v12
        if v12.shaderDenormPreserveFloat32 and v12.denormBehaviorIndependence != _NONE:
            features.add("keeps-denormals")
        if v12.shaderSignedZeroInfNanPreserveFloat32:
            features.add("keeps-nan")
        if v12.shaderRoundingModeRTEFloat32 and v12.roundingModeIndependence != _NONE:
            features.add("rounds-to-even")
        # A CPU's driver may call its dot fast; made of single products it is slower than f32.
        fast = self.dots.packedSigned8 or self.dots.signed8
        if self.dot_features.shaderIntegerDotProduct and fast and self.kind != CPU:
            features.add("int8-dot")
        matrices = self.matrices() if "subgroups" in features else ()
        threads = min(limits.maxComputeWorkGroupInvocations, limits.maxComputeWorkGroupSize[0])
        if "subgroups" in features and self.pins_subgroups:
            threads = min(threads, self.subgroup_size * self.subgroups.maxComputeWorkgroupSubgroups)
        return Target(
            name=name,
            emitter="spirv",
            features=frozenset(features),
            max_threads=int(threads),
            subgroup_size=self.subgroup_size if "subgroups" in features else 1,
            shared_bytes=int(limits.maxComputeSharedMemorySize),
            matrices=matrices,
            registers=_MATRIX_REGISTERS if matrices else _REGISTERS,
        )

    def matrices(self) -> tuple[MatrixUnit, ...]:
        """The products of matrices that a subgroup does, the largest first."""
        ask = self.instance.optional("vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR")
        if not (ask and self.matrix_features.cooperativeMatrix and self.f12.vulkanMemoryModel):
            return ()
        units = []
        for one in api.listed(vk.CooperativeMatrixProperties, ask, self.handle):
            operand, other = _COMPONENTS.get(one.a), _COMPONENTS.get(one.b)
            accumulator, result = _COMPONENTS.get(one.c), _COMPONENTS.get(one.result)
            usable = (
                operand is not None and operand is other and accumulator is not None and accumulator is result
            )
            if not usable or one.scope != _SUBGROUP_SCOPE or one.saturating:
                continue
            assert operand is not None
            assert accumulator is not None
            if (operand, accumulator) not in _MATRICES:
                continue
            if operand is f16 and not self.f12.shaderFloat16:
                continue
            if operand is bf16 and not self.bf16_features.shaderBFloat16CooperativeMatrix:
                continue
            units.append(MatrixUnit(int(one.rows), int(one.columns), int(one.depth), operand, accumulator))
        units.sort(key=lambda unit: -unit.rows * unit.columns * unit.depth)
        return tuple(dict.fromkeys(units))

    # the device that is made of it

    def enabled_extensions(self) -> list[bytes]:
        """The extensions to take into use."""
        promoted = () if self.version >= (1, 3, 0) else _PROMOTED
        return [name for name in (*OPTIONAL_EXTENSIONS, *promoted) if name in self.extensions]

    def enabled_features(self) -> list[vk.Chained]:
        """The features to take into use, as a chain to keep alive: what modules may ask for and it has."""
        wanted = {
            "shaderInt64": self.features,
            "shaderInt16": self.features,
            "storageBuffer16BitAccess": self.f11,
            "storageBuffer8BitAccess": self.f12,
            "shaderFloat16": self.f12,
            "shaderInt8": self.f12,
            "scalarBlockLayout": self.f12,
            "uniformBufferStandardLayout": self.f12,
            "shaderSubgroupExtendedTypes": self.f12,
            "timelineSemaphore": self.f12,
            "bufferDeviceAddress": self.f12,
            "vulkanMemoryModel": self.f12,
            "vulkanMemoryModelDeviceScope": self.f12,
            "subgroupSizeControl": self.subgroup_features,
            "computeFullSubgroups": self.subgroup_features,
            "shaderIntegerDotProduct": self.dot_features,
            "cooperativeMatrix": self.matrix_features,
            "shaderBFloat16Type": self.bf16_features,
            "shaderBFloat16CooperativeMatrix": self.bf16_features,
            "workgroupMemoryExplicitLayout": self.workgroup_features,
            "workgroupMemoryExplicitLayoutScalarBlockLayout": self.workgroup_features,
            "workgroupMemoryExplicitLayout8BitAccess": self.workgroup_features,
            "workgroupMemoryExplicitLayout16BitAccess": self.workgroup_features,
        }
        made = {id(answer): type(answer)() for answer in self._feature_chain}
        for name, answer in wanted.items():
            if id(answer) in made:
                setattr(made[id(answer)], name, getattr(answer, name))
        enabled = list(made.values())
        vk.chain(*enabled)
        return enabled


def _version(number: int) -> tuple[int, int, int]:
    return (number >> 22) & 0x7F, (number >> 12) & 0x3FF, number & 0xFFF


def find(instance: Instance) -> list[PhysicalDevice]:
    """All devices, the best kind first, each kind in the order of the loader."""
    found = [PhysicalDevice(instance, handle) for handle in instance.physical_devices()]
    order = list(KINDS)
    found.sort(key=lambda one: order.index(one.kind) if one.kind in order else len(order))
    return found
