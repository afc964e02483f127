"""Trees of values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tritloom as tl
from tritloom.dsl.tree import LEAF

TREES = st.recursive(
    st.integers() | st.none() | st.just("leaf"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2) | st.integers(), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(tree=TREES)
def test_a_tree_is_put_together_again(tree: Any) -> None:
    leaves, structure = tl.tree_flatten(tree)
    assert len(leaves) == structure.leaves == len(structure.paths())
    assert tl.tree_unflatten(structure, leaves) == tree
    for leaf, path in zip(leaves, structure.paths(), strict=True):
        assert eval(f"tree{path}", {"tree": tree}) == leaf
    doubled = tl.tree_map(lambda a, b: (a, b), tree, tree)
    assert tl.tree_leaves(doubled) == [part for leaf in leaves for part in (leaf, leaf)]


def test_dicts_of_another_order_have_one_structure() -> None:
    assert tl.tree_flatten({"b": 1, "a": 2}) == tl.tree_flatten({"a": 2, "b": 1})
    assert tl.tree_leaves({"b": 1, "a": 2}) == [2, 1]


def test_structures_that_differ() -> None:
    with pytest.raises(tl.StructureError, match=r"two structures: \[\*, \*\] and \(\*, \*\)"):
        tl.tree_map(max, [1, 2], (1, 2))
    with pytest.raises(tl.StructureError, match="has 1 leaves and was given 2"):
        tl.tree_unflatten(LEAF, [1, 2])
    assert str(tl.tree_flatten({"a": [1, None], "b": (2,)})[1]) == "{'a': [*, None], 'b': (*)}"
