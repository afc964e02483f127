"""Random tensor programs with gradients: under jit and not, and on every device against the interpreter."""

from __future__ import annotations

import numpy as np
from hypothesis import given

import tritloom as tl
from tests.strategies_tensor import TensorProgram, tensor_programs
from tests.support import device_named
from tritloom.codegen.ir.tensor import Node
from tritloom.codegen.ir.tensor_verifier import verify_program


def _tensors(program: TensorProgram, device: str) -> list[tl.Tensor]:
    return [tl.array(argument, device_named(device)) for argument in program.arguments]


def _close(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    scale = max(float(np.abs(expected).max(initial=0.0)), 1.0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale)


@given(program=tensor_programs())
def test_programs_and_gradients(program: TensorProgram) -> None:
    """On the reference device, under jit and not; the nodes obey the rules."""
    arguments = _tensors(program, "reference")
    function = tl.value_and_grad(lambda *xs: program(*xs)[::-1], program.differentiable, has_aux=True)
    (loss, value), gradients = function(*arguments)
    nodes: list[Node] = [loss.node, value.node, *(gradient.node for gradient in gradients)]
    verify_program(nodes)
    for number, gradient in zip(program.differentiable, gradients, strict=True):
        assert gradient.shape == arguments[number].shape
        assert gradient.dtype is arguments[number].dtype
    (jit_loss, jit_value), jit_gradients = tl.jit(function)(*arguments)
    np.testing.assert_array_equal(jit_value.numpy(), value.numpy())
    np.testing.assert_array_equal(jit_loss.numpy(), loss.numpy())
    for found, expected in zip(jit_gradients, gradients, strict=True):
        np.testing.assert_array_equal(found.numpy(), expected.numpy())
        assert np.isfinite(expected.numpy()).all()


@given(program=tensor_programs())
def test_on_devices(backend_name: str, program: TensorProgram) -> None:
    """Every device gives what the interpreter gives."""
    function = tl.jit(tl.value_and_grad(lambda *xs: program(*xs)[::-1], program.differentiable, has_aux=True))
    results = [tl.tree_leaves(function(*_tensors(program, name))) for name in (backend_name, "reference")]
    for found, expected in zip(*results, strict=True):
        _close(found.numpy(), expected.numpy(), program.tolerance)
