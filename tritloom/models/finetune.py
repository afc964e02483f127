"""`tritloom finetune`: train a LoRA adapter on a frozen BitNet model, and show what it changed."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from tritloom.backends.registry import device as find_device
from tritloom.models.adapter import ADAPTER_CONFIG_NAME, SHIPPED_NAME, new_adapter, save_adapter
from tritloom.models.bitnet import Graph
from tritloom.models.chat import Turn, chat_format
from tritloom.models.config import PROJECTIONS, load_config
from tritloom.models.data import (
    IGNORED,
    EncodedExamples,
    Example,
    batches,
    chatterbot_examples,
    encode_examples,
    evaluation_batches,
    load_examples,
    split_examples,
)
from tritloom.models.errors import DataError, TrainingError
from tritloom.models.files import locate
from tritloom.models.generation import Generator
from tritloom.models.memory import require_memory
from tritloom.models.model import Model, load_model
from tritloom.models.programs import (
    Sizes,
    abstract_adapters,
    abstract_batch,
    abstract_weights,
    kernel_count,
    lora_trainer,
)
from tritloom.models.reporting import Reporter, compiling, counted, waiting
from tritloom.models.tokenizer import Tokenizer, load_tokenizer
from tritloom.models.training import Recipe

SHIPPED_MODEL = Path(__file__).parent / "base"
"""The small model that the package carries."""
SAMPLES = 3
"""How many questions are answered before and after."""
ANSWER_TOKENS = 40


@dataclass(frozen=True, slots=True)
class FinetuneSettings:
    """What `tritloom finetune` is asked for. `data` None means the demo's questions and answers; `steps` None means
    `epochs` passes over the data."""

    base: Path = SHIPPED_MODEL
    data: Path | None = None
    out: Path = Path("tritloom-adapter")
    device: str | None = None
    precision: str = "f32"
    rank: int = 16
    alpha: float = 32.0
    targets: tuple[str, ...] = PROJECTIONS
    steps: int | None = None
    epochs: float = 3.0
    batch: int = 8
    context: int = 128
    learning_rate: float = 2e-3
    heldout: float = 0.1
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a fine-tune did: losses in nats a token (None without held-out data), and where the adapter is."""

    steps: int
    loss_before: float | None
    loss_after: float | None
    answers: list[tuple[str, str, str]] = field(default_factory=list)
    """Questions, and the answers before and after."""
    adapter: Path = Path()


