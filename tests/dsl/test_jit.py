"""tl.jit: one trace a signature, trees of arguments, donation, captured tensors, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tritloom as tl
from tests.support import device_named

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def _tensor(value: Any, backend: str = "reference") -> tl.Tensor:
    return tl.array(value, device_named(backend))


class Counted:
    """A function that counts how often it is traced."""

    def __init__(self, function: Any):
        self.function = function
        self.calls = 0

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.calls += 1
        return self.function(*arguments, **named)


def test_one_trace_for_each_signature() -> None:
    function = Counted(lambda x, n: x * n)
    f = tl.jit(function)
    x = _tensor(X)
    np.testing.assert_array_equal(f(x, 2).numpy(), X * 2)
    np.testing.assert_array_equal(f(_tensor(X + 1), 2).numpy(), (X + 1) * 2)
    assert function.calls == 1
    np.testing.assert_array_equal(f(x, 3).numpy(), X * 3)
    assert function.calls == 2
    np.testing.assert_array_equal(f(_tensor(X[:1]), 2).numpy(), X[:1] * 2)
    assert function.calls == 3
    f(_tensor(X.astype(np.float16)), 2)
    assert function.calls == 4
    np.testing.assert_array_equal(np.signbit(f(x, -0.0).numpy()), np.ones((2, 3), bool))
    np.testing.assert_array_equal(np.signbit(f(x, 0.0).numpy()), np.zeros((2, 3), bool))


def test_trees_go_in_and_out() -> None:
    @tl.jit
    def f(tree: Any, *, factor: Any) -> Any:
        return {"sum": tree["a"] + tree["b"][0], "same": tree["b"], "n": (1, "text", None), "f": factor}

    tree = {"b": [_tensor(X), (_tensor(X * 2),)], "a": _tensor(X)}
    found = f(tree, factor=_tensor(np.float32(3)))
    np.testing.assert_array_equal(found["sum"].numpy(), X * 2)
    np.testing.assert_array_equal(found["same"][1][0].numpy(), X * 2)
    assert found["n"] == (1, "text", None)
    assert found["f"].item() == 3
    assert f.__name__ == "f"


def test_numpy_and_ternary_arrays_are_arguments(backend_name: str) -> None:
    weights = np.array([[1, 0, -1], [1, 1, 0]], np.int8)
    f = tl.jit(lambda x, w, y: tl.dot(x, w) + y)
    one = _tensor(np.ones((1, 2), np.float32), backend_name)
    found = f(X, tl.TernaryArray.pack(weights), one)
    np.testing.assert_array_equal(found.numpy(), X @ weights.T + 1)


def test_captured_tensors_are_inputs() -> None:
    captured = _tensor(X)
    f = tl.jit(lambda x: x + captured * 2)
    np.testing.assert_array_equal(f(_tensor(X)).numpy(), X * 3)
    np.testing.assert_array_equal(f(_tensor(X * 0)).numpy(), X * 2)


def test_jit_inside_jit_is_one_program() -> None:
    inner = tl.jit(lambda x: x * 2)
    outer = tl.jit(lambda x: inner(x) + 1)
    np.testing.assert_array_equal(outer(_tensor(X)).numpy(), X * 2 + 1)
    assert len(outer.program(_tensor(X)).splitlines()) == 8


def test_results_may_be_arguments_or_equal_or_constant() -> None:
    f = tl.jit(lambda x, y: (x, y, x, x + y, x + y, tl.ones((2,)), x.reshape(-1)))
    found = [one.numpy() for one in f(_tensor(X), _tensor(X * 3))]
    for one, expected in zip(found, (X, X * 3, X, X * 4, X * 4, np.ones(2), X.reshape(-1)), strict=True):
        np.testing.assert_array_equal(one, expected)


def test_donated_arguments_are_given_up(backend_name: str) -> None:
    f = tl.jit(lambda p, g: ({"w": p["w"] - g, "b": p["b"]}, (p["w"] * g).sum()), donate=0)
    parameters = {"w": _tensor(X, backend_name), "b": _tensor(X + 5, backend_name)}
    old = parameters["w"]
    for step in range(1, 4):
        parameters, total = f(parameters, _tensor(np.ones((2, 3), np.float32), backend_name))
        np.testing.assert_array_equal(parameters["w"].numpy(), X - step)
        np.testing.assert_array_equal(parameters["b"].numpy(), X + 5)
        assert total.item() == (X - step + 1).sum()
    with pytest.raises(tl.DeviceError, match="was donated"):
        old.numpy()


def test_a_donated_argument_is_given_once() -> None:
    f = tl.jit(lambda a, b: a + b, donate=(0,))
    x = _tensor(X)
    with pytest.raises(tl.DeviceError, match="a second time"):
        f(x, x)
    np.testing.assert_array_equal(x.numpy(), X)


def test_donation_writes_over_the_argument() -> None:
    """On the CPU the result has the donated memory; the program still sees the old value everywhere."""
    f = tl.jit(lambda a: (a.reshape(3, 2).T.reshape(2, 3) + a, a.sum()), donate=0)
    permuted, total = f(_tensor(X, "cpu"))
    np.testing.assert_array_equal(permuted.numpy(), X.reshape(3, 2).T.reshape(2, 3) + X)
    assert total.item() == X.sum()


def test_the_transposed_packing_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Counted(tl.TernaryArray.transposed)

    def transposed(self: tl.TernaryArray) -> Any:
        return made(self)

    monkeypatch.setattr(tl.TernaryArray, "transposed", transposed)
    weights = np.array([[1, 0, -1], [1, 1, 0]], np.int8)
    w = _tensor(tl.TernaryArray.pack(weights))
    f = tl.jit(lambda y, w: tl.dot(y, w.T))
    y = np.array([[2.0, 3.0]], np.float32)
    for _ in range(3):
        np.testing.assert_array_equal(f(_tensor(y), w).numpy(), y @ weights)
    assert made.calls == 1


@pytest.mark.parametrize(
    "use", [float, bool, tl.Tensor.numpy, np.asarray, tl.Tensor.realise, lambda x: x.to("reference")]
)
def test_a_traced_tensor_has_no_value(use: Any) -> None:
    with pytest.raises(tl.TraceError, match="while its function is traced") as caught:
        tl.jit(lambda x: use(x.sum()))(_tensor(X))
    assert "tl.where" in caught.value.hint


def test_arguments_that_are_none() -> None:
    with pytest.raises(tl.StructureError, match=r"\[0\]\[0\]\['a'\] is a set"):
        tl.jit(lambda x: x)({"a": {1}})
    with pytest.raises(tl.StructureError, match="donate names argument 2"):
        tl.jit(lambda x: x, donate=2)(_tensor(X))


@pytest.mark.device("cpu")
def test_two_devices_do_not_meet() -> None:
    a, b = _tensor(X), _tensor(X, "cpu")
    for meet in (lambda: tl.jit(tl.maximum)(a, b), (a + b).numpy):
        with pytest.raises(tl.DeviceError, match="tensors of reference and cpu meet"):
            meet()
    np.testing.assert_array_equal((a.to("cpu") + b).numpy(), X * 2)


def test_explain_prints_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    tl.explain(lambda x: x * 2 + 1, _tensor(X))
    assert "mul %0" in capsys.readouterr().out


@pytest.mark.device("cpu")
def test_explain_prints_kernels_and_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    tl.explain(lambda x: x * 2 + 1, _tensor(X, "cpu"))
    shown = capsys.readouterr().out
    assert "launches: 1 of 1 kernels (one an operation: 2)" in shown
    assert "reads 24 B, writes 24 B" in shown


def test_a_program_without_arguments_runs_on_the_default_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITLOOM_DEVICE", "reference")
    np.testing.assert_array_equal(tl.jit(lambda: tl.arange(3) * 2)().numpy(), [0, 2, 4])
    assert tl.array([1.0]).device is device_named("reference")
