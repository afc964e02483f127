"""Vulkan's functions by ctypes: the loader of the system, the functions that are used, and what their results mean.

Handles are integers. A function that returns a VkResult raises :class:`VulkanError` for every failure, so that nobody
has to look at results.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import sys
from collections.abc import Callable, Mapping, Sequence
from ctypes import c_char_p, c_int32, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any

from tritloom.codegen.errors import DeviceError

LOADERS: dict[str, tuple[str, ...]] = {
    "win32": ("vulkan-1.dll",),
    "darwin": ("libvulkan.1.dylib", "libvulkan.dylib", "libMoltenVK.dylib"),
    "linux": ("libvulkan.so.1",),
}
"""Names of the loader by `sys.platform`; other systems have Linux's."""
INSTALL: dict[str, str] = {
    "win32": "install the graphics card's driver, which brings Vulkan along",
    "darwin": "install MoltenVK (brew install molten-vk vulkan-loader), or use the device metal",
    "linux": "install the loader and a driver: libvulkan1 with mesa-vulkan-drivers (Debian, Ubuntu), vulkan-loader "
    "with mesa-vulkan-drivers (Fedora), or the graphics card vendor's own driver",
}

RESULTS: dict[int, tuple[str, str]] = {
    -1: ("OUT_OF_HOST_MEMORY", "the machine's memory ran out"),
    -2: ("OUT_OF_DEVICE_MEMORY", "the device's memory ran out"),
    -3: ("INITIALIZATION_FAILED", "the driver could not start"),
    -4: ("DEVICE_LOST", "the device stopped answering"),
    -5: ("MEMORY_MAP_FAILED", "memory could not be mapped"),
    -6: ("LAYER_NOT_PRESENT", "a layer is not installed"),
    -7: ("EXTENSION_NOT_PRESENT", "the driver has not an extension"),
    -8: ("FEATURE_NOT_PRESENT", "the driver has not a feature"),
    -9: ("INCOMPATIBLE_DRIVER", "the loader found no driver that fits"),
    -10: ("TOO_MANY_OBJECTS", "the driver allows no more objects of this kind"),
    -13: ("UNKNOWN", "the driver does not say why"),
    -1000011001: ("VALIDATION_FAILED", "the validation layer refused the call"),
    -1000012000: ("INVALID_SHADER_NV", "the driver refused the module"),
}
"""VkResult -> its name without VK_ERROR_, and what it means."""
OUT_OF_MEMORY = (-1, -2)
DEVICE_LOST = -4
_SUCCESS, _TIMEOUT, _INCOMPLETE = 0, 2, 5


class VulkanError(DeviceError):
    """A Vulkan function that failed."""

    def __init__(self, function: str, result: int):
        name, meaning = RESULTS.get(result, (str(result), "an error of no known meaning"))
        super().__init__(f"{function} failed with {name}: {meaning}")
        self.function = function
        self.result = result


_u32, _u64, _at = c_uint32, c_uint64, c_void_p
Signature = tuple[Any, tuple[Any, ...]]
"""Result and arguments. A result of `c_int32` is a VkResult."""

