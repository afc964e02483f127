"""What is fused: launches are counted, and their results compared with the tensor interpreter's."""

from __future__ import annotations

import pytest

from tests.codegen.schedule.programs import CPU, GPU, check, op, scalar, tensor
from tritloom.codegen.ir.dtypes import f32, i8, i32, ternary
from tritloom.codegen.ir.tensor import Node
from tritloom.codegen.ir.tensor_ops import make
from tritloom.codegen.schedule import explain, schedule


def last_axis(name: str, x: Node) -> Node:
    return make(name, [x], axes=(len(x.shape) - 1,))


def rms_norm(x: Node, gain: Node) -> Node:
    mean = op("mul", last_axis("reduce_sum", op("mul", x, x)), scalar(1 / x.shape[-1]))
    return op("mul", op("mul", x, make("rsqrt", [op("add", mean, scalar(1e-5))])), gain)


def quantise(x: Node) -> tuple[Node, Node]:
    scale = op("div", scalar(127.0), op("max", last_axis("reduce_max", make("abs", [x])), scalar(1e-5)))
    rounded = make("round", [op("mul", x, scale)])
    clamped = op("min", op("max", rounded, scalar(-128.0)), scalar(127.0))
    return make("cast", [clamped], dtype=i8), scale


def softmax(x: Node) -> Node:
    shifted = make("exp", [op("sub", x, last_axis("reduce_max", x))])
    return op("div", shifted, last_axis("reduce_sum", shifted))


@pytest.mark.parametrize("shape", [(2, 5, 100), (7, 64), (1, 1, 37), (3, 1)])
@pytest.mark.parametrize("target", [CPU, GPU], ids=["cpu", "gpu"])
def test_residual_norm_and_quantisation_are_one_kernel(shape: tuple[int, ...], target: object) -> None:
    x, residual, gain = tensor("x", *shape), tensor("r", *shape), tensor("g", shape[-1])
    h = op("add", x, residual)
    q, scale = quantise(rms_norm(h, gain))
    plan = check([h, q, scale], [x, residual, gain], target=CPU if target is CPU else GPU)
    assert len(plan.launches) == 1


def test_softmax_is_one_kernel() -> None:
    x = tensor("x", 3, 4, 70)
    assert len(check([softmax(x)], [x]).launches) == 1


def test_bit_linear_with_lora_and_residual() -> None:
    x, gain = tensor("x", 2, 5, 100), tensor("g", 100)
    weight, weight_scale = tensor("w", 70, 100, dtype=ternary), tensor("ws", 1)
    a, b, residual = tensor("a", 16, 100), tensor("b", 70, 16), tensor("r", 2, 5, 70)
    y = rms_norm(x, gain)
    q, scale = quantise(y)
    base = make("cast", [make("dot", [q, weight])], dtype=f32)
    base = op("div", op("mul", base, weight_scale), scale)
    lora = op("mul", make("dot", [make("dot", [y, a]), b]), scalar(2.0))
    result = op("add", op("add", base, lora), residual)
    plan = check([result], [x, gain, weight, weight_scale, a, b, residual])
    # norm + quantise | x.A | everything else
    assert len(plan.launches) == 3


def test_product_absorbs_bias_activation_and_gate() -> None:
    x, w, bias, up = tensor("x", 6, 33), tensor("w", 20, 33), tensor("bias", 20), tensor("up", 6, 20)
    z = op("add", make("dot", [x, w]), bias)
    sigmoid = op("div", scalar(1.0), op("add", scalar(1.0), make("exp", [make("neg", [z])])))
    result = op("mul", op("mul", z, sigmoid), up)
    assert len(check([result], [x, w, bias, up]).launches) == 1


def test_product_shown_before_and_after_its_epilogue() -> None:
    x, w = tensor("x", 6, 33), tensor("w", 20, 33)
    z = make("dot", [x, w])
    assert len(check([z, make("exp", [op("mul", z, scalar(0.1))])], [x, w]).launches) == 1


def test_optimiser_update_joins_the_gradient_product() -> None:
    x, dy = tensor("x", 9, 33), tensor("dy", 9, 20)
    w, m = tensor("w", 20, 33), tensor("m", 20, 33)
    gradient = make("dot", [make("permute", [dy], order=(1, 0)), make("permute", [x], order=(1, 0))])
    momentum = op("add", op("mul", m, scalar(0.9)), op("mul", gradient, scalar(0.1)))
    update = op("sub", w, op("mul", momentum, scalar(0.01)))
    plan = check([update, momentum], [x, dy, w, m], donate={0: 2, 1: 3})
    assert len(plan.launches) == 1
    assert plan.outputs == (plan.inputs[2], plan.inputs[3])


