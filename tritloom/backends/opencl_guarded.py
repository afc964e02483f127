"""OpenCL programs made under guard: building, the child's part, and the parent's request.

The child hands back the driver's binary, from which the parent makes its program with no second compilation.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from typing import Any

import msgspec
import pyopencl

from tritloom.codegen.errors import CompileError, DeviceError

cl: Any = pyopencl


class _Request(msgspec.Struct):
    source: str
    options: str


def identity(device: Any) -> str:
    """A hash of what tells this device with this driver from all others."""
    parts = (
        device.platform.name,
        device.platform.version,
        device.name,
        device.version,
        device.driver_version,
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def command(device: Any) -> list[str]:
    """What the guard runs."""
    return ["tritloom.backends.guard_child", "opencl", identity(device)]


def request(source: str, options: str) -> bytes:
    """A program, for the child."""
    return msgspec.msgpack.encode(_Request(source, options))


def build(program: Any, device: Any, options: str) -> None:
    """Build a program. Raises cl.Error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cl.CompilerWarning)  # "build succeeded" is one
        program.build(options.encode(), [device])


def binary(program: Any) -> bytes:
    """The driver's binary of a program that was built for one device."""
    found: bytes = program.get_info(cl.program_info.BINARIES)[0]
    return found


def handler(wanted: str) -> Callable[[bytes], bytes]:
    """The child's handler for the device of this identity."""
    found = [one for one in _devices() if identity(one) == wanted]
    if not found:
        raise DeviceError("the device is not there any more")
    device = found[0]
    context = cl.Context([device])

    def handle(body: bytes) -> bytes:
        asked = msgspec.msgpack.decode(body, type=_Request)
        program = cl._cl._Program(context, asked.source)  # cl.Program, without its cache
        try:
            build(program, device, asked.options)
        except cl.Error as error:
            raise CompileError(str(error)) from error
        return binary(program)

    return handle


def _devices() -> list[Any]:
    found = []
    for platform in cl.get_platforms():
        try:
            found += platform.get_devices()
        except cl.Error:  # a platform without a device of its own
            continue
    return found
