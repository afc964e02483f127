"""Pipelines made under guard: the child's part, which also dispatches each once, and the parent's request.

Some drivers make machine code only when a pipeline is first dispatched. A launch of no programs reads nothing but its
argument block, so it is safe whatever the kernel does.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from tritloom.backends.vulkan_api import DEVICE_LOST, VulkanError
from tritloom.backends.vulkan_context import Context
from tritloom.backends.vulkan_instance import Instance
from tritloom.backends.vulkan_physical import PhysicalDevice, find
from tritloom.backends.vulkan_pipeline import Module
from tritloom.codegen.errors import CompileError, DeviceError

_SIZE = struct.Struct("<I")
_BLOCK = 4096
"""Bytes of an argument block of zeros: more than any kernel reads."""


def command(physical: PhysicalDevice) -> list[str]:
    """What the guard runs."""
    return ["tritloom.backends.guard_child", "vulkan", physical.identity.hex()]


def request(module: Module) -> bytes:
    """A module, for the child."""
    return _SIZE.pack(module.subgroup_size) + module.words


def handler(identity: bytes) -> Callable[[bytes], bytes]:
    """The child's handler for the device of this identity."""
    found = [one for one in find(Instance(validation=False)) if one.identity == identity]
    if not found:
        raise DeviceError("the device is not there any more")
    context = Context(found[0])
    arguments = context.allocate(context.written, _BLOCK)
    arguments.view()[:] = np.uint8(0)

    def handle(body: bytes) -> bytes:
        module = Module(body[_SIZE.size :], _SIZE.unpack_from(body)[0])
        try:
            pipeline, data = context.logical.make(module, None)
        except VulkanError as error:
            if error.result == DEVICE_LOST:
                raise
            raise CompileError(error.message) from error
        commands = context.queue.record((), ())
        context.dispatch(commands, pipeline, arguments.address, (1, 1))
        context.queue.wait(context.queue.point)
        context.functions.DestroyPipeline(context.logical.handle, pipeline, None)
        return data

    return handle
