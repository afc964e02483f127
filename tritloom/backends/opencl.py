"""The OpenCL backend: every device of every platform, by pyopencl.

A device's target is made of its own answers. Programs run in an in-order queue, so launches follow each other with
no host in between. The drivers' binaries are kept in our own cache; pyopencl's is not used, since a process that is
killed in it makes later ones wait.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritloom.backends import guard
from tritloom.backends.base import Backend, Device, DeviceBuffer, Executable, Missing, Program
from tritloom.backends.cache import Cache
from tritloom.backends.checks import Bindings, check_launch
from tritloom.backends.guard import Guard
from tritloom.backends.started import Started
from tritloom.codegen.emit.c_source import workgroup
from tritloom.codegen.emit.opencl import emit_opencl, kernel_name
from tritloom.codegen.errors import CompileError, DeviceError, OutOfMemoryError
from tritloom.codegen.ir.template import Plan
from tritloom.codegen.ir.tile import Kernel
from tritloom.codegen.lower.gpu import lower_gpu
from tritloom.codegen.target import Target

# PoCL (3.1) vectorises a workgroup's threads wrongly on processors with AVX2 and no AVX-512: streaming attention became
# NaN. It reads this when it compiles.
_METHOD = "POCL_WORK_GROUP_METHOD"
os.environ.setdefault(_METHOD, "loops")

try:
    import pyopencl

    cl: Any = pyopencl
except ImportError:
    cl = None

SUBGROUP = 16
"""Threads of a subgroup where kernels may require a size: all of Intel's GPUs and its CPU runtime take this one."""
_PACKAGE = "in a clone of the project: python -m pip install '.[opencl]'"


def _driver() -> str:
    """How to get a driver on this system."""
    if sys.platform == "darwin":
        return "use a macOS that has OpenCL: its own driver is the only one there"
    if sys.platform == "win32":
        return "install the GPU's driver from its maker, which has OpenCL with it"
    return (
        "install a driver: NVIDIA's own, intel-opencl-icd, mesa-opencl-icd or rocm-opencl-icd (AMD), "
        "pocl-opencl-icd for a CPU (Debian's names)"
    )


_LINE = re.compile(r":(\d+):(?:\d+:)?\s")
"""The place of a message in a compiler's log: clang's form, which most drivers have."""


class OpenCLBuffer(DeviceBuffer):
    """A cl.Buffer."""

    def __init__(self, device: OpenCLDevice, nbytes: int, memory: Any):
        self.device = device
        self.nbytes = nbytes
        self.memory = memory


class OpenCLExecutable(Executable):
    """A built program with one kernel."""

    def __init__(self, device: Device, kernel: Kernel, source: str, program: Any, local: tuple[int, int]):
        self.device = device
        self.kernel = kernel
        self.source = source
        self.local = local
        """Threads of a workgroup along x and y."""
        self._program = program
        self.lock = threading.Lock()
        """Held from setting arguments to the launch."""

    def instance(self) -> Any:
        """A new cl.Kernel, with arguments of its own."""
        return cl.Kernel(self._program, kernel_name(self.kernel.name))

    @cached_property
    def shared(self) -> Any:
        """The cl.Kernel of single launches."""
        return self.instance()

    def programs(self, sizes: dict[str, int]) -> int:
        """Workgroups of a launch."""
        total = 1
        for count in self.kernel.grid(sizes):
            total *= count
        return total

    def values(self, sizes: dict[str, int], scalars: Sequence[float | int]) -> list[Any]:
        """The arguments after the buffers."""
        kernel = self.kernel
        return [np.int32(sizes[size.name]) for size in kernel.sizes] + [
            scalar.dtype.numpy.type(value) for scalar, value in zip(kernel.scalars, scalars, strict=True)
        ]


