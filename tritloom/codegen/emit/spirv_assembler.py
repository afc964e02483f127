"""A small assembler of SPIR-V 1.5: modules instruction by instruction, as words for drivers and as text for people.

It knows the grammar of what the emitter uses (`spirv_opcodes`) and checks every operand against it. Types, constants
and decorations are made once, numbers are given in order: the same calls give the same words.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from tritloom.codegen.emit.spirv_opcodes import ENUMERANTS, EXTENDED, MASKS, OPCODES

MAGIC = 0x07230203
VERSION = 0x00010500
"""SPIR-V 1.5, which Vulkan 1.2 and all later ones take."""


class Id(int):
    """The number of a result, to tell it from a literal."""


class Text(str):
    """A literal string, to tell it from the name of an enumerant."""

    __slots__ = ()


Operand = Id | int | str
"""A result, a literal number, a Text, or a name: of an enumerant ("Aligned") or of several of a mask ("A|B")."""


class Line:
    """One instruction. A phi's operands are completed when the values are known."""

    __slots__ = ("opcode", "operands", "result")

    def __init__(self, opcode: str, result: Id | None, operands: list[Operand]):
        self.opcode = opcode
        self.result = result
        self.operands = operands
        """All but the result; the result's type is the first where there is one."""


class Module:
    """One module under construction: a compute shader with one function."""

    def __init__(self) -> None:
        self._bound = 1
        self._capabilities: set[str] = set()
        self._extensions: set[str] = set()
        self._import: Id | None = None
        self._head: list[Line] = []
        self._names: list[Line] = []
        self._decorations: list[Line] = []
        self._globals: list[Line] = []
        self._code: list[Line] = []
        self._variables_at = 0
        self._made: dict[tuple[Operand, ...], Id] = {}
        self._labels: dict[Id, str] = {}
        """What the text calls a result."""
        self.comment = ""
        """What the text begins with."""

    # the module's head

    def fresh(self) -> Id:
        """A number for a result that is made later."""
        self._bound += 1
        return Id(self._bound - 1)

    def capability(self, *names: str) -> None:
        """Ask for what not every device has."""
        self._capabilities.update(names)

    def extension(self, name: str) -> None:
        """Name an extension that the module uses."""
        self._extensions.add(name)

    @property
    def capabilities(self) -> tuple[str, ...]:
        """All that were asked for, in order."""
        return tuple(sorted(self._capabilities))

    @property
    def extensions(self) -> tuple[str, ...]:
        """All that were named, in order."""
        return tuple(sorted(self._extensions))

    def head(self, opcode: str, *operands: Operand) -> None:
        """The memory model, the entry point or an execution mode, in this order."""
        self._head.append(Line(opcode, None, list(operands)))

    def name(self, result: Id, text: str) -> None:
        """A name for people, part of the module."""
        self._names.append(Line("OpName", None, [result, Text(text)]))
        self.label(result, text)

    def member_name(self, struct_: Id, member: int, text: str) -> None:
        """A name of a member of a struct."""
        self._names.append(Line("OpMemberName", None, [struct_, member, Text(text)]))

    def label(self, result: Id, text: str) -> None:
        """A name for the text alone."""
        self._labels[result] = "".join(c if c.isalnum() or c == "_" else "_" for c in text)

    def decorate(self, result: Id, *decoration: Operand) -> None:
        """A decoration of a result."""
        self._decorations.append(Line("OpDecorate", None, [result, *decoration]))

    def decorate_member(self, struct_: Id, member: int, *decoration: Operand) -> None:
        """A decoration of a member of a struct."""
        self._decorations.append(Line("OpMemberDecorate", None, [struct_, member, *decoration]))

    # types, constants and variables of the module

    def once(self, opcode: str, *operands: Operand, label: str = "") -> Id:
        """A type or constant; equal ones are one."""
        key = (opcode, *operands)
        if key not in self._made:
            self._made[key] = self.global_(opcode, *operands, label=label)
        return self._made[key]

    def global_(self, opcode: str, *operands: Operand, label: str = "") -> Id:
        """A type or variable of its own, whatever others there are."""
        result = self.fresh()
        self._globals.append(Line(opcode, result, list(operands)))
        if label:
            self.label(result, label)
        return result

    # the function

    def op(self, opcode: str, *operands: Operand) -> Id:
        """An instruction with a result, whose type (if it has one) is the first operand."""
        result = self.fresh()
        self._code.append(Line(opcode, result, list(operands)))
        return result

    def phi(self, type_: Id, *pairs: Operand) -> tuple[Id, Line]:
        """A phi, and its line, to whose operands more pairs of value and label may be added."""
        result = self.op("OpPhi", type_, *pairs)
        return result, self._code[-1]

    def effect(self, opcode: str, *operands: Operand) -> None:
        """An instruction without a result."""
        self._code.append(Line(opcode, None, list(operands)))

    def begin_block(self, result: Id | None = None) -> Id:
        """The label of the next block, which may have been numbered before."""
        result = self.fresh() if result is None else result
        self._code.append(Line("OpLabel", result, []))
        if len(self._code) == 2:
            self._variables_at = 2
        return result

    def variable(self, pointer: Id) -> Id:
        """A variable of the function."""
        result = self.fresh()
        self._code.insert(self._variables_at, Line("OpVariable", result, [pointer, "Function"]))
        return result

    def extended(self, type_: Id, name: str, *operands: Id) -> Id:
        """An instruction of GLSL.std.450."""
        if self._import is None:
            self._import = self.fresh()
        return self.op("OpExtInst", type_, self._import, name, *operands)

    # what comes out

    def _lines(self) -> list[Line]:
        lines = [Line("OpCapability", None, [name]) for name in self.capabilities]
        lines += [Line("OpExtension", None, [Text(name)]) for name in self.extensions]
        if self._import is not None:
            lines.append(Line("OpExtInstImport", self._import, [Text("GLSL.std.450")]))
        return lines + self._head + self._names + self._decorations + self._globals + self._code

    def words(self) -> bytes:
        """The module as a driver takes it."""
        words = [MAGIC, VERSION, 0, self._bound, 0]
        for line in self._lines():
            operands = _encode(line)
            words.append((len(operands) + 1) << 16 | OPCODES[line.opcode][0])
            words += operands
        return struct.pack(f"<{len(words)}I", *words)

    def text(self) -> str:
        """The module for people, one instruction a line, in the notation of the SPIR-V tools."""
        names = self._text_names()
        rows = []
        for line in self._lines():
            shown = " ".join([line.opcode, *(_shown(operand, names) for operand in line.operands)])
            left = "" if line.result is None else f"{names.get(line.result, f'%{int(line.result)}')} = "
            rows.append(f"{left:>24}{shown}")
        head = [f"; {line}" for line in (self.comment, f"SPIR-V 1.5, {self._bound - 1} results") if line]
        return "\n".join([*head, *rows, ""])

    def _text_names(self) -> dict[Id, str]:
        """The labels, made different from each other; the other results are numbered in their order."""
        names: dict[Id, str] = {}
        taken: set[str] = set()
        count = 0
        for line in self._lines():
            if line.result is None:
                continue
            label = self._labels.get(line.result)
            if label is None:
                count += 1
                label = str(count)
            name, number = label, 1
            while name in taken:
                number += 1
                name = f"{label}_{number}"
            taken.add(name)
            names[line.result] = f"%{name}"
        return names


