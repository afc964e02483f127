"""Training data: examples from files and packages, their split, their tokens in rows of one length, and batches."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from tritloom.models.chat import Turn, chat_format
from tritloom.models.errors import DataError, describe
from tritloom.models.tokenizer import Tokenizer

IGNORED = -100
"""The label of a token that takes no part in the loss."""

LINE_FORMS = (
    '{"prompt", "completion"}, {"question", "answer"}, {"messages": [{"role", "content"}]} or {"text"}'
)
"""The keys of an object on a line of .jsonl."""
_DOCUMENT_CHARACTERS = 1000
_OPEN_ROWS = 64
# Files of chatterbot-corpus whose conversations are a question and several answers to it, not a dialogue.
_ANSWER_LISTS = ("computers", "emotion")


@dataclass(frozen=True, slots=True)
class Example:
    """A question and its answer, with the turns before them; or plain text: `completion` alone, `prompt` None."""

    prompt: str | None
    completion: str
    history: tuple[Turn, ...] = ()

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The whole conversation; empty for plain text."""
        if self.prompt is None:
            return ()
        return (*self.history, Turn("user", self.prompt), Turn("assistant", self.completion))


class EncodedExamples(NamedTuple):
    """Rows of tokens. `labels[r, t]` is `ids[r, t]` where that token is to be learnt, else -100; the model shifts them.

    `truncated` counts the examples that were longer than a row.
    """

    ids: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int32]
    truncated: int


