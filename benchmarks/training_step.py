"""A whole LoRA training step of a BitNet of a published size, in tokens a second and bytes of memory.

Forward, backward and AdamW over random packed weights, rank-16 adapters on all seven projections, replayed after the
program was compiled. Speeds do not depend on what the weights are. Steps before the timed ones warm the device up: GPUs
raise their clocks only under load.

    python -m benchmarks.training_step --shape 125m --context 256 --batch 1 --device cpu --json
"""

from __future__ import annotations

import itertools
import json
import resource
import statistics
import time
from dataclasses import asdict, dataclass

import click
import numpy as np

from tritloom.backends.registry import device as find_device
from tritloom.models.adapter import new_adapter
from tritloom.models.checkpoint import Checkpoint, Tensor, tensor_shapes
from tritloom.models.cli import reported
from tritloom.models.config import PROJECTIONS, ModelConfig
from tritloom.models.model import Model
from tritloom.models.programs import lora_trainer
from tritloom.models.shapes import SHAPES
from tritloom.models.ternary import TernaryWeight, pack
from tritloom.models.training import Recipe

_MOST_STEPS = 1_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """One result; `peak_mib` is the process' greatest resident size."""

    device: str
    shape: str
    context: int
    batch: int
    precision: str
    compile_seconds: float
    step_seconds: float
    tokens_per_second: float
    peak_mib: float


def random_checkpoint(config: ModelConfig) -> Checkpoint:
    """A model of that config with random packed weights."""
    rng = np.random.default_rng(0)
    tensors: dict[str, Tensor] = {}
    for key, shape in tensor_shapes(config).items():
        if key.rpartition(".")[2] in PROJECTIONS:
            tensors[key] = TernaryWeight(pack(rng.integers(-1, 2, shape, dtype=np.int8)), 0.02, shape[0])
        elif len(shape) == 1:
            tensors[key] = np.ones(shape, np.float32)
        else:
            tensors[key] = rng.normal(0, 0.02, shape).astype(np.float32)
    return Checkpoint(config, tensors)


@click.command()
@click.option("--shape", type=click.Choice(list(SHAPES)), default="125m", show_default=True)
@click.option("--device", "device_name", default="cpu", show_default=True)
@click.option("--context", default=256, show_default=True, type=click.IntRange(1))
@click.option("--batch", default=1, show_default=True, type=click.IntRange(1))
@click.option("--precision", type=click.Choice(["f32", "bf16"]), default="f32", show_default=True)
@click.option(
    "--steps", default=5, show_default=True, type=click.IntRange(1), help="Timed steps; the median counts."
)
@click.option(
    "--warm-up",
    default=2.0,
    show_default=True,
    type=click.FloatRange(0),
    help="Seconds of steps before those.",
)
@click.option("--json", "as_json", is_flag=True)
@reported
def main(
    shape: str,
    device_name: str,
    context: int,
    batch: int,
    precision: str,
    steps: int,
    warm_up: float,
    as_json: bool,
) -> None:
    """Measure training steps."""
    config = SHAPES[shape]
    device = find_device(device_name)
    model = Model(random_checkpoint(config), device, precision)
    model.set_adapter(new_adapter(config, 16, 32.0))
    assert model.adapters is not None
    trainer = lora_trainer(model.graph, model.adapters, Recipe(_MOST_STEPS, 1e-4), device)
    rng = np.random.default_rng(1)
    ids = rng.integers(0, config.vocab_size, (batch, context)).astype(np.int32)
    placed = (model.weights, *model.batch(ids, ids))
    started = time.perf_counter()
    times: list[float] = []
    first = warm = 0.0
    for progress in trainer.run(itertools.repeat(placed), lambda _: batch * context):
        now = time.perf_counter()
        if progress.step == 1:
            first, warm = now - started, now + warm_up
        elif progress.step > 2 and now > warm:  # the second step may still make something ready
            times.append(progress.tokens / progress.tokens_per_second)
            if len(times) == steps:
                break
    seconds = statistics.median(times)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    speed = batch * context / seconds
    row = Row(
        device.name,
        shape,
        context,
        batch,
        precision,
        round(first, 1),
        round(seconds, 4),
        round(speed, 1),
        round(peak, 1),
    )
    click.echo(json.dumps(asdict(row)) if as_json else row)


if __name__ == "__main__":
    main()
