"""English text for pretraining a small model, from Debian packages with free licences.

- dict-jargon: the Jargon File, public domain; paragraphs of prose.
- dict-wn: WordNet 3.0, Princeton's permissive licence (its notice belongs into the model's card); definitions and
  example sentences, as prose and as questions with answers, so that a base model knows the chat form.

The fine-tuning demo's data (chatterbot-corpus) is not part of it.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tritloom.models.data import Example, split_examples
from tritloom.models.errors import DataError

INSTALLED = Path("/")
"""Where Debian's packages are installed."""
PACKAGES = ("dict-jargon", "dict-wn")
_FILES = {"dict-jargon": "usr/share/dictd/jargon.dict.dz", "dict-wn": "usr/share/dictd/wn.dict.dz"}
_PARTS_OF_SPEECH = {"n": "noun", "v": "verb", "adj": "adjective", "adv": "adverb"}
# Entries that a small model had better not repeat, by words of their definitions.
_UNWANTED = re.compile(
    r"\b(offensive|ethnic slur|slur|derogatory|disparag\w*|obscen\w*|vulgar\w*|insulting|contempt\w*|racis\w*"
    r"|negroid|negro|dark-skinned|rap(e|es|ed|ing|ist)|porn\w*|fuck\w*|shit\w*|nazi\w*"
    r"|prostitut\w*|sexual\w*|genital\w*|intercourse)\b",
    re.IGNORECASE,
)
# Lists of species and places teach names, not English.
_TAXONOMY = re.compile(
    r"\b(genus|genera|family|order of|species|taxonomic|capital of|a town in|a city in|a river)\b"
)
_SENSE = re.compile(r"^ +(?:(n|v|adj|adv) )?(\d+): ")
_QUOTED = re.compile(r'"([^"]+)"')


@dataclass(frozen=True, slots=True)
class Corpus:
    """Pretraining examples; `heldout` is chosen by each document's hash and never trained on."""

    training: tuple[Example, ...]
    heldout: tuple[Example, ...]

    def statistics(self) -> dict[str, dict[str, int]]:
        """Per side: documents, conversations (documents in the chat form), characters, words."""
        return {"training": _count(self.training), "heldout": _count(self.heldout)}


def load_corpus(
    cache: str | Path | None = None,
    *,
    fetch: bool = False,
    characters: int = 5_000_000,
    heldout: float = 0.02,
) -> Corpus:
    """The text of :data:`PACKAGES`, cleaned, about `characters` long; the same packages give the same corpus.

    A package is read from where it is installed, else from `cache`; with `fetch` it is first downloaded and unpacked
    into `cache` by apt-get and dpkg, without installing it. Raises DataError where a package cannot be had.
    """
    texts = {name: _read_package(name, None if cache is None else Path(cache), fetch) for name in PACKAGES}
    examples = list(_jargon(texts["dict-jargon"]))
    left = characters - _count(tuple(examples))["characters"]
    ordered = sorted(_wordnet(texts["dict-wn"]), key=_preference)
    for example in ordered:
        size = len(example.prompt or "") + len(example.completion)
        if left < size:
            break
        left -= size
        examples.append(example)
    examples.sort(key=_digest)
    training, kept = split_examples(examples, heldout)
    return Corpus(tuple(training), tuple(kept))


def default_corpus() -> Corpus:
    """:func:`load_corpus`, with packages that are not installed fetched into the user's cache folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tritloom" / "corpus"
    return load_corpus(cache, fetch=True)


def _count(examples: tuple[Example, ...]) -> dict[str, int]:
    total = Counter({"documents": len(examples), "conversations": 0, "characters": 0, "words": 0})
    for example in examples:
        total["conversations"] += example.prompt is not None
        for text in (example.prompt or "", example.completion):
            total["characters"] += len(text)
            total["words"] += len(text.split())
    return dict(total)


def _digest(example: Example) -> bytes:
    return hashlib.sha256(f"{example.prompt}\n{example.completion}".encode()).digest()


def _preference(example: Example) -> tuple[bool, bytes]:
    """Senses with example sentences first; beyond that, a fixed random order."""
    return "For example:" not in example.completion and example.prompt is None, _digest(example)


def _read_package(name: str, cache: Path | None, fetch: bool) -> str:
    places = [INSTALLED / _FILES[name], *([] if cache is None else [cache / name / _FILES[name]])]
    if fetch and cache is not None and not any(place.exists() for place in places):
        _fetch_package(name, cache)
    for place in places:
        if place.exists():
            try:
                return gzip.decompress(place.read_bytes()).decode()
            except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
                raise DataError(f"damaged: {error}", file=place, hint=f"install {name} again") from None
    raise DataError(
        f"the text of Debian's package {name} is neither installed nor in the cache folder",
        hint=f"apt-get install {name}, or name a cache folder and allow fetching",
    )


def _fetch_package(name: str, cache: Path) -> None:
    """Download and unpack one package into `cache/name`."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        try:
            subprocess.run(
                ["apt-get", "download", name], cwd=folder, check=True, capture_output=True, text=True
            )
            archive = next(Path(folder).glob("*.deb"))
            subprocess.run(
                ["dpkg", "-x", archive.name, "unpacked"],
                cwd=folder,
                check=True,
                capture_output=True,
                text=True,
            )
            shutil.rmtree(cache / name, ignore_errors=True)
            (Path(folder) / "unpacked").rename(cache / name)
        except (OSError, StopIteration, subprocess.CalledProcessError) as error:
            reason = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else str(error)
            raise DataError(
                f"Debian's package {name} cannot be fetched: {reason}", hint=f"apt-get install {name}"
            ) from None