class OpenCLDevice(Device):
    """One OpenCL device, with a context and an in-order queue of its own."""

    def __init__(self, name: str, device: Any):
        self.name = name
        self.device = device
        self.extensions = frozenset(device.extensions.split())
        version = " ".join(device.platform.version.split(",")[0].split())
        self.description = f"{device.name.strip()} ({device.platform.name.strip()}, {version})"
        self.target = describe(device, name)
        self.memory_bytes = int(device.global_mem_size)
        self._executables: dict[Kernel, OpenCLExecutable] = {}
        self._cache = Cache("opencl")
        self._lock = threading.Lock()
        self._started = Started(self._start, self.description)

    @cached_property
    def guard(self) -> Guard:
        """Compiles what this driver has not seen yet in a process of its own."""
        from tritloom.backends import opencl_guarded

        return Guard(opencl_guarded.command(self.device), self.description)

    @property
    def _context(self) -> Any:
        return self._started.get()[0]

    @property
    def _queue(self) -> Any:
        return self._started.get()[1]

    def _start(self) -> tuple[Any, Any]:
        context = cl.Context([self.device])
        return context, cl.CommandQueue(context, self.device)

    # memory

    def allocate(self, nbytes: int) -> OpenCLBuffer:
        most = self.device.max_mem_alloc_size
        if nbytes > most:
            raise OutOfMemoryError(
                f"{nbytes} bytes were asked for in one piece, {self.description} gives at most {most}",
                hint="use a smaller batch or context, or another device",
            )
        with self._failures(f"an allocation of {nbytes} bytes"):
            memory = cl.Buffer(self._context, cl.mem_flags.READ_WRITE, size=max(nbytes, 1))
        return OpenCLBuffer(self, nbytes, memory)

    def write(self, buffer: DeviceBuffer, array: NDArray[Any]) -> None:
        data, memory = self._copied(buffer, array)
        if data.nbytes:
            with self._failures("a copy to the device"):
                cl.enqueue_copy(self._queue, memory, data, is_blocking=True)

    def read(self, buffer: DeviceBuffer, array: NDArray[Any]) -> None:
        data, memory = self._copied(buffer, array)
        if data.nbytes:
            with self._failures("a copy from the device"):
                cl.enqueue_copy(self._queue, data, memory, is_blocking=True)

    def _copied(self, buffer: DeviceBuffer, array: NDArray[Any]) -> tuple[NDArray[np.uint8], Any]:
        data = self.bytes_of(buffer, array)
        assert isinstance(buffer, OpenCLBuffer)
        return data, buffer.memory

    # kernels

    def compile(self, kernel: Kernel) -> OpenCLExecutable:
        with self._lock:
            known = self._executables.get(kernel)
            if known is None:
                function = lower_gpu(kernel, self.target)
                source = emit_opencl(function, self.target)
                local = workgroup(function)
                program = self.build(source, kernel.name)
                known = OpenCLExecutable(self, kernel, source, program, local)
                self._executables[kernel] = known
        return known

    def build(self, source: str, name: str) -> Any:
        """A built program. Raises CompileError with the compiler's log and the source line that it points to."""
        from tritloom.backends import opencl_guarded as guarded

        options = "-cl-std=CL1.2" if not self.target.has("int8-dot") else "-cl-std=CL3.0"
        if self.device.single_fp_config & cl.device_fp_config.CORRECTLY_ROUNDED_DIVIDE_SQRT:
            options += " -cl-fp32-correctly-rounded-divide-sqrt"
        parts = (guarded.identity(self.device), os.environ.get(_METHOD, ""), options, source)
        key = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        binary = self._cache.get(key)
        program = self._loaded(binary, options)
        if program is None and binary != b"" and guard.enabled():
            sources = {".cl": f"// options: {options}\n{source}".encode()}
            good, answer = self.guard.compile(key, name, guarded.request(source, options), sources)
            if good:
                self._cache.put(key, answer)
                program = self._loaded(answer, options)
        if program is not None:
            return program
        program = cl._cl._Program(self._context, source)  # cl.Program, without its cache
        try:
            guarded.build(program, self.device, options)
        except cl.Error as error:
            log = str(program.get_build_info(self.device, cl.program_build_info.LOG)).strip()
            found = _LINE.search(log)
            lines = source.splitlines()
            number = int(found[1]) if found else 0
            shown = f"\n{number:5d} | {lines[number - 1].strip()}" if 0 < number <= len(lines) else ""
            raise CompileError(
                f"the compiler of {self.description} refused the kernel `{name}`{shown}\n{log or error}",
                hint="this is a defect of Tritloom or of the driver: please report it with the kernel's source",
            ) from error
        return program

    def _loaded(self, binary: bytes | None, options: str) -> Any | None:
        """The program of a driver's binary; None without one (it is empty where the driver gives none), or where the
        driver does not take it any more."""
        from tritloom.backends import opencl_guarded as guarded

        if not binary:
            return None
        try:
            program = cl._cl._Program(self._context, [self.device], [binary])
            guarded.build(program, self.device, options)
        except cl.Error:
            return None
        return program

    def launch(
        self,
        executable: Executable,
        buffers: Sequence[DeviceBuffer],
        sizes: dict[str, int],
        scalars: Sequence[float | int] = (),
    ) -> None:
        self.own(buffers, executable)
        assert isinstance(executable, OpenCLExecutable)
        check_launch(executable.kernel, [buffer.nbytes for buffer in buffers], sizes, scalars, self.target)
        arguments = [buffer.memory for buffer in buffers if isinstance(buffer, OpenCLBuffer)]
        values = executable.values(sizes, scalars)
        with executable.lock, self._failures(f"the kernel `{executable.kernel.name}`"):
            executable.shared.set_args(*arguments, *values)
            self._enqueue(executable.shared, executable.programs(sizes), executable.local)

    def _enqueue(self, instance: Any, programs: int, local: tuple[int, int]) -> None:
        if programs:
            cl.enqueue_nd_range_kernel(self._queue, instance, (programs * local[0], local[1]), local)

    def _failures(self, what: str) -> _Failures:
        return _Failures(self.description, what)

    def program_bytes(self, plan: Plan) -> int:
        return sum(assign_slots(plan)[1])

    def prepare(self, plan: Plan) -> OpenCLProgram:
        return OpenCLProgram(self, plan)

    def synchronize(self) -> None:
        with self._failures("work that was submitted"):
            self._queue.finish()


