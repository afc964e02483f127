"""`tritloom devices`: what is here, what is missing and how to get it, and the GPUs that code can be made for."""

from __future__ import annotations

import sys
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from tritloom.backends.base import Device
from tritloom.backends.registry import device as find_device
from tritloom.backends.registry import devices as all_devices
from tritloom.backends.registry import missing as all_missing
from tritloom.codegen import gpus
from tritloom.codegen.errors import DeviceError
from tritloom.codegen.target import Target
from tritloom.models.memory import size

LANGUAGES: Final = {
    "llvm": "machine code (LLVM)",
    "opencl": "OpenCL C",
    "spirv": "SPIR-V",
    "metal": "Metal",
    "none": "none: interpreted",
}
"""What is emitted for a device, by the name in its target."""
_WIDTH: Final = 150


def target_facts(target: Target) -> dict[str, Any]:
    """A target in plain data."""
    return {
        "language": target.emitter,
        "threads": target.max_threads,
        "shared_bytes": target.shared_bytes,
        "subgroup_size": target.subgroup_size,
        "vector_bits": target.vector_bits,
        "int8_dot": target.has("int8-dot"),
        "f16": target.has("f16"),
        "matrices": [
            {
                "rows": unit.rows,
                "columns": unit.columns,
                "depth": unit.depth,
                "operand": unit.operand.name,
                "accumulator": unit.accumulator.name,
            }
            for unit in target.matrices
        ],
    }


def device_facts(device: Device) -> dict[str, Any]:
    """A device in plain data."""
    about = {"name": device.name, "description": device.description, "memory_bytes": device.memory_bytes}
    return about | target_facts(device.target)


def report(*, targets: bool, as_json: bool) -> None:
    """Say on stdout which devices are here, which of them is the default, and what is missing; with `targets`, also
    which GPUs are known."""
    try:
        default, refusal = find_device().name, ""
    except DeviceError as error:  # TRITLOOM_DEVICE names none: the hint sends people here
        default, refusal = "", error.message
    found = [device_facts(device) | {"default": device.name == default} for device in all_devices()]
    absent = [{"name": one.name, "reason": one.reason, "install": one.hint} for one in all_missing()]
    known = [_known(gpus.load(name)) for name in gpus.NAMES] if targets else []
    if as_json:
        told: dict[str, Any] = {"devices": found, "missing": absent}
        if targets:
            told["targets"] = known
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(told), indent=2).decode() + "\n")
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    console.print(_table("devices", found))
    if refusal:
        console.print(f"there is no default: {refusal}", markup=False)
    for one in absent:
        console.print(f"{one['name']} is missing: {one['reason']}. To get it: {one['install']}", markup=False)
    if known:
        console.print(_table("known GPUs: `tritloom kernels --target NAME` makes code for them", known))


def _known(gpu: gpus.Gpu) -> dict[str, Any]:
    return {
        "name": gpu.name,
        "description": gpu.what,
        "memory_gib": list(gpu.memory_gib),
        **target_facts(gpu.target()),
    }


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in ("name", "device"):
        table.add_column(heading, overflow="fold")
    for heading in ("memory", "code", "threads", "shared", "subgroup", "int8 dot", "f16", "matrix units"):
        table.add_column(heading)
    for row in rows:
        on_gpu = row["threads"] > 1
        table.add_row(
            f"{row['name']} (default)" if row.get("default") else row["name"],
            row["description"],
            _memory(row),
            LANGUAGES[row["language"]],
            str(row["threads"]) if on_gpu else "",
            size(row["shared_bytes"]) if on_gpu else "",
            str(row["subgroup_size"]) if row["subgroup_size"] > 1 else "",
            "yes" if row["int8_dot"] else "no",
            "yes" if row["f16"] else "no",
            ", ".join(f"{m['operand']} {m['rows']}x{m['columns']}x{m['depth']}" for m in row["matrices"]),
        )
    return table


def _memory(row: dict[str, Any]) -> str:
    if "memory_gib" in row:
        sizes = row["memory_gib"]
        return f"{'/'.join(f'{one:g}' for one in sizes)} GiB" if sizes else ""
    return "" if row["memory_bytes"] is None else size(row["memory_bytes"])
