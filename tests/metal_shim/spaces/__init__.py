"""Reads emitted Metal with clang as C++ for OpenCL: the types of all expressions, and which memory a pointer is to."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

_ARGUMENTS = ["-x", "clcpp", "-cl-std=clc++2021", "-target", "spir64", "-cl-no-stdinc", "-nostdinc", "-w"]


@cache
def _cindex() -> Any:
    from clang import cindex  # a package of the tests that may be missing

    return cindex


@cache
def _index() -> Any:
    return _cindex().Index.create()


def complaints(source: str) -> list[str]:
    """What is wrong with the types and address spaces of a source: a line for each error."""
    arguments = [*_ARGUMENTS, f"-I{Path(__file__).parent}"]
    unit = _index().parse("kernel.clcpp", args=arguments, unsaved_files=[("kernel.clcpp", source)])
    return [
        f"{found.location.line}: {found.spelling}"
        for found in unit.diagnostics
        if found.severity >= _cindex().Diagnostic.Error
    ]
