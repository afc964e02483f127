"""Linear layers: of floats, and of ternary weights with 8-bit activations, with or without a LoRA adapter."""

from __future__ import annotations

from tritloom.codegen.errors import DTypeError, caller_location
from tritloom.codegen.ir.dtypes import bf16, f32
from tritloom.dsl.functions import straight_through
from tritloom.dsl.nn.quantise import dequantised, quantise_activations
from tritloom.dsl.tensor import Tensor, dot

Lora = tuple[Tensor, Tensor, float]
"""(A [r, in], B [out, r], alpha / r), A and B in f32."""


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """x[..., K] times weight[N, K] (floats): f32 [..., N]. x is cast to the weight's dtype; sums run in f32."""
    return _rows(x.cast(weight.dtype), weight)


def lora(x: Tensor, a: Tensor, b: Tensor, scaling: float) -> Tensor:
    """The adapter's part, (x A^T) B^T * alpha/r: f32 [..., out]. Hu et al., arXiv:2106.09685."""
    return linear(linear(x, a), b) * scaling


def ternary_linear(
    x: Tensor, weight: Tensor, scale: Tensor, lora: Lora | None = None, precision: str = "f32"
) -> Tensor:
    """x[..., K] quantised to 8 bits, times weight (ternary [N, K]) * scale (f32 [1]): f32 [..., N].

    y = (q . w) * scale / s with 32-bit integer sums, plus the adapter's part of the unquantised x. Gradients pass
    straight through both quantisations: dX = dY . W, a product in f32 or, with `precision="bf16"`, of bf16 operands;
    and, where the weight is ternarised from a master, dW = dY^T . (q / s).
    """
    if not weight.dtype.is_ternary or precision not in ("f32", "bf16"):
        raise DTypeError(
            f"ternary_linear with a weight of {weight.dtype} and precision={precision!r}",
            hint='the weight is ternary (tl.array of a TernaryArray, or nn.ternarise), precision "f32" or "bf16"',
            location=caller_location(),
        )
    q, s = quantise_activations(x)
    value = _rows(q, weight).cast(f32) * (scale / s)
    operand = dequantised(x, q, s).cast(bf16 if precision == "bf16" else f32)
    y = straight_through(value, _rows(operand, weight) * scale)
    if lora is None:
        return y
    a, b, scaling = lora
    return y + _lora(x, a, b, scaling)


_lora = lora


def _rows(x: Tensor, weight: Tensor) -> Tensor:
    """The product over the last dimensions, for any number of leading dimensions of x."""
    columns = x.shape[-1] if x.shape else 1
    flat = x.reshape(x.size // columns, columns)
    return dot(flat, weight).reshape(*x.shape[:-1], weight.shape[0])
