"""What a training program tells: a progress bar for people, or one JSON line a step for programs."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable
from types import TracebackType
from typing import Self

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from tritloom.models.training import Progress


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
        """A line for people."""
        self.console.print(text, markup=False)

    def track(self, steps: Iterable[Progress]) -> Progress | None:
        """Run the steps, reporting each. The last one, or None if there was none."""
        last = None
        smoothed = 0.0
        task = None
        for step in steps:
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
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        return last
