"""`tritloom kernels`: every kernel of a program, compiled for a GPU that need not be here."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from tritloom.backends.paper import PaperDevice
from tritloom.codegen import gpus
from tritloom.codegen.compile import emit, lower
from tritloom.codegen.emit.c_source import uses_subgroups
from tritloom.codegen.emit.opencl import kernel_name
from tritloom.codegen.emit.spirv import emit_spirv
from tritloom.codegen.errors import CompileError, TritloomError
from tritloom.codegen.ir.machine import Function, Instruction, Op, Space
from tritloom.codegen.ir.template import Plan
from tritloom.codegen.ir.tile import Dot, Kernel, Let
from tritloom.codegen.target import Target
from tritloom.codegen.targets import target as find_target
from tritloom.models.config import ModelConfig
from tritloom.models.errors import ConfigError
from tritloom.models.programs import PROGRAMS, Sizes
from tritloom.models.reporting import waiting
from tritloom.models.shapes import find_shape

WIDTH: Final = 140
"""Of a table that goes to a file, in characters."""
SUFFIX: Final[Mapping[str, str]] = {"llvm": "ll", "opencl": "cl", "spirv": "spv", "metal": "metal"}
"""Of a file of code, by the language."""

_DOTS: Final[Mapping[Op, str]] = {
    Op.MATRIX_MULTIPLY_ADD: "matrix",
    Op.DOT4_SS: "int8 x 4",
    Op.DOT4_US: "int8 x 4",
    Op.DOT2_BF16: "bf16 x 2",
}
"""How products are summed, by the instructions that say so."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """One kernel of a program for one target. Kernels that become the same code are one, and their launches add up."""

    name: str
    """Unlike all others of its program: the kernel's name and a part of its code's digest."""
    kernel: str
    launches: int
    """In one run of the program."""
    threads: int
    shared_bytes: int
    dot: str
    """How its products are summed: "matrix i8", "int8 x 4", "f32", ..., or "" where it has none."""
    code_bytes: int
    uses_subgroups: bool
    """Whether its code needs subgroups of the target's size."""
    code: bytes = field(repr=False)
    """What the driver takes: SPIR-V's words, or source text."""
    text: str = field(repr=False)
    """The code for people."""

    def facts(self) -> dict[str, Any]:
        """All but the code, for JSON."""
        fields = asdict(self)
        del fields["code"], fields["text"]
        return fields


def kernels_of(program: str, config: ModelConfig, sizes: Sizes, target: Target) -> list[Compiled]:
    """The kernels of one of PROGRAMS in the order of their first launches.

    Raises CompileError, with the kernel's name, for one that cannot be made for the target.
    """
    if program not in PROGRAMS:
        raise ConfigError(f"no program is called {program!r}", hint=f"name one of {', '.join(PROGRAMS)}")
    return compiled(PROGRAMS[program](config, sizes, PaperDevice(target)).plan, target)


def compiled(plan: Plan, target: Target) -> list[Compiled]:
    """The kernels of a plan. Raises CompileError."""
    launches: Counter[Kernel] = Counter(launch.kernel for launch in plan.launches)
    rows: dict[bytes, Compiled] = {}
    for kernel, count in launches.items():
        row = _compile(kernel, count, target)
        known = rows.get(row.code)
        rows[row.code] = row if known is None else _joined(known, row)
    return list(rows.values())


def _joined(one: Compiled, other: Compiled) -> Compiled:
    fields = one.facts() | {"launches": one.launches + other.launches}
    return Compiled(**fields, code=one.code, text=one.text)


def _compile(kernel: Kernel, launches: int, target: Target) -> Compiled:
    try:
        function = lower(kernel, target)
        if target.emitter == "spirv":
            module = emit_spirv(function, target)
            code, text, in_subgroups = module.words, module.text, module.uses_subgroups
        else:
            text = emit(function, target)
            code, in_subgroups = text.encode(), uses_subgroups(function)
    except TritloomError as error:
        raise CompileError(
            f"the kernel `{kernel.name}` cannot be made for {target.name}: {error.message}",
            hint=error.hint or "this is a defect of Tritloom: please report it",
        ) from error
    return Compiled(
        name=f"{kernel_name(kernel.name)}_{hashlib.sha256(code).hexdigest()[:8]}",
        kernel=kernel.name,
        launches=launches,
        threads=function.threads,
        shared_bytes=sum(
            (one.length or 0) * one.dtype.nbytes for one in function.arrays if one.space is Space.SHARED
        ),
        dot=_dot(kernel, function),
        code_bytes=len(code),
        uses_subgroups=in_subgroups,
        code=code,
        text=text,
    )


def _instructions(function: Function) -> Iterator[Instruction]:
    return (one for one in function.body.walk() if isinstance(one, Instruction))


def _dot(kernel: Kernel, function: Function) -> str:
    dots = [s.value for s in kernel.body.walk() if isinstance(s, Let) and isinstance(s.value, Dot)]
    if not dots:
        return ""
    found = []
    for one in _instructions(function):
        if one.op in _DOTS:
            operand = f" {one.args[0].dtype.name}" if one.op is Op.MATRIX_MULTIPLY_ADD else ""
            found.append(_DOTS[one.op] + operand)
    return ", ".join(dict.fromkeys(found)) or "f32"


def write(rows: Sequence[Compiled], target: Target, folder: Path) -> list[Path]:
    """Write each kernel's code to a file of its own in `folder`, which is made. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for row in rows:
        file = folder / f"{row.name}.{SUFFIX[target.emitter]}"
        file.write_bytes(row.code)
        if target.emitter == "spirv":
            file.with_suffix(".spvasm").write_text(row.text)
        files.append(file)
    return files


def targets_named(name: str) -> list[Target]:
    """The target of a name, or for "all" every known GPU. Raises DeviceError."""
    return [gpus.load(one).target() for one in gpus.NAMES] if name == "all" else [find_target(name)]


def report(program: str, model: str, sizes: Sizes, target: str, out: Path | None, as_json: bool) -> None:
    """Compile a program's kernels for a target, or for all GPUs, and say on stdout what they are; with `out`, write
    their code to a folder for each target. Raises ConfigError, DeviceError, CompileError, OSError."""
    config = find_shape(model)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    for one in targets_named(target):
        with waiting(f"compiling {program} of {model} for {one.name}"):
            rows = kernels_of(program, config, sizes, one)
        if out is not None:
            write(rows, one, out / one.name)
        if as_json:
            for row in rows:
                fields = {"target": one.name, "program": program, "model": model, **row.facts()}
                sys.stdout.write(msgspec.json.encode(fields).decode() + "\n")
        else:
            console.print(_table(rows, f"{program}, {model}, for {one.name}"))
    if not as_json:
        where = "not kept: --out FOLDER writes it" if out is None else f"in {out}"
        console.print(
            f"the code is {where}. It is what Tritloom makes; no compiler of the vendor has seen it.",
            markup=False,
            soft_wrap=True,
        )


def _table(rows: Sequence[Compiled], title: str) -> Table:
    launches = sum(row.launches for row in rows)
    table = Table(title=f"{title}: {len(rows)} kernels, {launches:,} launches", title_justify="left")
    table.add_column("kernel", overflow="fold")
    for heading in ("launches", "threads", "shared bytes"):
        table.add_column(heading, justify="right")
    table.add_column("products")
    table.add_column("code bytes", justify="right")
    for row in rows:
        cells = (row.launches, row.threads, row.shared_bytes)
        table.add_row(row.name, *(f"{cell:,}" for cell in cells), row.dot, f"{row.code_bytes:,}")
    return table
