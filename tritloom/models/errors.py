"""The errors of the programs on the top floor: what is wrong with a file, and which file."""

from __future__ import annotations

from pathlib import Path

from tritloom.codegen.errors import TritloomError


class ConfigError(TritloomError):
    """A config.json that lacks a field, holds an impossible value, or asks for a graph that is not supported."""


class CheckpointError(TritloomError):
    """Weights that are damaged, incomplete, or do not match their config.json."""


class AdapterError(TritloomError):
    """A LoRA adapter that is damaged, does not fit its base model, or uses a feature that is not supported."""


class TokenizerError(TritloomError):
    """A tokenizer that is missing, damaged, or does not fit its model."""


class SaveError(TritloomError):
    """Files that could not be saved. What was there before is untouched."""


class DataError(TritloomError):
    """Training data that is missing or malformed. The message starts with `file:line:` where there is a line."""

    def __init__(
        self, message: str, *, file: str | Path | None = None, line: int | None = None, hint: str = ""
    ):
        self.file = None if file is None else str(file)
        self.line = line
        where = "" if file is None else f"{file}: " if line is None else f"{file}:{line}: "
        super().__init__(where + message, hint=hint)


def describe(value: object, limit: int = 80) -> str:
    """A value from a file for a message, cut to `limit` characters."""
    if isinstance(value, int) and abs(value) > 1 << 64:
        return "a whole number beyond 64 bits"
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


class TrainingError(TritloomError):
    """Training that cannot go on: a loss that is no number, or settings that contradict each other."""


class DoctorError(TritloomError):
    """A check of a device that cannot be made here."""