class _Failures:
    """Turns pyopencl's errors into ours."""

    def __init__(self, device: str, what: str):
        self.device = device
        self.what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, cl.MemoryError):
            raise OutOfMemoryError(f"{self.device} ran out of memory in {self.what}: {error}") from error
        if isinstance(error, cl.Error):
            raise DeviceError(f"{self.device} failed in {self.what}: {error}") from error


class OpenCLProgram(Program):
    """A plan with one cl.Kernel a launch, its arguments set once: a run sets those that changed, and enqueues."""

    def __init__(self, device: OpenCLDevice, plan: Plan):
        self.plan = plan
        self._device = device
        self._lock = threading.Lock()
        self._given = Bindings(plan, device)
        self._places = self._place()
        """Memory for each of the arena's tensors. A cl.Kernel does not keep its arguments alive."""
        self._launches: list[tuple[Any, int, tuple[int, int]]] = []
        self._bindings: dict[int, list[tuple[Any, int]]] = {}
        """Of each tensor that is given to `run`: the kernels and argument numbers that take it."""
        self._bound: dict[int, Any] = {}
        for launch in plan.launches:
            executable = device.compile(launch.kernel)
            nbytes = [plan.tensors[t].nbytes for t in launch.tensors]
            check_launch(launch.kernel, nbytes, launch.sizes, launch.scalars, device.target)
            instance = executable.instance()
            sizes = dict(launch.sizes)
            for number, tensor in enumerate(launch.tensors):
                if plan.tensors[tensor].role == "arena":
                    instance.set_arg(number, self._places[tensor])
                else:
                    self._bindings.setdefault(tensor, []).append((instance, number))
            for number, value in enumerate(executable.values(sizes, launch.scalars), len(launch.tensors)):
                instance.set_arg(number, value)
            self._launches.append((instance, executable.programs(sizes), executable.local))

    def _place(self) -> dict[int, Any]:
        slots, sizes = assign_slots(self.plan)
        memories = [self._device.allocate(size).memory for size in sizes]
        return {tensor: memories[slot] for tensor, slot in slots.items()}

    def run(self, inputs: Sequence[DeviceBuffer], outputs: Sequence[DeviceBuffer]) -> None:
        device, given = self._device, self._given.bind(inputs, outputs)
        with self._lock, device._failures("a program"):
            for tensor, buffer in given.items():
                assert isinstance(buffer, OpenCLBuffer)
                if self._bound.get(tensor) is not buffer:
                    for instance, number in self._bindings.get(tensor, ()):
                        instance.set_arg(number, buffer.memory)
                    self._bound[tensor] = buffer
            for instance, programs, local in self._launches:
                device._enqueue(instance, programs, local)
            device._queue.flush()


