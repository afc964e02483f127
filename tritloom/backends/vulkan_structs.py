"""Vulkan's structures, those of them that this package uses.

Layouts are those of the Vulkan specification, 1.4. A run of fields that nobody reads is one field called `_`.
"""

from __future__ import annotations

import ctypes
from ctypes import (
    POINTER,
    c_char,
    c_char_p,
    c_float,
    c_int32,
    c_size_t,
    c_uint8,
    c_uint32,
    c_uint64,
    c_void_p,
)
from itertools import pairwise
from typing import Any, ClassVar

_KINDS: dict[str, Any] = {
    "u8": c_uint8,
    "u32": c_uint32,
    "i32": c_int32,
    "u64": c_uint64,
    "f32": c_float,
    "size": c_size_t,
    "char": c_char,
    "text": c_char_p,
    "texts": POINTER(c_char_p),
    "at": c_void_p,
}


def fields(*lines: str) -> list[tuple[str, Any]]:
    """The fields of a structure from lines as "u32[3] a b": a kind, with a length for arrays, and names."""
    made: list[tuple[str, Any]] = []
    for line in lines:
        kind, *names = line.split()
        base, _, length = kind.partition("[")
        type_ = _KINDS[base] * int(length[:-1]) if length else _KINDS[base]
        made += [(f"_{len(made)}" if name == "_" else name, type_) for name in names]
    return made


class Chained(ctypes.Structure):
    """A structure that begins with its type and a pointer to the next one of a chain. Its type is filled in."""

    type: ClassVar[int]
    """VkStructureType."""

    def __init__(self, **values: Any):
        super().__init__(sType=self.type, **values)


def chained(*lines: str) -> list[tuple[str, Any]]:
    """`fields` behind those that every chained structure begins with."""
    return fields("u32 sType", "at pNext", *lines)


def chain(*structures: Chained) -> int:
    """Link structures by their `pNext`; the address of the first. They must be kept alive."""
    for one, following in pairwise(structures):
        one.pNext = ctypes.addressof(following)
    return ctypes.addressof(structures[0]) if structures else 0


# instances


class ApplicationInfo(Chained):
    """VkApplicationInfo."""

    type = 0
    _fields_ = chained(
        "text application", "u32 applicationVersion", "text engine", "u32 engineVersion apiVersion"
    )


class InstanceCreateInfo(Chained):
    """VkInstanceCreateInfo."""

    type = 1
    _fields_ = chained(
        "u32 flags",
        "at pApplicationInfo",
        "u32 enabledLayerCount",
        "texts ppEnabledLayerNames",
        "u32 enabledExtensionCount",
        "texts ppEnabledExtensionNames",
    )


class ExtensionProperties(ctypes.Structure):
    """VkExtensionProperties."""

    _fields_ = fields("char[256] name", "u32 version")


class LayerProperties(ctypes.Structure):
    """VkLayerProperties."""

    _fields_ = fields("char[256] name", "u32 version implementation", "char[256] description")


class MessengerCreateInfo(Chained):
    """VkDebugUtilsMessengerCreateInfoEXT."""

    type = 1000128004
    _fields_ = chained("u32 flags severities types", "at callback user")


class MessengerData(Chained):
    """VkDebugUtilsMessengerCallbackDataEXT."""

    type = 1000128003
    _fields_ = chained(
        "u32 flags",
        "text messageIdName",
        "i32 messageIdNumber",
        "text message",
        "u32 queueLabelCount",
        "at pQueueLabels",
        "u32 cmdBufLabelCount",
        "at pCmdBufLabels",
        "u32 objectCount",
        "at pObjects",
    )


# what a physical device answers


