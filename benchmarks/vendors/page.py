"""The page of the vendors' compilers: one table of GPUs and models, then one table of kernels for each GPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.vendors.figures import driver_of
from benchmarks.vendors.gallery import Entry
from tritloom.codegen import gpus
from tritloom.models.programs import Sizes


def page(
    entries: Mapping[str, Sequence[Entry]],
    models: Sequence[str],
    sizes: Sizes,
    versions: Mapping[str, str],
    *,
    date: str,
    commit: str,
    command: str,
) -> str:
    """The page as Markdown. `entries` are those of each GPU."""
    lines = [f"# What the vendors' compilers make of a training step, {date}", ""]
    lines += _head(models, sizes, versions, commit, command)
    lines += ["## All GPUs", "", *_summary(entries, models), ""]
    for gpu, rows in entries.items():
        lines += [*_details(gpu, rows), ""]
    return "\n".join(lines).rstrip() + "\n"


def _head(
    models: Sequence[str], sizes: Sizes, versions: Mapping[str, str], commit: str, command: str
) -> Iterator[str]:
    yield (
        f"Every kernel of a LoRA training step ({sizes.batch} x {sizes.context} tokens, rank {sizes.rank} on all "
        f"projections, {sizes.precision}) of {', '.join(models)}, made for each GPU's description"
    )
    yield (
        "(`tritloom/codegen/gpus`) and compiled by the driver's own compiler. No such GPU was here: nothing ran, and "
        "the figures are the compilers'. SPIR-V went to Mesa's Vulkan drivers over a stub of the kernel's interface, "
        "OpenCL C to Intel's offline compiler."
    )
    yield ""
    yield f"Compilers: {', '.join(f'{name} {version}' for name, version in versions.items())}."
    yield f"Commit {commit}. Command:"
    yield from ("", "```bash", command, "```", "")


def _summary(entries: Mapping[str, Sequence[Entry]], models: Sequence[str]) -> Iterator[str]:
    yield (
        "Kernels that compiled with no spill and no scratch memory, of all; then the most registers of a thread. "
        "(For Intel, the registers of a hardware thread, which its subgroup shares.)"
    )
    yield ""
    yield f"| GPU | what | {' | '.join(models)} |"
    yield "|---|---|" + "---|" * len(models)
    for gpu, rows in entries.items():
        cells = []
        for model in models:
            mine = [row for row in rows if model in row.models]
            good = sum(not row.problem for row in mine)
            registers = max((row.figures.registers or 0 for row in mine), default=0)
            cells.append(f"{good} of {len(mine)}" + (f", {registers} registers" if registers else ""))
        yield f"| [{gpu}](#{gpu}) | {gpus.load(gpu).what} | {' | '.join(cells)} |"


def _details(gpu: str, rows: Sequence[Entry]) -> Iterator[str]:
    driver = driver_of(gpu)
    yield f"## {gpu}"
    yield ""
    units = [f"{driver.name}'s figures"]
    if driver.occupancy:
        units.append(f"occupancy: {driver.occupancy}")
    if driver.cycles:
        units.append(f"cycles: {driver.cycles}")
    yield f"{gpus.load(gpu).what}. {'; '.join(units)}."
    yield ""
    yield (
        "| kernel | models | threads | shared bytes | products | subgroup | instructions | registers | occupancy | "
        "cycles | spills | scratch |"
    )
    yield "|---|---|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|"
    for row in rows:
        figures, kernel = row.figures, row.kernel
        known = (
            figures.subgroup,
            figures.instructions,
            figures.registers,
            None if figures.occupancy is None else round(figures.occupancy),
            figures.cycles,
            figures.spills,
            figures.scratch,
        )
        shown = ["" if value is None else f"{value:,}" for value in known]
        if row.error:
            shown = [f"**{row.error.splitlines()[0][:160]}**", *[""] * 6]
        yield (
            f"| {kernel.name} | {', '.join(row.models)} | {kernel.threads} | {kernel.shared_bytes:,} | "
            f"{kernel.dot} | {' | '.join(shown)} |"
        )
