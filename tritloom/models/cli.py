"""The command line: `tritloom finetune`, `generate`, `pretrain`, `kernels`, `devices` and `doctor`.

An error that is the user's to mend ends a command with one paragraph on stderr and the exit status 1.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from functools import wraps
from itertools import chain, islice
from pathlib import Path
from typing import Any, ParamSpec

import click

from tritloom.codegen.errors import TritloomError
from tritloom.models.config import PROJECTIONS
from tritloom.models.data import LINE_FORMS
from tritloom.version import VERSION

P = ParamSpec("P")

_folder = click.Path(path_type=Path, file_okay=False)
_file = click.Path(path_type=Path, dir_okay=False)
_device = click.option(
    "--device", metavar="NAME", help="Where to run: cpu, opencl, ... (default: TRITLOOM_DEVICE, else cpu)."
)
_seed = click.option(
    "--seed", default=0, type=click.IntRange(0), show_default=True, help="Seed of everything random."
)
_json = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object a step on stdout, all else on stderr."
)


def reported(command: Callable[P, None]) -> Callable[P, None]:
    """Turn the package's errors into a paragraph on stderr and the exit status 1."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except TritloomError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(1)
        except MemoryError:
            click.echo("error: there is not enough memory\nhint: choose a smaller batch or context", err=True)
            sys.exit(1)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            where = f" {error.filename}" if error.filename else ""
            click.echo(f"error: reading or writing{where} failed: {error.strerror or error}", err=True)
            _forget_output()
            sys.exit(1)
        except KeyboardInterrupt:
            click.echo("stopped before the end", err=True)
            sys.exit(130)

    return run


def _forget_output() -> None:
    """Drop what could not be written to stdout, which Python would else try again on its way out."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION)
def main() -> None:
    """Fine-tune and run BitNet (1.58-bit) language models on your own devices."""


@main.command()
@click.option(
    "--base", type=_folder, help="A BitNet's folder, as transformers writes it (default: the shipped model)."
)
@click.option(
    "--data",
    type=_file,
    help=f"FILE.jsonl, each line an object {LINE_FORMS}; or FILE.txt, plain text (default: chatterbot-corpus).",
)
@click.option(
    "--out", type=_folder, default=Path("tritloom-adapter"), show_default=True, help="Adapter folder."
)
@_device
@click.option(
    "--precision",
    type=click.Choice(["f32", "bf16"]),
    default="f32",
    show_default=True,
    help="Of operands in backward products and in the loss.",
)
@click.option("--rank", default=16, show_default=True, type=click.IntRange(1), help="LoRA rank.")
@click.option("--alpha", default=32.0, show_default=True, help="LoRA alpha.")
@click.option("--targets", default=",".join(PROJECTIONS), show_default=True, help="Projections to adapt.")
@click.option("--steps", type=click.IntRange(1), help="Training steps (default: by --epochs).")
@click.option("--epochs", default=3.0, show_default=True, help="Passes over the data.")
@click.option("--batch", default=8, show_default=True, type=click.IntRange(1), help="Rows a step.")
@click.option("--context", default=128, show_default=True, type=click.IntRange(2), help="Tokens a row.")
@click.option("--learning-rate", default=2e-3, show_default=True, help="Peak learning rate.")
@click.option(
    "--heldout",
    default=0.1,
    show_default=True,
    type=click.FloatRange(0, 1, max_open=True),
    help="Part held out.",
)
@_seed
@_json
@reported
def finetune(base: Path | None, targets: str, as_json: bool, **options: Any) -> None:
    """Train a LoRA adapter and save it in PEFT's format."""
    from tritloom.models.finetune import SHIPPED_MODEL, FinetuneSettings
    from tritloom.models.finetune import finetune as run
    from tritloom.models.reporting import Reporter

    chosen = tuple(name.strip() for name in targets.split(",") if name.strip())
    with Reporter(as_json) as reporter:
        run(FinetuneSettings(base=base or SHIPPED_MODEL, targets=chosen, **options), reporter)


@main.command()
@click.argument("prompt")
@click.option(
    "--base", type=_folder, help="A BitNet's folder, as transformers writes it (default: the shipped model)."
)
@click.option("--adapter", type=_folder, help="A PEFT adapter folder.")
@_device
@click.option("--plain", is_flag=True, help="Continue the prompt as text, without the chat form.")
@click.option("--max-tokens", default=64, show_default=True, type=click.IntRange(1))
@click.option(
    "--context", type=click.IntRange(2), help="Tokens kept (default: 256, or as many as the model has)."
)
@click.option("--temperature", default=0.0, show_default=True, type=click.FloatRange(0), help="0 is greedy.")
@click.option("--top-k", default=0, show_default=True, type=click.IntRange(0), help="0 is all.")
@click.option("--top-p", default=1.0, show_default=True, type=click.FloatRange(0, 1, min_open=True))
@_seed
@reported
def generate(base: Path | None, device: str | None, context: int | None, **options: Any) -> None:
    """Continue PROMPT, greedily or sampled, and write the text as it comes."""
    from tritloom.backends.registry import device as find_device
    from tritloom.models.config import load_config
    from tritloom.models.finetune import SHIPPED_MODEL
    from tritloom.models.generation import stream_text
    from tritloom.models.memory import require_memory_to_generate
    from tritloom.models.reporting import compiling

    folder = base or SHIPPED_MODEL
    found = find_device(device)
    config = load_config(folder)
    kept = min(context or 256, config.max_position_embeddings)
    require_memory_to_generate(config, kept, found)
    if context is not None and context > kept:
        click.echo(f"context {context:,} -> {kept:,} (the model's limit)", err=True)
    pieces = stream_text(folder, device=device, context=kept, **options)
    # Two programs are compiled, for the prompt and for a token more: both are there after two pieces.
    with compiling("the model", found):
        begun = list(islice(pieces, 2))
    for piece in chain(begun, pieces):
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")


