"""Text from a model: greedy or sampled, token by token over a cache of keys and values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import tritloom.dsl.functions as F
from tritloom.codegen.errors import ShapeError
from tritloom.dsl.jit import Jitted
from tritloom.dsl.tensor import Tensor, array
from tritloom.models.bitnet import Adapters, Graph, Weights
from tritloom.models.chat import Turn, chat_format
from tritloom.models.model import Model, load_model
from tritloom.models.tokenizer import load_tokenizer

Caches = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. Temperature 0 is greedy. `top_k` 0 and `top_p` 1 restrict nothing."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.temperature >= 0 and self.top_k >= 0 and 0 < self.top_p <= 1):
            raise ShapeError(
                f"temperature {self.temperature}, top-k {self.top_k}, top-p {self.top_p} is no way to sample",
                hint="temperature >= 0, top-k >= 0, 0 < top-p <= 1",
            )

    def choose(self, logits: NDArray[np.float32], random: np.random.Generator) -> int:
        """The next token for logits [vocab]."""
        if self.temperature == 0:
            return int(np.argmax(logits))
        scaled = logits.astype(np.float64) / self.temperature
        order = np.argsort(-scaled, kind="stable")
        if self.top_k:
            order = order[: self.top_k]
        weights = np.exp(scaled[order] - scaled[order[0]])
        weights /= weights.sum()
        # The smallest set of the likeliest tokens that holds top_p of the probability.
        kept = int(np.searchsorted(np.cumsum(weights), self.top_p)) + 1
        weights = weights[:kept] / weights[:kept].sum()
        return int(random.choice(order[:kept], p=weights))


def generation_step(graph: Graph) -> Jitted:
    """One turn of generation: the caches with tokens [1, count] in them, and the logits after one of these."""

    def step(
        caches: Caches,
        weights: Weights,
        adapters: Adapters | None,
        ids: Tensor,
        rotation: tuple[Tensor, Tensor],
        offset: Tensor,
        last: Tensor,
    ) -> tuple[Caches, Tensor]:
        hidden, caches = graph.hidden(weights, adapters, ids, rotation, caches, offset)
        return caches, graph.logits(weights, F.gather(hidden, last))

    return Jitted(step, donate=(0,))


class Generator:
    """Continues token sequences. Holds the cache; one Generator serves one sequence at a time."""

    def __init__(self, model: Model, capacity: int):
        if not 1 <= capacity <= model.config.max_position_embeddings:
            raise ShapeError(
                f"a context of {capacity} tokens for a model with {model.config.max_position_embeddings} positions"
            )
        self.model = model
        self.capacity = capacity
        config = model.config
        self._step = generation_step(model.graph)
        shape = (1, capacity, config.num_key_value_heads, config.head_dim)
        empty = np.zeros(shape, np.float32)
        self._caches: Caches = [
            (array(empty, device=model.device), array(empty, device=model.device))
            for _ in range(config.num_hidden_layers)
        ]

    def _run(self, ids: Sequence[int], position: int) -> NDArray[np.float32]:
        """Logits [vocab] after the last of `ids`, which stand at `position` and on."""
        model = self.model
        # A program is traced for each length: lengths are powers of two, and what stands behind the end is
        # overwritten by the tokens that come to stand there.
        length = min(1 << (len(ids) - 1).bit_length(), self.capacity - position)
        padded = np.zeros((1, length), np.int32)
        padded[0, : len(ids)] = ids
        self._caches, logits = self._step(
            self._caches,
            model.weights,
            model.adapters,
            array(padded, device=model.device),
            model.rotation(position, length),
            array(np.array([position], np.int32), device=model.device),
            array(np.array([len(ids) - 1], np.int32), device=model.device),
        )
        return np.asarray(logits.numpy(), np.float32).reshape(-1)

    def generate(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        sampling: Sampling | None = None,
        stop: Sequence[int] = (),
    ) -> Iterator[int]:
        """The tokens that follow the prompt, up to `max_tokens`, the end of the context, or one of `stop`.

        The stopping token is not yielded. Raises ShapeError for an empty prompt or one that fills the context.
        """
        sampling = sampling or Sampling()
        if not len(prompt):
            raise ShapeError("the prompt holds no token", hint="write a prompt of one token or more")
        self.model.check_ids([list(prompt)])
        if len(prompt) >= self.capacity:
            raise ShapeError(
                f"the prompt has {len(prompt)} tokens, the context {self.capacity}",
                hint="make the context longer",
            )
        random = np.random.default_rng(sampling.seed)
        position, pending = 0, list(prompt)
        for _ in range(max_tokens):
            token = sampling.choose(self._run(pending, position), random)
            position += len(pending)
            if token in stop:
                return
            yield token
            pending = [token]
            if position >= self.capacity:
                return


def stream_text(
    base: Path,
    prompt: str,
    adapter: Path | None = None,
    *,
    device: str | None = None,
    plain: bool = False,
    max_tokens: int = 64,
    context: int = 256,
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 0,
) -> Iterator[str]:
    """The text that a model folder answers to `prompt` (or, with `plain`, continues it with), piece by piece."""
    model = load_model(base, device)
    if adapter is not None:
        model.load_adapter(adapter)
    tokenizer = load_tokenizer(base, model.config)
    if plain:
        ids = [*([] if tokenizer.bos_id is None else [tokenizer.bos_id]), *tokenizer.encode(prompt)]
        stop = tokenizer.eos_ids
    else:
        chat = chat_format(tokenizer)
        ids = chat.prompt(tokenizer, (Turn("user", prompt),))
        stop = tuple(chat.stop_ids(tokenizer))
    generator = Generator(model, min(context, model.config.max_position_embeddings))
    tokens: list[int] = []
    written = ""
    for token in generator.generate(ids, max_tokens, Sampling(temperature, top_k, top_p, seed), stop):
        tokens.append(token)
        text = tokenizer.decode(tokens)
        # A character may need several tokens: what ends in a replacement character is not complete yet.
        if not text.endswith("\ufffd"):
            yield text[len(written) :]
            written = text
    yield tokenizer.decode(tokens)[len(written) :]