def _entries(text: str) -> Iterator[tuple[str, list[str]]]:
    """(headword, indented lines) of each entry of a dictd file; its notices (`00-database...`) are left out."""
    headword, lines = "", list[str]()
    for line in text.split("\n"):
        if line and not line.startswith(" "):
            if headword and not headword.startswith("00-database"):
                yield headword, lines
            headword, lines = line.strip(), []
        else:
            lines.append(line.rstrip())
    if headword:
        yield headword, lines


def _clean(text: str) -> str:
    """One line of plain English: no braces, typographic quotes, control characters or runs of spaces."""
    text = text.translate(_PLAIN)
    text = re.sub(r"\{\s*([^{}]*?)\s*\}", r"\1", text)
    text = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(text.split())


_PLAIN = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "—": " - ", "–": "-", "…": "..."})


def _jargon(text: str) -> Iterator[Example]:
    """An entry as `headword: paragraphs`, without pronunciation lines, tables, ASCII art and see-only entries."""
    for headword, lines in _entries(text):
        paragraphs = []
        for block in re.split(r"\n\s*\n", "\n".join(lines)):
            body = [line for line in block.split("\n") if line.startswith("    ")]
            joined = _clean(" ".join(body))
            letters = sum(c.isalpha() or c == " " for c in joined)
            drawing = any(re.search(r"\S {3,}\S", line.strip()) for line in body)
            if len(joined) < 40 or drawing or letters < 0.85 * len(joined) or _UNWANTED.search(joined):
                continue
            paragraphs.append(re.sub(r"^\d+\. ", "", joined))
        if paragraphs:
            yield Example(None, f"{_clean(headword)}: " + "\n".join(paragraphs))


def _wordnet(text: str) -> Iterator[Example]:
    """Each definition once, under one of its words: prose for most, a question and its answer for some."""
    words: dict[tuple[str, str], list[str]] = {}
    for headword, lines in _entries(text):
        if headword[0].isupper():
            continue
        for part, sense in _senses(lines):
            sense = _clean(sense.partition("[syn:")[0].partition("[ant:")[0]).rstrip("; ")
            if not _UNWANTED.search(sense) and not _TAXONOMY.search(sense):
                words.setdefault((part, sense), []).append(headword)
    for (part, sense), headwords in words.items():
        definition = _QUOTED.split(sense)[0].rstrip("; ")
        sentences = [_sentence(quoted) for quoted in _QUOTED.findall(sense)]
        sentences = [sentence for sentence in sentences if len(sentence) > 12]
        spoken = " ".join(sentences).lower()
        # The word that the sentences use; the shortest where they use none, as the commonest word often is.
        headword = min(headwords, key=lambda word: (word.lower().rstrip("ey") not in spoken, len(word), word))
        if len(definition) >= 12 and definition[0].isalpha():
            yield _present(headword, part, definition, sentences)


def _senses(lines: list[str]) -> Iterator[tuple[str, str]]:
    """(part of speech, text) of each numbered sense of an entry."""
    part, sense = "", list[str]()
    for line in lines:
        match = _SENSE.match(line)
        if match:
            if sense:
                yield part, " ".join(sense)
            part = match[1] or part
            sense = [line[match.end() :]]
        elif sense:
            sense.append(line.strip())
    if sense:
        yield part, " ".join(sense)


def _sentence(text: str) -> str:
    """With a capital at the beginning and a stop at the end."""
    text = text.strip(" ;,")
    return text[:1].upper() + text[1:] + ("" if text[-1:] in tuple(".!?") else ".")


def _present(headword: str, part: str, definition: str, sentences: list[str]) -> Example:
    choice = hashlib.sha256(f"{headword}{definition}".encode()).digest()[0] % 8
    meaning = _sentence(definition)
    if choice == 0:
        return Example(f'What does "{headword}" mean?', meaning)
    if choice == 1 and sentences:
        return Example(f'Use "{headword}" in a sentence.', sentences[0])
    if choice == 1 and definition.startswith(("a ", "an ", "any ", "someone ")):
        return Example(f"What is {_article(headword)}{headword}?", meaning)
    example = f" For example: {' '.join(sentences)}" if sentences else ""
    return Example(None, f"{headword} ({_PARTS_OF_SPEECH.get(part, 'word')}): {meaning}{example}")


def _article(noun: str) -> str:
    return "an " if noun[0].lower() in "aeiou" else "a "
