"""What a program tells while it works: a progress bar for people, or one JSON line a step; and what takes long."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from itertools import islice
from types import TracebackType
from typing import Self

import msgspec
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.spinner import Spinner
from rich.text import Text

from tritloom.backends.base import Device
from tritloom.models.training import Progress


@contextmanager
def waiting(doing: str) -> Iterator[None]:
    """A context that takes long: stderr says what is done in it, on a terminal for as long as it takes."""
    console = Console(stderr=True, highlight=False)
    if console.is_interactive:
        # Not `console.status`, which writes to stderr what is printed meanwhile, even where stdout is a pipe.
        spinner = Spinner("dots", Text(doing), style="green")
        with Live(spinner, console=console, transient=True, redirect_stdout=False):
            yield
    else:
        console.print(Text(doing), soft_wrap=True)
        yield


def compiling(what: str, device: Device) -> AbstractContextManager[None]:
    """A context in which a program is compiled for a device, and run; nothing is said where it is interpreted."""
    return nullcontext() if device.target.emitter == "none" else waiting(f"compiling {what}")


def counted(number: int, what: str) -> str:
    """A number of things for people: "1 example", "1,042 examples"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


SECONDS_BETWEEN_LINES = 30.0
"""Of progress, where there is no terminal for a bar."""


class Reporter:
    """A context in which steps are reported. With `json`, stdout carries one line a step and nothing else."""

    def __init__(self, json: bool):
        self.json = json
        self.console = Console(stderr=json, highlight=False)
        self._bar: Bar | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: str) -> None:
        """A line for people, left whole: a path or a command in it can be copied."""
        self.console.print(text, markup=False, soft_wrap=True)

    def track(
        self, steps: Iterable[Progress], first: AbstractContextManager[None] | None = None
    ) -> Progress | None:
        """Run the steps, the first within `first`, reporting each. The last one, or None if there was none."""
        last = None
        smoothed = 0.0
        task = None
        began = told = time.monotonic()
        for step in _first_within(first or nullcontext(), steps):
            last = step
            if self.json:
                sys.stdout.write(msgspec.json.encode(dataclasses.asdict(step)).decode() + "\n")
                sys.stdout.flush()
                continue
            smoothed = step.loss if step.step == 1 else 0.9 * smoothed + 0.1 * step.loss
            if self._bar is None:
                self._bar = Bar(
                    TextColumn("training"),
                    BarColumn(),
                    MofNCompleteColumn(),
                    TextColumn("loss {task.fields[loss]:.3f}"),
                    TextColumn("{task.fields[speed]:,.0f} tokens/s"),
                    TimeRemainingColumn(),
                    console=self.console,
                )
                self._bar.start()
                task = self._bar.add_task(
                    "training", total=step.steps, loss=smoothed, speed=step.tokens_per_second
                )
            assert task is not None
            self._bar.update(task, completed=step.step, loss=smoothed, speed=step.tokens_per_second)
            now = time.monotonic()
            if step.step == 1:
                began = told = now
            elif not self.console.is_terminal and now - told >= SECONDS_BETWEEN_LINES:
                told = now
                left = (now - began) / (step.step - 1) * (step.steps - step.step)
                self.say(
                    f"step {step.step:,} of {step.steps:,}: loss {smoothed:.3f}, "
                    f"{step.tokens_per_second:,.0f} tokens/s, {timedelta(seconds=round(left))} left"
                )
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        return last


def _first_within(context: AbstractContextManager[None], steps: Iterable[Progress]) -> Iterator[Progress]:
    rest = iter(steps)
    with context:
        first = list(islice(rest, 1))
    yield from first
    yield from rest
