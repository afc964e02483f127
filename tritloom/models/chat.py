"""How a question and an answer become tokens: the one place that knows a model's chat form.

A model whose tokenizer has `<|user|>` and `<|assistant|>` (as ours does) is spoken to as
`<|user|>question<|assistant|>answer<|endoftext|>`; BitNet-2B-4T by its published template,
`User: question<|eot_id|>Assistant: answer<|eot_id|>`; any other model in plain lines, `User: question` and
`Assistant: answer`, and its end token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tritloom.models.errors import TokenizerError
from tritloom.models.tokenizer import ASSISTANT, USER, Tokenizer

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """What stands around the messages. An answer ends with the token `answer_end`."""

    user_start: str
    user_end: str
    assistant_start: str
    answer_end: int

    def encode(self, tokenizer: Tokenizer, turns: tuple[Turn, ...]) -> tuple[list[int], list[bool]]:
        """The ids of a conversation, and which of them the assistant says (its answers and their end tokens)."""
        pieces = [self._surrounded(turn) for turn in _without_system(turns)]
        encoded = tokenizer.encode_batch(
            [text for before, content, _ in pieces for text in (before, content)]
        )
        ids: list[int] = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
        spoken = [False] * len(ids)
        for number, (_, _, answered) in enumerate(pieces):
            before, content = encoded[2 * number], encoded[2 * number + 1]
            content = [*content, self.answer_end] if answered else content
            ids += before + content
            spoken += [False] * len(before) + [answered] * len(content)
        return ids, spoken

    def prompt(self, tokenizer: Tokenizer, turns: tuple[Turn, ...]) -> list[int]:
        """The ids after which the model is to answer the last of `turns`."""
        ids, _ = self.encode(tokenizer, turns)
        return ids + tokenizer.encode(self.user_end + self.assistant_start)

    def stop_ids(self, tokenizer: Tokenizer) -> frozenset[int]:
        """The tokens at which an answer is over."""
        return frozenset((self.answer_end, *tokenizer.eos_ids))

    def _surrounded(self, turn: Turn) -> tuple[str, str, bool]:
        if turn.role == "assistant":
            return self.user_end + self.assistant_start, turn.content, True
        return self.user_start, turn.content, False


def chat_format(tokenizer: Tokenizer) -> ChatFormat:
    """The chat form of the model that has this tokenizer. Raises TokenizerError where no token ends an answer."""
    turn_end = tokenizer.token_id("<|eot_id|>")
    if turn_end is not None:
        return ChatFormat("User: ", "<|eot_id|>", "Assistant: ", turn_end)
    if not tokenizer.eos_ids:
        raise TokenizerError("the tokenizer has no end-of-text token", hint="set eos_token_id in config.json")
    if tokenizer.token_id(USER) is not None and tokenizer.token_id(ASSISTANT) is not None:
        return ChatFormat(USER, "", ASSISTANT, tokenizer.eos_ids[0])
    return ChatFormat("User: ", "\n", "Assistant: ", tokenizer.eos_ids[0])


def _without_system(turns: tuple[Turn, ...]) -> list[Turn]:
    """Instructions become the beginning of the first question: small models' forms have no role for them."""
    instructions = [turn.content for turn in turns if turn.role == "system"]
    rest = [turn for turn in turns if turn.role != "system"]
    if instructions and rest:
        rest[0] = Turn(rest[0].role, "\n\n".join([*instructions, rest[0].content]))
    return rest
