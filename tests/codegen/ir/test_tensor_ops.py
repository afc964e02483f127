"""The table of tensor operations: typing rules, interning, simplification, the interpreter, printer and verifier."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritloom.codegen.errors import BoundsError, DTypeError, ShapeError, VerificationError
from tritloom.codegen.ir.dtypes import DType, bf16, bool_, f16, f32, i8, i16, i32, ternary, u8
from tritloom.codegen.ir.tensor import Node, intern
from tritloom.codegen.ir.tensor_interpreter import evaluate
from tritloom.codegen.ir.tensor_ops import BINARY, OPS, UNARY, attributes, constant, make
from tritloom.codegen.ir.tensor_printer import format_program
from tritloom.codegen.ir.tensor_verifier import verify_program
from tritloom.codegen.ir.ternary import TernaryArray


def _input(key: str, *shape: int, dtype: DType = f32) -> Node:
    return make("input", key=key, shape=shape, dtype=dtype)


X = _input("x", 2, 3)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: make("add", [X, _input("y", 3, 2)]), ShapeError, "`add` of"),
        (lambda: make("add", [X, _input("y", 2, 3, dtype=f16)]), DTypeError, "`add` of"),
        (lambda: make("exp", [_input("n", 2, dtype=i32)]), DTypeError, "`exp` takes a float"),
        (lambda: make("neg", [_input("n", 2, dtype=u8)]), DTypeError, "`neg` takes"),
        (lambda: make("not", [X]), DTypeError, "`not` takes bool"),
        (lambda: make("div", [_input("n", 2, dtype=i32)] * 2), DTypeError, "`/` of i32"),
        (lambda: make("mod", [X, X]), DTypeError, "takes integers"),
        (lambda: make("and", [X, X]), DTypeError, "integers or bools"),
        (lambda: make("add", [_input("b", 2, dtype=bool_)] * 2), DTypeError, "of bools"),
        (lambda: make("neg", [_input("t", 2, 2, dtype=ternary)]), DTypeError, "takes a float"),
        (lambda: make("select", [X, X, X]), DTypeError, "condition is bool"),
        (lambda: make("cast", [X], dtype=ternary), DTypeError, "cast of f32 to ternary"),
        (lambda: make("cast", [_input("t", 2, 2, dtype=ternary)], dtype=f32), DTypeError, "cast of ternary"),
        (lambda: make("broadcast", [X], shape=(2, 4)), ShapeError, "does not broadcast"),
        (lambda: make("reshape", [X], shape=(5,)), ShapeError, "6 elements"),
        (lambda: make("permute", [X], order=(0, 0)), ShapeError, "twice"),
        (lambda: make("permute", [X], order=(0,)), ShapeError, "with 1 axes"),
        (lambda: make("slice", [X], starts=(0, 2), stops=(2, 2)), ShapeError, r"\[2:2\] of axis 1"),
        (lambda: make("slice", [X], starts=(0, 0), stops=(2, 4)), ShapeError, "has 3 elements"),
        (lambda: make("pad", [X], before=(0, -1), after=(0, 0)), ShapeError, "`pad`"),
        (lambda: make("concat", [], axis=0), ShapeError, "of nothing"),
        (lambda: make("concat", [X, _input("y", 2, 4)], axis=0), ShapeError, "`concat` along axis 0"),
        (lambda: make("reduce_sum", [X], axes=(2,)), ShapeError, "over axis 2"),
        (lambda: make("reduce_sum", [_input("n", 2, dtype=i8)], axes=(0,)), DTypeError, "`sum` of i8"),
        (lambda: make("dot", [X, _input("y", 4, 2)]), ShapeError, "sums over 3 elements"),
        (lambda: make("dot", [X, _input("y", 4, 3, dtype=f16)]), DTypeError, "`dot` of"),
        (lambda: make("dot", [_input("t", 2, 3, dtype=ternary), X]), DTypeError, "`dot` of"),
        (lambda: make("dot", [X, _input("y", 2, 4, 3)]), ShapeError, "leading dimensions"),
        (lambda: make("dot", [_input("v", 3), X]), ShapeError, "two dimensions"),
        (lambda: make("gather", [X, X]), DTypeError, "ids of f32"),
        (lambda: make("scatter_add", [_input("n", 2, dtype=i32), _input("r", 3)], length=4), ShapeError, "scatter"),
        (lambda: make("pack", [_input("v", 3)]), DTypeError, "`pack`"),
        (lambda: make("straight_through", [X, _input("y", 3, 2)]), ShapeError, "straight_through"),
        (lambda: make("constant", dtype=i8, value=200), DTypeError, "does not fit in i8"),
        (lambda: make("constant", dtype=i32, value=1.5), DTypeError, "1.5 is no i32"),
        (lambda: _input("z", 2, 0), ShapeError, "1 or more"),
        (lambda: _input("t", 2, dtype=ternary), ShapeError, "is a matrix"),
        (lambda: make("item", [X], index=0), DTypeError, "reads a kernel's results"),
    ],
)  # fmt: skip
def test_a_wrong_operand_is_an_error_at_the_callers_line(build: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        build()
    assert caught.value.location.file == __file__


def test_equal_operations_are_one_node() -> None:
    assert make("exp", [X]) is make("exp", [X])
    assert make("reduce_sum", [X], axes=(-1,)) is make("reduce_sum", [X], axes=[1])
    assert make("exp", [X]) is not make("log", [X])


def test_constants_that_python_calls_equal_stay_apart() -> None:
    assert constant(0.0, f32) is not constant(-0.0, f32)
    assert constant(0, i32) is not constant(0.0, f32)
    assert constant(1, i32) is not constant(True, bool_)
    assert constant(math.nan, f32) is constant(float("nan"), f32)
    assert constant(0.1, f32) is constant(float(np.float32(0.1)), f32)


def _plain(op: str, inputs: list[Node], node: Node, **values: Any) -> Node:
    """The node that `make` would give if it did not simplify."""
    return intern(op, tuple(inputs), attributes(values), node.shape, node.dtype)


_EDGES = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    2.5,
    3.5,
    -2.5,
    math.inf,
    -math.inf,
    math.nan,
    1e-45,
    3e38,
    65504.0,
    7.25,
]


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    nans = np.isnan(a.astype(np.float64)) & np.isnan(b.astype(np.float64))
    signs = np.signbit(a.astype(np.float64)) == np.signbit(b.astype(np.float64))
    return bool((nans | ((a == b) & signs)).all())


@given(
    op=st.sampled_from(["add", "sub", "mul", "div", "min", "max"]),
    value=st.sampled_from(_EDGES),
    left=st.booleans(),
    dtype=st.sampled_from([f32, f16, bf16]),
)
def test_simplifying_with_a_constant_changes_no_bit(op: str, value: float, left: bool, dtype: DType) -> None:
    x = _input("x", len(_EDGES), dtype=dtype)
    repeated = constant(value, dtype, x.shape)
    operands = [repeated, x] if left else [x, repeated]
    node = make(op, operands)
    with np.errstate(over="ignore"):
        bindings = {"x": np.array(_EDGES).astype(dtype.numpy)}
    found, expected = evaluate([node, _plain(op, operands, node)], bindings)
    assert _same_bits(found, expected)


@given(
    ops=st.lists(st.sampled_from(["neg", "abs", "exp", "round", "floor", "sqrt"]), min_size=1, max_size=4),
    value=st.sampled_from(_EDGES),
)
def test_folding_constants_gives_what_the_interpreter_gives(ops: list[str], value: float) -> None:
    folded = unfolded = constant(value, f32, (2,))
    for op in ops:
        folded = make(op, [folded])
        unfolded = _plain(op, [unfolded], folded)
    assert folded.op == "broadcast"
    found, expected = evaluate([folded, unfolded], {})
    assert _same_bits(found, expected)


@given(
    source=st.sampled_from([f32, f16, bf16, i8, i16, i32, u8, bool_]),
    between=st.sampled_from([f32, f16, bf16, i8, i16, i32, u8, bool_]),
    target=st.sampled_from([f32, f16, bf16, i8, i16, i32, u8, bool_]),
)
def test_casts_in_a_row_change_no_bit(source: DType, between: DType, target: DType) -> None:
    x = _input("x", len(_EDGES), dtype=source)
    node = make("cast", [make("cast", [x], dtype=between)], dtype=target)
    inner = intern("cast", (x,), (), x.shape, between)
    outer = intern("cast", (inner,), (), x.shape, target)
    with np.errstate(all="ignore"):
        values = np.array(_EDGES).astype(source.numpy)
    found, expected = evaluate([node, outer], {"x": values})
    assert _same_bits(found, expected)


def test_what_is_simplified() -> None:
    one, zero = constant(1.0, f32, (2, 3)), constant(0.0, f32, (2, 3))
    assert make("mul", [X, one]) is X
    assert make("div", [X, one]) is X
    assert make("sub", [X, zero]) is X
    assert make("add", [X, constant(-0.0, f32, (2, 3))]) is X
    assert make("add", [X, zero]) is not X
    assert make("neg", [make("neg", [X])]) is X
    assert make("cast", [make("cast", [make("cast", [X], dtype=f16)], dtype=f32)], dtype=f16).inputs == (X,)
    assert make("cast", [make("cast", [X], dtype=f16)], dtype=f32) is not X
    assert make("reshape", [make("reshape", [X], shape=(6,))], shape=(2, 3)) is X
    assert make("permute", [make("permute", [X], order=(1, 0))], order=(1, 0)) is X
    assert make("broadcast", [make("broadcast", [X], shape=(1, 2, 3))], shape=(4, 2, 3)).inputs == (X,)
    assert make("reduce_max", [_input("r", 1, 3)], axes=(0,)) is _input("r", 1, 3)
    assert make("floor", [_input("n", 2, dtype=i32)]) is _input("n", 2, dtype=i32)


@pytest.mark.parametrize("name", UNARY)
def test_unary_meanings_keep_the_dtype(name: str) -> None:
    for dtype in (bool_,) if name == "not" else (f32, f16, bf16):
        x = _input("x", 4, dtype=dtype)
        (found,) = evaluate([make(name, [x])], {"x": np.array([0, 1, 1, 0]).astype(dtype.numpy)})
        assert found.dtype == dtype.numpy


@pytest.mark.parametrize("name", [name for name in BINARY if name != "div"])
def test_binary_meanings_on_integers(name: str) -> None:
    a, b = np.array([7, -7, 100, -128], np.int8), np.array([3, 3, 1, 1], np.int8)
    nodes = [_input(k, 4, dtype=i8) for k in "ab"]
    (found,) = evaluate([make(name, nodes)], {"a": a, "b": b})
    python = {
        "add": lambda x, y: x + y, "sub": lambda x, y: x - y, "mul": lambda x, y: x * y, "mod": lambda x, y: x % y,
        "floordiv": lambda x, y: x // y, "min": min, "max": max, "and": lambda x, y: x & y, "or": lambda x, y: x | y,
        "xor": lambda x, y: x ^ y, "shl": lambda x, y: x << y, "shr": lambda x, y: x >> y, "lt": lambda x, y: x < y,
        "le": lambda x, y: x <= y, "gt": lambda x, y: x > y, "ge": lambda x, y: x >= y, "eq": lambda x, y: x == y,
        "ne": lambda x, y: x != y,
    }  # fmt: skip
    exact = [python[name](int(x), int(y)) for x, y in zip(a, b)]
    expected = exact if found.dtype == np.bool_ else [(v + 128) % 256 - 128 for v in exact]
    np.testing.assert_array_equal(found, expected)


def test_dot_accumulates_wide() -> None:
    """Sums of f16 in f32, of i8 in i32: neither fits the operands' dtype."""
    ones = np.full((1, 4096), 2, np.float16)
    a, b = (_input(k, 1, 4096, dtype=f16) for k in "ab")
    assert evaluate([make("dot", [a, b])], {"a": ones, "b": ones})[0] == 16384
    a, b = (_input(k, 1, 4096, dtype=i8) for k in "ab")
    small = np.full((1, 4096), -128, np.int8)
    (found,) = evaluate([make("dot", [a, b])], {"a": small, "b": small})
    assert found.dtype == np.int32
    assert found.item() == 4096 * 128 * 128


