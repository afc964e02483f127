"""Logical devices and the pipelines that are made on them from SPIR-V words.

The guard's child process makes pipelines with the same code as the process that it guards.
"""

from __future__ import annotations

import ctypes
import hashlib
from dataclasses import dataclass

from tritloom.backends import vulkan_api as api
from tritloom.backends import vulkan_structs as vk
from tritloom.backends.vulkan_physical import PhysicalDevice

PUSHED = 8
"""Bytes of push constants: the address of a launch's argument block."""
COMPUTE = 0x20
"""VK_SHADER_STAGE_COMPUTE_BIT."""
_FULL_SUBGROUPS = 2


@dataclass(frozen=True, slots=True)
class Module:
    """What a pipeline is made of."""

    words: bytes
    subgroup_size: int = 0
    """The size that subgroups must have, all of them full; 0 where it is all the same."""

    def key(self, physical: PhysicalDevice) -> str:
        """A hash of all that goes into the pipeline."""
        parts = (self.words, physical.identity, str(self.subgroup_size).encode())
        return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


class LogicalDevice:
    """A VkDevice with the layout that all pipelines share. Never destroyed: see `Instance`."""

    def __init__(self, physical: PhysicalDevice):
        self.physical = physical
        assert physical.queue_family is not None
        priority = ctypes.c_float(1.0)
        queue = vk.QueueCreateInfo(
            family=physical.queue_family, count=1, pPriorities=ctypes.addressof(priority)
        )
        extensions, features = physical.enabled_extensions(), physical.enabled_features()
        info = vk.DeviceCreateInfo(
            pNext=ctypes.addressof(features[0]),
            queueCreateInfoCount=1,
            pQueueCreateInfos=ctypes.addressof(queue),
            enabledExtensionCount=len(extensions),
            ppEnabledExtensionNames=(ctypes.c_char_p * len(extensions))(*extensions),
        )
        handle = ctypes.c_void_p()
        instance = physical.instance
        instance.functions.CreateDevice(physical.handle, ctypes.byref(info), None, ctypes.byref(handle))
        assert handle.value is not None
        self.handle = handle.value
        address_of = instance.functions.GetDeviceProcAddr
        self.functions = api.Functions(lambda name: address_of(self.handle, name), api.DEVICE)
        pushed = vk.PushConstantRange(stages=COMPUTE, size=PUSHED)
        layout_info = vk.PipelineLayoutCreateInfo(rangeCount=1, pRanges=ctypes.addressof(pushed))
        layout = ctypes.c_uint64()
        self.functions.CreatePipelineLayout(
            self.handle, ctypes.byref(layout_info), None, ctypes.byref(layout)
        )
        self.layout = layout.value

    def make(self, module: Module, cached: bytes | None) -> tuple[int, bytes]:
        """A pipeline, with the bytes by which the driver makes it faster the next time. Raises VulkanError.

        `cached` is what an earlier call gave. Drivers check it: one that is no good is as good as none.
        """
        functions, device = self.functions, self.handle
        cache_info = vk.PipelineCacheCreateInfo()
        if cached:
            kept = ctypes.create_string_buffer(cached, len(cached))
            cache_info.size, cache_info.pData = len(cached), ctypes.addressof(kept)
        cache, shader, pipeline = ctypes.c_uint64(), ctypes.c_uint64(), ctypes.c_uint64()
        functions.CreatePipelineCache(device, ctypes.byref(cache_info), None, ctypes.byref(cache))
        words = ctypes.create_string_buffer(module.words, len(module.words))
        shader_info = vk.ShaderModuleCreateInfo(codeSize=len(module.words), pCode=ctypes.addressof(words))
        try:
            functions.CreateShaderModule(device, ctypes.byref(shader_info), None, ctypes.byref(shader))
            info = vk.ComputePipelineCreateInfo(layout=self.layout, baseIndex=-1)
            stage = info.stage
            stage.sType, stage.stage = vk.StageCreateInfo.type, COMPUTE
            stage.module, stage.name = shader.value, b"main"
            required = vk.RequiredSubgroupSize(size=module.subgroup_size)
            if module.subgroup_size and self.physical.subgroup_features.computeFullSubgroups:
                stage.flags = _FULL_SUBGROUPS
            if module.subgroup_size and self.physical.pins_subgroups:
                stage.pNext = ctypes.addressof(required)
            functions.CreateComputePipelines(
                device, cache.value, 1, ctypes.byref(info), None, ctypes.byref(pipeline)
            )
            return pipeline.value, self._cache_data(cache.value)
        finally:
            functions.DestroyShaderModule(device, shader.value, None)
            functions.DestroyPipelineCache(device, cache.value, None)

    def _cache_data(self, cache: int) -> bytes:
        size = ctypes.c_size_t()
        self.functions.GetPipelineCacheData(self.handle, cache, ctypes.byref(size), None)
        data = ctypes.create_string_buffer(size.value)
        self.functions.GetPipelineCacheData(self.handle, cache, ctypes.byref(size), data)
        return data.raw[: size.value]
