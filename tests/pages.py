"""The Python blocks of a page in Markdown, run as the files that a reader would make of them."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
from pathlib import Path
from typing import NamedTuple

FILE = "kernel.py"
"""What the pages call the file that a block is copied into."""

_BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A Python block, and the text block that comes before the next one: what it prints."""

    source: str
    printed: str | None


def blocks(page: Path) -> list[Block]:
    """The Python blocks of a page in order."""
    found: list[Block] = []
    for kind, text in _BLOCK.findall(page.read_text()):
        if kind == "python":
            found.append(Block(text, None))
        elif found and found[-1].printed is None:
            found[-1] = found[-1]._replace(printed=text)
    return found


def printed(source: str, folder: Path) -> str:
    """What a file of that source in the folder prints, the folder's name left out."""
    file = folder / FILE
    file.write_text(source)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        runpy.run_path(str(file))
    return output.getvalue().replace(f"{folder}/", "")
