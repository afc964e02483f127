"""The house rules: floors, the ground floor's rooms, no circles, a docstring in every file, no long files.

Every import counts, wherever it stands: at the top, inside a function, under `TYPE_CHECKING`, or through
`importlib.import_module` with a literal name.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.support import REPOSITORY

GROUND: Final = "tritloom.codegen"
FLOORS: Final = ("tritloom.version", GROUND, "tritloom.backends", "tritloom.dsl", "tritloom.models")
"""From the foundation up. A floor imports from itself and from the floors before it."""

ROOMS: Final[dict[str, tuple[str, ...]]] = {
    "errors": (),
    "target": ("errors", "ir"),
    "ir": ("errors", "target"),
    "autodiff": ("errors", "ir"),
    "schedule": ("errors", "target", "ir", "autodiff"),
    "lower": ("errors", "target", "ir"),
    "emit": ("errors", "target", "ir", "lower"),
    "gpus": ("errors", "target", "ir"),
    "targets": ("errors", "target", "ir", "gpus"),
    "compile": ("errors", "target", "targets", "ir", "lower", "emit"),
}
"""The rooms of tritloom.codegen (folders and files), each with the other rooms it may import from."""

FACES: Final = ("tritloom", "tritloom.__main__", GROUND)
"""Modules that only gather what users need: they import from any room, and no room imports from them."""

SIGNPOSTS: Final = ("codegen", "backends", "dsl", "models")
"""The links at the root. They are for people; imported, they would be a second copy of a floor."""

MAX_LINES: Final = 650


@dataclass(frozen=True)
class Module:
    """One file of the package, parsed."""

    name: str
    path: Path
    tree: ast.Module
    lines: int


@dataclass(frozen=True)
class Import:
    """One module that one line of another imports."""

    source: str
    target: str
    where: str


def read_modules(root: Path) -> dict[str, Module]:
    """Every .py file under root/tritloom by its dotted name."""
    modules = {}
    for path in sorted((root / "tritloom").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text(encoding="utf-8")
        modules[name] = Module(name, path, ast.parse(text, str(path)), len(text.splitlines()))
    return modules


def imports_of(module: Module, modules: dict[str, Module]) -> Iterator[Import]:
    """What a module imports from the package. `from a import b` imports a.b where that is a module, else a."""
    package = module.name if module.path.name == "__init__.py" else module.name.rpartition(".")[0]
    for node in ast.walk(module.tree):
        targets: list[str] = []
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
            targets = [name if name in modules else base for name in names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "importlib.import_module",
            "import_module",
        ):
            targets = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        for target in dict.fromkeys(targets):
            if target.partition(".")[0] in ("tritloom", *SIGNPOSTS):
                yield Import(module.name, target, f"{module.path.name}:{getattr(node, 'lineno', 0)}")


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def _floor(name: str) -> int | None:
    return next((height for height, floor in enumerate(FLOORS) if _within(name, floor)), None)


def _room(name: str) -> str:
    """The room of a module of tritloom.codegen: a folder or a file there."""
    return name.split(".")[2]


def floor_problems(modules: dict[str, Module]) -> list[str]:
    """Imports from a floor above, of the public face, or through a signpost; files that stand on no floor."""
    problems = []
    for module in modules.values():
        height = _floor(module.name)
        if height is None and module.name not in FACES:
            problems.append(f"{module.name} stands on none of the floors {', '.join(FLOORS)}")
        for found in imports_of(module, modules):
            line = f"{found.source} imports {found.target} ({found.where})"
            above = _floor(found.target)
            if found.target.partition(".")[0] in SIGNPOSTS:
                problems.append(f"{line}: write tritloom.{found.target}, the link is a signpost")
            elif found.target in ("tritloom", "tritloom.__main__"):
                problems.append(f"{line}: the public face stands above every floor")
            elif found.target not in modules:
                problems.append(f"{line}: there is no such module")
            elif height is not None and above is not None and above > height:
                problems.append(f"{line}: {FLOORS[above]} is above {FLOORS[height]}")
    return problems


def room_problems(modules: dict[str, Module]) -> list[str]:
    """Imports between rooms of the ground floor that the table does not allow; rooms that it does not know."""
    problems = []
    for module in modules.values():
        if not _within(module.name, GROUND) or module.name in FACES:
            continue
        room = _room(module.name)
        if room not in ROOMS:
            problems.append(f"{module.name}: codegen has no room {room!r}; give it a line in ROOMS")
            continue
        for found in imports_of(module, modules):
            line = f"{found.source} imports {found.target} ({found.where})"
            if found.target == GROUND:
                problems.append(f"{line}: import the room itself, not the face of the floor")
            elif _within(found.target, GROUND) and _room(found.target) not in (room, *ROOMS[room]):
                allowed = ", ".join(ROOMS[room]) or "no other room"
                problems.append(f"{line}: {room} may import from {allowed}")
    return problems


def circle_problems(modules: dict[str, Module]) -> list[str]:
    """Circles among modules, one line for each that a depth-first walk closes."""
    graph = {
        name: list(dict.fromkeys(i.target for i in imports_of(module, modules) if i.target in modules))
        for name, module in modules.items()
    }
    problems: list[str] = []
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> None:
        if name in path:
            problems.append(f"circle: {' -> '.join([*path[path.index(name) :], name])}")
        elif name not in done:
            for target in graph[name]:
                visit(target, [*path, name])
            done.add(name)

    for name in graph:
        visit(name, [])
    return problems


def docstring_problems(modules: dict[str, Module]) -> list[str]:
    """Files whose first statement is no docstring."""
    return [
        f"{m.name} has no docstring"
        for m in modules.values()
        if not (ast.get_docstring(m.tree) or "").strip()
    ]


def length_problems(modules: dict[str, Module]) -> list[str]:
    """Files too long to be read in one sitting."""
    return [
        f"{m.name} has {m.lines} lines, more than {MAX_LINES}"
        for m in modules.values()
        if m.lines > MAX_LINES
    ]


Rule = Callable[[dict[str, Module]], list[str]]
RULES: Final[tuple[Rule, ...]] = (
    floor_problems,
    room_problems,
    circle_problems,
    docstring_problems,
    length_problems,
)


@pytest.mark.parametrize("rule", RULES)
def test_the_package_keeps_the_rule(rule: Rule) -> None:
    modules = read_modules(REPOSITORY)
    assert {*FACES, *FLOORS} <= modules.keys()
    problems = rule(modules)
    assert not problems, "\n".join(problems)


def test_the_root_shows_every_floor() -> None:
    for name in SIGNPOSTS:
        link = REPOSITORY / name
        assert link.resolve() == REPOSITORY / "tritloom" / name, f"{link} should lead to tritloom/{name}"


GOOD: Final = {
    "__init__.py": "from tritloom.dsl import kernel",
    "__main__.py": "from tritloom.models import f",
    "version.py": "",
    "codegen/__init__.py": "",
    "codegen/errors.py": "import os",
    "codegen/ir/__init__.py": "from tritloom.codegen.ir.tile import Tile",
    "codegen/ir/tile.py": "from tritloom.codegen import errors",
    "codegen/lower/__init__.py": "",
    "codegen/lower/vector.py": "from tritloom.codegen.ir import tile",
    "codegen/emit/__init__.py": "from tritloom.codegen.lower.vector import run",
    "codegen/schedule/__init__.py": "from tritloom.codegen.ir import Tile",
    "backends/__init__.py": "from tritloom.codegen.emit import show",
    "dsl/__init__.py": "from tritloom import backends\nkernel = 1",
    "models/__init__.py": "from tritloom import version\ndef f():\n    from tritloom.dsl import kernel",
}


def _tree(root: Path, files: dict[str, str]) -> dict[str, Module]:
    for name, body in (GOOD | files).items():
        path = root / "tritloom" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body if body.startswith("#bare") else f'"""A purpose."""\n{body}\n')
    return read_modules(root)


@pytest.mark.parametrize("rule", RULES)
def test_a_good_tree_has_no_problems(tmp_path: Path, rule: Rule) -> None:
    assert rule(_tree(tmp_path, {})) == []


@pytest.mark.parametrize(
    ("rule", "files", "expected"),
    [
        (floor_problems, {"backends/cpu.py": "from tritloom.dsl import kernel"}, "tritloom.dsl is above"),
        (floor_problems, {"backends/cpu.py": "def f():\n    import tritloom.models"}, "(cpu.py:3)"),
        (floor_problems, {"backends/cpu.py": "from ..dsl import kernel"}, "imports tritloom.dsl"),
        (floor_problems, {"backends/cpu.py": "from .. import dsl"}, "imports tritloom.dsl"),
        (
            floor_problems,
            {"backends/cpu.py": "import importlib\nimportlib.import_module('tritloom.dsl')"},
            "imports tritloom.dsl",
        ),
        (
            floor_problems,
            {"backends/cpu.py": "import typing\nif typing.TYPE_CHECKING:\n    import tritloom.dsl"},
            "imports tritloom.dsl",
        ),
        (floor_problems, {"models/cli.py": "import tritloom as tl"}, "public face"),
        (floor_problems, {"models/cli.py": "from tritloom import __version__"}, "public face"),
        (floor_problems, {"models/cli.py": "import tritloom.__main__"}, "public face"),
        (
            floor_problems,
            {"version.py": "import tritloom.codegen.errors"},
            "tritloom.codegen is above tritloom.version",
        ),
        (floor_problems, {"models/cli.py": "from codegen.ir import tile"}, "signpost"),
        (floor_problems, {"models/cli.py": "import tritloom.models.absent"}, "no such module"),
        (floor_problems, {"tools.py": ""}, "stands on none of the floors"),
        (
            room_problems,
            {"codegen/emit/c.py": "from tritloom.codegen.schedule import fuse"},
            "emit may import",
        ),
        (room_problems, {"codegen/lower/gpu.py": "import tritloom.codegen.emit"}, "lower may import"),
        (room_problems, {"codegen/ir/tensor.py": "from tritloom.codegen.lower import x"}, "ir may import"),
        (room_problems, {"codegen/errors.py": "from tritloom.codegen.ir import Tile"}, "no other room"),
        (room_problems, {"codegen/ir/tensor.py": "from tritloom.codegen import name"}, "face of the floor"),
        (room_problems, {"codegen/cellar.py": ""}, "no room 'cellar'"),
        (
            circle_problems,
            {"dsl/a.py": "import tritloom.dsl.b", "dsl/b.py": "def f():\n    from tritloom.dsl import a"},
            "circle: tritloom.dsl.a -> tritloom.dsl.b -> tritloom.dsl.a",
        ),
        (
            circle_problems,
            {
                "dsl/a.py": "from .b import x",
                "dsl/b.py": "from .c import x",
                "dsl/c.py": "from .b import y\nfrom .a import z",
            },
            "tritloom.dsl.a -> tritloom.dsl.b -> tritloom.dsl.c -> tritloom.dsl.a",
        ),
        (
            circle_problems,
            {"models/a.py": "from tritloom.models import a"},
            "tritloom.models.a -> tritloom.models.a",
        ),
        (docstring_problems, {"dsl/a.py": "#bare\nx = 1"}, "tritloom.dsl.a has no docstring"),
        (length_problems, {"dsl/a.py": "x = 1\n" * MAX_LINES}, "tritloom.dsl.a has"),
    ],
)
def test_a_bad_tree_is_found(tmp_path: Path, rule: Rule, files: dict[str, str], expected: str) -> None:
    problems = rule(_tree(tmp_path, files))
    assert any(expected in problem for problem in problems), problems
