"""The drivers' statistics under one set of names: each driver has its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Statistics = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Figures:
    """The static cost of a kernel on a GPU. None where the driver says nothing."""

    subgroup: int | None = None
    """Threads of a subgroup that it was compiled for."""
    instructions: int | None = None
    registers: int | None = None
    """Of 32 bits, a thread."""
    occupancy: float | None = None
    """In the driver's own unit, see `Driver.occupancy`."""
    spills: int | None = None
    """Registers, or accesses to memory instead of registers."""
    scratch: int | None = None
    """Bytes of memory a thread, or accesses to it."""
    cycles: int | None = None
    """An estimate of one pass through the code, each loop once; in the driver's own unit, see `Driver.cycles`."""


@dataclass(frozen=True, slots=True)
class Driver:
    """How one driver's statistics are read."""

    name: str
    occupancy: str
    cycles: str
    read: Callable[[Statistics], Figures]


def _turnip(s: Statistics) -> Figures:
    spills = int(s["STP Count"] + s["LDP Count"])
    stalled = s["Estimated cycles stalled on SS"] + s["Estimated cycles stalled on SY"]
    return Figures(
        subgroup=int(s["subgroup size"]),
        instructions=int(s["Instruction Count"]),
        registers=4 * int(s["Registers used"]),  # it counts vectors of four
        occupancy=s["Max Waves Per Core"],
        spills=spills,
        scratch=spills,
        cycles=int(s["Instruction Count"] + stalled),
    )


def _panvk(s: Statistics) -> Figures:
    spills = int(s["Spills"] + s["Fills"])
    return Figures(
        subgroup=int(s["subgroup size"]),
        instructions=int(s["Instructions"]),
        registers=int(s["Registers used"]),
        occupancy=s["Threads"],
        spills=spills,
        scratch=spills,
        cycles=round(s["Cycles"]),
    )


def _honeykrisp(s: Statistics) -> Figures:
    return Figures(
        subgroup=int(s["subgroup size"]),
        instructions=int(s["Instructions"]),
        registers=-(-int(s["GPRs"]) // 2),  # it counts halves
        occupancy=s["Threads"],
        spills=int(s["Spills"] + s["Fills"]),
        scratch=int(s["Scratch"]),
        cycles=int(s["ALU"]),
    )


def _radv(s: Statistics) -> Figures:
    return Figures(
        subgroup=int(s["subgroup size"]),
        instructions=int(s["Instructions"]),
        registers=int(s["VGPRs"]),
        occupancy=s["Subgroups per SIMD"],
        spills=int(s["Spilled SGPRs"] + s["Spilled VGPRs"]),
        scratch=int(s["Scratch size"]),
        cycles=int(s["Inverse Throughput"]),
    )


def _nvk(s: Statistics) -> Figures:
    return Figures(
        subgroup=int(s["subgroup size"]),
        instructions=int(s["Instruction count"]),
        registers=int(s["Number of GPRs"]),
        occupancy=s["Max warps/SM"],
        spills=int(s["Spills to memory"] + s["Fills from memory"]),
        scratch=int(s["SLM size"]),
        cycles=int(s["Static cycle count"]),
    )


def _llvmpipe(s: Statistics) -> Figures:
    return Figures()


def _intel(s: Statistics) -> Figures:
    return Figures(
        subgroup=int(s["simd_size"]),
        instructions=int(s["code_size"]) // 16,
        registers=int(s["grf_count"]),
        occupancy=s["eu_thread_count"] or None,
        spills=int(s["spill_size"]),
        scratch=int(s["scratch_size"] + s["private_size"]),
    )


DRIVERS: tuple[Driver, ...] = (
    Driver("turnip", "waves a core", "instructions and stalls", _turnip),
    Driver("panvk", "threads: 1 half, 2 all", "cycles a thread", _panvk),
    Driver("honeykrisp", "threads a core", "ALU cycles", _honeykrisp),
    Driver("radv", "subgroups a SIMD", "inverse throughput", _radv),
    Driver("NVK", "warps an SM", "static cycles", _nvk),
    Driver("llvmpipe", "", "", _llvmpipe),
    Driver("ocloc", "threads an EU", "", _intel),
)

_OF: tuple[tuple[str, str], ...] = (
    ("adreno", "turnip"),
    ("mali", "panvk"),
    ("apple", "honeykrisp"),
    ("amd", "radv"),
    ("nvidia", "NVK"),
    ("llvmpipe", "llvmpipe"),
)


def driver_of(gpu: str) -> Driver:
    """The driver that compiles for one of the lab's GPUs: Intel's compiler where no other is known."""
    name = next((name for prefix, name in _OF if gpu.startswith(prefix)), "ocloc")
    return next(driver for driver in DRIVERS if driver.name == name)