def test_column_sum_takes_what_it_sums_and_what_follows() -> None:
    x, y = tensor("x", 50, 33), tensor("y", 50, 33)
    sums = make("reduce_sum", [op("mul", x, y)], axes=(0,))
    assert len(check([op("mul", sums, scalar(0.5))], [x, y]).launches) == 1


@pytest.mark.parametrize("shape", [(4, 100), (9000,), (70, 130), (1,)])
@pytest.mark.parametrize("operation", ["reduce_sum", "reduce_max", "reduce_min"])
def test_reduction_to_one_element(shape: tuple[int, ...], operation: str) -> None:
    x = tensor("x", *shape)
    check([make(operation, [x], axes=tuple(range(len(shape))))], [x], tolerance=1e-4)


def test_layers_share_kernels() -> None:
    x, gain = tensor("x", 4, 64), tensor("g", 64)
    weights = [tensor(f"w{i}", 64, 64, dtype=ternary) for i in range(5)]
    h = x
    for w in weights:
        q, scale = quantise(rms_norm(h, gain))
        h = op("add", h, op("div", make("cast", [make("dot", [q, w])], dtype=f32), scale))
    plan = check([h], [x, gain, *weights], tolerance=1e-4)
    assert len(plan.launches) == 10
    assert len({id(launch.kernel) for launch in plan.launches}) == 2


def test_one_kernel_serves_other_numbers_of_rows() -> None:
    kernels = set()
    for count in (24, 40, 200):
        x, gain = tensor("x", count, 96), tensor("g", 96)
        plan = check([rms_norm(x, gain)], [x, gain])
        kernels |= {id(launch.kernel) for launch in plan.launches}
    assert len(kernels) == 1


def test_a_cheap_value_is_computed_again_rather_than_stored() -> None:
    x, w, v = tensor("x", 6, 32), tensor("w", 20, 32), tensor("v", 20, 32)
    y = op("mul", x, scalar(3.0))
    outer = [
        op("add", y, tensor("p", 6, 32)),
        make("permute", [op("add", y, tensor("q", 6, 32))], order=(1, 0)),
    ]
    plan = check(outer, [x, tensor("p", 6, 32), tensor("q", 6, 32)])
    assert len(plan.launches) == 2
    assert plan.arena_bytes == 0
    # An operand of a product is stored once, for all products.
    plan = check([make("dot", [y, w]), make("dot", [y, v])], [x, w, v])
    assert len(plan.launches) == 3


def test_no_cycle_between_kernels() -> None:
    x, w = tensor("x", 8, 16), tensor("w", 16, 16)
    a = make("exp", [x])
    b = make("dot", [a, w])
    check([op("add", op("mul", a, a), b), op("add", a, make("dot", [b, w]))], [x, w], tolerance=1e-4)


def test_a_product_is_not_fused_with_what_it_reads() -> None:
    x, w = tensor("x", 8, 16), tensor("w", 16, 16)
    first = make("dot", [x, w])
    second = make("dot", [first, w])
    assert len(check([op("add", first, second)], [x, w], tolerance=1e-4).launches) == 2
    turned = make("dot", [make("dot", [x, x]), make("dot", [x, x])])
    check([op("add", turned, make("permute", [turned], order=(1, 0)))], [x], tolerance=1e-4)


def test_a_wide_program_keeps_row_statistics_for_the_backward_pass() -> None:
    x, gain, dy = tensor("x", 12, 64), tensor("g", 64), tensor("dy", 12, 64)
    y = rms_norm(x, gain)
    w = tensor("w", 64, 64)
    z = make("dot", [y, w])
    back = op("mul", op("mul", dy, z), y)  # reads the normalised value long after it was made
    check([back, last_axis("reduce_sum", back)], [x, gain, dy, w], tolerance=1e-4)


def test_explain_names_operations_and_counts() -> None:
    x, gain = tensor("x", 4, 64), tensor("g", 64)
    outputs = [rms_norm(x, gain)]
    text = explain(schedule(outputs, [x, gain], CPU), outputs)
    assert "reduce_sum" in text
    assert "rsqrt" in text
    assert "launches: 1 of 1 kernels (one an operation: 7)" in text
    assert "reads 1.2 KiB, writes 1.0 KiB" in text


def test_explain_counts_the_rows_that_are_looked_up() -> None:
    table, ids = tensor("table", 1000, 64), tensor("ids", 4, dtype=i32)
    outputs = [make("gather", [table, ids])]
    assert "reads 1.0 KiB, writes 1.0 KiB" in explain(schedule(outputs, [table, ids], CPU), outputs)
