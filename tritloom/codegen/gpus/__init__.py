"""Known GPUs as data: one TOML file here is one GPU as one of its interfaces offers it, and no device is needed.

A file's name is the GPU's. Its fields are those of :class:`Gpu`; the numbers are the driver's answers or the maker's
published figures, and the file says which.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

from tritloom.codegen.errors import DeviceError
from tritloom.codegen.ir.dtypes import BY_NAME
from tritloom.codegen.target import FEATURES, MatrixUnit, Target

FOLDER = Path(__file__).parent

NAMES: tuple[str, ...] = tuple(sorted(file.stem for file in FOLDER.glob("*.toml")))
"""The GPUs that `load` knows."""


class Matrix(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One product of matrices that a subgroup does in one instruction: [rows, depth] . [depth, columns]."""

    rows: int
    columns: int
    depth: int
    operand: str
    """Names of dtypes: of both factors, and of the sum."""
    accumulator: str


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one binding or allocation may hold at most, in bytes; 0 where nothing is known."""

    storage_range: int = 0
    """Of a buffer that a descriptor shows (Vulkan's maxStorageBufferRange)."""
    allocation: int = 0
    """Of one piece of memory."""


class Gpu(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A GPU, as one of its interfaces offers it."""

    name: str
    what: str
    """For people: the chip, and what has it."""
    language: Literal["spirv", "opencl", "metal"]
    """What its driver takes."""
    source: str
    """Where the figures are from."""
    subgroup_size: int
    """The one that code is made for, of `subgroup_sizes`."""
    subgroup_sizes: tuple[int, ...]
    """Those that the driver may use or can be told to use."""
    max_threads: int
    """Of a workgroup."""
    shared_bytes: int
    registers: int
    """32-bit registers that a thread may have without spilling or starving its neighbours."""
    features: tuple[str, ...] = ()
    """Of :data:`tritloom.codegen.target.FEATURES`."""
    matrices: tuple[Matrix, ...] = ()
    """Best first."""
    memory_gib: tuple[float, ...] = ()
    """Sizes that are sold, for people; of GPUs without memory of their own, those of the machines."""
    limits: Limits = Limits()

    def target(self) -> Target:
        """What code for it is made for."""
        units = (
            MatrixUnit(m.rows, m.columns, m.depth, BY_NAME[m.operand], BY_NAME[m.accumulator])
            for m in self.matrices
        )
        return Target(
            name=self.name,
            emitter=self.language,
            features=frozenset(self.features),
            max_threads=self.max_threads,
            subgroup_size=self.subgroup_size,
            shared_bytes=self.shared_bytes,
            registers=self.registers,
            matrices=tuple(units),
        )


def read(file: Path) -> Gpu:
    """The description in a file. Raises DeviceError, with the file's name, for one that is damaged or impossible."""
    try:
        found = msgspec.toml.decode(file.read_bytes(), type=Gpu)
    except (OSError, msgspec.MsgspecError) as error:
        raise DeviceError(f"{file}: this is no description of a GPU: {error}") from error
    problems = [f"no feature is called {name}" for name in found.features if name not in FEATURES]
    problems += [
        f"no dtype is called {name}"
        for matrix in found.matrices
        for name in (matrix.operand, matrix.accumulator)
        if name not in BY_NAME
    ]
    if found.name != file.stem:
        problems.append(f"the file of {found.name} is called {file.name}")
    if found.subgroup_size not in found.subgroup_sizes:
        problems.append(f"{found.subgroup_size} is none of the subgroup sizes {list(found.subgroup_sizes)}")
    if any(size < 1 or size & (size - 1) for size in found.subgroup_sizes):
        problems.append("a subgroup's size is a power of two")
    if min(found.max_threads, found.shared_bytes, found.registers) < 1:
        problems.append("threads, shared memory and registers are more than 0")
    if found.max_threads < found.subgroup_size:
        problems.append(
            f"a workgroup of {found.max_threads} threads has no subgroup of {found.subgroup_size}"
        )
    if any(min(matrix.rows, matrix.columns, matrix.depth) < 1 for matrix in found.matrices):
        problems.append("rows, columns and depth of matrices are more than 0")
    if found.matrices and "subgroups" not in found.features:
        problems.append("matrices belong to subgroups, which are none of its features")
    if problems:
        raise DeviceError(f"{file}: {'; '.join(problems)}")
    return found


@cache
def load(name: str) -> Gpu:
    """The description of one of NAMES. Raises DeviceError for any other name."""
    if name not in NAMES:
        raise DeviceError(f"no GPU is described as {name!r}", hint=f"take one of {', '.join(NAMES)}")
    return read(FOLDER / f"{name}.toml")