def finetune(settings: FinetuneSettings, reporter: Reporter) -> Outcome:
    """Train an adapter and save it in PEFT's format. Raises TritloomError's subclasses."""
    if not (math.isfinite(settings.epochs) and settings.epochs > 0):
        raise TrainingError(f"training of {settings.epochs} epochs", hint="ask for more than 0")
    device = find_device(settings.device)
    examples = chatterbot_examples() if settings.data is None else load_examples(settings.data)
    config = load_config(settings.base)
    tokenizer = load_tokenizer(settings.base, config)
    context = min(settings.context, config.max_position_embeddings)
    training, heldout = split_examples(examples, settings.heldout, settings.seed)
    encoded = _encode(training, tokenizer, context, "training")
    held = _encode(heldout, tokenizer, context, "held-out") if heldout else None
    batch = min(settings.batch, len(encoded.ids))
    steps = settings.steps or max(1, round(settings.epochs * len(encoded.ids) / batch))
    if context < settings.context:
        reporter.say(f"context {settings.context:,} -> {context:,} (the model's limit)")
    if batch < settings.batch:
        reporter.say(f"batch {settings.batch:,} -> {batch:,} (all the data)")
    adapter = new_adapter(config, settings.rank, settings.alpha, settings.targets, seed=settings.seed)
    sizes = Sizes(batch, context, settings.rank, settings.precision, adapter.target_modules)
    trainer = lora_trainer(
        Graph(config, {path: adapter.scaling(path) for path in adapter.modules()}, settings.precision),
        abstract_adapters(config, sizes.rank, device, sizes.targets),
        Recipe(steps, settings.learning_rate, warmup=max(1, min(20, steps // 10))),
        device,
    )
    program = "a training step"
    if device.target.emitter != "none":
        with waiting(f"checking that {batch} x {context} tokens fit the memory"):
            step = trainer.planned(abstract_weights(config, device), *abstract_batch(config, sizes, device))
            require_memory(config, sizes, device, step, evaluation=held is not None)
        program += f" of {kernel_count(step)} kernels"
    model = load_model(settings.base, device, settings.precision)
    reporter.say(
        f"base {settings.base.name}: {model.config.parameter_count():,} parameters, on {device.description}\n"
        f"{counted(len(training), 'example')} to train on, {len(heldout):,} held out; "
        f"{counted(steps, 'step')} of {batch} x {context} tokens"
    )
    if settings.heldout and held is None:
        reporter.say("too few examples to hold any out: no held-out loss")
    if locate(settings.out, ADAPTER_CONFIG_NAME).exists():
        reporter.say(f"{settings.out} holds an adapter, which the new one will replace")
    model.set_adapter(adapter)
    trained_on = SHIPPED_NAME if _is_shipped(settings.base) else str(settings.base)
    save_adapter(settings.out, model.current_adapter(), trained_on, rehearse=True)
    questions = _sample_questions(heldout or training, tokenizer, model.config.max_position_embeddings)
    with compiling("what answers questions", device):
        before = [answer(model, tokenizer, question) for question in questions]
    loss_before = None
    if held is not None:
        with compiling("the held-out loss", device):
            loss_before = evaluate(model, held, batch)
    if loss_before is not None:
        reporter.say(f"held-out loss before: {loss_before:.4f}")

    trainer.parameters = model.adapters
    source = batches(encoded, batch, seed=settings.seed)
    steps_done = trainer.run(_placed(model, source), lambda placed: batch * context)
    last = reporter.track(steps_done, compiling(program, device))
    model.adapters = trainer.parameters
    del trainer  # and with it the step's memory, before more programs are made
    save_adapter(settings.out, model.current_adapter(), trained_on)
    with waiting("measuring what the training changed"):
        loss_after = evaluate(model, held, batch) if held else None
        after = [answer(model, tokenizer, question) for question in questions]
    outcome = Outcome(
        last.step if last else 0,
        loss_before,
        loss_after,
        list(zip(questions, before, after, strict=True)),
        settings.out.resolve(),
    )
    _summarise(outcome, reporter)
    plain = all(example.prompt is None for example in examples)
    reporter.say(f"try it: {_generating(settings, plain)}")
    return outcome


def _encode(examples: Sequence[Example], tokenizer: Tokenizer, context: int, what: str) -> EncodedExamples:
    encoded = encode_examples(examples, tokenizer, context)
    if not np.any(encoded.labels[:, 1:] != IGNORED):
        raise DataError(
            f"the {what} examples hold no token to learn", hint="each example needs a non-empty answer"
        )
    return encoded


def _placed(model: Model, source: Iterator[EncodedExamples]) -> Iterator[tuple[object, ...]]:
    for one in source:
        yield (model.weights, *model.batch(one.ids, one.labels))


def evaluate(model: Model, encoded: EncodedExamples, batch: int) -> float:
    """The mean loss, in nats a token, over all rows."""
    total, count = 0.0, 0
    for one in evaluation_batches(encoded, batch):
        learnt = int(np.sum(one.labels[:, 1:] != IGNORED))
        if learnt:
            total += model.loss(one.ids, one.labels) * learnt
            count += learnt
    return total / count


def _sample_questions(examples: Sequence[Example], tokenizer: Tokenizer, positions: int) -> list[str]:
    """The first questions that leave the model room for an answer."""
    questions = list(dict.fromkeys(example.prompt for example in examples if example.prompt is not None))
    if not questions:
        return []
    chat = chat_format(tokenizer)
    fitting = (
        one
        for one in questions
        if len(chat.prompt(tokenizer, (Turn("user", one),))) + ANSWER_TOKENS <= positions
    )
    return list(islice(fitting, SAMPLES))


def answer(model: Model, tokenizer: Tokenizer, question: str) -> str:
    """The model's greedy answer to a question, of ANSWER_TOKENS at most."""
    chat = chat_format(tokenizer)
    ids = chat.prompt(tokenizer, (Turn("user", question),))
    generator = Generator(model, min(len(ids) + ANSWER_TOKENS, model.config.max_position_embeddings))
    tokens = generator.generate(ids, ANSWER_TOKENS, stop=tuple(chat.stop_ids(tokenizer)))
    return tokenizer.decode(list(tokens)).strip()


def _is_shipped(base: Path) -> bool:
    return base.resolve() == SHIPPED_MODEL.resolve()


def _generating(settings: FinetuneSettings, plain: bool) -> str:
    """The command that generates with the adapter."""
    words = ["tritloom", "generate", "--adapter", str(settings.out)]
    if not _is_shipped(settings.base):
        words += ["--base", str(settings.base)]
    if settings.device is not None:
        words += ["--device", settings.device]
    if plain:
        words.append("--plain")
    return shlex.join(words) + ' "..."'


def _summarise(outcome: Outcome, reporter: Reporter) -> None:
    if outcome.loss_before is not None and outcome.loss_after is not None:
        change = 100 * (outcome.loss_after / outcome.loss_before - 1)
        word = "more: fewer epochs, or more data, may help" if change > 0 else "less"
        reporter.say(
            f"held-out loss: {outcome.loss_before:.4f} -> {outcome.loss_after:.4f} ({abs(change):.1f}% {word})"
        )
    for question, before, after in outcome.answers:
        reporter.say(
            f"\nquestion: {question}\n  before: {before or '(nothing)'}\n  after:  {after or '(nothing)'}"
        )
    reporter.say(f"\nadapter: {outcome.adapter}")
