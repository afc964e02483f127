"""What every Tritloom error is: one class, one message, the user's line with a caret, one hint.

All floors raise subclasses of :class:`TritloomError`. The classes that more than one floor needs live here; a floor's
own errors stand beside the code that raises them.
"""

from __future__ import annotations

import linecache
import sys
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType

_PACKAGE = str(Path(__file__).resolve().parent.parent)


@dataclass(frozen=True, slots=True)
class SourceLocation:
    """A span of the user's source. Lines count from 1, columns from 0 (as :mod:`ast` does)."""

    file: str
    line: int
    column: int = 0
    end_column: int | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    def excerpt(self) -> str:
        """The source line with a caret under the span, or "" where the source cannot be read."""
        text = linecache.getline(self.file, self.line).rstrip("\n")
        if not text.strip():
            return ""
        indent = len(text) - len(text.lstrip())
        start = max(self.column, indent)
        end = self.end_column if self.end_column and self.end_column > start else None
        width = (end - start) if end else max(len(text) - start, 1)
        number = f"{self.line:5d} | "
        return f"{number}{text}\n{' ' * (len(number) + start)}{'^' * min(width, len(text) - start or 1)}"


def caller_location() -> SourceLocation | None:
    """The innermost frame of the caller's stack that is not Tritloom's own code."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if not frame.f_code.co_filename.startswith(_PACKAGE):
            return _location(frame.f_code, frame.f_lasti, frame.f_lineno)
        frame = frame.f_back
    return None


# Tracing asks once an operation, and finding a column walks the whole code object.
@lru_cache(maxsize=4096)
def _location(code: CodeType, instruction: int, line: int) -> SourceLocation:
    found = next(islice(code.co_positions(), instruction // 2, None), None)
    if found is None:
        return SourceLocation(code.co_filename, line)
    start_line, end_line, column, end_column = found
    if start_line != line or column is None:
        return SourceLocation(code.co_filename, line)
    return SourceLocation(code.co_filename, line, column, end_column if end_line == line else None)


class TritloomError(Exception):
    """Base of all errors that a user may meet. `hint` says what to do about it."""

    def __init__(self, message: str, *, hint: str = "", location: SourceLocation | None = None):
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.location = location

    def __str__(self) -> str:
        parts = [self.message]
        if self.location is not None:
            excerpt = self.location.excerpt()
            parts[0] = f"{self.location}: {self.message}"
            if excerpt:
                parts.append(excerpt)
        if self.hint:
            parts.append(f"hint: {self.hint}")
        return "\n".join(parts)


class DTypeError(TritloomError):
    """Operands or arguments of a dtype that the operation does not take."""


class ShapeError(TritloomError):
    """Shapes that do not fit each other, or an argument of the wrong shape."""


class AxisError(TritloomError):
    """A tile used with axes that do not fit: an axis out of its loop, a store that would drop one."""


class KernelSyntaxError(TritloomError):
    """Python that the kernel language does not have."""


class BoundsError(TritloomError):
    """An index outside of its buffer, found by the interpreter."""


class RaceError(TritloomError):
    """Two programs of one launch that write the same element, or one reads what another writes."""


class VerificationError(TritloomError):
    """An IR that breaks its own rules: a defect of a pass, never of the user's program."""


class UnsupportedError(TritloomError):
    """A legal program that a target cannot run."""


class CompileError(TritloomError):
    """A target's compiler refused generated code. Carries the kernel's name and the compiler's log."""


class DeviceError(TritloomError):
    """A device that is missing, failed, or was given memory of another device."""


class OutOfMemoryError(DeviceError):
    """A device that has not the memory that was asked for."""


class GradientError(TritloomError):
    """A gradient that was asked for and does not exist."""