def _shown(operand: Operand, names: dict[Id, str]) -> str:
    if isinstance(operand, Id):
        return names.get(operand, f"%{int(operand)}")
    return f'"{operand}"' if isinstance(operand, Text) else str(operand)


def _string(text: str) -> list[int]:
    raw = text.encode() + b"\0"
    raw += b"\0" * (-len(raw) % 4)
    return list(struct.unpack(f"<{len(raw) // 4}I", raw))


def _encode(line: Line) -> list[int]:
    """The operands as words, each checked against the grammar."""
    kinds = OPCODES[line.opcode][1].split()
    given: list[Operand] = list(line.operands)
    if ("IdResult" in kinds) != (line.result is not None):
        raise ValueError(f"{line.opcode} has a result where it should have none, or none where it should")
    if line.result is not None:
        given.insert(kinds.index("IdResult"), line.result)
    words: list[int] = []
    position = 0
    for kind in kinds:
        many, optional = kind.endswith("*"), kind[-1] in "*?"
        base = kind.rstrip("*?")
        if position == len(given) and not optional:
            raise ValueError(f"{line.opcode} lacks its {base}")
        while position < len(given):
            position = _operand(line.opcode, base, given, position, words)
            if not many:
                break
    if position != len(given):
        raise ValueError(f"{line.opcode} does not take {given[position:]}")
    return words


def _operand(opcode: str, kind: str, given: Sequence[Operand], position: int, words: list[int]) -> int:
    """Append one operand with what follows it; the position after it."""
    operand = given[position]
    if kind == "PairIdRefIdRef":
        for part in (0, 1):
            _operand(opcode, "IdRef", given, position + part, words)
        return position + 2
    if kind.startswith("Id"):
        if not isinstance(operand, Id):
            raise ValueError(f"{opcode}: {operand!r} is no result")
        words.append(operand)
    elif isinstance(operand, Text) and kind == "LiteralString":
        words += _string(operand)
    elif isinstance(operand, str) and kind == "LiteralExtInstInteger":
        words.append(EXTENDED[operand])
    elif isinstance(operand, str) and kind in ENUMERANTS:
        return _enumerant(opcode, kind, given, position, words)
    elif (
        kind in ("LiteralInteger", "LiteralContextDependentNumber")
        and isinstance(operand, int)
        and not isinstance(operand, Id)
    ):
        words.append(operand & 0xFFFFFFFF)
    else:
        raise ValueError(f"{opcode}: {operand!r} is no {kind}")
    return position + 1


def _enumerant(opcode: str, kind: str, given: Sequence[Operand], position: int, words: list[int]) -> int:
    names = str(given[position]).split("|")
    if len(names) > 1 and kind not in MASKS:
        raise ValueError(f"{opcode} takes one {kind}")
    found = [ENUMERANTS[kind][name] for name in names]
    number = 0
    for value, _ in found:
        number |= value
    words.append(number)
    position += 1
    for _, parameters in sorted(found):
        for parameter in parameters.split():
            position = _operand(opcode, parameter, given, position, words)
    return position