class Limits(ctypes.Structure):
    """VkPhysicalDeviceLimits."""

    _fields_ = fields(
        "u32[7] _",
        "u32 maxStorageBufferRange maxPushConstantsSize",
        "u32[2] _",
        "u64[2] _",
        "u32[38] _",
        "u32 maxComputeSharedMemorySize",
        "u32[3] maxComputeWorkGroupCount",
        "u32 maxComputeWorkGroupInvocations",
        "u32[3] maxComputeWorkGroupSize",
        "u32[5] _",
        "f32[2] _",
        "u32[3] _",
        "f32[2] _",
        "u32 _",
        "size _",
        "u64[3] _",
        "u32[4] _",
        "f32[2] _",
        "u32[15] _",
        "u32 timestampComputeAndGraphics",
        "f32 timestampPeriod",
        "u32[4] _",
        "f32[6] _",
        "u32[2] _",
        "u64[3] _",
    )


class Properties2(Chained):
    """VkPhysicalDeviceProperties2, with the one structure in it spread out but for its limits."""

    type = 1000059001
    _fields_ = [
        *chained("u32 apiVersion driverVersion vendorID deviceID deviceType", "char[256] deviceName"),
        ("pipelineCacheUUID", c_uint8 * 16),
        ("limits", Limits),
        ("sparse", c_uint32 * 5),
    ]


class Vulkan11Properties(Chained):
    """VkPhysicalDeviceVulkan11Properties."""

    type = 50
    _fields_ = chained(
        "u8[16] deviceUUID driverUUID",
        "u8[8] _",
        "u32[2] _",
        "u32 subgroupSize subgroupSupportedStages subgroupSupportedOperations",
        "u32[6] _",
        "u64 maxMemoryAllocationSize",
    )


class Vulkan12Properties(Chained):
    """VkPhysicalDeviceVulkan12Properties."""

    type = 52
    _fields_ = chained(
        "u32 driverID",
        "char[256] driverName driverInfo",
        "u8[4] _",
        "u32 denormBehaviorIndependence roundingModeIndependence",
        "u32 shaderSignedZeroInfNanPreserveFloat16 shaderSignedZeroInfNanPreserveFloat32",
        "u32 _",
        "u32 shaderDenormPreserveFloat16 shaderDenormPreserveFloat32",
        "u32[2] _",
        "u32 shaderDenormFlushToZeroFloat32",
        "u32 _",
        "u32 shaderRoundingModeRTEFloat16 shaderRoundingModeRTEFloat32",
        "u32[33] _",
        "u64 _",
        "u32 _",
    )


class SubgroupSizeProperties(Chained):
    """VkPhysicalDeviceSubgroupSizeControlProperties."""

    type = 1000225000
    _fields_ = chained("u32 minSubgroupSize maxSubgroupSize maxComputeWorkgroupSubgroups requiredStages")


class Maintenance4Properties(Chained):
    """VkPhysicalDeviceMaintenance4Properties."""

    type = 1000413001
    _fields_ = chained("u64 maxBufferSize")


class IntegerDotProperties(Chained):
    """VkPhysicalDeviceShaderIntegerDotProductProperties."""

    type = 1000280001
    _fields_ = chained("u32 _", "u32 signed8", "u32[2] _", "u32 packedSigned8", "u32[25] _")


class CooperativeMatrixProperties(Chained):
    """VkCooperativeMatrixPropertiesKHR."""

    type = 1000506001
    _fields_ = chained("u32 rows columns depth a b c result saturating scope")


class QueueFamilyProperties(ctypes.Structure):
    """VkQueueFamilyProperties."""

    _fields_ = fields("u32 flags count timestampValidBits", "u32[3] granularity")


class MemoryType(ctypes.Structure):
    """VkMemoryType."""

    _fields_ = fields("u32 flags heap")


class MemoryHeap(ctypes.Structure):
    """VkMemoryHeap."""

    _fields_ = fields("u64 size", "u32 flags")


class MemoryProperties2(Chained):
    """VkPhysicalDeviceMemoryProperties2."""

    type = 1000059006
    _fields_ = [
        *chained("u32 typeCount"),
        ("types", MemoryType * 32),
        ("heapCount", c_uint32),
        ("heaps", MemoryHeap * 16),
    ]


