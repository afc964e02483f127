"""`@tl.inline`: helper functions that kernels may call; their bodies become part of the kernel."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tritloom.dsl.source import FunctionSource, read_function


class Inline:
    """A function that a kernel may call. Called elsewhere it is the plain Python function."""

    def __init__(self, function: Callable[..., Any]):
        self.function = function
        self.name = function.__name__
        functools.update_wrapper(self, function)

    @functools.cached_property
    def source(self) -> FunctionSource:
        """Its parsed source."""
        return read_function(self.function)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self.function(*arguments, **keywords)


def inline(function: Callable[..., Any]) -> Inline:
    """Let kernels call this function: each call puts its body in place.

    It takes tiles, axes, tensors and numbers, and returns with one `return` at its end.
    """
    return Inline(function)
