"""Tile IR to machine form for CPUs: tiles become vector registers, one program at a time."""

from __future__ import annotations

from tritloom.codegen.ir import machine, tile
from tritloom.codegen.lower.cpu.kernel import Lowering
from tritloom.codegen.target import Target


def lower_cpu(kernel: tile.Kernel, target: Target) -> machine.Function:
    """The kernel in machine form for a CPU target."""
    return Lowering(kernel, target).lower()