class MemoryBudget(Chained):
    """VkPhysicalDeviceMemoryBudgetPropertiesEXT."""

    type = 1000237000
    _fields_ = chained("u64[16] budget usage")


# features


class Features2(Chained):
    """VkPhysicalDeviceFeatures2."""

    type = 1000059000
    _fields_ = chained("u32[40] _", "u32 shaderInt64 shaderInt16", "u32[13] _")


class Vulkan11Features(Chained):
    """VkPhysicalDeviceVulkan11Features."""

    type = 49
    _fields_ = chained("u32 storageBuffer16BitAccess", "u32[11] _")


class Vulkan12Features(Chained):
    """VkPhysicalDeviceVulkan12Features."""

    type = 51
    _fields_ = chained(
        "u32[2] _",
        "u32 storageBuffer8BitAccess",
        "u32[4] _",
        "u32 shaderFloat16 shaderInt8",
        "u32[22] _",
        "u32 scalarBlockLayout",
        "u32 _",
        "u32 uniformBufferStandardLayout shaderSubgroupExtendedTypes",
        "u32[2] _",
        "u32 timelineSemaphore bufferDeviceAddress",
        "u32[2] _",
        "u32 vulkanMemoryModel vulkanMemoryModelDeviceScope",
        "u32[4] _",
    )


class SubgroupSizeFeatures(Chained):
    """VkPhysicalDeviceSubgroupSizeControlFeatures."""

    type = 1000225002
    _fields_ = chained("u32 subgroupSizeControl computeFullSubgroups")


class IntegerDotFeatures(Chained):
    """VkPhysicalDeviceShaderIntegerDotProductFeatures."""

    type = 1000280000
    _fields_ = chained("u32 shaderIntegerDotProduct")


class Bfloat16Features(Chained):
    """VkPhysicalDeviceShaderBfloat16FeaturesKHR."""

    type = 1000141000
    _fields_ = chained("u32 shaderBFloat16Type shaderBFloat16DotProduct shaderBFloat16CooperativeMatrix")


class CooperativeMatrixFeatures(Chained):
    """VkPhysicalDeviceCooperativeMatrixFeaturesKHR."""

    type = 1000506000
    _fields_ = chained("u32 cooperativeMatrix cooperativeMatrixRobustBufferAccess")


class WorkgroupLayoutFeatures(Chained):
    """VkPhysicalDeviceWorkgroupMemoryExplicitLayoutFeaturesKHR."""

    type = 1000336000
    _fields_ = chained(
        "u32 workgroupMemoryExplicitLayout workgroupMemoryExplicitLayoutScalarBlockLayout",
        "u32 workgroupMemoryExplicitLayout8BitAccess workgroupMemoryExplicitLayout16BitAccess",
    )


# devices, memory and buffers


class QueueCreateInfo(Chained):
    """VkDeviceQueueCreateInfo."""

    type = 2
    _fields_ = chained("u32 flags family count", "at pPriorities")


class DeviceCreateInfo(Chained):
    """VkDeviceCreateInfo."""

    type = 3
    _fields_ = chained(
        "u32 flags queueCreateInfoCount",
        "at pQueueCreateInfos",
        "u32 enabledLayerCount",
        "texts ppEnabledLayerNames",
        "u32 enabledExtensionCount",
        "texts ppEnabledExtensionNames",
        "at pEnabledFeatures",
    )


class MemoryAllocateInfo(Chained):
    """VkMemoryAllocateInfo."""

    type = 5
    _fields_ = chained("u64 size", "u32 memoryType")


class MemoryAllocateFlags(Chained):
    """VkMemoryAllocateFlagsInfo."""

    type = 1000060000
    _fields_ = chained("u32 flags deviceMask")


