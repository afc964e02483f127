"""Tritloom: a kernel language and compiler for ternary (BitNet) models on any vendor's device."""

from __future__ import annotations

__version__ = "0.1.0"
