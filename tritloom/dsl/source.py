"""The source of a user's function as an AST, with each node's place in the user's own file."""

from __future__ import annotations

import ast
import inspect
import linecache
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tritloom.codegen.errors import KernelSyntaxError, SourceLocation

_WRAPPER = "if True:\n"
"""Makes an indented definition parse without a change to its columns."""

_KEYWORD_ONLY = (ast.For, ast.While, ast.If, ast.With, ast.Try, ast.Match, ast.FunctionDef, ast.ClassDef)


@dataclass(frozen=True, slots=True)
class FunctionSource:
    """A function, its definition and where its names come from."""

    function: Callable[..., Any]
    definition: ast.FunctionDef
    file: str
    first_line: int
    """Added to a node's line, gives its line in the file."""
    globals: Mapping[str, Any]
    closure: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.definition.name

    def location(self, node: ast.AST) -> SourceLocation:
        """The node's span; of a compound statement its first word alone, of a longer node what its first line holds."""
        line = node.lineno + self.first_line  # type: ignore[attr-defined]
        text = linecache.getline(self.file, line)
        column = _characters(text, node.col_offset)  # type: ignore[attr-defined]
        if isinstance(node, _KEYWORD_ONLY):
            word = text[column:].split(maxsplit=1)
            return SourceLocation(self.file, line, column, column + (len(word[0].rstrip(":")) if word else 1))
        end = None
        if node.end_lineno == node.lineno:  # type: ignore[attr-defined]
            end = _characters(text, node.end_col_offset)  # type: ignore[attr-defined]
        return SourceLocation(self.file, line, column, end)


def _characters(text: str, column: int) -> int:
    """AST columns count UTF-8 bytes; carets count characters."""
    if text.isascii():
        return column
    return len(text.encode()[:column].decode(errors="replace"))


def read_function(function: Callable[..., Any]) -> FunctionSource:
    """The parsed source of a function. Raises KernelSyntaxError where there is none to read."""
    if not inspect.isfunction(function):
        raise KernelSyntaxError(
            f"a kernel is made from a function, not from {function!r}", hint="put @tl.kernel above a def"
        )
    code = function.__code__
    try:
        lines, start = inspect.getsourcelines(function)
    except (OSError, TypeError):
        raise KernelSyntaxError(
            f"the source of `{function.__name__}` cannot be read",
            hint="define kernels in a file or a notebook cell, not through exec or at a plain prompt",
            location=SourceLocation(code.co_filename, code.co_firstlineno),
        ) from None
    wrapper = ast.parse(_WRAPPER + "".join(lines)).body[0] if lines[0][:1].isspace() else None
    if wrapper is not None:
        assert isinstance(wrapper, ast.If)
        definition, first_line = wrapper.body[0], start - 2
    else:
        definition, first_line = ast.parse("".join(lines)).body[0], start - 1
    if not isinstance(definition, ast.FunctionDef):
        raise KernelSyntaxError(
            f"`{function.__name__}` is not a plain def",
            hint="a kernel is a def: no lambda, no async def",
            location=SourceLocation(code.co_filename, code.co_firstlineno),
        )
    closure = {}
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            closure[name] = cell.cell_contents
        except ValueError:  # not yet assigned
            continue
    return FunctionSource(function, definition, code.co_filename, first_line, function.__globals__, closure)
