"""docs/kernels.md: each of its blocks runs and prints what the page says, and no name of the language is missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.pages import blocks, printed
from tests.support import REPOSITORY, require_backend
from tritloom.dsl import language

PAGE = REPOSITORY / "docs" / "kernels.md"
BLOCKS = blocks(PAGE)
_GRID = re.compile(r"\[\d+(?:x\d+)?\]:")


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_prints_what_the_page_says(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_backend("cpu")
    monkeypatch.delenv("TRITLOOM_DEVICE", raising=False)
    block = BLOCKS[number]
    assert block.printed is not None
    found, expected = printed(block.source, tmp_path), block.printed
    assert _GRID.sub("", found) == _GRID.sub("", expected)


def test_every_name_of_the_language_is_there() -> None:
    text = PAGE.read_text()
    names = [*language.SIGNATURE, *map(str, language.DTYPES), *language.BY_NAME, "kernel", "inline"]
    assert [name for name in names if f"tl.{name}" not in text] == []