GLOBAL: dict[str, Signature] = {
    "vkCreateInstance": (c_int32, (_at, _at, _at)),
    "vkEnumerateInstanceVersion": (c_int32, (_at,)),
    "vkEnumerateInstanceLayerProperties": (c_int32, (_at, _at)),
    "vkEnumerateInstanceExtensionProperties": (c_int32, (c_char_p, _at, _at)),
}
INSTANCE: dict[str, Signature] = {
    "vkEnumeratePhysicalDevices": (c_int32, (_at, _at, _at)),
    "vkGetPhysicalDeviceProperties2": (None, (_at, _at)),
    "vkGetPhysicalDeviceFeatures2": (None, (_at, _at)),
    "vkGetPhysicalDeviceMemoryProperties2": (None, (_at, _at)),
    "vkGetPhysicalDeviceQueueFamilyProperties": (None, (_at, _at, _at)),
    "vkEnumerateDeviceExtensionProperties": (c_int32, (_at, c_char_p, _at, _at)),
    "vkCreateDevice": (c_int32, (_at, _at, _at, _at)),
    "vkGetDeviceProcAddr": (_at, (_at, c_char_p)),
}
INSTANCE_OPTIONAL: dict[str, Signature] = {
    "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR": (c_int32, (_at, _at, _at)),
    "vkCreateDebugUtilsMessengerEXT": (c_int32, (_at, _at, _at, _at)),
}
"""Of extensions: absent where the instance has not the extension."""
DEVICE: dict[str, Signature] = {
    "vkDestroyDevice": (None, (_at, _at)),
    "vkDeviceWaitIdle": (c_int32, (_at,)),
    "vkGetDeviceQueue": (None, (_at, _u32, _u32, _at)),
    "vkAllocateMemory": (c_int32, (_at, _at, _at, _at)),
    "vkFreeMemory": (None, (_at, _u64, _at)),
    "vkMapMemory": (c_int32, (_at, _u64, _u64, _u64, _u32, _at)),
    "vkCreateBuffer": (c_int32, (_at, _at, _at, _at)),
    "vkDestroyBuffer": (None, (_at, _u64, _at)),
    "vkGetBufferMemoryRequirements": (None, (_at, _u64, _at)),
    "vkBindBufferMemory": (c_int32, (_at, _u64, _u64, _u64)),
    "vkGetBufferDeviceAddress": (_u64, (_at, _at)),
    "vkCreateShaderModule": (c_int32, (_at, _at, _at, _at)),
    "vkDestroyShaderModule": (None, (_at, _u64, _at)),
    "vkCreatePipelineLayout": (c_int32, (_at, _at, _at, _at)),
    "vkDestroyPipelineLayout": (None, (_at, _u64, _at)),
    "vkCreatePipelineCache": (c_int32, (_at, _at, _at, _at)),
    "vkDestroyPipelineCache": (None, (_at, _u64, _at)),
    "vkGetPipelineCacheData": (c_int32, (_at, _u64, _at, _at)),
    "vkCreateComputePipelines": (c_int32, (_at, _u64, _u32, _at, _at, _at)),
    "vkDestroyPipeline": (None, (_at, _u64, _at)),
    "vkCreateCommandPool": (c_int32, (_at, _at, _at, _at)),
    "vkDestroyCommandPool": (None, (_at, _u64, _at)),
    "vkAllocateCommandBuffers": (c_int32, (_at, _at, _at)),
    "vkFreeCommandBuffers": (None, (_at, _u64, _u32, _at)),
    "vkBeginCommandBuffer": (c_int32, (_at, _at)),
    "vkEndCommandBuffer": (c_int32, (_at,)),
    "vkCmdBindPipeline": (None, (_at, _u32, _u64)),
    "vkCmdPushConstants": (None, (_at, _u64, _u32, _u32, _u32, _at)),
    "vkCmdDispatch": (None, (_at, _u32, _u32, _u32)),
    "vkCmdPipelineBarrier": (None, (_at, _u32, _u32, _u32, _u32, _at, _u32, _at, _u32, _at)),
    "vkCmdCopyBuffer": (None, (_at, _u64, _u64, _u32, _at)),
    "vkCmdResetQueryPool": (None, (_at, _u64, _u32, _u32)),
    "vkCmdWriteTimestamp": (None, (_at, _u32, _u64, _u32)),
    "vkCreateQueryPool": (c_int32, (_at, _at, _at, _at)),
    "vkDestroyQueryPool": (None, (_at, _u64, _at)),
    "vkGetQueryPoolResults": (c_int32, (_at, _u64, _u32, _u32, c_size_t, _at, _u64, _u32)),
    "vkQueueSubmit": (c_int32, (_at, _u32, _at, _u64)),
    "vkCreateSemaphore": (c_int32, (_at, _at, _at, _at)),
    "vkDestroySemaphore": (None, (_at, _u64, _at)),
    "vkWaitSemaphores": (c_int32, (_at, _at, _u64)),
    "vkGetSemaphoreCounterValue": (c_int32, (_at, _u64, _at)),
}


class Functions:
    """Functions of one level as attributes, without their prefix: `functions.CreateBuffer(...)`."""

    def __init__(self, address_of: Callable[[bytes], int | None], signatures: Mapping[str, Signature]):
        for name, (result, arguments) in signatures.items():
            address = address_of(name.encode())
            if not address:
                raise DeviceError(f"the Vulkan driver has no {name}", hint=f"update it, or {install_hint()}")
            setattr(self, name.removeprefix("vk"), _function(address, name, result, arguments))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"no Vulkan function vk{name} is bound")


def optional_function(address: int | None, name: str) -> Any | None:
    """One of `INSTANCE_OPTIONAL`, or None where it has no address."""
    return _function(address, name, *INSTANCE_OPTIONAL[name]) if address else None


def _function(address: int, name: str, result: Any, arguments: Sequence[Any]) -> Any:
    kind = getattr(ctypes, "WINFUNCTYPE" if sys.platform == "win32" else "CFUNCTYPE")
    function: Any = kind(result, *arguments)(address)
    if result is c_int32:

        def check(status: int, _function: object, _arguments: object) -> int:
            if status < 0:
                raise VulkanError(name, status)
            return status

        function.errcheck = check
    return function


def install_hint() -> str:
    """What to install for Vulkan on this system."""
    return INSTALL.get(sys.platform, INSTALL["linux"])


def load() -> Any:
    """The loader's library. Raises DeviceError where there is none."""
    names = LOADERS.get(sys.platform, LOADERS["linux"])
    for name in names:
        try:
            library: Any = getattr(ctypes, "WinDLL" if sys.platform == "win32" else "CDLL")(name)
        except OSError:
            continue
        library.vkGetInstanceProcAddr.restype = c_void_p
        library.vkGetInstanceProcAddr.argtypes = (c_void_p, c_char_p)
        return library
    raise DeviceError(f"there is no Vulkan loader ({names[0]})", hint=install_hint())


def listed(kind: Any, call: Callable[..., Any], *arguments: Any) -> list[Any]:
    """All that an enumerating function gives: asked for the count, then for that many."""
    while True:
        count = c_uint32()
        call(*arguments, ctypes.byref(count), None)
        found = (kind * count.value)(*(kind() for _ in range(count.value)))
        status = call(*arguments, ctypes.byref(count), found)
        if status != _INCOMPLETE:
            return list(found)[: count.value]


def timed_out(status: int) -> bool:
    """Whether a wait ended before what was waited for."""
    return status == _TIMEOUT
