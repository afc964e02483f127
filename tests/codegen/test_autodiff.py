"""Gradients against finite differences in double precision, and against tinygrad as an independent oracle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import tritloom.dsl.functions as F
import tritloom.dsl.nn as nn
from tests.double import as_double, surrogates
from tests.strategies_tensor import TensorProgram, tensor_programs
from tritloom.codegen.autodiff import RULES, gradient
from tritloom.codegen.errors import GradientError
from tritloom.codegen.ir.dtypes import bf16, f16, f32, i8, i32, ternary
from tritloom.codegen.ir.tensor import Node
from tritloom.codegen.ir.tensor_interpreter import evaluate
from tritloom.codegen.ir.tensor_ops import OPS, constant, make
from tritloom.codegen.ir.ternary import TernaryArray
from tritloom.dsl.tensor import Tensor

Array = np.ndarray


def _input(key: str, *shape: int) -> Node:
    return make("input", key=key, shape=shape, dtype=f32)


def _loss(node: Node) -> Node:
    """A scalar that weighs every element of the node differently."""
    weights = np.random.default_rng(7).normal(size=node.shape).astype(np.float32)
    flat = make("reshape", [node], shape=(node.size,))
    parts = [
        make("mul", [make("slice", [flat], starts=(i,), stops=(i + 1,)), constant(float(w), f32, (1,))])
        for i, w in enumerate(weights.reshape(-1))
    ]
    total = make("reduce_sum", [make("concat", parts, axis=0)], axes=(0,))
    return make("reshape", [total], shape=())


def check(output: Node, inputs: dict[str, Node], values: Mapping[str, Any]) -> None:
    """The gradient of a scalar by each float input against central differences."""
    (output,) = surrogates([output])
    wrt = [node for node in inputs.values() if node.dtype is f32]
    keys = [key for key, node in inputs.items() if node.dtype is f32]
    wanted = as_double(gradient(output, wrt))
    (loss,) = as_double([output])
    wide = {key: v.astype(np.float64) if key in keys else v for key, v in values.items()}
    gradients = evaluate(wanted, wide)
    step = 1e-5
    for key, found in zip(keys, gradients, strict=True):
        expected = np.zeros_like(wide[key])
        for index in np.ndindex(expected.shape):
            ends = []
            for sign in (1, -1):
                moved = wide[key].copy()
                moved[index] += sign * step
                ends.append(evaluate([loss], {**wide, key: moved})[0])
            expected[index] = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def _case(build: Callable[..., Node], *shapes: tuple[int, ...], positive: bool = False) -> None:
    random = np.random.default_rng(3)
    inputs = {str(i): _input(str(i), *shape) for i, shape in enumerate(shapes)}
    values = {key: random.normal(size=node.shape) for key, node in inputs.items()}
    if positive:
        values = {key: np.abs(value) + 0.5 for key, value in values.items()}
    check(_loss(build(*inputs.values())), inputs, values)


_ids = make("cast", [make("iota", length=3)], dtype=i32)
_mask = make("lt", [make("iota", length=6), constant(4, i32, (6,))])

CASES: dict[str, tuple[Callable[..., Node], tuple[tuple[int, ...], ...]]] = {
    "add": (lambda a, b: make("add", [a, b]), ((2, 3), (2, 3))),
    "sub": (lambda a, b: make("sub", [a, b]), ((2, 3), (2, 3))),
    "mul": (lambda a, b: make("mul", [a, b]), ((2, 3), (2, 3))),
    "div": (lambda a, b: make("div", [a, b]), ((2, 3), (2, 3))),
    "min": (lambda a, b: make("min", [a, b]), ((2, 3), (2, 3))),
    "max": (lambda a, b: make("max", [a, b]), ((2, 3), (2, 3))),
    "select": (lambda a, b: make("select", [_mask, a, b]), ((6,), (6,))),
    "broadcast": (lambda a: make("broadcast", [a], shape=(4, 2, 3)), ((2, 1),)),
    "reshape": (lambda a: make("reshape", [a], shape=(3, 2)), ((6,),)),
    "permute": (lambda a: make("permute", [a], order=(2, 0, 1)), ((2, 3, 4),)),
    "slice": (lambda a: make("slice", [a], starts=(1, 0), stops=(3, 2)), ((3, 4),)),
    "pad": (lambda a: make("pad", [a], before=(1, 0), after=(0, 2)), ((2, 3),)),
    "concat": (lambda a, b: make("concat", [a, b, a], axis=1), ((2, 1), (2, 3))),
    "reduce_sum": (lambda a: make("reduce_sum", [a], axes=(0, 2)), ((2, 3, 4),)),
    "reduce_max": (lambda a: make("reduce_max", [a], axes=(1,)), ((2, 5),)),
    "reduce_min": (lambda a: make("reduce_min", [a], axes=(0, 1)), ((2, 5),)),
    "dot": (lambda a, b: make("dot", [a, b]), ((2, 3, 4), (5, 4))),
    "gather": (lambda a: make("gather", [a, _ids]), ((4, 2),)),
    "scatter_add": (lambda a: make("scatter_add", [_ids, a], length=5), ((3, 2),)),
    "cast": (lambda a: make("cast", [make("mul", [a, a])], dtype=f32), ((3,),)),
    "straight_through": (lambda a, b: make("straight_through", [a, make("mul", [b, b])]), ((3,), (3,))),
}
_POSITIVE = ("log", "sqrt", "rsqrt")
_UNARY = ("neg", "abs", "exp", "sin", "cos", "tanh", *_POSITIVE)


@pytest.mark.parametrize("name", CASES)
def test_rule(name: str) -> None:
    build, shapes = CASES[name]
    _case(build, *shapes)


@pytest.mark.parametrize("name", _UNARY)
def test_elementwise_rule(name: str) -> None:
    _case(lambda a: make(name, [a]), (2, 3), positive=name in _POSITIVE)


def test_batched_dot() -> None:
    _case(lambda a, b: make("dot", [a, b]), (2, 3, 4), (2, 5, 4))


def test_every_operation_has_a_rule_or_is_known_to_have_none() -> None:
    without = {
        "input", "constant", "iota", "stop_gradient", "kernel", "item", "not", "floor", "round", "floordiv", "mod",
        "and", "or", "xor", "shl", "shr", "lt", "le", "gt", "ge", "eq", "ne",
    }  # fmt: skip
    assert set(OPS) - set(RULES) == without
    assert set(RULES) - {*CASES, *_UNARY} == {"pack"}


@given(program=tensor_programs(dims=(1, 2, 3), max_steps=4, narrow=False, kernels=False))
def test_programs(program: TensorProgram) -> None:
    inputs: dict[str, Node] = {}
    values = {}
    for i, value in enumerate(program.arguments):
        dtype = ternary if isinstance(value, TernaryArray) else i32 if value.dtype == np.int32 else f32
        inputs[str(i)] = make("input", key=str(i), shape=tuple(value.shape), dtype=dtype)
        values[str(i)] = value
    _, loss = program(*map(Tensor, inputs.values()))
    check(loss.node, inputs, values)


def test_the_gradient_of_ternary_weights_goes_to_what_was_packed() -> None:
    x, w = _input("x", 4, 3), _input("w", 2, 3)
    y = make("dot", [x, make("pack", [w])])
    dx, dw = gradient(_loss(y), [x, w])
    values = {
        "x": np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32),
        "w": np.array([[1, 0, -1], [0, 1, 1]], np.float32),
    }
    weights = np.random.default_rng(7).normal(size=(4, 2)).astype(np.float32)
    found_x, found_w = evaluate([dx, dw], values)
    np.testing.assert_allclose(found_x, weights @ values["w"], rtol=1e-6)
    np.testing.assert_allclose(found_w, weights.T @ values["x"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [f16, bf16])
def test_gradients_of_narrow_products_keep_the_operands_dtype(dtype: object) -> None:
    a, b = (make("cast", [_input(k, 2, 3)], dtype=dtype) for k in "ab")
    da, db = gradient(_loss(make("dot", [a, b])), [a, b])
    assert da.dtype is db.dtype is dtype


@pytest.mark.parametrize(("op", "share"), [("max", 0.5), ("min", 0.5)])
def test_equal_operands_share_the_gradient(op: str, share: float) -> None:
    a, b = _input("a"), _input("b")
    values = {"a": np.float32(2), "b": np.float32(2)}
    assert evaluate(gradient(make(op, [a, b]), [a, b]), values) == [share, share]


def test_equal_elements_share_the_gradient_of_a_reduction() -> None:
    x = _input("x", 4)
    y = make("reshape", [make("reduce_max", [x], axes=(0,))], shape=())
    (found,) = evaluate(gradient(y, [x]), {"x": np.array([1, 3, 3, 0], np.float32)})
    np.testing.assert_array_equal(found, [0, 0.5, 0.5, 0])


def test_a_constant_output_has_zero_gradient() -> None:
    x = _input("x", 3)
    (found,) = evaluate(gradient(_loss(constant(1.0, f32, (2,))), [x]), {"x": np.ones(3, np.float32)})
    np.testing.assert_array_equal(found, np.zeros(3))


def test_stop_gradient_ends_it() -> None:
    x = _input("x")
    y = make("mul", [x, make("stop_gradient", [x])])
    assert evaluate(gradient(y, [x]), {"x": np.float32(3)}) == [3]


def test_a_missing_gradient_is_an_error_at_the_users_line() -> None:
    x = _input("x")
    y = make("round", [x])
    with pytest.raises(GradientError, match="`round` has no gradient") as caught:
        gradient(y, [x])
    assert caught.value.location is not None
    assert caught.value.location.file == __file__
    assert "straight_through" in caught.value.hint


def test_only_float_scalars_have_a_gradient() -> None:
    x = _input("x", 2)
    with pytest.raises(GradientError, match="float scalar"):
        gradient(x, [x])
    whole = make("input", key="n", shape=(), dtype=i8)
    with pytest.raises(GradientError, match="with respect to i8"):
        gradient(_input("y"), [whole])


_TINYGRAD = """
import json, sys
import numpy as np
from tinygrad import Tensor
data = {k: Tensor(np.array(v, np.float32)) for k, v in json.load(sys.stdin).items()}
x, g, w, a, b = (data[k] for k in "xgwab")
n = x * (x.square().mean(-1, keepdim=True) + 1e-5).rsqrt() * g
h = n @ w.T
h = h.silu() * h + (n @ a.T) @ b.T * 0.5
p = h.softmax(-1)
loss = -(p.log()[:, 0] + p.max(-1)).mean()
print(json.dumps([loss.item(), *(one.numpy().tolist() for one in loss.gradient(x, g, w, a, b))]))
"""


def test_against_tinygrad() -> None:
    """RMSNorm, a linear layer with LoRA, SiLU, softmax, log and max: value and gradients."""
    pytest.importorskip("tinygrad")
    random = np.random.default_rng(5)
    shapes = {"x": (4, 6), "g": (6,), "w": (5, 6), "a": (2, 6), "b": (5, 2)}
    values = {key: random.normal(size=shape).astype(np.float32) for key, shape in shapes.items()}
    done = subprocess.run(
        [sys.executable, "-c", _TINYGRAD],
        input=json.dumps({key: value.tolist() for key, value in values.items()}),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "DEV": "PYTHON"},
    )
    expected = json.loads(done.stdout)
    inputs = {key: _input(key, *shape) for key, shape in shapes.items()}
    x, g, w, a, b = map(Tensor, inputs.values())
    n = nn.rms_norm(x, g, 1e-5)
    h = nn.linear(n, w)
    h = nn.silu(h) * h + nn.lora(n, a, b, 0.5)
    p = F.softmax(h)
    loss = -(F.log(p)[:, 0] + p.max(-1)).mean()
    found = evaluate([loss.node, *gradient(loss.node, list(inputs.values()))], values)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, np.array(other), rtol=2e-5, atol=2e-6)
