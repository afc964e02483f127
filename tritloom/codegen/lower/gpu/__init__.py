"""Tile kernels to threads of a workgroup, with shared memory and barriers: what every GPU target is emitted from."""

from __future__ import annotations

from tritloom.codegen.lower.gpu.lowering import lower_gpu

__all__ = ["lower_gpu"]
