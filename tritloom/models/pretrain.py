"""`tritloom pretrain`: train a small BitNet from scratch, quantisation-aware, and write it as a model folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from tritloom.backends.base import Device
from tritloom.backends.registry import device as find_device
from tritloom.codegen.ir.dtypes import f32
from tritloom.dsl.jit import Planned
from tritloom.dsl.tensor import Tensor, abstract, array
from tritloom.models.bitnet import Graph, Weights, rotation_tables, shifted_labels
from tritloom.models.checkpoint import Checkpoint, save_checkpoint, tensor_shapes
from tritloom.models.config import ModelConfig
from tritloom.models.corpus import default_corpus
from tritloom.models.data import (
    EncodedExamples,
    Example,
    batches,
    encode_examples,
    load_examples,
    split_examples,
)
from tritloom.models.errors import DataError
from tritloom.models.finetune import evaluate
from tritloom.models.memory import require_room
from tritloom.models.model import Model
from tritloom.models.programs import Sizes, abstract_batch, kernel_count, nbytes
from tritloom.models.reporting import Reporter, compiling, waiting
from tritloom.models.tokenizer import Tokenizer, train_bpe
from tritloom.models.training import Recipe, Trainer


@dataclass(frozen=True, slots=True)
class PretrainSettings:
    """What `tritloom pretrain` is asked for. Sizes are in elements, `context` in tokens."""

    out: Path
    device: str | None = None
    hidden: int = 256
    ffn: int = 704
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    vocab: int = 4096
    context: int = 256
    batch: int = 32
    steps: int = 2400
    learning_rate: float = 4e-3
    weight_decay: float = 0.05
    seed: int = 0


def pretrain(
    settings: PretrainSettings, training: Sequence[Example], heldout: Sequence[Example], reporter: Reporter
) -> float:
    """Train a tokeniser and a model on examples, save them packed, and return the held-out perplexity a token.

    The graph is that of BitNet-2B-4T with tied embeddings. Raises TritloomError's subclasses.
    """
    device = find_device(settings.device)
    with waiting(f"training a tokeniser on {len(training):,} examples"):
        tokenizer = train_bpe(_texts(training), settings.vocab)
    config = ModelConfig(
        hidden_size=settings.hidden,
        intermediate_size=settings.ffn,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.kv_heads,
        head_dim=settings.hidden // settings.heads,
        vocab_size=tokenizer.vocab_size,
        rms_norm_eps=1e-5,
        rope_theta=10000.0,
        max_position_embeddings=2 * settings.context,
        tie_word_embeddings=True,
        hidden_act="relu2",
        eos_token_ids=tokenizer.eos_ids,
    )
    with waiting("cutting the text into tokens"):
        rows = _rows(training, tokenizer, settings.context, "to train on")
        held = _rows(heldout, tokenizer, settings.context, "held out")
    reporter.say(
        f"{config.parameter_count():,} parameters, on {device.description}\n"
        f"{rows.ids.size:,} tokens to train on; {settings.steps:,} steps of {settings.batch} x {settings.context}"
    )
    graph = Graph(config)

    def loss(weights: Weights, ids: Tensor, labels: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        return graph.loss(weights, None, ids, labels, rotation)

    recipe = Recipe(
        settings.steps,
        settings.learning_rate,
        warmup=min(200, settings.steps // 10 + 1),
        weight_decay=settings.weight_decay,
        beta2=0.95,
    )
    trainer = Trainer(loss, _tree(config, lambda _, shape: abstract(shape, f32, device)), recipe, device)
    program = "a training step"
    if device.target.emitter != "none":
        with waiting(f"checking that {settings.batch} x {settings.context} tokens fit the memory"):
            program += f" of {kernel_count(_require_memory(trainer, config, settings))} kernels"
    trainer.parameters = initial_weights(config, device, settings.seed)
    save_checkpoint(settings.out, _packed(config, trainer.parameters), tokenizer.files(), rehearse=True)
    source = batches(rows, settings.batch, seed=settings.seed)
    steps = trainer.run(_placed(source, config, device), lambda placed: settings.batch * settings.context)
    reporter.track(steps, compiling(program, device))
    checkpoint = _packed(config, trainer.parameters)
    save_checkpoint(settings.out, checkpoint, tokenizer.files())
    with compiling("the held-out loss", device):
        perplexity = float(np.exp(evaluate(Model(checkpoint, device), held, settings.batch)))
    reporter.say(f"held-out perplexity {perplexity:.2f} a token\nmodel: {settings.out.resolve()}")
    return perplexity


def initial_weights(config: ModelConfig, device: Device, seed: int) -> Weights:
    """Master weights at the start: normal with deviation 0.02, those before a residual scaled by 1 / sqrt(2 layers);
    gains one."""
    random = np.random.default_rng(seed)

    def drawn(key: str, shape: tuple[int, ...]) -> Tensor:
        if len(shape) == 1:
            return array(np.ones(shape, np.float32), device=device)
        deviation = 0.02
        if key.endswith(("o_proj", "down_proj")):
            deviation /= math.sqrt(2 * config.num_hidden_layers)
        return array(random.normal(0, deviation, shape).astype(np.float32), device=device)

    return _tree(config, drawn)


def _tree(config: ModelConfig, tensor: Callable[[str, tuple[int, ...]], Tensor]) -> Weights:
    """The weights' tree, each tensor made from its key and shape."""
    weights: Weights = {"layers": [{} for _ in range(config.num_hidden_layers)]}
    for key, shape in tensor_shapes(config).items():
        if key.startswith("layers."):
            _, number, name = key.split(".")
            weights["layers"][int(number)][name] = tensor(key, shape)
        else:
            weights[key] = tensor(key, shape)
    return weights


