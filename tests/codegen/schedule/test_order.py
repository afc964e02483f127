"""The order of launches, long programs, and kernels that are shared exactly where they are equal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.codegen.schedule.programs import CPU, check, op, scalar, tensor
from tritloom.codegen.ir.tensor_ops import make
from tritloom.codegen.ir.tile_printer import format_kernel
from tritloom.codegen.schedule import schedule
from tritloom.codegen.schedule.order import Step, order


@given(st.lists(st.sets(st.integers(0, 11), max_size=3), min_size=1, max_size=12))
def test_operands_come_first(reads: list[set[int]]) -> None:
    steps = [
        Step(frozenset(r for r in read if r < number), {number: 100}) for number, read in enumerate(reads)
    ]
    found = order(steps)
    assert sorted(found) == list(range(len(steps)))
    for place, number in enumerate(found):
        assert all(found.index(read) < place for read in steps[number].reads if isinstance(read, int))


def test_what_must_come_first_does() -> None:
    steps = [Step(frozenset(), {"a": 1}, {1}), Step(frozenset(), {"b": 9})]
    assert order(steps) == [1, 0]


def test_each_chunk_is_used_before_the_next_is_made() -> None:
    """Eight large values, each needed by the next step of a chain: one at a time is alive."""
    steps = [Step(frozenset(), {f"chunk{i}": 1000}) for i in reversed(range(8))]
    for i in range(8):
        reads = {f"chunk{i}"} | ({f"state{i - 1}"} if i else set())
        steps.append(Step(frozenset(reads), {f"state{i}": 1}))
    found = order(steps)
    alive = most = 0
    for number in found:
        alive += 1 if number < 8 else -1
        most = max(most, alive)
    assert most == 1


def test_a_long_chain() -> None:
    x, y = tensor("x", 8), tensor("y", 8)
    h = x
    for _ in range(1500):
        h = op("sub", op("mul", h, y), y)
    plan = schedule([h], [x, y], CPU)
    assert 1500 * 2 / 64 <= len(plan.launches) <= 150


def test_kernels_are_one_object_exactly_if_they_print_the_same() -> None:
    inputs = [tensor(f"x{i}", 6 + i, 70 + 64 * (i % 3)) for i in range(6)]
    outputs = []
    for i, x in enumerate(inputs):
        sums = make("reduce_sum", [op("mul", x, scalar(2.0 + i % 2))], axes=(1,))
        outputs += [sums, make("exp", [x]), make("slice", [x], starts=(1, 3 * i), stops=(5, 3 * i + 9))]
    plan = check(outputs, inputs)
    by_text: dict[str, set[int]] = {}
    for launch in plan.launches:
        by_text.setdefault(format_kernel(launch.kernel, locations=False), set()).add(id(launch.kernel))
    assert all(len(kernels) == 1 for kernels in by_text.values())
    assert len(by_text) < len(plan.launches)


def test_plans_are_the_same_in_every_run() -> None:
    def texts() -> list[str]:
        x, w = tensor("x", 16, 64), tensor("w", 64, 64)
        h = make("dot", [op("mul", x, x), w])
        plan = schedule([h, make("reduce_max", [h], axes=(1,))], [x, w], CPU)
        return [format_kernel(launch.kernel, locations=False) for launch in plan.launches]

    assert texts() == texts()
