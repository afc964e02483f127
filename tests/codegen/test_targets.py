"""The targets by name, and code for any of them with no device."""

from __future__ import annotations

import pytest

from tritloom.codegen.compile import emit, lower, source
from tritloom.codegen.errors import DeviceError, UnsupportedError
from tritloom.codegen.ir.dtypes import f32
from tritloom.codegen.ir.tile import BinaryOp, Kernel, Mode
from tritloom.codegen.ir.tile_builder import Builder
from tritloom.codegen.target import Target
from tritloom.codegen.targets import TARGETS, cpu_target, target

KERNEL = {"llvm": "define void", "opencl": "__kernel", "metal": "kernel void", "spirv": "OpEntryPoint"}
"""How a kernel begins in each language."""


def doubled() -> Kernel:
    b = Builder("doubled")
    x, y = b.buffer("x", f32["N"]), b.buffer("y", f32["N"], Mode.OUT)
    n = b.program_axis("n", x.shape[0], 32)
    v = b.load(x, [n])
    b.store(y, [n], b.binary(BinaryOp.ADD, v, v))
    return b.finish()


@pytest.mark.parametrize("name", [name for name in TARGETS if target(name).emitter in KERNEL])
def test_every_target_gives_source(name: str) -> None:
    made = target(name)
    assert made.name == name
    text = source(doubled(), made)
    assert KERNEL[made.emitter] in text
    assert "doubled" in text


def test_an_unknown_target() -> None:
    with pytest.raises(DeviceError, match=r"no target 'cuda'\nhint: take one of cpu, cpu:avx512, cpu:avx2"):
        target("cuda")


def test_a_target_without_an_emitter() -> None:
    reference = Target(name="reference", emitter="none")
    with pytest.raises(UnsupportedError, match="`doubled`"):
        source(doubled(), reference)
    with pytest.raises(UnsupportedError, match="reference"):
        emit(lower(doubled(), target("cpu:plain")), reference)


@pytest.mark.parametrize(
    ("name", "bits", "registers", "features"),
    [
        ("cpu:avx512", 512, 32, {"int8-dot", "lookup", "masked-memory", "gather", "f16"}),
        ("cpu:avx2", 256, 16, {"lookup", "gather", "f16"}),
        ("cpu:plain", 128, 16, set()),
        ("aarch64", 128, 32, {"int8-dot", "f16"}),
    ],
)
def test_what_the_levels_have(name: str, bits: int, registers: int, features: set[str]) -> None:
    made = target(name)
    assert (made.vector_bits, made.vector_registers, set(made.features)) == (bits, registers, features)


def test_a_processor_described_by_hand() -> None:
    zen = cpu_target(
        "mine", "x86_64-unknown-linux-gnu", "znver5", "+avx,+avx2,+avx512vl,+avx512bw,+avx512bf16,-avx512vnni"
    )
    assert zen.has("bf16-dot")
    assert not zen.has("int8-dot")
    with pytest.raises(KeyError):
        zen.has("speed")