def test_dot_with_ternary_and_its_transpose() -> None:
    weights = np.array([[1, 0, -1], [-1, -1, 1]], np.int8)
    x, w = _input("x", 1, 3, dtype=i8), _input("w", 2, 3, dtype=ternary)
    y, back = make("dot", [x, w]), make("permute", [w], order=(1, 0))
    bindings: dict[str, Any] = {"x": np.array([[5, 7, 11]], np.int8), "w": TernaryArray.pack(weights)}
    found, transposed, unpacked = evaluate([y, back, make("cast", [w], dtype=i8)], bindings)
    np.testing.assert_array_equal(found, [[-6, -1]])
    np.testing.assert_array_equal(transposed, weights.T)
    np.testing.assert_array_equal(unpacked, weights)


def test_casts() -> None:
    x = _input("x", 6)
    values = np.array([2.9, -2.9, 300, -300, math.nan, math.inf], np.float32)
    as_i8, as_bool = evaluate([make("cast", [x], dtype=i8), make("cast", [x], dtype=bool_)], {"x": values})
    np.testing.assert_array_equal(as_i8, [2, -2, 127, -128, 0, 127])
    np.testing.assert_array_equal(as_bool, [True] * 6)
    (rounded,) = evaluate(
        [make("cast", [_input("y", 1)], dtype=bf16)], {"y": np.array([1 + 2**-8], np.float32)}
    )
    assert rounded.dtype == ml_dtypes.bfloat16
    assert float(rounded[0]) == 1.0


