"""Commands in README and docs have the options that they are shown with, and lines of data there are read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.pages import commands
from tests.support import REPOSITORY
from tritloom.models.cli import main
from tritloom.models.data import load_examples

PAGES = (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md")))
COMMANDS = [words for page in PAGES for words in commands(page)]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_is_understood(words: list[str]) -> None:
    given = ["cpu" if word == "DEVICE" else word for word in words]
    command = main.commands[given[0]]
    command.make_context(f"tritloom {given[0]}", given[1:])


def test_the_pages_name_every_command() -> None:
    assert {words[0] for words in COMMANDS} >= {*main.commands} - {"doctor"}


def test_the_forms_of_data_are_read(tmp_path: Path) -> None:
    text = (REPOSITORY / "docs" / "fine-tuning.md").read_text()
    (block,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    file = tmp_path / "pairs.jsonl"
    file.write_text(block)
    question, other, conversation, plain = load_examples(file)
    assert (question.prompt, other.prompt) == ("Who weaves the cloth?", "How many values has a trit?")
    assert [turn.role for turn in conversation.turns] == ["system", "user", "assistant"]
    assert plain.prompt is None


def test_the_line_of_data_in_readme_is_read(tmp_path: Path) -> None:
    (line,) = re.findall(r'`(\{"prompt".*?\})`', (REPOSITORY / "README.md").read_text())
    file = tmp_path / "pairs.jsonl"
    file.write_text(line)
    (example,) = load_examples(file)
    assert example.completion == "The loom does."
