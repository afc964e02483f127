"""Training data: every mistake has its file and line; splits do not leak; rows and batches hold every token once."""

from __future__ import annotations

import gzip
import importlib.util
import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models.test_tokenizer import TRAINED
from tritloom.models.chat import Turn
from tritloom.models.corpus import PACKAGES, load_corpus
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
from tritloom.models.errors import DataError

GOOD = '{"prompt": "a", "completion": "b"}'


def test_the_forms_of_a_line(tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text(
        '\ufeff{"text": "plain"}\r\n\n'
        '{"prompt": "p", "completion": "c", "id": 7}\n'
        '  \n{"question": "q", "answer": "a"}\n'
        '{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"},'
        ' {"role": "assistant", "content": "x"}, {"role": "user", "content": "v"},'
        ' {"role": "assistant", "content": "y"}]}',
        encoding="utf-8",
    )
    history = (Turn("system", "s"), Turn("user", "u"), Turn("assistant", "x"))
    assert load_examples(file) == [
        Example(None, "plain"),
        Example("p", "c"),
        Example("q", "a"),
        Example("v", "y", history),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[1]", "not a JSON object"),
        ("{}", "no known keys"),
        ('{"foo": 1}', "no known keys.*'foo'"),
        ('{"text": 3}', "text is 3, not a string"),
        ('{"text": "  "}', "text is empty"),
        ('{"prompt": "a"}', "completion is missing"),
        ('{"completion": "a"}', "prompt is missing"),
        ('{"question": "a", "answer": null}', "answer is None"),
        ('{"messages": "hello"}', "not a list"),
        ('{"messages": [3]}', "message 3 is not a JSON object"),
        ('{"messages": []}', "must end with an answer"),
        ('{"messages": [{"role": "user", "content": "a"}]}', "must end with an answer"),
        (
            '{"messages": [{"role": "assistant", "content": "a"}]}',
            "role 'assistant', expected user or system",
        ),
        ('{"messages": [{"role": "user", "content": ["a"]}]}', "content is"),
        ('{"messages": [{"role": ["user"], "content": "a"}]}', "role"),
    ],
)
def test_a_wrong_line_is_named(line: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text(f"{GOOD}\n\n{line}\n{GOOD}\n")
    with pytest.raises(DataError, match=message) as caught:
        load_examples(file)
    assert str(caught.value).startswith(f"{file}:3: ")
    assert (caught.value.file, caught.value.line) == (str(file), 3)


@pytest.mark.parametrize("name", ["data.jsonl", "data.txt"])
def test_files_that_hold_nothing_or_no_text(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    with pytest.raises(DataError, match="cannot be read"):
        load_examples(file)
    for content in (b"", b" \n\n", b"\xef\xbb\xbf"):
        file.write_bytes(content)
        with pytest.raises(DataError, match="the file is empty"):
            load_examples(file)
    file.write_bytes(GOOD.encode() + b"\nab\xff\n")
    with pytest.raises(DataError, match=r":2: not UTF-8 text \(byte 3"):
        load_examples(file)
    with pytest.raises(DataError, match=r"must end in \.jsonl or \.txt"):
        load_examples(tmp_path / "data.csv")


def test_plain_text_is_cut_between_paragraphs(tmp_path: Path) -> None:
    file = tmp_path / "book.txt"
    paragraphs = [f"{number} " + "word " * 99 for number in range(10)]
    file.write_text("\n\n\n".join(paragraphs))
    examples = load_examples(file)
    assert len(examples) == 4
    assert all(example.prompt is None for example in examples)
    assert " ".join(e.completion for e in examples).split() == " ".join(paragraphs).split()


@given(st.binary(max_size=60))
def test_any_bytes_give_examples_or_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.mktemp("data") / "data.jsonl"
    file.write_bytes(content)
    with pytest.raises(DataError):
        load_examples(file)


def test_chatterbot_pairs_are_each_there_once() -> None:
    examples = chatterbot_examples()
    assert len(examples) > 1000
    pairs = Counter((example.prompt, example.completion) for example in examples)
    assert max(pairs.values()) == 1
    assert "What is AI?" in {example.prompt for example in examples}
    training, heldout = split_examples(examples, 0.1)
    assert 0.05 < len(heldout) / len(examples) < 0.15
    assert not {str(e.prompt).lower() for e in training} & {str(e.prompt).lower() for e in heldout}


def test_without_the_package_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="not installed") as caught:
        chatterbot_examples()
    assert "in a clone of the project: python -m pip install '.[demo]'" in caught.value.hint


@given(st.lists(st.sampled_from("abcdefgh"), max_size=30), st.floats(0, 0.99), st.integers(0, 3))
def test_a_split_keeps_every_example_and_parts_no_question(
    prompts: list[str], part: float, seed: int
) -> None:
    examples = [Example(f"{prompt}?", str(number)) for number, prompt in enumerate(prompts)]
    training, heldout = split_examples(examples, part, seed)
    assert sorted(e.completion for e in training + heldout) == sorted(e.completion for e in examples)
    assert not {e.prompt for e in training} & {e.prompt for e in heldout}
    assert bool(heldout) == (part > 0 and len(set(prompts)) > 1)
    assert bool(training) == bool(examples)


def test_a_questions_side_does_not_depend_on_the_others() -> None:
    examples = [Example(str(number), "x") for number in range(200)]
    _, heldout = split_examples(examples, 0.2)
    _, again = split_examples(examples[::-1][:150] + [Example("more", "x")], 0.2)
    assert {e.prompt for e in again} - {"more"} == {e.prompt for e in heldout if int(e.prompt or 0) >= 50}
    with pytest.raises(DataError, match="held-out part is 1"):
        split_examples(examples, 1.0)


def learnt(encoded: EncodedExamples) -> str:
    """The text of everything that is learnt, row by row."""
    return TRAINED.decode(encoded.labels[encoded.labels != IGNORED].tolist(), special_tokens=True)


def test_rows_hold_whole_examples_and_only_answers_are_learnt() -> None:
    examples = [Example("the fox", "the dog"), Example("a", "quick answer"), Example(None, "the lazy dog")]
    for pack, rows in ((True, 1), (False, 3)):
        encoded = encode_examples(examples, TRAINED, 40, pack=pack)
        assert encoded.ids.shape == encoded.labels.shape == (rows, 40)
        assert encoded.ids.dtype == encoded.labels.dtype == np.int32
        assert encoded.truncated == 0
        chosen = encoded.labels != IGNORED
        np.testing.assert_array_equal(encoded.labels[chosen], encoded.ids[chosen])
        first = TRAINED.decode(TRAINED.encode("the lazy dog")[:1])
        assert (
            learnt(encoded)
            == f"the dog<|endoftext|>quick answer<|endoftext|>{'the lazy dog'.removeprefix(first)}<|endoftext|>"
        )
    everything = encode_examples(examples[:1], TRAINED, 40, learn_prompts=True)
    assert learnt(everything) == "the fox<|assistant|>the dog<|endoftext|>"


def test_long_text_goes_on_and_long_conversations_are_cut() -> None:
    words = "the quick brown fox jumps over the lazy dog " * 20
    encoded = encode_examples([Example(None, words)], TRAINED, 16)
    flat = encoded.ids.reshape(-1).tolist()
    assert TRAINED.decode(flat) == words
    assert encoded.truncated == 0
    cut = encode_examples([Example(words, "the lazy dog"), Example("the fox", words)], TRAINED, 16)
    assert cut.truncated == 2
    assert TRAINED.decode(cut.labels[0][cut.labels[0] != IGNORED].tolist()) == "the lazy dog"
    assert (cut.labels[1] != IGNORED).sum() >= 8
    with pytest.raises(DataError, match="context is 1"):
        encode_examples([Example(None, words)], TRAINED, 1)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(2, 24))
