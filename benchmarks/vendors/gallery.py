"""Every kernel of a program, for GPUs that are not here, compiled by their vendors' compilers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.vendors.figures import Figures, driver_of
from benchmarks.vendors.lab import Job, Lab
from tritloom.codegen.errors import CompileError
from tritloom.codegen.targets import target as find_target
from tritloom.models.config import ModelConfig
from tritloom.models.kernels import Compiled, kernels_of
from tritloom.models.programs import Sizes
from tritloom.models.shapes import find_shape

LAYERS = 2
"""Of a model that stands beside a whole one: further layers repeat the kernels of these. (The sum of all gradients'
squares has kernels of its own for many layers; they are those of the whole model.)"""


def models_named(names: Sequence[str]) -> dict[str, ModelConfig]:
    """The configs of models by name: the first with all its layers, the others with as many as have kernels of their
    own. Raises ConfigError."""
    found = {name: find_shape(name) for name in names}
    return {
        name: config
        if number == 0
        else replace(config, num_hidden_layers=min(LAYERS, config.num_hidden_layers))
        for number, (name, config) in enumerate(found.items())
    }


@dataclass(frozen=True, slots=True)
class Entry:
    """One kernel on one GPU, and the models whose program has it."""

    gpu: str
    kernel: Compiled
    models: tuple[str, ...]
    error: str
    figures: Figures
    milliseconds: float | None = None
    """What its compilation took, where the lab measured it."""

    @property
    def problem(self) -> str:
        """Why the kernel is not good enough, or ""."""
        if self.error:
            return self.error
        found = [
            f"{count} {what}"
            for count, what in ((self.figures.spills, "spilled"), (self.figures.scratch, "scratch"))
            if count
        ]
        return ", ".join(found)


def gallery(
    lab: Lab, gpu: str, models: Mapping[str, ModelConfig], sizes: Sizes, program: str = "train"
) -> list[Entry]:
    """Make and compile a program's kernels of several models; what models share is compiled once.

    A model with a kernel that Tritloom itself cannot make has one entry, which says so.
    """
    target = find_target(gpu)
    kernels: dict[str, Compiled] = {}
    names: dict[str, list[str]] = {}
    unmade: list[Entry] = []
    for model, config in models.items():
        try:
            rows = kernels_of(program, config, sizes, target)
        except CompileError as error:
            none = Compiled(f"(kernels of {model})", "", 0, 0, 0, "", 0, False, b"", "")
            unmade.append(Entry(gpu, none, (model,), error.message, Figures()))
            continue
        for row in rows:
            known = kernels.setdefault(row.name, row)
            kernels[row.name] = replace(known, launches=max(known.launches, row.launches))
            names.setdefault(row.name, []).append(model)
    size = target.subgroup_size if target.has("subgroups") else 0
    jobs = [Job(row.name, row.code, size, row.uses_subgroups) for row in kernels.values()]
    driver = driver_of(gpu)
    return unmade + [
        Entry(
            gpu,
            kernels[outcome.name],
            tuple(names[outcome.name]),
            outcome.error,
            Figures() if outcome.error else driver.read(outcome.statistics),
            outcome.statistics.get("milliseconds"),
        )
        for outcome in lab.compile(gpu, jobs)
    ]


def problems(entries: Sequence[Entry]) -> list[str]:
    """One line for each kernel that fails, spills or uses scratch memory."""
    return [f"{one.gpu}: {one.kernel.name}: {one.problem}" for one in entries if one.problem]