class BufferCreateInfo(Chained):
    """VkBufferCreateInfo."""

    type = 12
    _fields_ = chained("u32 flags", "u64 size", "u32 usage sharing familyCount", "at pFamilies")


class BufferAddressInfo(Chained):
    """VkBufferDeviceAddressInfo."""

    type = 1000244001
    _fields_ = chained("u64 buffer")


class MemoryRequirements(ctypes.Structure):
    """VkMemoryRequirements."""

    _fields_ = fields("u64 size alignment", "u32 typeBits")


# pipelines


class PushConstantRange(ctypes.Structure):
    """VkPushConstantRange."""

    _fields_ = fields("u32 stages offset size")


class PipelineLayoutCreateInfo(Chained):
    """VkPipelineLayoutCreateInfo."""

    type = 30
    _fields_ = chained("u32 flags setCount", "at pSets", "u32 rangeCount", "at pRanges")


class ShaderModuleCreateInfo(Chained):
    """VkShaderModuleCreateInfo."""

    type = 16
    _fields_ = chained("u32 flags", "size codeSize", "at pCode")


class StageCreateInfo(Chained):
    """VkPipelineShaderStageCreateInfo."""

    type = 18
    _fields_ = chained("u32 flags stage", "u64 module", "text name", "at pSpecialisation")


class RequiredSubgroupSize(Chained):
    """VkPipelineShaderStageRequiredSubgroupSizeCreateInfo."""

    type = 1000225001
    _fields_ = chained("u32 size")


class ComputePipelineCreateInfo(Chained):
    """VkComputePipelineCreateInfo."""

    type = 29
    _fields_ = [
        *chained("u32 flags"),
        ("stage", StageCreateInfo),
        *fields("u64 layout base", "i32 baseIndex"),
    ]


class PipelineCacheCreateInfo(Chained):
    """VkPipelineCacheCreateInfo."""

    type = 17
    _fields_ = chained("u32 flags", "size size", "at pData")


# commands


class CommandPoolCreateInfo(Chained):
    """VkCommandPoolCreateInfo."""

    type = 39
    _fields_ = chained("u32 flags family")


class CommandBufferAllocateInfo(Chained):
    """VkCommandBufferAllocateInfo."""

    type = 40
    _fields_ = chained("u64 pool", "u32 level count")


class CommandBufferBeginInfo(Chained):
    """VkCommandBufferBeginInfo."""

    type = 42
    _fields_ = chained("u32 flags", "at pInheritance")


class MemoryBarrier(Chained):
    """VkMemoryBarrier."""

    type = 46
    _fields_ = chained("u32 source destination")


class BufferCopy(ctypes.Structure):
    """VkBufferCopy."""

    _fields_ = fields("u64 source destination size")


class SubmitInfo(Chained):
    """VkSubmitInfo."""

    type = 4
    _fields_ = chained(
        "u32 waitCount",
        "at pWaits pWaitStages",
        "u32 commandBufferCount",
        "at pCommandBuffers",
        "u32 signalCount",
        "at pSignals",
    )


class TimelineSubmitInfo(Chained):
    """VkTimelineSemaphoreSubmitInfo."""

    type = 1000207003
    _fields_ = chained("u32 waitCount", "at pWaitValues", "u32 signalCount", "at pSignalValues")


class SemaphoreCreateInfo(Chained):
    """VkSemaphoreCreateInfo."""

    type = 9
    _fields_ = chained("u32 flags")


class SemaphoreTypeCreateInfo(Chained):
    """VkSemaphoreTypeCreateInfo."""

    type = 1000207002
    _fields_ = chained("u32 semaphoreType", "u64 initialValue")


class SemaphoreWaitInfo(Chained):
    """VkSemaphoreWaitInfo."""

    type = 1000207004
    _fields_ = chained("u32 flags count", "at pSemaphores pValues")


class QueryPoolCreateInfo(Chained):
    """VkQueryPoolCreateInfo."""

    type = 11
    _fields_ = chained("u32 flags queryType count statistics")