def test_packing_loses_no_token(lengths: list[int], context: int) -> None:
    digits = [str(number % 9 + 1) * length for number, length in enumerate(lengths)]
    encoded = encode_examples([Example(None, text) for text in digits], TRAINED, context)
    found = Counter(TRAINED.decode(encoded.ids.reshape(-1).tolist()))
    assert found == Counter("".join(digits))


def numbered(rows: int) -> EncodedExamples:
    """Rows that hold their own number."""
    ids = np.repeat(np.arange(rows, dtype=np.int32)[:, None], 3, 1)
    return EncodedExamples(ids, ids, 0)


@given(st.integers(1, 12), st.integers(1, 7), st.integers(0, 5), st.integers(0, 9))
def test_batches_pass_over_all_rows_and_can_be_resumed(rows: int, size: int, seed: int, start: int) -> None:
    data = numbered(rows)
    stream = [
        batch.ids[:, 0].tolist()
        for batch in itertools.islice(batches(data, size, seed=seed), 2 * rows + start)
    ]
    flat = list(itertools.chain.from_iterable(stream))
    for turn in range(len(flat) // rows):
        assert sorted(flat[turn * rows : (turn + 1) * rows]) == list(range(rows))
    resumed = itertools.islice(batches(data, size, seed=seed, start=start), 2 * rows)
    assert [batch.ids[:, 0].tolist() for batch in resumed] == stream[start:]


def test_batches_are_shuffled_anew_by_pass_and_seed() -> None:
    data = numbered(50)
    first, second = (batch.ids[:, 0].tolist() for batch in itertools.islice(batches(data, 50), 2))
    other = next(batches(data, 50, seed=1)).ids[:, 0].tolist()
    assert first != second
    assert first != other
    with pytest.raises(DataError, match="0 rows of tokens"):
        next(batches(numbered(0), 2))


def test_evaluation_covers_every_row_once_in_batches_of_one_size() -> None:
    found = list(evaluation_batches(numbered(5), 2))
    assert [batch.ids.shape for batch in found] == [(2, 3)] * 3
    assert [batch.labels[:, 0].tolist() for batch in found] == [[0, 1], [2, 3], [4, IGNORED]]


JARGON = """
00-database-short
     The Jargon File
foo
 /foo/, n.

    1. A sample name for absolutely anything, see {bar}, used by “hackers” and
    their friends.

    +------+    +------+
    |  a   |    |  b   |

nothing
 n.

    See {foo}.

"""
WORDNET = """00-database-url
     an address
alkalify
    v 1: turn basic and less acidic; "the solution alkalized" [syn:
         {alkalize}, {alkalify}]
alkalize
    v 1: turn basic and less acidic; "the solution alkalized" [syn:
         {alkalize}, {alkalify}]
dog
    n 1: a member of the genus Canis
    2: a dull unattractive unpleasant girl or woman; an ethnic slur
    3: metal supports for logs in a fireplace; "the dogs were too
       hot to touch" [syn: {andiron}]
Nehru
    n 1: Indian statesman and leader with Gandhi
"""


def test_the_corpus_is_cleaned_and_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, file, text in (("dict-jargon", "jargon", JARGON), ("dict-wn", "wn", WORDNET)):
        place = tmp_path / name / "usr/share/dictd" / f"{file}.dict.dz"
        place.parent.mkdir(parents=True)
        place.write_bytes(gzip.compress(text.encode()))
    monkeypatch.setattr("tritloom.models.corpus.INSTALLED", tmp_path / "nowhere")
    corpus = load_corpus(tmp_path, heldout=0.3)
    assert load_corpus(tmp_path, heldout=0.3) == corpus
    found = [*corpus.training, *corpus.heldout]
    texts = " | ".join(f"{example.prompt} {example.completion}" for example in found)
    assert len(found) == 3
    assert (
        'foo: A sample name for absolutely anything, see bar, used by "hackers" and their friends.' in texts
    )
    assert "alkalize" in texts
    assert "alkalify" not in texts
    assert "dog" in texts
    assert not any(word in texts for word in ("genus", "slur", "Nehru", "---", "address", "{"))
    statistics = corpus.statistics()
    assert statistics["training"]["documents"] + statistics["heldout"]["documents"] == 3
    (tmp_path / "dict-wn" / "usr/share/dictd/wn.dict.dz").write_bytes(b"no gzip")
    with pytest.raises(DataError, match="damaged"):
        load_corpus(tmp_path)


def test_a_missing_package_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tritloom.models.corpus.INSTALLED", tmp_path / "nowhere")
    with pytest.raises(DataError, match="dict-jargon") as caught:
        load_corpus(tmp_path)
    assert "apt-get install dict-jargon" in caught.value.hint
    assert set(PACKAGES) == {"dict-jargon", "dict-wn"}
