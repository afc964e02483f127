"""Scheduled tensor programs: every device computes what the tensor interpreter does."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings

from tests.codegen.schedule.programs import Random, check, op, random_programs, scalar, tensor
from tests.codegen.schedule.test_fusion import quantise, rms_norm, softmax
from tritloom.backends.base import Device
from tritloom.codegen.ir.dtypes import bf16, f32, i8, i32, ternary
from tritloom.codegen.ir.tensor_ops import make


@given(program=random_programs())
@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
def test_random_program(device: Device, program: Random) -> None:
    check(program.outputs, program.inputs, device=device, donate=program.donate, exact=True)


def test_rows(device: Device) -> None:
    x, residual, gain = tensor("x", 2, 5, 100), tensor("r", 2, 5, 100), tensor("g", 100)
    h = op("add", x, residual)
    q, scale = quantise(rms_norm(h, gain))
    check(
        [h, make("cast", [q], dtype=f32), scale, softmax(x)],
        [x, residual, gain],
        device=device,
        tolerance=0.02,
    )


def test_bit_linear_with_lora(device: Device) -> None:
    q, scale, x = tensor("q", 9, 100, dtype=i8), tensor("s", 1), tensor("x", 9, 100)
    weight, a, b = tensor("w", 70, 100, dtype=ternary), tensor("a", 16, 100), tensor("b", 70, 16)
    base = op("mul", make("cast", [make("dot", [q, weight])], dtype=f32), scale)
    lora = make("dot", [make("dot", [x, a]), b])
    check([op("add", base, lora)], [q, scale, x, weight, a, b], device=device)


def test_gradient_products(device: Device) -> None:
    x, dy, w = tensor("x", 33, 100), tensor("dy", 33, 70), tensor("w", 70, 100, dtype=ternary)
    turned = [make("permute", [one], order=(1, 0)) for one in (dy, x)]
    narrow = make("dot", [make("cast", [dy], dtype=bf16), make("permute", [w], order=(1, 0))])
    check([make("dot", turned), narrow], [x, dy, w], device=device)


def test_sums_of_columns_and_of_everything(device: Device) -> None:
    x = tensor("x", 70, 33)
    check([make("reduce_sum", [x], axes=(0,)), make("reduce_max", [x], axes=(0, 1))], [x], device=device)


def test_packing(device: Device) -> None:
    x, rows, columns = tensor("x", 33, 70), tensor("rows", 3, 70), tensor("columns", 3, 33)
    signs = op(
        "sub", *(make("cast", [op("lt", *pair)], dtype=f32) for pair in ((scalar(0.3), x), (x, scalar(-0.3))))
    )
    packed = make("pack", [signs])
    turned = make("dot", [columns, make("permute", [packed], order=(1, 0))])
    check([packed, make("dot", [rows, packed]), turned], [x, rows, columns], device=device)


def test_tables(device: Device) -> None:
    table, ids, rows = tensor("table", 11, 40), tensor("ids", 2, 5, dtype=i32), tensor("rows", 2, 5, 40)
    given = {"ids": np.array([[0, 3, 10, 3, 1], [2, 2, 9, 0, 7]], np.int32)}
    outputs = [op("mul", make("gather", [table, ids]), rows), make("scatter_add", [ids, rows], length=11)]
    check(outputs, [table, ids, rows], device=device, given=given)


def test_movements(device: Device) -> None:
    x = tensor("x", 4, 6, 10)
    first = make("slice", [x], starts=(0, 0, 0), stops=(4, 6, 5))
    second = make("slice", [x], starts=(0, 0, 5), stops=(4, 6, 10))
    rotated = op("add", x, make("concat", [make("neg", [second]), first], axis=2))
    heads = make("permute", [make("reshape", [rotated], shape=(4, 6, 2, 5))], order=(0, 2, 1, 3))
    padded = make("pad", [make("reshape", [heads], shape=(8, 30))], before=(1, 0), after=(0, 3))
    check([op("mul", padded, scalar(2.0))], [x], device=device)


def test_donation(device: Device) -> None:
    x, y = tensor("x", 30), tensor("y", 30)
    check([op("add", x, y), op("sub", x, y)], [x, y], device=device, donate={0: 1, 1: 0})
