"""What takes long is said on stderr, whatever stdout carries."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support import device_named
from tritloom.models import reporting
from tritloom.models.cli import main
from tritloom.models.finetune import Outcome, _summarise
from tritloom.models.reporting import Reporter, compiling, waiting
from tritloom.models.training import Progress

STEP = Progress(1, 1, 0.5, 1.0, 1e-3, 8, 100.0)


def test_a_wait_is_a_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with waiting("weighing [the] sun"):
        written = capsys.readouterr()
    assert (written.out, written.err) == ("", "weighing [the] sun\n")
    assert capsys.readouterr().err == ""


def test_on_a_terminal_it_is_gone_when_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(reporting.sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with waiting("weighing the sun"):
        pass
    assert "weighing the sun" in terminal.getvalue()
    assert terminal.getvalue().endswith("\x1b[2K")  # the line is erased


def test_nothing_is_compiled_for_the_interpreter(capsys: pytest.CaptureFixture[str]) -> None:
    with compiling("a program", device_named("reference")):
        pass
    assert capsys.readouterr().err == ""
    with compiling("a program", device_named("cpu")):
        pass
    assert capsys.readouterr().err == "compiling a program\n"


def test_the_first_step_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter(json=True) as reporter:
        assert reporter.track([STEP], waiting("compiling")) is STEP
        assert reporter.track([]) is None
    written = capsys.readouterr()
    assert written.err == "compiling\n"
    assert json.loads(written.out)["loss"] == 0.5


def test_without_a_terminal_progress_is_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "SECONDS_BETWEEN_LINES", 0.0)
    with Reporter(json=False) as reporter:
        reporter.track([Progress(i, 2400, 0.5, 1.0, 1e-3, 8, 1571.3) for i in (1, 2, 3)])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step ")]
    assert lines[0].startswith("step 2 of 2,400: loss 0.500, 1,571 tokens/s, 0:")
    assert lines[0].endswith(" left")
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("after", "told"), [(3.0, "(25.0% less)"), (5.0, "(25.0% more: fewer epochs, or more data, may help)")]
)
def test_a_loss_that_rose_is_more(capsys: pytest.CaptureFixture[str], after: float, told: str) -> None:
    with Reporter(json=False) as reporter:
        _summarise(Outcome(3, 4.0, after), reporter)
    assert told in capsys.readouterr().out


@pytest.mark.slow
def test_commands_say_what_takes_long_and_keep_stdout_to_themselves(tmp_path: Path) -> None:
    text, model = tmp_path / "text.txt", tmp_path / "model"
    text.write_text("the rain in spain falls on the plain\n\n" * 200)
    sizes = ["--hidden", "32", "--ffn", "32", "--layers", "1", "--heads", "2", "--vocab", "300"]
    sizes += ["--context", "16", "--batch", "2", "--steps", "1", "--device", "cpu", "--json"]
    result = CliRunner().invoke(main, ["pretrain", "--data", str(text), "--out", str(model), *sizes])
    assert result.exit_code == 0, result.stderr
    assert [json.loads(line)["step"] for line in result.stdout.splitlines()] == [1]
    for words in ("training a tokeniser", "fit the memory", "compiling a training step of ", "held-out loss"):
        assert words in result.stderr
    adapter = tmp_path / "adapter"
    training = ["finetune", "--base", str(model), "--data", str(text), "--out", str(adapter), "--rank", "1"]
    result = CliRunner().invoke(main, [*training, *sizes[-9:]])
    assert result.exit_code == 0, result.stderr
    assert [json.loads(line)["step"] for line in result.stdout.splitlines()] == [1]
    for words in ("fit the memory", "compiling a training step of ", "compiling the held-out loss"):
        assert words in result.stderr
    result = CliRunner().invoke(
        main, ["generate", "the rain", "--plain", "--base", str(model), *sizes[-3:-1]]
    )
    assert result.exit_code == 0, result.stderr
    assert "compiling the model" in result.stderr
    assert "compiling" not in result.stdout
    result = CliRunner().invoke(
        main, ["kernels", "--model", str(model), "--context", "16", "--target", "bmg", "--json"]
    )
    assert all(json.loads(line)["target"] == "bmg" for line in result.stdout.splitlines())
    assert f"compiling train of {model} for bmg" in result.stderr.splitlines()


def test_what_is_printed_meanwhile_stays_on_stdout(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """rich takes stdout over to draw around it, and would write to stderr what a pipe waits for."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with waiting("compiling"):
        print('{"step":1}')  # noqa: T201
    said = capsys.readouterr()
    assert said.out == '{"step":1}\n'
    assert "compiling" in said.err