def assign_slots(plan: Plan) -> tuple[dict[int, int], list[int]]:
    """A slot for each arena tensor, and the slots' sizes: tensors that are never alive together may share one.

    Slots are buffers of their own. Parts of one arena buffer would pack closer, but NVIDIA's driver (580) crashes when
    overlapping sub-buffers are released.
    """
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for position, launch in enumerate(plan.launches):
        for tensor in launch.tensors:
            if plan.tensors[tensor].role == "arena":
                first.setdefault(tensor, position)
                last[tensor] = position
    slots: dict[int, int] = {}
    sizes: list[int] = []
    free: list[int] = []
    ending: dict[int, list[int]] = {}
    for tensor, position in last.items():
        ending.setdefault(position, []).append(tensor)
    for position, launch in enumerate(plan.launches):
        for tensor in dict.fromkeys(launch.tensors):
            if first.get(tensor) != position:
                continue
            wanted = max(plan.tensors[tensor].nbytes, 1)
            fitting = [slot for slot in free if sizes[slot] >= wanted]
            if fitting:
                slot = min(fitting, key=lambda slot: sizes[slot])
            elif free:
                slot = max(free, key=lambda slot: sizes[slot])
                sizes[slot] = wanted
            else:
                slot = len(sizes)
                sizes.append(wanted)
            if slot in free:
                free.remove(slot)
            slots[tensor] = slot
        free += [slots[tensor] for tensor in ending.get(position, ())]
    return slots, sizes


def describe(device: Any, name: str) -> Target:
    """The target that a device's own answers make."""
    extensions = set(device.extensions.split())
    features = set()
    if "cl_khr_fp16" in extensions:
        features.add("f16")
    pinned = {"cl_intel_subgroups", "cl_intel_required_subgroup_size"} <= extensions
    if pinned:
        features.add("subgroups")
    # A CPU's runtime has the builtin too, made of single products: slower than f32, which is exact for bytes.
    if "cl_khr_integer_dot_product" in extensions and not device.type & cl.device_type.CPU:
        features.add("int8-dot")
    return Target(
        name=name,
        emitter="opencl",
        features=frozenset(features),
        subgroup_size=SUBGROUP if pinned else 1,
        max_threads=int(device.max_work_group_size),
        shared_bytes=int(device.local_mem_size),
    )


class OpenCLBackend(Backend):
    """All devices of all platforms, GPUs first."""

    name = "opencl"

    def devices(self) -> list[Device]:
        found = []
        for platform in self._platforms():
            try:
                found += platform.get_devices()
            except cl.Error:  # a platform without a device of its own
                continue
        kinds = (cl.device_type.GPU, cl.device_type.ACCELERATOR) if found else ()
        found.sort(
            key=lambda device: next((i for i, kind in enumerate(kinds) if device.type & kind), len(kinds))
        )
        return [OpenCLDevice("opencl" if i == 0 else f"opencl:{i}", device) for i, device in enumerate(found)]

    @staticmethod
    def _platforms() -> list[Any]:
        if cl is None:
            return []
        try:
            return list(cl.get_platforms())
        except cl.Error:  # the loader found no driver
            return []

    def missing(self) -> Missing | None:
        if cl is None:
            return Missing(self.name, "the package pyopencl is not installed", f"{_PACKAGE}, and {_driver()}")
        if not self._platforms():
            return Missing(self.name, "no OpenCL driver is installed", _driver())
        if not self.devices():
            return Missing(self.name, "no OpenCL driver here has a device", _driver())
        return None
