"""Functions of tensors: what is no method of :class:`~tritloom.dsl.tensor.Tensor`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tritloom.codegen.errors import ShapeError, caller_location
from tritloom.codegen.ir.dtypes import DType, f32
from tritloom.codegen.ir.template import KernelTemplate
from tritloom.codegen.ir.tensor import Node
from tritloom.codegen.ir.tensor_ops import constant, make
from tritloom.dsl.tensor import Axes, Number, Operand, Tensor, binary, common_shape, expand, node_of, unary

# elementwise


def exp(x: Tensor) -> Tensor:
    """e to the power of x."""
    return unary("exp", x)


def log(x: Tensor) -> Tensor:
    """The natural logarithm."""
    return unary("log", x)


def sqrt(x: Tensor) -> Tensor:
    """The square root."""
    return unary("sqrt", x)


def rsqrt(x: Tensor) -> Tensor:
    """One over the square root."""
    return unary("rsqrt", x)


def sin(x: Tensor) -> Tensor:
    """The sine."""
    return unary("sin", x)


def cos(x: Tensor) -> Tensor:
    """The cosine."""
    return unary("cos", x)


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return unary("tanh", x)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return 1.0 / (exp(-x) + 1.0)


def abs(x: Tensor) -> Tensor:  # noqa: A001
    """The absolute value. Its gradient at 0 is 0."""
    return unary("abs", x)


def floor(x: Tensor) -> Tensor:
    """The greatest whole number that is not above x. It has no gradient: see :func:`straight_through`."""
    return unary("floor", x)


def round(x: Tensor) -> Tensor:  # noqa: A001
    """The nearest whole number, halves to the even one. It has no gradient: see :func:`straight_through`."""
    return unary("round", x)


def maximum(a: Operand, b: Operand) -> Tensor:
    """The greater, element by element. Equal operands share the gradient."""
    return binary("max", a, b)


def minimum(a: Operand, b: Operand) -> Tensor:
    """The lesser, element by element. Equal operands share the gradient."""
    return binary("min", a, b)


def clamp(x: Tensor, low: Operand, high: Operand) -> Tensor:
    """x, but `low` where it is below and `high` where it is above."""
    return minimum(maximum(x, low), high)


def where(condition: Tensor, if_true: Operand, if_false: Operand) -> Tensor:
    """`if_true` where the bool condition holds, else `if_false`, element by element."""
    dtype = next((one.dtype for one in (if_true, if_false) if isinstance(one, Tensor)), f32)
    nodes = (node_of(condition), node_of(if_true, dtype), node_of(if_false, dtype))
    shape = common_shape("where", *(node.shape for node in nodes))
    return Tensor(make("select", [expand(node, shape) for node in nodes]))


def cast(x: Tensor, dtype: DType) -> Tensor:
    """Conversion by value: see :meth:`Tensor.cast`."""
    return x.cast(dtype)


# reductions and products


def sum(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:  # noqa: A001
    """The sum over the axes, all if None. In a kernel: :func:`tritloom.dsl.language.sum`."""
    return x.sum(axis, keepdims)


def max(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:  # noqa: A001
    """The greatest element over the axes, all if None. In a kernel: :func:`tritloom.dsl.language.max`."""
    return x.max(axis, keepdims)


def min(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:  # noqa: A001
    """The least element over the axes, all if None. In a kernel: :func:`tritloom.dsl.language.min`."""
    return x.min(axis, keepdims)


def mean(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The mean over the axes, all if None."""
    return x.mean(axis, keepdims)


# making


def full(shape: Sequence[int], value: Number, dtype: DType = f32) -> Tensor:
    """A tensor of one value. In a kernel: :func:`tritloom.dsl.language.full`."""
    return Tensor(constant(value, dtype, tuple(shape)))


def zeros(shape: Sequence[int], dtype: DType = f32) -> Tensor:
    """A tensor of zeros. In a kernel: :func:`tritloom.dsl.language.zeros`."""
    return full(shape, 0, dtype)


def ones(shape: Sequence[int], dtype: DType = f32) -> Tensor:
    """A tensor of ones."""
    return full(shape, 1, dtype)


def full_like(x: Tensor, value: Number) -> Tensor:
    """A tensor of one value, of x's shape and dtype."""
    return full(x.shape, value, x.dtype)


def zeros_like(x: Tensor) -> Tensor:
    """A tensor of zeros, of x's shape and dtype."""
    return full_like(x, 0)


def arange(length: int) -> Tensor:
    """i32 [length]: 0, 1, 2, ..."""
    return Tensor(make("iota", length=length))


# movement


def concat(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Tensors one behind the other along an axis that they have."""
    return Tensor(make("concat", [node_of(one) for one in tensors], axis=axis))


def stack(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Tensors of one shape one behind the other along a new axis."""
    if not tensors:
        raise ShapeError("`stack` of nothing", location=caller_location())
    rank = tensors[0].ndim + 1
    at = axis % rank
    return concat([one.reshape((*one.shape[:at], 1, *one.shape[at:])) for one in tensors], at)


def pad(x: Tensor, before: Sequence[int], after: Sequence[int]) -> Tensor:
    """Zeros before and after, so many for each dimension."""
    return Tensor(make("pad", [node_of(x)], before=tuple(before), after=tuple(after)))


def gather(table: Tensor, ids: Tensor) -> Tensor:
    """The rows `table[ids]`; ids are i32, from 0 to the number of rows less 1."""
    return Tensor(make("gather", [node_of(table), node_of(ids)]))


def scatter_add(ids: Tensor, rows: Tensor, length: int) -> Tensor:
    """f32 [length, ...]: the sum of the rows of each id, 0 for an id that has none."""
    return Tensor(make("scatter_add", [node_of(ids), node_of(rows)], length=length))


# composed


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """exp(x) over its sum along the axis, computed so that nothing overflows."""
    e = exp(x - stop_gradient(x.max(axis, keepdims=True)))
    return e / e.sum(axis, keepdims=True)


def log_sum_exp(x: Tensor, axis: Axes = -1, keepdims: bool = False) -> Tensor:
    """The logarithm of the sum of exp(x) along the axis, computed so that nothing overflows."""
    peak = stop_gradient(x.max(axis, keepdims=True))
    result = log(exp(x - peak).sum(axis, keepdims=True)) + peak
    return result if keepdims else result.reshape(x.sum(axis).shape)


# gradients, packing, kernels


def stop_gradient(x: Tensor) -> Tensor:
    """x as a constant: no gradient flows through it."""
    return Tensor(make("stop_gradient", [node_of(x)]))


def straight_through(value: Tensor, surrogate: Tensor) -> Tensor:
    """`value`, with the gradient of `surrogate`, a float of the same shape that is computed for nothing else."""
    return Tensor(make("straight_through", [node_of(value), node_of(surrogate)]))


def pack(x: Tensor) -> Tensor:
    """A float matrix whose values are -1, 0 and 1 as a ternary one, of the same shape."""
    return Tensor(make("pack", [node_of(x)]))


def call_kernel(
    template: KernelTemplate,
    tensors: Sequence[Tensor],
    scalars: Sequence[Number] = (),
    configuration: Mapping[str, int] | None = None,
) -> tuple[Tensor, ...]:
    """Call a kernel on the tensors that it reads, in the order of its signature; its OUT and INOUT tensors."""
    inputs: list[Node] = [node_of(one) for one in tensors]
    node = make("kernel", inputs, template=template, scalars=tuple(scalars), configuration=configuration)
    return tuple(Tensor(make("item", [node], index=i)) for i in range(len(node.attribute("results"))))
