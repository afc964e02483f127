"""The targets by name: what `k.source(target=...)` and the backends compile for. None of them needs its device here.

The CPU targets but "cpu" itself name a level of an instruction set, so that code for any of them can be made anywhere.
The GPUs of :mod:`tritloom.codegen.gpus` are described in files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import llvmlite.binding as llvm

from tritloom.codegen import gpus
from tritloom.codegen.errors import DeviceError
from tritloom.codegen.ir.ternary import TernaryLayout
from tritloom.codegen.target import Target

CPU_LAYOUT = TernaryLayout(16)
"""Sixteen rows in a vector load: one register of 512 bits, two of 256, four of 128."""

_AVX2 = "sse sse2 sse3 ssse3 sse4.1 sse4.2 popcnt avx avx2 bmi bmi2 f16c fma lzcnt movbe"
_AVX512 = f"{_AVX2} avx512f avx512bw avx512cd avx512dq avx512vl avx512vnni"


def _features(*names: str) -> str:
    return ",".join(f"+{name}" for part in names for name in part.split())


def cpu_target(name: str, triple: str, cpu: str, features: str) -> Target:
    """The description of a CPU: LLVM's triple, CPU name and feature string ("+avx2,+fma,-avx512f...")."""
    has = {part[1:] for part in features.split(",") if part.startswith("+")}
    offered = {
        "int8-dot": "dotprod" in has or {"avx512vnni", "avx512vl"} <= has or "avxvnni" in has,
        "bf16-dot": "bf16" in has or {"avx512bf16", "avx512vl"} <= has,
        "lookup": "avx" in has,
        "masked-memory": {"avx512bw", "avx512vl"} <= has,
        "gather": "avx2" in has,
        "f16": "f16c" in has or "fullfp16" in has,
    }
    wide = {"avx512bw", "avx512vl"} <= has
    many = wide or "neon" in has
    return Target(
        name=name,
        emitter="llvm",
        layout=CPU_LAYOUT,
        features=frozenset(feature for feature, present in offered.items() if present),
        vector_bits=512 if wide else 256 if "avx2" in has else 128,
        vector_registers=32 if many else 16,
        llvm_triple=triple,
        llvm_cpu=cpu,
        llvm_features=features,
    )


@cache
def host_cpu() -> Target:
    """The CPU that this runs on, with all that it has."""
    triple, features = llvm.get_process_triple(), llvm.get_host_cpu_features().flatten()
    if triple.startswith(("aarch64", "arm64")) and "+neon" not in features:
        features = f"{features},+neon".lstrip(",")  # part of every AArch64, and not always reported
    return cpu_target("cpu", triple, llvm.get_host_cpu_name(), features)


def _avx512() -> Target:
    return cpu_target("cpu:avx512", "x86_64-unknown-linux-gnu", "x86-64-v4", _features(_AVX512))


def _avx2() -> Target:
    return cpu_target("cpu:avx2", "x86_64-unknown-linux-gnu", "x86-64-v3", _features(_AVX2))


def _plain() -> Target:
    return cpu_target("cpu:plain", "x86_64-unknown-linux-gnu", "x86-64", _features("sse sse2"))


def _aarch64() -> Target:
    features = _features("neon fp-armv8 dotprod fullfp16 lse rdm crc ras rcpc")
    return cpu_target("aarch64", "aarch64-unknown-linux-gnu", "neoverse-n1", features)


def _opencl() -> Target:
    """OpenCL C 1.2 with nothing optional: code for it runs on every OpenCL GPU."""
    return Target(name="opencl", emitter="opencl", max_threads=128, subgroup_size=1, shared_bytes=32 << 10)


def _metal() -> Target:
    """Metal on every Apple GPU since the M1 (GPU family Apple 7)."""
    return replace(gpus.load("apple-m1-metal").target(), name="metal")


def _vulkan() -> Target:
    """Vulkan 1.2 with 8 and 16-bit storage and buffer addresses, and nothing else that is optional."""
    return Target(name="vulkan", emitter="spirv", max_threads=128, subgroup_size=1, shared_bytes=16 << 10)


_TARGETS: dict[str, Callable[[], Target]] = {
    "cpu": host_cpu,
    "cpu:avx512": _avx512,
    "cpu:avx2": _avx2,
    "cpu:plain": _plain,
    "aarch64": _aarch64,
    "opencl": _opencl,
    "metal": _metal,
    "vulkan": _vulkan,
}
TARGETS: tuple[str, ...] = (*_TARGETS, *gpus.NAMES)
"""The names that `target` takes."""


def target(name: str) -> Target:
    """The target of that name. Raises DeviceError for a name that is none of TARGETS."""
    if name in gpus.NAMES:
        return gpus.load(name).target()
    make = _TARGETS.get(name)
    if make is None:
        raise DeviceError(f"there is no target {name!r}", hint=f"take one of {', '.join(TARGETS)}")
    return make()
