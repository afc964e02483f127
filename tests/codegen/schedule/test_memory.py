"""No two living tensors share bytes of the arena, and donated memory is written when no one reads it any more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.codegen.schedule.programs import CPU, check, op, scalar, tensor
from tritloom.codegen.errors import ShapeError
from tritloom.codegen.ir.tensor_ops import make
from tritloom.codegen.schedule import schedule
from tritloom.codegen.schedule.memory import Life, lives, place

LIVES = st.builds(
    lambda nbytes, first, length: Life(nbytes, first, first + length),
    st.integers(0, 5000),
    st.integers(0, 20),
    st.integers(0, 6),
)


@given(st.lists(LIVES, max_size=40), st.sampled_from([64, 256]))
def test_living_tensors_do_not_overlap(given_lives: list[Life], alignment: int) -> None:
    tensors = dict(enumerate(given_lives))
    offsets, total = place(tensors, alignment)
    assert offsets.keys() == tensors.keys()
    for a, one in tensors.items():
        assert offsets[a] % alignment == 0
        assert offsets[a] + one.nbytes <= total
        for b, other in tensors.items():
            if a < b and one.first <= other.final and other.first <= one.final:
                apart = (
                    offsets[a] + max(one.nbytes, 1) <= offsets[b]
                    or offsets[b] + max(other.nbytes, 1) <= offsets[a]
                )
                assert apart


def test_memory_is_used_again() -> None:
    chain = {number: Life(1000, number, number + 1) for number in range(50)}
    _, total = place(chain, 256)
    assert total == 2 * 1024


def test_lives_run_from_the_first_launch_to_the_last() -> None:
    found = lives([(0, 1), (1, 2), (0, 3)], {0: 8, 2: 16})
    assert found == {0: Life(8, 0, 2), 2: Life(16, 1, 1)}


def test_the_arena_of_a_long_chain_holds_two_values() -> None:
    x, w = tensor("x", 16, 64), tensor("w", 64, 64)
    h = x
    for _ in range(20):
        h = make("dot", [h, w])
    plan = schedule([h], [x, w], CPU)
    assert plan.arena_bytes == 2 * 16 * 64 * 4


def test_gradients_are_used_up_as_they_come() -> None:
    """Weight gradients run as soon as they can, so that the arena does not hold every layer's at once."""
    x, layers = tensor("x", 64, 64), [tensor(f"w{i}", 64, 64) for i in range(10)]
    back = x
    gradients = []
    for w in layers:
        back = make("dot", [back, w])
        left = make("permute", [back], order=(1, 0))
        gradients.append(make("dot", [left, make("permute", [x], order=(1, 0))]))
    plan = schedule([back, *reversed(gradients)], [x, *layers], CPU)
    assert plan.arena_bytes <= 2 * 64 * 64 * 4


def test_donated_memory_is_updated_in_place() -> None:
    x, y = tensor("x", 40, 30), tensor("y", 40, 30)
    plan = check([op("add", x, y)], [x, y], donate={0: 0})
    assert plan.outputs == (plan.inputs[0],)
    assert len(plan.launches) == 1
    assert plan.arena_bytes == 0


def test_donated_memory_that_another_launch_reads_is_written_after_it() -> None:
    x, w = tensor("x", 40, 40), tensor("w", 7, 40)
    plan = check([op("add", x, scalar(1.0)), make("dot", [x, w])], [x, w], donate={0: 0})
    assert len(plan.launches) == 2
    assert plan.arena_bytes == 0


def test_donated_memory_that_is_read_elsewhere_is_written_at_the_end() -> None:
    x = tensor("x", 40, 40)
    check([op("add", x, make("permute", [x], order=(1, 0)))], [x], donate={0: 0})
    rows = op("sub", x, make("reduce_max", [x], axes=(1,)))
    check([rows], [x], donate={0: 0})
    shifted = make("pad", [make("slice", [x], starts=(0, 0), stops=(40, 39))], before=(0, 1), after=(0, 0))
    check([op("add", x, shifted)], [x], donate={0: 0})


def test_two_results_over_two_inputs() -> None:
    x, y = tensor("x", 30), tensor("y", 30)
    check([op("add", x, y), op("sub", x, y)], [x, y], donate={0: 0, 1: 1})
    check([op("add", x, y), op("sub", x, y)], [x, y], donate={0: 1, 1: 0})


@pytest.mark.parametrize("donate", [{0: 0}, {0: 1}, {0: 1, 1: 0}, {0: 0, 1: 1}])
def test_outputs_that_are_inputs(donate: dict[int, int]) -> None:
    x, y = tensor("x", 30), tensor("y", 30)
    plan = check([x, y], [x, y], donate=donate)
    if donate == {0: 0, 1: 1}:
        assert not plan.launches


def test_a_donation_of_another_size_is_not_taken() -> None:
    x, y = tensor("x", 30), tensor("y", 31)
    plan = check([op("add", x, scalar(1.0))], [x, y], donate={0: 0})
    assert plan.outputs == plan.inputs[:1]
    plan = schedule([op("add", x, scalar(1.0))], [x, y], CPU, {0: 1})
    assert plan.outputs[0] not in plan.inputs


def test_wrong_requests() -> None:
    x, y = tensor("x", 30), tensor("y", 30)
    with pytest.raises(ShapeError, match="not bound"):
        schedule([op("add", x, y)], [x], CPU)
    with pytest.raises(ShapeError, match="two outputs"):
        schedule([op("add", x, y), op("sub", x, y)], [x, y], CPU, {0: 0, 1: 0})


def test_inputs_survive() -> None:
    x = tensor("x", 12)
    plan = check([op("add", x, scalar(1.0))], [x], given={"x": np.arange(12, dtype=np.float32)})
    assert plan.outputs[0] != plan.inputs[0]