@pytest.mark.parametrize("op", ["gather", "scatter_add"])
@pytest.mark.parametrize("bad", [-1, 3])
def test_an_id_out_of_its_table_is_an_error(op: str, bad: int) -> None:
    ids = _input("ids", 2, dtype=i32)
    rows = _input("rows", 3 if op == "gather" else 2, 4)
    node = make("gather", [rows, ids]) if op == "gather" else make("scatter_add", [ids, rows], length=3)
    bindings = {"ids": np.array([0, bad], np.int32), "rows": np.zeros(rows.shape, np.float32)}
    with pytest.raises(BoundsError, match=rf"id {bad} at \[1\]; the table has 3 row"):
        evaluate([node], bindings)


def test_scatter_add_adds_rows_of_one_id() -> None:
    node = make("scatter_add", [_input("ids", 3, dtype=i32), _input("rows", 3, 2)], length=4)
    bindings = {"ids": np.array([2, 0, 2], np.int32), "rows": np.array([[1, 2], [3, 4], [5, 6]], np.float32)}
    (found,) = evaluate([node], bindings)
    np.testing.assert_array_equal(found, [[3, 4], [0, 0], [6, 8], [0, 0]])


def test_pack_refuses_other_values() -> None:
    node = make("pack", [_input("w", 1, 2)])
    with pytest.raises(DTypeError, match="other than -1, 0 and 1"):
        evaluate([node], {"w": np.array([[0.5, 1]], np.float32)})


