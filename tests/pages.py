"""What pages in Markdown ask a reader to do: Python blocks, run as the files that one makes of them, and commands."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
import shlex
from pathlib import Path
from typing import NamedTuple

FILE = "kernel.py"
"""What the pages call the file that a block is copied into."""

_BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_SHELL = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)


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


def commands(page: Path) -> list[list[str]]:
    """The words after `tritloom` of each such line in the shell blocks of a page."""
    lines = "".join(_SHELL.findall(page.read_text())).splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("tritloom ")]


def run_file(source: str, folder: Path) -> None:
    """Run a file of that source in the folder."""
    file = folder / FILE
    file.write_text(source)
    runpy.run_path(str(file))


def printed(source: str, folder: Path) -> str:
    """What a file of that source in the folder prints, the folder's name left out."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        run_file(source, folder)
    return output.getvalue().replace(f"{folder}/", "")