def _require_memory(trainer: Trainer, config: ModelConfig, settings: PretrainSettings) -> Planned:
    """A training step, planned. Raises OutOfMemoryError if it does not fit the device, before anything is uploaded."""
    device, weights = trainer.device, nbytes(trainer.parameters)
    batch = abstract_batch(config, Sizes(settings.batch, settings.context), device)
    step = trainer.planned(*batch)
    parts = [
        (weights, "weights"),
        (2 * weights, "optimiser state"),
        (device.program_bytes(step.plan), "intermediate results of a step"),
        (nbytes(batch) + step.results + device.reserved_bytes, "copies and the batch"),
    ]
    require_room(
        device,
        parts,
        f"training {config.parameter_count():,} parameters with {settings.batch} x {settings.context} tokens",
        "choose a smaller --batch, --context, --layers or --hidden",
    )
    return step


def _packed(config: ModelConfig, weights: Weights) -> Checkpoint:
    """The model as it is saved."""
    return Checkpoint(config, _arrays(weights)).as_packed(float_dtype=ml_dtypes.bfloat16)


def _arrays(weights: Weights) -> dict[str, NDArray[np.float32]]:
    """The weights' tree as arrays by canonical key."""
    arrays = {key: np.asarray(value.numpy(), np.float32) for key, value in weights.items() if key != "layers"}
    for number, layer in enumerate(weights["layers"]):
        arrays |= {
            f"layers.{number}.{name}": np.asarray(value.numpy(), np.float32) for name, value in layer.items()
        }
    return arrays


def _rows(examples: Sequence[Example], tokenizer: Tokenizer, context: int, purpose: str) -> EncodedExamples:
    """All examples in rows of `context`, every token learnt."""
    encoded = encode_examples(examples, tokenizer, context, learn_prompts=True)
    if not len(encoded.ids):
        raise DataError(f"there is no text {purpose}", hint="add more examples, or paragraphs of plain text")
    return encoded


def _placed(
    source: Iterator[EncodedExamples], config: ModelConfig, device: Device
) -> Iterator[tuple[Tensor, Tensor, tuple[Tensor, Tensor]]]:
    rotation: tuple[Tensor, Tensor] | None = None
    for one in source:
        if rotation is None:
            cosines, sines = rotation_tables(config, 0, one.ids.shape[1])
            rotation = array(cosines, device=device), array(sines, device=device)
        yield array(one.ids, device=device), array(shifted_labels(one.labels), device=device), rotation


def pretraining_examples(files: Sequence[Path]) -> tuple[Sequence[Example], Sequence[Example]]:
    """(training, held-out) examples: of the files, or of the packages that the shipped model was made from."""
    if not files:
        with waiting("reading the texts of the packages"):
            corpus = default_corpus()
        return corpus.training, corpus.heldout
    return split_examples([example for file in files for example in load_examples(file)], 0.02)


def _texts(examples: Sequence[Example]) -> Iterator[str]:
    for example in examples:
        yield from (turn.content for turn in example.turns) if example.turns else (example.completion,)