def test_a_surrogate_is_not_computed() -> None:
    surrogate = make("cast", [_input("never bound", 2, 3, dtype=i32)], dtype=f32)
    (found,) = evaluate([make("straight_through", [X, surrogate])], {"x": np.ones((2, 3), np.float32)})
    np.testing.assert_array_equal(found, np.ones((2, 3)))


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (np.zeros((3, 2), np.float32), ShapeError),
        (np.zeros((2, 3), np.float64), DTypeError),
        (TernaryArray.pack(np.zeros((2, 3), np.int8)), DTypeError),
    ],
)
def test_a_binding_that_does_not_fit(value: Any, error: type) -> None:
    with pytest.raises(error, match="the input 'x'"):
        evaluate([X], {"x": value})
    with pytest.raises(ShapeError, match="has no value"):
        evaluate([X], {})


def test_printer() -> None:
    y = make("reduce_sum", [make("mul", [X, constant(2.0, f32, (2, 3))])], axes=(0,))
    assert format_program([y, X]).splitlines() == [
        "%0 = input key='x' : f32[2, 3]",
        "%1 = constant value=2.0 : f32[]",
        "%2 = broadcast %1 : f32[2, 3]",
        "%3 = mul %0 %2 : f32[2, 3]",
        "%4 = reduce_sum %3 axes=(0,) : f32[1, 3]",
        "return %4, %0",
    ]
    assert f"# {__file__}:" in format_program([y], locations=True)


@pytest.mark.parametrize(
    "broken",
    [
        intern("exp", (X,), (), (3, 2), f32),
        intern("exp", (X,), (), (2, 3), f16),
        intern("exp", (X, X), (), (2, 3), f32),
        intern("expp", (X,), (), (2, 3), f32),
        intern("reduce_sum", (X,), (("axes", (5,)),), (2, 3), f32),
        intern("permute", (X,), (("order", (1, 0)), ("stray", 1)), (3, 2), f32),
    ],
)
def test_verifier_finds_what_make_would_not_make(broken: Node) -> None:
    verify_program([X, make("exp", [X])])
    with pytest.raises(VerificationError):
        verify_program([broken])


def test_make_refuses_what_no_operation_takes() -> None:
    with pytest.raises(TypeError, match="stray"):
        make("exp", [X], stray=1)
    with pytest.raises(TypeError, match="2 operand"):
        make("exp", [X, X])
    assert all(record.name == name for name, record in OPS.items())
