"""Compile a training step's kernels with the vendors' compilers, and write what they say.

    python -m benchmarks.vendors --out docs/results/vendors.md
    python -m benchmarks.vendors --gpu adreno-830 --model 125m
    python -m benchmarks.vendors --describe amd-navi31

The exit status is 1 where a kernel does not compile, spills registers, or uses scratch memory.
"""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import click

from benchmarks.vendors.gallery import Entry, gallery, models_named, problems
from benchmarks.vendors.lab import Lab, lab_file, missing_reason
from benchmarks.vendors.page import page
from tritloom.codegen.errors import DeviceError, TritloomError
from tritloom.models.cli import reported
from tritloom.models.programs import Sizes

MODELS = ("125m", "1b", "2b-4t")


def _one(models: tuple[str, ...], sizes: Sizes, gpu: str) -> list[Entry] | str:
    """A GPU's entries, or why there are none. In a process of its own."""
    file = lab_file()
    assert file is not None
    try:
        return gallery(Lab(file), gpu, models_named(models), sizes)
    except TritloomError as error:
        return str(error)


@click.command()
@click.option("--gpu", "gpus", multiple=True, help="Only these.")
@click.option("--model", "models", multiple=True, help=f"Instead of {', '.join(MODELS)}.")
@click.option("--context", default=128, show_default=True, type=click.IntRange(1))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="The page to write.")
@click.option("--describe", metavar="GPU", help="Print the driver's answers about a GPU, and nothing else.")
@reported
def main(
    gpus: tuple[str, ...], models: tuple[str, ...], context: int, out: Path | None, describe: str | None
) -> None:
    """Compile a training step's kernels with the vendors' compilers."""
    reason = missing_reason()
    if reason is not None:
        raise click.ClickException(reason)
    file = lab_file()
    assert file is not None
    lab = Lab(file)
    known = lab.vulkan if describe else (*lab.vulkan, *lab.intel)
    for name in (describe,) if describe else gpus:
        if name not in known:
            raise DeviceError(f"the lab has no GPU `{name}`", hint=f"name one of {', '.join(known)}")
    if describe:
        for key, values in lab.describe(describe).items():
            for value in values:
                print(key, value)
        return
    gpus, models = gpus or known, models or MODELS
    lab.describe(lab.vulkan[0])  # makes the prober before several processes want it
    sizes = Sizes(context=context)
    found: dict[str, list[Entry]] = {}
    bad: list[str] = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for gpu, result in zip(gpus, pool.map(partial(_one, models, sizes), gpus), strict=True):
            if isinstance(result, str):
                bad.append(f"{gpu}: {result}")
                continue
            found[gpu] = result
            wrong = problems(result)
            bad += wrong
            print(f"{gpu}: {len(result) - len(wrong)} of {len(result)} kernels are sound", flush=True)
    if out is not None:
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        )
        text = page(
            found,
            models,
            sizes,
            lab.versions(),
            date=datetime.date.today().isoformat(),
            commit=commit.stdout.strip(),
            command=f"python -m benchmarks.vendors {' '.join(sys.argv[1:])}",
        )
        out.write_text(text)
    for line in bad:
        print(line)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
