"""Reading a file that holds one JSON object. All damage becomes the caller's error class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from tritloom.codegen.errors import TritloomError

_MAX_BYTES = 1 << 26


def read_object(file: Path, error: type[TritloomError], *, hint: str = "") -> dict[str, Any]:
    """The JSON object in `file`. Raises `error` (with `hint` where the file cannot be read)."""
    try:
        with file.open("rb") as stream:
            text = stream.read(_MAX_BYTES + 1)
    except OSError as failure:
        raise error(f"cannot read {file}: {failure.strerror}", hint=hint) from None
    if len(text) > _MAX_BYTES:
        raise error(f"{file} is larger than {_MAX_BYTES >> 20} MiB")
    return parse_object(text, str(file), error)


def parse_object(text: bytes, name: str, error: type[TritloomError]) -> dict[str, Any]:
    """The JSON object that `text` holds; `name` is the file's name in messages. Raises `error`."""
    try:
        fields = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as failure:
        raise error(f"{name} is not valid JSON: {failure}") from None
    if not isinstance(fields, dict):
        raise error(f"{name} does not hold a JSON object")
    return fields
