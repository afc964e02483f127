"""Trees of values: dicts, lists and tuples nested at will, with anything else as leaves. None is an empty tree."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from tritloom.codegen.errors import TritloomError

Tree = Any


class StructureError(TritloomError):
    """Trees whose structures do not fit each other, or a value that is no argument of a traced function."""


@dataclass(frozen=True, slots=True)
class Structure:
    """A tree without its leaves. `kind` is "leaf", "none", "dict", "list" or "tuple"; a dict's keys are sorted."""

    kind: str
    keys: tuple[Hashable, ...] = ()
    children: tuple[Structure, ...] = ()

    @property
    def leaves(self) -> int:
        """How many leaves the tree has."""
        return 1 if self.kind == "leaf" else sum(child.leaves for child in self.children)

    def __str__(self) -> str:
        inside = [str(child) for child in self.children]
        match self.kind:
            case "leaf":
                return "*"
            case "none":
                return "None"
            case "dict":
                return "{" + ", ".join(f"{k!r}: {c}" for k, c in zip(self.keys, inside, strict=True)) + "}"
            case "list":
                return f"[{', '.join(inside)}]"
        return f"({', '.join(inside)})"

    def paths(self, prefix: str = "") -> list[str]:
        """Where each leaf stands, as in `[0]['weight']`."""
        if self.kind == "leaf":
            return [prefix]
        keys = self.keys if self.kind == "dict" else range(len(self.children))
        return [p for key, child in zip(keys, self.children) for p in child.paths(f"{prefix}[{key!r}]")]


LEAF = Structure("leaf")
_NONE = Structure("none")


def tree_flatten(tree: Tree) -> tuple[list[Any], Structure]:
    """The leaves in order, and the structure that puts them back."""
    leaves: list[Any] = []
    return leaves, _flatten(tree, leaves)


def _flatten(tree: Tree, leaves: list[Any]) -> Structure:
    if tree is None:
        return _NONE
    if isinstance(tree, dict):
        keys = tuple(sorted(tree, key=lambda key: (type(key).__name__, key)))
        return Structure("dict", keys, tuple(_flatten(tree[key], leaves) for key in keys))
    if type(tree) in (list, tuple):
        return Structure(type(tree).__name__, (), tuple(_flatten(child, leaves) for child in tree))
    leaves.append(tree)
    return LEAF


def tree_unflatten(structure: Structure, leaves: Sequence[Any]) -> Tree:
    """The tree of that structure and those leaves. Raises StructureError if their number differs."""
    if structure.leaves != len(leaves):
        raise StructureError(f"{structure} has {structure.leaves} leaves and was given {len(leaves)}")
    return _unflatten(structure, iter(leaves))


def _unflatten(structure: Structure, leaves: Any) -> Tree:
    match structure.kind:
        case "leaf":
            return next(leaves)
        case "none":
            return None
        case "dict":
            return {
                key: _unflatten(child, leaves)
                for key, child in zip(structure.keys, structure.children, strict=True)
            }
    children = [_unflatten(child, leaves) for child in structure.children]
    return children if structure.kind == "list" else tuple(children)


def tree_leaves(tree: Tree) -> list[Any]:
    """The leaves in order."""
    return tree_flatten(tree)[0]


def tree_map(function: Callable[..., Any], tree: Tree, *rest: Tree) -> Tree:
    """A tree of `function(leaf, *leaves of the rest)`. Raises StructureError if the structures differ."""
    leaves, structure = tree_flatten(tree)
    columns = [leaves]
    for other in rest:
        found, other_structure = tree_flatten(other)
        if other_structure != structure:
            raise StructureError(f"trees of two structures: {structure} and {other_structure}")
        columns.append(found)
    return tree_unflatten(structure, [function(*values) for values in zip(*columns, strict=True)])
