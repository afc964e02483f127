"""Kernels of the user's own in a tensor program: their operands, results, and tensors that they update."""

from __future__ import annotations

from collections.abc import Mapping

from tests.codegen.schedule.programs import check, op, scalar, tensor
from tritloom.codegen.ir.dtypes import TensorSpec, f32
from tritloom.codegen.ir.template import Configuration, KernelTemplate, ScalarParameter, TensorParameter
from tritloom.codegen.ir.tensor import Node, Shape
from tritloom.codegen.ir.tensor_ops import make
from tritloom.codegen.ir.tile import BinaryOp, Kernel, Mode
from tritloom.codegen.ir.tile_builder import Builder
from tritloom.codegen.target import Target


class Accumulate(KernelTemplate):
    """`total += x * factor`, and `twice = 2 * x`."""

    name = "accumulate"
    tensors = (
        TensorParameter("twice", f32, ("M", "N"), Mode.OUT),
        TensorParameter("x", f32, ("M", "N"), Mode.IN),
        TensorParameter("total", f32, ("M", "N"), Mode.INOUT),
    )
    scalars = (ScalarParameter("factor", f32),)
    static = frozenset({"N"})

    def sizes(self, shapes: Mapping[str, Shape]) -> dict[str, int]:
        return {"M": shapes["x"][0], "N": shapes["x"][1]}

    def default(self, sizes: Mapping[str, int], target: Target) -> Configuration:
        return {"BM": 4}

    def build(self, configuration: Configuration, static: Mapping[str, int], target: Target) -> Kernel:
        b = Builder(self.name)
        dims = ("M", static["N"])
        twice = b.buffer("twice", TensorSpec(f32, dims), Mode.OUT)
        x = b.buffer("x", TensorSpec(f32, dims))
        total = b.buffer("total", TensorSpec(f32, dims), Mode.INOUT)
        factor = b.scalar("factor", f32)
        m = b.program_axis("m", x.shape[0], configuration["BM"])
        n = b.whole_axis("n", x.shape[1])
        value = b.load(x, [m, n])
        b.store(twice, [m, n], b.binary(BinaryOp.ADD, value, value))
        added = b.binary(BinaryOp.MUL, value, factor)
        b.store(total, [m, n], b.binary(BinaryOp.ADD, b.load(total, [m, n]), added))
        return b.finish()


ACCUMULATE = Accumulate()


def accumulate(x: Node, total: Node, configuration: dict[str, int] | None = None) -> tuple[Node, Node]:
    call = make("kernel", [x, total], template=ACCUMULATE, configuration=configuration, scalars=(0.5,))
    return make("item", [call], index=0), make("item", [call], index=1)


def test_results_of_a_kernel() -> None:
    x, total = tensor("x", 6, 10), tensor("total", 6, 10)
    twice, updated = accumulate(op("mul", x, x), total)
    check([op("add", twice, x), updated], [x, total])
    check([updated], [x, total])
    check([op("mul", twice, twice)], [x, total])


def test_configuration() -> None:
    x, total = tensor("x", 6, 10), tensor("total", 6, 10)
    plan = check(list(accumulate(x, total, {"BM": 3})), [x, total])
    assert plan.launches[-1].kernel.program_axes[0].block == 3


def test_a_donated_operand_is_updated_in_place() -> None:
    x, total = tensor("x", 6, 10), tensor("total", 6, 10)
    twice, updated = accumulate(x, total)
    plan = check([twice, updated], [x, total], donate={1: 1})
    assert len(plan.launches) == 1
    assert plan.outputs[1] == plan.inputs[1]


def test_an_operand_that_is_read_later_is_copied() -> None:
    x, total = tensor("x", 6, 10), tensor("total", 6, 10)
    mine = make("exp", [total])
    _, updated = accumulate(x, mine)
    later = op("sub", updated, mine)
    check([later, mine], [x, total])
    check([later], [x, total])


def test_a_dead_operand_is_updated_in_place() -> None:
    x, total = tensor("x", 6, 10), tensor("total", 6, 10)
    _, once = accumulate(x, make("exp", [total]))
    _, again = accumulate(x, once)
    plan = check([op("mul", again, scalar(2.0))], [x, total])
    assert sum(launch.kernel.name == "accumulate" for launch in plan.launches) == 2
    assert len(plan.launches) == 4


def test_one_operand_twice() -> None:
    x = tensor("x", 6, 10)
    check(list(accumulate(x, x)), [x])
    y = make("exp", [x])
    check(list(accumulate(y, y)), [x])


def test_views_as_operands() -> None:
    x, total = tensor("x", 60), tensor("total", 10, 6)
    matrix = make("reshape", [x], shape=(6, 10))
    turned = make("permute", [total], order=(1, 0))
    twice, updated = accumulate(matrix, turned)
    check([make("reshape", [twice], shape=(4, 15)), updated], [x, total])
