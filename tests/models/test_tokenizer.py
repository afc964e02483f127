"""Tokenizers and chat forms: trained ones are deterministic and lossless; damaged ones are TokenizerErrors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from tests.models.test_checkpoint import CONFIG
from tritloom.models.chat import Turn, chat_format
from tritloom.models.errors import TokenizerError
from tritloom.models.tokenizer import (
    ASSISTANT,
    END_OF_TEXT,
    SPECIAL_TOKENS,
    USER,
    Tokenizer,
    load_tokenizer,
    train_bpe,
)

TEXTS = ["the quick brown fox jumps over the lazy dog " * 3, "a quick question and the quick answer 1234"] * 4
TRAINED = train_bpe(TEXTS, 300)
CHAT_CONFIG = replace(CONFIG, vocab_size=400, eos_token_ids=(0,))


def with_tokens(*tokens: str) -> Tokenizer:
    """The trained tokenizer with other special tokens instead of ours."""
    inner = tokenizers.Tokenizer.from_str(TRAINED.files()["tokenizer.json"].decode())
    fields = json.loads(inner.to_str())
    fields["added_tokens"] = []
    for name in SPECIAL_TOKENS:
        fields["model"]["vocab"][f"unused{name}"] = fields["model"]["vocab"].pop(name)
    other = tokenizers.Tokenizer.from_str(json.dumps(fields))
    other.add_special_tokens(list(tokens))
    return Tokenizer(other)


@given(st.text())
def test_any_text_survives(text: str) -> None:
    assert TRAINED.decode(TRAINED.encode(text), special_tokens=True) == text


def test_special_tokens_come_first_and_are_left_out_of_text() -> None:
    assert [TRAINED.token_id(token) for token in SPECIAL_TOKENS] == [0, 1, 2]
    assert TRAINED.eos_ids == (0,)
    ids = TRAINED.encode(f"{USER}quick{END_OF_TEXT}")
    assert ids[0] == 1
    assert ids[-1] == 0
    assert TRAINED.decode(ids) == "quick"
    assert TRAINED.token_id("no such token") is None


def test_training_merges_and_is_deterministic() -> None:
    assert 259 < TRAINED.vocab_size <= 300
    assert len(TRAINED.encode("the quick")) < len("the quick")
    assert len(TRAINED.encode("1234")) == 4
    assert train_bpe(TEXTS, 300).files() == TRAINED.files()
    marked = [f"{USER}{text}{ASSISTANT}" for text in TEXTS]
    assert train_bpe(marked, 300).files() == TRAINED.files()
    with pytest.raises(TokenizerError, match="at least 259"):
        train_bpe(TEXTS, 258)


def test_half_of_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(TokenizerError, match="surrogate"):
        TRAINED.encode("\ud800")


def test_a_folder_round_trips_with_the_ids_of_its_config(tmp_path: Path) -> None:
    TRAINED.save(tmp_path)
    loaded = load_tokenizer(tmp_path, replace(CHAT_CONFIG, bos_token_id=5, eos_token_ids=(7, 8)))
    assert loaded.encode("the fox") == TRAINED.encode("the fox")
    assert (loaded.bos_id, loaded.eos_ids) == (5, (7, 8))
    assert load_tokenizer(tmp_path).eos_ids == (0,)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": {"content": ASSISTANT}}))
    assert load_tokenizer(tmp_path).eos_ids == (2,)


def test_missing_damaged_and_too_large(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"cannot read .*tokenizer\.json"):
        load_tokenizer(tmp_path)
    TRAINED.save(tmp_path)
    with pytest.raises(TokenizerError, match="vocab_size is 280"):
        load_tokenizer(tmp_path, replace(CONFIG, vocab_size=280))
    for content in (b"", b"{}", b"\xff", b'{"model": 3}'):
        (tmp_path / "tokenizer.json").write_bytes(content)
        with pytest.raises(TokenizerError, match="is not a tokenizer"):
            load_tokenizer(tmp_path)


def test_our_chat_form() -> None:
    form = chat_format(TRAINED)
    turns = (
        Turn("user", "the fox"),
        Turn("assistant", "the dog"),
        Turn("user", "a"),
        Turn("assistant", "quick"),
    )
    ids, spoken = form.encode(TRAINED, turns)
    expected = f"{USER}the fox{ASSISTANT}the dog{END_OF_TEXT}{USER}a{ASSISTANT}quick{END_OF_TEXT}"
    assert TRAINED.decode(ids, special_tokens=True) == expected
    said = [token for token, own in zip(ids, spoken) if own]
    assert TRAINED.decode(said, special_tokens=True) == f"the dog{END_OF_TEXT}quick{END_OF_TEXT}"
    assert form.prompt(TRAINED, turns[:1]) == ids[: len(TRAINED.encode(f"{USER}the fox{ASSISTANT}"))]
    assert form.stop_ids(TRAINED) == {0}


def test_the_beginning_token_and_instructions() -> None:
    tokenizer = Tokenizer(TRAINED._inner, bos_id=9, eos_ids=(0,))
    ids = chat_format(tokenizer).prompt(tokenizer, (Turn("system", "a"), Turn("user", "the fox")))
    assert ids[0] == 9
    assert tokenizer.decode(ids[1:], special_tokens=True) == f"{USER}a\n\nthe fox{ASSISTANT}"


def test_the_forms_of_other_models() -> None:
    turns = (Turn("user", "the fox"), Turn("assistant", "the dog"))
    published = with_tokens("<|eot_id|>")
    ids, _ = chat_format(published).encode(published, turns)
    text = published.decode(ids, special_tokens=True)
    assert text == "User: the fox<|eot_id|>Assistant: the dog<|eot_id|>"
    plain = with_tokens("</s>")
    with pytest.raises(TokenizerError, match="no end-of-text token"):
        chat_format(plain)
    end = plain.token_id("</s>")
    assert end is not None
    plain.eos_ids = (end,)
    ids, _ = chat_format(plain).encode(plain, turns)
    assert plain.decode(ids, special_tokens=True) == "User: the fox\nAssistant: the dog</s>"
