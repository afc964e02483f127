"""What the Metal backend calls of pyobjc's modules `Metal` and `objc`, with kernels that run on this CPU.

It refuses what Metal refuses or leaves undefined: arguments that were not set, encoders that are not ended, results
that are read before the commands were waited for (commands run when someone waits).
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.metal_shim import compiler

MTLResourceStorageModeShared = 0
MTLGPUFamilyApple7 = 1007
MTLLanguageVersion3_1 = (3 << 16) + 1
MTLMathModeSafe = 0
MTLCommandBufferStatusCommitted = 2
MTLCommandBufferStatusCompleted = 4
MTLCommandBufferStatusError = 5
MTLCommandBufferErrorOutOfMemory = 8

_MOST_BYTES_SET = 4096


@dataclass
class Size:
    """MTLSize."""

    width: int
    height: int
    depth: int


def MTLSizeMake(width: int, height: int, depth: int) -> Size:
    return Size(width, height, depth)


class Contents:
    """objc.varlist of void."""

    def __init__(self, memory: ctypes.Array[ctypes.c_char]):
        self._memory = memory

    def as_buffer(self, count: int) -> memoryview:
        return memoryview(self._memory).cast("B")[:count]


class Buffer:
    """MTLBuffer, whose bytes begin as 0xff."""

    def __init__(self, length: int):
        self._length = length
        self._memory = ctypes.create_string_buffer(length + 64)
        ctypes.memset(self._memory, 0xFF, length + 64)

    def contents(self) -> Contents:
        return Contents(self._memory)

    def length(self) -> int:
        return self._length

    @property
    def address(self) -> int:
        return ctypes.addressof(self._memory)


class Error:
    """NSError."""

    def __init__(self, text: str, code: int = 1):
        self._text = text
        self._code = code

    def localizedDescription(self) -> str:
        return self._text

    def code(self) -> int:
        return self._code


class MTLCompileOptions:
    """Remembers what was set."""

    def __init__(self) -> None:
        self.language = 0
        self.safe = False

    @classmethod
    def alloc(cls) -> MTLCompileOptions:
        return cls()

    def init(self) -> MTLCompileOptions:
        return self

    def respondsToSelector_(self, name: str) -> bool:
        return name == "setMathMode:"

    def setLanguageVersion_(self, version: int) -> None:
        self.language = version

    def setFastMathEnabled_(self, enabled: bool) -> None:
        self.safe = not enabled

    def setMathMode_(self, mode: int) -> None:
        self.safe = mode == MTLMathModeSafe


@dataclass
class Function:
    """MTLFunction."""

    kernel: compiler.Kernel


@dataclass
class Library:
    """MTLLibrary."""

    kernel: compiler.Kernel

    def newFunctionWithName_(self, name: str) -> Function | None:
        return Function(self.kernel) if name == self.kernel.name else None


@dataclass
class Pipeline:
    """MTLComputePipelineState."""

    device: FakeDevice
    kernel: compiler.Kernel

    def maxTotalThreadsPerThreadgroup(self) -> int:
        return min(self.device.most_threads, self.kernel.threads)

    def threadExecutionWidth(self) -> int:
        return self.device.width


@dataclass
class Dispatch:
    """A launch as it was encoded."""

    pipeline: Pipeline
    arguments: dict[int, tuple[Buffer, int] | bytes]
    groups: int
    threads: int

    def run(self) -> None:
        kept = []
        addresses = []
        for number in range(max(self.arguments, default=-1) + 1):
            argument = self.arguments.get(number)
            if argument is None:
                raise compiler.ShimError(f"{self.pipeline.kernel.name}: the argument {number} is not set")
            if isinstance(argument, bytes):
                kept.append(ctypes.create_string_buffer(argument, len(argument)))
                addresses.append(ctypes.addressof(kept[-1]))
            else:
                addresses.append(argument[0].address + argument[1])
        self.pipeline.kernel.run(addresses, self.groups, self.threads)


@dataclass
class Commands:
    """MTLCommandBuffer."""

    device: FakeDevice
    dispatches: list[Dispatch] = field(default_factory=list)
    encoding: bool = False
    state: int = 0
    failure: Error | None = None

    def computeCommandEncoder(self) -> Encoder:
        assert not self.encoding, "an encoder is open"
        self.encoding = True
        self.device.open_encoders += 1
        return Encoder(self)

    def commit(self) -> None:
        assert not self.encoding, "the encoder was not ended"
        assert self.state == 0, "committed twice"
        self.state = MTLCommandBufferStatusCommitted
        self.device.committed.append(self)

    def waitUntilCompleted(self) -> None:
        assert self.state >= MTLCommandBufferStatusCommitted, "waits for commands that were not committed"
        while self.state == MTLCommandBufferStatusCommitted:
            self.device.committed.pop(0).run()

    def run(self) -> None:
        self.state = MTLCommandBufferStatusCompleted
        self.failure = self.device.next_failure
        self.device.next_failure = None
        try:
            if self.failure is None:
                for dispatch in self.dispatches:
                    dispatch.run()
        except compiler.ShimError as error:
            self.failure = Error(str(error))
        if self.failure is not None:
            self.state = MTLCommandBufferStatusError

    def status(self) -> int:
        return self.state

    def error(self) -> Error | None:
        return self.failure

    def GPUStartTime(self) -> float:
        return 1.0

    def GPUEndTime(self) -> float:
        return 1.0 + 1e-6 * len(self.dispatches)


class Encoder:
    """MTLComputeCommandEncoder."""

    def __init__(self, commands: Commands):
        self._commands = commands
        self._pipeline: Pipeline | None = None
        self._arguments: dict[int, tuple[Buffer, int] | bytes] = {}

    def setComputePipelineState_(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._arguments = {}  # so that an argument which is not set again is missed

    def setBuffer_offset_atIndex_(self, buffer: Buffer, offset: int, number: int) -> None:
        assert 0 <= offset < buffer.length()
        assert 0 <= number < 31
        self._arguments[number] = (buffer, offset)

    def setBytes_length_atIndex_(self, data: bytes, length: int, number: int) -> None:
        assert len(data) == length <= _MOST_BYTES_SET
        assert 0 <= number < 31
        self._arguments[number] = data

    def dispatchThreadgroups_threadsPerThreadgroup_(self, groups: Size, threads: Size) -> None:
        assert self._pipeline is not None, "no pipeline is set"
        assert groups.height == groups.depth == threads.height == threads.depth == 1
        assert 0 < threads.width <= self._pipeline.maxTotalThreadsPerThreadgroup()
        assert groups.width > 0
        dispatch = Dispatch(self._pipeline, dict(self._arguments), groups.width, threads.width)
        self._commands.dispatches.append(dispatch)

    def endEncoding(self) -> None:
        assert self._commands.encoding, "ended twice"
        self._commands.encoding = False
        self._commands.device.open_encoders -= 1


@dataclass
class Queue:
    """MTLCommandQueue."""

    device: FakeDevice

    def commandBuffer(self) -> Commands:
        return Commands(self.device)


class FakeDevice:
    """MTLDevice."""

    def __init__(self, *, apple: bool = True) -> None:
        self.apple = apple
        self.width = 32
        self.most_threads = 1024
        self.memory_left = 8 << 30
        self.committed: list[Commands] = []
        self.open_encoders = 0
        """Metal ends a process that drops one of them."""
        self.next_failure: Error | None = None
        """What the next commands that run fail with."""

    def name(self) -> str:
        return "Imitation of an Apple GPU"

    def supportsFamily_(self, family: int) -> bool:
        return self.apple and family == MTLGPUFamilyApple7

    def maxThreadsPerThreadgroup(self) -> Size:
        return Size(1024, 1024, 1024)

    def maxThreadgroupMemoryLength(self) -> int:
        return 32 << 10

    def maxBufferLength(self) -> int:
        return 4 << 30

    def recommendedMaxWorkingSetSize(self) -> int:
        return 6 << 30

    def newCommandQueue(self) -> Queue:
        return Queue(self)

    def newBufferWithLength_options_(self, length: int, options: int) -> Buffer | None:
        assert length > 0
        assert options == MTLResourceStorageModeShared
        return Buffer(length) if length <= self.memory_left else None

    def newLibraryWithSource_options_error_(
        self, source: str, options: MTLCompileOptions, error: None
    ) -> tuple[Library | None, Error | None]:
        assert options.safe, "fast math is on"
        assert options.language >= MTLLanguageVersion3_1
        try:
            return Library(compiler.load(source)), None
        except compiler.ShimError as refused:
            return None, Error(str(refused))

    def newComputePipelineStateWithFunction_error_(
        self, function: Function, error: None
    ) -> tuple[Pipeline | None, Error | None]:
        return Pipeline(self, function.kernel), None


machine: list[FakeDevice] = []
"""The GPUs of this machine."""


def MTLCopyAllDevices() -> list[FakeDevice]:
    return list(machine)


class Objc:
    """The module `objc`."""

    @staticmethod
    @contextlib.contextmanager
    def autorelease_pool() -> Iterator[None]:
        yield
