"""Tokenizers: the tokenizer.json of a model folder, and byte-level BPE trained for a small model of one's own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from tritloom.models.config import ModelConfig
from tritloom.models.errors import TokenizerError
from tritloom.models.files import locate, save_files
from tritloom.models.jsonfile import read_object

TOKENIZER_NAME = "tokenizer.json"
TOKENIZER_CONFIG_NAME = "tokenizer_config.json"
END_OF_TEXT = "<|endoftext|>"
USER = "<|user|>"
ASSISTANT = "<|assistant|>"
SPECIAL_TOKENS = (END_OF_TEXT, USER, ASSISTANT)
"""The special tokens of a trained tokenizer; their ids are 0, 1 and 2."""


class Tokenizer:
    """Text to token ids and back. `bos_id` starts every sequence (None: nothing does); `eos_ids` end a text."""

    def __init__(
        self, inner: tokenizers.Tokenizer, *, bos_id: int | None = None, eos_ids: tuple[int, ...] = ()
    ):
        self._inner = inner
        self.bos_id = bos_id
        self.eos_ids = eos_ids

    @property
    def vocab_size(self) -> int:
        """One more than the largest token id."""
        return max(self._inner.get_vocab(with_added_tokens=True).values(), default=-1) + 1

    def encode(self, text: str) -> list[int]:
        """The ids of `text`; nothing is put before or after it. Special tokens written in the text are recognised."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, as :meth:`encode` gives them, on all cores."""
        try:
            return [
                encoding.ids for encoding in self._inner.encode_batch(list(texts), add_special_tokens=False)
            ]
        except (TypeError, UnicodeEncodeError):
            raise TokenizerError("a text holds half of a surrogate pair, which is no character") from None

    def decode(self, ids: Sequence[int], *, special_tokens: bool = False) -> str:
        """The text of `ids`, special tokens written out or left out. Bytes of no character become U+FFFD."""
        return str(self._inner.decode([int(token) for token in ids], skip_special_tokens=not special_tokens))

    def token_id(self, token: str) -> int | None:
        """The id of one token by its text, None where there is none."""
        found = self._inner.token_to_id(token)
        return None if found is None else int(found)

    def files(self) -> dict[str, bytes]:
        """The files of this tokenizer in a model folder: the `extra` of `save_checkpoint`."""
        return {TOKENIZER_NAME: self._inner.to_str(pretty=True).encode()}

    def save(self, folder: str | Path) -> None:
        """Write tokenizer.json into `folder`. Raises SaveError."""
        save_files(folder, self.files())


def load_tokenizer(folder: str | Path, config: ModelConfig | None = None) -> Tokenizer:
    """Read the tokenizer of a model folder; `config` gives its bos and eos ids and its largest allowed id.

    Where the config has no eos id, tokenizer_config.json's eos_token is taken, else `<|endoftext|>`. Raises
    TokenizerError where tokenizer.json is missing, damaged or has more tokens than the model.
    """
    folder = Path(folder)
    file = locate(folder, TOKENIZER_NAME)
    try:
        text = file.read_bytes().decode()
        inner = tokenizers.Tokenizer.from_str(text)
    except OSError as error:
        raise TokenizerError(
            f"cannot read {file}: {error.strerror}", hint=f"copy the model's {TOKENIZER_NAME} into its folder"
        ) from None
    except Exception as error:  # noqa: BLE001  (the library raises bare Exception for damaged files)
        raise TokenizerError(f"{file} is not a tokenizer: {error}") from None
    inner.no_truncation()
    inner.no_padding()
    tokenizer = Tokenizer(inner)
    if config is not None:
        if tokenizer.vocab_size > config.vocab_size:
            raise TokenizerError(
                f"{file} has token ids up to {tokenizer.vocab_size - 1}, "
                f"but the model's vocab_size is {config.vocab_size}"
            )
        tokenizer.bos_id, tokenizer.eos_ids = config.bos_token_id, config.eos_token_ids
    if not tokenizer.eos_ids:
        end = tokenizer.token_id(_eos_token(folder))
        tokenizer.eos_ids = () if end is None else (end,)
    return tokenizer


def _eos_token(folder: Path) -> str:
    file = locate(folder, TOKENIZER_CONFIG_NAME)
    token = read_object(file, TokenizerError).get("eos_token") if file.exists() else None
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) else END_OF_TEXT


def train_bpe(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """A byte-level BPE tokenizer of at most `vocab_size` tokens, the special tokens and the 256 bytes among them.

    Digits are single tokens; special tokens written in the texts teach it nothing. The same texts give the same
    tokenizer. Raises TokenizerError where `vocab_size` has no room for the bytes.
    """
    smallest = 256 + len(SPECIAL_TOKENS)
    if vocab_size < smallest:
        raise TokenizerError(f"a byte-level tokenizer needs at least {smallest} tokens, not {vocab_size}")
    inner = tokenizers.Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    special = re.compile("|".join(map(re.escape, SPECIAL_TOKENS)))
    inner.train_from_iterator((special.split(text) for text in texts), trainer)
    return Tokenizer(inner, eos_ids=(SPECIAL_TOKENS.index(END_OF_TEXT),))