@main.command()
@click.option("--out", type=_folder, required=True, help="The model folder to write.")
@click.option(
    "--data",
    type=_file,
    multiple=True,
    help="FILE.jsonl or FILE.txt as for `finetune`, several times (default: the texts of packages).",
)
@_device
@click.option("--hidden", default=256, show_default=True, type=click.IntRange(1))
@click.option("--ffn", default=704, show_default=True, type=click.IntRange(1))
@click.option("--layers", default=6, show_default=True, type=click.IntRange(1))
@click.option("--heads", default=4, show_default=True, type=click.IntRange(1))
@click.option("--kv-heads", default=2, show_default=True, type=click.IntRange(1))
@click.option("--vocab", default=4096, show_default=True, type=click.IntRange(259))
@click.option("--context", default=256, show_default=True, type=click.IntRange(2))
@click.option("--batch", default=32, show_default=True, type=click.IntRange(1))
@click.option("--steps", default=2400, show_default=True, type=click.IntRange(1))
@click.option("--learning-rate", default=4e-3, show_default=True)
@_seed
@_json
@reported
def pretrain(data: tuple[Path, ...], as_json: bool, **options: Any) -> None:
    """Train a small BitNet from scratch, quantisation-aware.

    The defaults take minutes on a large GPU and hours on two cores. Nothing is written before the end.
    """
    from tritloom.models.pretrain import PretrainSettings, pretraining_examples
    from tritloom.models.pretrain import pretrain as run
    from tritloom.models.reporting import Reporter

    with Reporter(as_json) as reporter:
        training, heldout = pretraining_examples(data)
        run(PretrainSettings(**options), training, heldout, reporter)


@main.command()
@click.option("--program", default="train", show_default=True, help="train, evaluate, prefill or generate.")
@click.option("--model", default="125m", show_default=True, help="shipped, 125m, 1b, 2b-4t, 13b or a folder.")
@click.option(
    "--target", required=True, metavar="NAME", help="A known GPU (`devices --targets`), or all of them."
)
@click.option("--batch", default=1, show_default=True, type=click.IntRange(1), help="Rows a step.")
@click.option("--context", default=128, show_default=True, type=click.IntRange(1), help="Tokens a row.")
@click.option("--rank", default=16, show_default=True, type=click.IntRange(0), help="LoRA rank.")
@click.option("--precision", type=click.Choice(["f32", "bf16"]), default="f32", show_default=True)
@click.option("--out", type=_folder, help="Write each kernel's code here, in a folder for each target.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a kernel.")
@reported
def kernels(program: str, model: str, target: str, out: Path | None, as_json: bool, **sizes: Any) -> None:
    """Compile every kernel of a program for a GPU that need not be here, from a model's sizes alone."""
    from tritloom.models.kernels import report
    from tritloom.models.programs import Sizes

    report(program, model, Sizes(**sizes), target, out, as_json)


@main.command()
@_device
@click.option("--out", type=_file, help="Where the report goes (default: tritloom-doctor-DEVICE.txt).")
@click.option("--full", is_flag=True, help="Run the test suite's conformance tests too, from a checkout.")
@_seed
@reported
def doctor(device: str | None, out: Path | None, full: bool, seed: int) -> None:
    """Try a device, and write a report to send to us. The exit status is 1 if a check fails."""
    from tritloom.backends.registry import device as find_device
    from tritloom.models.doctor import describe, examine, find_suite, machine, report, run_suite
    from tritloom.models.selftest import checks

    found = find_device(device)
    tests = find_suite() if full else None
    path = out or Path(f"tritloom-doctor-{found.name.replace(':', '-')}.txt")
    click.echo("\n".join([*machine(), *describe(found)]))
    findings = examine(found, checks(seed), click.echo, path)
    path.write_text(report(found, findings), encoding="utf-8")
    passed = True
    if tests is not None:
        passed, suite = run_suite(tests, found, click.echo)
        path.write_text(report(found, findings, suite), encoding="utf-8")
    failed = sum(bool(one.problem) for one in findings)
    click.echo(f"{len(findings) - failed} of {len(findings)} checks passed; report: {path}")
    if failed or not passed:
        sys.exit(1)


@main.command()
@click.option("--targets", is_flag=True, help="Also the GPUs that `kernels` makes code for, here or not.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@reported
def devices(targets: bool, as_json: bool) -> None:
    """List the devices that programs can run on, and what is missing for others."""
    from tritloom.models.devices import report

    report(targets=targets, as_json=as_json)
