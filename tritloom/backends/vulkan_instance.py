"""The process's Vulkan instance, with the validation layer if `TRITLOOM_VULKAN_VALIDATION=1`.

What the layer reports is kept and raised at the device's next synchronisation: an exception cannot pass through a
driver. Warnings count as errors, but for those about speed.
"""

from __future__ import annotations

import ctypes
import os
from collections import deque
from functools import cache
from typing import Any

from tritloom.backends import vulkan_api as api
from tritloom.backends import vulkan_structs as vk
from tritloom.codegen.errors import DeviceError

VALIDATION_VARIABLE = "TRITLOOM_VULKAN_VALIDATION"
VALIDATION_LAYER = "VK_LAYER_KHRONOS_validation"
API_VERSION = (1 << 22) | (3 << 12)
"""The newest version whose ways are followed, 1.3; a device of 1.2 will do."""
_WARNING, _ERROR = 0x100, 0x1000
_GENERAL, _VALIDATION = 1, 2
_ENUMERATE_PORTABILITY = 1

_Callback: Any = ctypes.CFUNCTYPE(
    ctypes.c_uint32, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p
)


class Instance:
    """A VkInstance, never destroyed: drivers' threads may still run when Python ends."""

    def __init__(self, validation: bool):
        library = api.load()
        self.messages: deque[str] = deque(maxlen=100)
        """What the validation layer reported and nobody raised yet."""
        address_of = library.vkGetInstanceProcAddr
        functions = api.Functions(lambda name: address_of(None, name), api.GLOBAL)
        version = ctypes.c_uint32()
        functions.EnumerateInstanceVersion(ctypes.byref(version))
        ask = functions.EnumerateInstanceExtensionProperties
        extensions = {found.name for found in api.listed(vk.ExtensionProperties, ask, None)}
        layers = [VALIDATION_LAYER.encode()] if validation else []
        if validation and not _has_layer(functions):
            raise DeviceError(
                f"{VALIDATION_VARIABLE} is set and the layer {VALIDATION_LAYER} is not installed",
                hint="install it (vulkan-validationlayers), or unset the variable",
            )
        wanted = [b"VK_EXT_debug_utils"] if validation else []
        portability = b"VK_KHR_portability_enumeration" in extensions
        if portability:
            wanted.append(b"VK_KHR_portability_enumeration")
        application = vk.ApplicationInfo(
            application=b"tritloom", engine=b"tritloom", apiVersion=min(API_VERSION, version.value | 0xFFF)
        )
        info = vk.InstanceCreateInfo(
            flags=_ENUMERATE_PORTABILITY if portability else 0,
            pApplicationInfo=ctypes.addressof(application),
            enabledLayerCount=len(layers),
            ppEnabledLayerNames=(ctypes.c_char_p * len(layers))(*layers),
            enabledExtensionCount=len(wanted),
            ppEnabledExtensionNames=(ctypes.c_char_p * len(wanted))(*wanted),
        )
        handle = ctypes.c_void_p()
        try:
            functions.CreateInstance(ctypes.byref(info), None, ctypes.byref(handle))
        except api.VulkanError as error:
            raise DeviceError(f"Vulkan did not start: {error.message}", hint=api.install_hint()) from error
        self.handle = handle.value
        self.functions = api.Functions(lambda name: address_of(self.handle, name), api.INSTANCE)
        self._address_of = address_of
        if validation:
            self._listen()

    def optional(self, name: str) -> Any | None:
        """A function of an extension, or None."""
        return api.optional_function(self._address_of(self.handle, name.encode()), name)

    def physical_devices(self) -> list[int]:
        """The handles of all devices of all drivers."""
        return api.listed(ctypes.c_void_p, self.functions.EnumeratePhysicalDevices, self.handle)

    def _listen(self) -> None:
        def report(_severity: int, _types: int, data: int, _user: int) -> int:
            message = vk.MessengerData.from_address(data)
            self.messages.append(message.message.decode(errors="replace"))
            return 0

        self._callback = _Callback(report)
        create = self.optional("vkCreateDebugUtilsMessengerEXT")
        assert create is not None
        info = vk.MessengerCreateInfo(
            severities=_WARNING | _ERROR,
            types=_GENERAL | _VALIDATION,
            callback=ctypes.cast(self._callback, ctypes.c_void_p).value,
        )
        create(self.handle, ctypes.byref(info), None, ctypes.byref(ctypes.c_uint64()))

    def raise_messages(self) -> None:
        """Raise DeviceError for what the validation layer has reported."""
        if self.messages:
            found = [self.messages.popleft() for _ in range(len(self.messages))]
            raise DeviceError(
                "the Vulkan validation layer reports:\n" + "\n".join(dict.fromkeys(found)),
                hint="this is a defect of Tritloom: please report it",
            )


def _has_layer(functions: api.Functions) -> bool:
    found = api.listed(vk.LayerProperties, functions.EnumerateInstanceLayerProperties)
    return VALIDATION_LAYER.encode() in {layer.name for layer in found}


def validation_installed() -> bool:
    """Whether there is a loader that finds the validation layer."""
    try:
        address_of = api.load().vkGetInstanceProcAddr
        return _has_layer(api.Functions(lambda name: address_of(None, name), api.GLOBAL))
    except DeviceError:
        return False


@cache
def instance() -> Instance:
    """The process's instance. Raises DeviceError where Vulkan is not installed."""
    return Instance(os.environ.get(VALIDATION_VARIABLE) == "1")