def load_examples(path: str | Path) -> list[Example]:
    """Read FILE.jsonl (one JSON object a line) or FILE.txt (plain text, cut at blank lines into documents).

    Raises DataError with the file and line that is wrong.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".jsonl", ".txt"):
        raise DataError(
            "the name must end in .jsonl or .txt", file=path, hint=f"a line of .jsonl is {LINE_FORMS}"
        )
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", file=path) from None
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    lines = [_decode(line, path, number) for number, line in enumerate(raw.split(b"\n"), 1)]
    if suffix == ".txt":
        examples = [Example(None, text) for text in _documents(lines)]
    else:
        examples = [_parse_line(line, path, number) for number, line in enumerate(lines, 1) if line.strip()]
    if not examples:
        raise DataError("the file is empty", file=path, hint="it needs at least one example")
    return examples


def chatterbot_examples() -> list[Example]:
    """The English questions and answers of the package chatterbot-corpus (BSD licence), each pair once.

    A dialogue gives a pair for each two neighbouring lines. The corpus repeats some pairs a hundred times; repeats are
    dropped, so that none stands on both sides of a split. Raises DataError where the package is missing.
    """
    hint = "in a clone of the project: python -m pip install '.[demo]'"
    spec = importlib.util.find_spec("chatterbot_corpus")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("the package chatterbot-corpus is not installed", hint=hint)
    try:
        import yaml
    except ImportError:
        raise DataError("the package PyYAML is not installed", hint=hint) from None
    folder = Path(next(iter(spec.submodule_search_locations))) / "data" / "english"
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    pairs: dict[tuple[str, str], Example] = {}
    for file in sorted(folder.glob("*.yml")):
        try:
            document = yaml.load(file.read_text(encoding="utf-8"), Loader=loader)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise DataError(f"cannot be read: {error}", file=file, hint=hint) from None
        for prompt, completion in _pairs(document, file.stem in _ANSWER_LISTS):
            pairs.setdefault((_normal(prompt), _normal(completion)), Example(prompt, completion))
    if not pairs:
        raise DataError("no English conversations in the package chatterbot-corpus", file=folder, hint=hint)
    return list(pairs.values())


def split_examples(
    examples: Sequence[Example], heldout: float, seed: int = 0
) -> tuple[list[Example], list[Example]]:
    """(training, held-out) examples. Examples with the same question, or the same text, are never on both sides.

    An example's side depends on its question and `seed` alone, so about the part `heldout` of the questions is held
    out. With two or more questions neither side is empty unless `heldout` is 0; a single one is for training.
    """
    if not 0 <= heldout < 1:
        raise DataError(f"the held-out part is {heldout}; it must be from 0 to 1, without 1")
    ranks = [_rank(example, seed) for example in examples]
    distinct = sorted(set(ranks))
    if heldout == 0 or len(distinct) < 2:
        return list(examples), []
    bound = min(max(heldout, np.nextafter(distinct[0], 1)), distinct[-1])
    training = [example for example, rank in zip(examples, ranks) if rank >= bound]
    return training, [example for example, rank in zip(examples, ranks) if rank < bound]


def encode_examples(
    examples: Iterable[Example],
    tokenizer: Tokenizer,
    context: int,
    *,
    pack: bool = True,
    learn_prompts: bool = False,
) -> EncodedExamples:
    """Tokens of the examples in rows of `context`: ids and labels, int32 [rows, context].

    Answers and plain text are learnt; questions only with `learn_prompts`. With `pack` a row holds as many whole
    examples as fit, else one. What is left of a row holds the end token, ignored. Where all of an example is learnt
    and it is longer than a row, it goes on in the next one; else the end of the answer is cut off, and before that the
    beginning of what precedes the answer, so that at least half of the row is answer. The order is nearly that of
    `examples`: a short example may fill an earlier row's end.
    """
    if context < 2:
        raise DataError(f"the context is {context}; it must be 2 tokens or more")
    examples = list(examples)
    padding = tokenizer.eos_ids[0] if tokenizer.eos_ids else 0
    rows: list[tuple[list[int], list[int]]] = []
    open_rows: list[tuple[list[int], list[int]]] = []
    truncated = 0
    for ids, learnt in _encoded(examples, tokenizer, learn_prompts):
        if len(ids) > context and not all(learnt):
            truncated += 1
            ids, learnt = _shortened(ids, learnt, context)
        for start in range(0, len(ids), context):
            piece = ids[start : start + context]
            labels = [
                token if wanted else IGNORED for token, wanted in zip(piece, learnt[start : start + context])
            ]
            labels[0] = IGNORED  # nothing of this example precedes its first token
            row = next((row for row in open_rows if len(row[0]) + len(piece) <= context), None)
            if row is None:
                row = ([], [])
                rows.append(row)
                open_rows = [*open_rows, row][-_OPEN_ROWS:] if pack else []
            row[0].extend(piece)
            row[1].extend(labels)
    filled_ids = np.full((len(rows), context), padding, np.int32)
    filled_labels = np.full((len(rows), context), IGNORED, np.int32)
    for number, (ids, labels) in enumerate(rows):
        filled_ids[number, : len(ids)] = ids
        filled_labels[number, : len(labels)] = labels
    return EncodedExamples(filled_ids, filled_labels, truncated)


def batches(
    encoded: EncodedExamples, size: int, *, seed: int = 0, start: int = 0
) -> Iterator[EncodedExamples]:
    """Endless training batches of `size` rows, from the batch numbered `start` on.

    Every pass over the rows has its own order, given by `seed` and the pass; a batch may span two passes. The same
    arguments give the same batches, so a run that is resumed at `start` sees what it would have seen.
    """
    rows = len(encoded.ids)
    if rows == 0 or size < 1:
        raise DataError(f"no batches of {size} rows from {rows} rows of tokens")
    order: dict[int, npt.NDArray[np.intp]] = {}
    number = start
    while True:
        chosen = []
        for position in range(number * size, (number + 1) * size):
            turn, offset = divmod(position, rows)
            if turn not in order:
                order = {turn: np.random.default_rng((seed, turn)).permutation(rows)}
            chosen.append(order[turn][offset])
        yield EncodedExamples(encoded.ids[chosen], encoded.labels[chosen], 0)
        number += 1


def evaluation_batches(encoded: EncodedExamples, size: int) -> Iterator[EncodedExamples]:
    """Every row once, in order, in batches of `size` rows; rows that fill up the last batch are ignored everywhere."""
    if size < 1:
        raise DataError(f"no batches of {size} rows")
    for start in range(0, len(encoded.ids), size):
        ids, labels = encoded.ids[start : start + size], encoded.labels[start : start + size]
        lacking = ((0, size - len(ids)), (0, 0))
        yield EncodedExamples(np.pad(ids, lacking), np.pad(labels, lacking, constant_values=IGNORED), 0)


def _decode(line: bytes, path: Path, number: int) -> str:
    try:
        return line.decode().removesuffix("\r")
    except UnicodeDecodeError as error:
        raise DataError(
            f"not UTF-8 text (byte {error.start + 1} of the line)", file=path, line=number
        ) from None


def _documents(lines: Iterable[str]) -> Iterator[str]:
    """Paragraphs, joined until they have some length."""
    paragraphs: list[str] = []
    for paragraph in "\n".join(line.rstrip() for line in lines).split("\n\n"):
        if paragraph.strip():
            paragraphs.append(paragraph.strip("\n"))
        if sum(map(len, paragraphs)) >= _DOCUMENT_CHARACTERS:
            yield "\n\n".join(paragraphs)
            paragraphs = []
    if paragraphs:
        yield "\n\n".join(paragraphs)


def _parse_line(line: str, path: Path, number: int) -> Example:
    try:
        fields = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        raise DataError(f"not valid JSON: {error}", file=path, line=number) from None
    if not isinstance(fields, dict):
        raise DataError(
            f"{describe(fields)} is not a JSON object", file=path, line=number, hint=f"write {LINE_FORMS}"
        )
    if "messages" in fields:
        return _parse_messages(fields["messages"], path, number)
    for question, answer in (("prompt", "completion"), ("question", "answer")):
        if question in fields or answer in fields:
            return Example(_text(fields, question, path, number), _text(fields, answer, path, number))
    if "text" in fields:
        return Example(None, _text(fields, "text", path, number))
    found = ", ".join(map(repr, list(fields)[:6])) or "none"
    raise DataError(f"no known keys (found: {found})", file=path, line=number, hint=f"write {LINE_FORMS}")


def _parse_messages(messages: Any, path: Path, number: int) -> Example:
    if not isinstance(messages, list):
        raise DataError(f"messages is {describe(messages)}, not a list", file=path, line=number)
    turns: list[Turn] = []
    for message in messages:
        if not isinstance(message, dict):
            raise DataError(f"message {describe(message)} is not a JSON object", file=path, line=number)
        role: Any = message.get("role")
        expected = (
            ("assistant",)
            if turns and turns[-1].role == "user"
            else ("user",)
            if turns
            else ("user", "system")
        )
        if role not in expected:
            raise DataError(
                f"message {len(turns) + 1} has the role {describe(role)}, expected {' or '.join(expected)}",
                file=path,
                line=number,
                hint="an optional system message, then user and assistant in turn",
            )
        turns.append(Turn(role, _text(message, "content", path, number)))
    if len(turns) < 2 or turns[-1].role != "assistant":
        raise DataError("messages must end with an answer of the assistant", file=path, line=number)
    return Example(turns[-2].content, turns[-1].content, tuple(turns[:-2]))


def _text(fields: dict[str, Any], name: str, path: Path, number: int) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        missing = f"{name} is missing" if name not in fields else f"{name} is {describe(value)}, not a string"
        raise DataError(missing, file=path, line=number)
    if not value.strip():
        raise DataError(f"{name} is empty", file=path, line=number)
    return value


def _pairs(document: Any, answer_lists: bool) -> Iterator[tuple[str, str]]:
    conversations = document.get("conversations") if isinstance(document, dict) else None
    for lines in conversations or ():
        if not isinstance(lines, list):
            continue
        texts = [str(line).strip() for line in lines]
        prompts = texts[:1] * (len(texts) - 1) if answer_lists else texts
        yield from ((prompt, answer) for prompt, answer in zip(prompts, texts[1:]) if prompt and answer)


def _normal(text: str) -> str:
    """Letters and digits in lower case: what makes two questions the same."""
    return " ".join("".join(c if c.isalnum() else " " for c in text.casefold()).split()) or text.strip()


def _rank(example: Example, seed: int) -> float:
    """A number from 0 to 1 that stands for the example's question, or its text."""
    text = example.completion if example.prompt is None else example.prompt
    first = example.history[0].content if example.history else text
    digest = hashlib.sha256(f"{seed}\n{_normal(first)}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / (1 << 48)


def _encoded(
    examples: Sequence[Example], tokenizer: Tokenizer, learn_prompts: bool
) -> Iterator[tuple[list[int], list[bool]]]:
    """The ids of each example and which of them are learnt."""
    texts = iter(
        tokenizer.encode_batch([example.completion for example in examples if example.prompt is None])
    )
    form = None if all(example.prompt is None for example in examples) else chat_format(tokenizer)
    for example in examples:
        if example.prompt is not None and form is not None:
            ids, spoken = form.encode(tokenizer, example.turns)
            yield ids, [True] * len(ids) if learn_prompts else spoken
        else:
            ids = [
                *([] if tokenizer.bos_id is None else [tokenizer.bos_id]),
                *next(texts),
                *tokenizer.eos_ids[:1],
            ]
            yield ids, [True] * len(ids)


def _shortened(ids: list[int], learnt: list[bool], context: int) -> tuple[list[int], list[bool]]:
    """At most `context` tokens around the last answer's beginning."""
    answer = len(learnt) - learnt[::-1].index(False)
    before = min(answer, max(context // 2, context - (len(ids) - answer)))
    start = answer - before
    return ids[start : start + context], learnt[start : start + context]
