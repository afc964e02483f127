"""Reverse-mode gradients of tensor programs: one table, operation -> rule.

A rule takes the node and the gradient of the output with respect to it (its cotangent), and gives one for each operand,
or None where none flows. A cotangent has its node's shape and dtype; a ternary node's is f32. Integers and bools carry
no gradient, so comparisons and casts to integers end it; `floor` and `round` are refused instead, since their gradient
is zero almost everywhere and hardly what was meant.

Where two operands of `min` or `max`, or several elements of a reduction, tie, the gradient is split equally. `abs` has
the gradient 0 at 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tritloom.codegen.errors import GradientError, ShapeError
from tritloom.codegen.ir.dtypes import DType, bf16, f32
from tritloom.codegen.ir.template import KernelTemplate
from tritloom.codegen.ir.tensor import Node, topological
from tritloom.codegen.ir.tensor_ops import constant, make

Gradients = Sequence[Node | None]
Rule = Callable[[Node, Node], Gradients]


def gradient(output: Node, wrt: Sequence[Node]) -> list[Node]:
    """The gradient of a float scalar with respect to each node of `wrt`, of its shape and dtype.

    Zeros where the output does not depend on it. Raises GradientError, at the user's line, for an operation on the
    way that has no gradient.
    """
    if output.shape != () or not output.dtype.is_float:
        raise GradientError(
            f"the gradient of {output.dtype}{list(output.shape)}; it is taken of a float scalar",
            hint="sum or average the output first",
            location=output.location,
        )
    for node in wrt:
        if not node.dtype.is_float:
            raise GradientError(
                f"the gradient with respect to {node.dtype}{list(node.shape)}",
                hint="only floats have a gradient",
                location=node.location,
            )
    order = list(topological([output]))
    active = _active(order, wrt)
    cotangents: dict[Node, Node] = {}
    results: dict[Node, dict[int, Node]] = {}
    if output in active:
        cotangents[output] = constant(1.0, output.dtype)
    for node in reversed(order):
        if node not in active:
            continue
        if node.op == "kernel":
            given = results.get(node)
            flowing = _kernel(node, given) if given else ()
        elif node not in cotangents:
            continue
        elif node.op == "item":
            results.setdefault(node.inputs[0], {})[node.attribute("index")] = cotangents[node]
            continue
        else:
            flowing = _flow(node, cotangents[node])
        for operand, part in zip(node.inputs, flowing):
            if part is not None and operand in active:
                before = cotangents.get(operand)
                cotangents[operand] = part if before is None else make("add", [before, part])
    return [cotangents.get(node) or constant(0.0, node.dtype, node.shape) for node in wrt]


def _carries(dtype: DType) -> bool:
    return dtype.is_float or dtype.is_ternary


def _active(order: Sequence[Node], wrt: Sequence[Node]) -> set[Node]:
    """The nodes through which a gradient reaches one of `wrt`. A kernel counts by any of its results."""
    found = set(wrt)
    for node in order:
        sources: Sequence[Node] = node.inputs
        if node.op == "stop_gradient":
            sources = ()
        elif node.op == "straight_through":
            sources = node.inputs[1:]
        if (_carries(node.dtype) or node.op == "kernel") and any(source in found for source in sources):
            found.add(node)
    return found


def _flow(node: Node, dy: Node) -> Gradients:
    if not node.inputs:
        return ()
    rule = RULES.get(node.op)
    if rule is None:
        raise GradientError(
            f"`{node.op}` has no gradient",
            hint="wrap it in tl.straight_through(value, surrogate), or end the gradient with tl.stop_gradient",
            location=node.location,
        )
    return rule(node, dy)


def _kernel(node: Node, given: dict[int, Node]) -> Gradients:
    template: KernelTemplate = node.attribute("template")
    shapes = node.attribute("results")
    results = tuple(make("item", [node], index=i) for i in range(len(shapes)))
    cotangents = tuple(
        given.get(i) or (constant(0.0, dtype, shape) if dtype.is_float else None)
        for i, (shape, dtype) in enumerate(shapes)
    )
    parts = template.gradient(node, results, cotangents)
    if parts is None:
        raise GradientError(
            f"the kernel `{template.name}` has no gradient",
            hint=f"give it one with @{template.name}.vjp",
            location=node.location,
        )
    if len(parts) != len(node.inputs):
        raise GradientError(
            f"the gradient of kernel `{template.name}` has {len(parts)} part(s) for {len(node.inputs)} input(s)",
            hint="return one gradient for each tensor that the kernel reads, None for integers",
            location=node.location,
        )
    for part, operand in zip(parts, node.inputs, strict=True):
        if part is not None and (part.shape != operand.shape or part.dtype is not _cotangent(operand)):
            raise ShapeError(
                f"the gradient of kernel `{template.name}` gives {part.dtype}{list(part.shape)} for "
                f"{operand.dtype}{list(operand.shape)}",
                location=node.location,
            )
    return parts


def _cotangent(node: Node) -> DType:
    return f32 if node.dtype.is_ternary else node.dtype


# The words of the rules.


def _like(x: Node, value: float) -> Node:
    return constant(value, x.dtype, x.shape)


def _neg(x: Node) -> Node:
    return make("neg", [x])


def _mul(a: Node, b: Node) -> Node:
    return make("mul", [a, b])


def _div(a: Node, b: Node) -> Node:
    return make("div", [a, b])


def _scaled(x: Node, factor: float) -> Node:
    return _mul(x, _like(x, factor))


def _where(condition: Node, if_true: Node, if_false: Node) -> Node:
    return make("select", [condition, if_true, if_false])


def _transposed(x: Node) -> Node:
    """The last two dimensions exchanged."""
    rank = len(x.shape)
    return make("permute", [x], order=(*range(rank - 2), rank - 1, rank - 2))


def _cast(x: Node, dtype: DType) -> Node:
    return make("cast", [x], dtype=dtype)


# The rules.


def _abs(node: Node, dy: Node) -> Gradients:
    (x,) = node.inputs
    zero = _like(x, 0.0)
    positive = _where(make("gt", [x, zero]), dy, zero)
    return [_where(make("lt", [x, zero]), _neg(dy), positive)]


def _rsqrt(node: Node, dy: Node) -> Gradients:
    return [_mul(_scaled(dy, -0.5), _mul(node, _mul(node, node)))]


def _tanh(node: Node, dy: Node) -> Gradients:
    return [_mul(dy, make("sub", [_like(node, 1.0), _mul(node, node)]))]


def _divide(node: Node, dy: Node) -> Gradients:
    b = node.inputs[1]
    da = _div(dy, b)
    return [da, _neg(_mul(da, node))]


def _extreme(wins: str) -> Rule:
    """`min` and `max`: the winner takes all, equals take half each."""

    def rule(node: Node, dy: Node) -> Gradients:
        a, b = node.inputs
        tie = _where(make("eq", [a, b]), _scaled(dy, 0.5), _like(dy, 0.0))
        return [_where(make(wins, [a, b]), dy, tie), _where(make(wins, [b, a]), dy, tie)]

    return rule


def _select(node: Node, dy: Node) -> Gradients:
    condition, zero = node.inputs[0], _like(dy, 0.0)
    return [None, _where(condition, dy, zero), _where(condition, zero, dy)]


def _cast_rule(node: Node, dy: Node) -> Gradients:
    (x,) = node.inputs
    return [_cast(dy, x.dtype) if x.dtype.is_float else None]


def _broadcast(node: Node, dy: Node) -> Gradients:
    (x,) = node.inputs
    lead = len(node.shape) - len(x.shape)
    stretched = [lead + i for i, dim in enumerate(x.shape) if dim != node.shape[lead + i]]
    return [make("reshape", [make("reduce_sum", [dy], axes=(*range(lead), *stretched))], shape=x.shape)]


def _permute(node: Node, dy: Node) -> Gradients:
    order = node.attribute("order")
    return [make("permute", [dy], order=tuple(order.index(axis) for axis in range(len(order))))]


def _slice(node: Node, dy: Node) -> Gradients:
    (x,) = node.inputs
    starts, stops = node.attribute("starts"), node.attribute("stops")
    after = tuple(dim - stop for dim, stop in zip(x.shape, stops, strict=True))
    return [make("pad", [dy], before=starts, after=after)]


def _pad(node: Node, dy: Node) -> Gradients:
    (x,) = node.inputs
    before = node.attribute("before")
    stops = tuple(start + dim for start, dim in zip(before, x.shape, strict=True))
    return [make("slice", [dy], starts=before, stops=stops)]


def _concat(node: Node, dy: Node) -> Gradients:
    axis, at, parts = node.attribute("axis"), 0, []
    for operand in node.inputs:
        starts = tuple(at if i == axis else 0 for i in range(len(dy.shape)))
        at += operand.shape[axis]
        stops = tuple(at if i == axis else dim for i, dim in enumerate(dy.shape))
        parts.append(make("slice", [dy], starts=starts, stops=stops))
    return parts


def _reduce_sum(node: Node, dy: Node) -> Gradients:
    return [make("broadcast", [dy], shape=node.inputs[0].shape)]


def _reduce_extreme(node: Node, dy: Node) -> Gradients:
    (x,) = node.inputs
    at_extreme = make("eq", [x, make("broadcast", [node], shape=x.shape)])
    hits = _where(at_extreme, _like(x, 1.0), _like(x, 0.0))
    count = make("reduce_sum", [hits], axes=node.attribute("axes"))
    share = make("broadcast", [_div(dy, count)], shape=x.shape)
    return [_where(at_extreme, share, _like(x, 0.0))]


def _dot(node: Node, dy: Node) -> Gradients:
    """Products run in f32, or in bf16 where the operand is bf16; f16 is too narrow for a gradient."""
    a, b = node.inputs
    if not a.dtype.is_float:
        return [None, None]
    wide = bf16 if a.dtype is bf16 else f32
    dy = _cast(dy, wide)
    other = b if b.dtype.is_ternary else _cast(b, wide)
    da = _cast(make("dot", [dy, _transposed(other)]), a.dtype)
    left = _cast(a, wide)
    if len(b.shape) == 2:
        rows = a.size // a.shape[-1]
        left = make("reshape", [left], shape=(rows, a.shape[-1]))
        dy = make("reshape", [dy], shape=(rows, b.shape[0]))
    db = make("dot", [_transposed(dy), _transposed(left)])
    return [da, _cast(db, _cotangent(b))]


def _gather(node: Node, dy: Node) -> Gradients:
    table, ids = node.inputs
    rows = make("scatter_add", [ids, _cast(dy, f32)], length=table.shape[0])
    return [_cast(rows, table.dtype), None]


def _scatter_add(node: Node, dy: Node) -> Gradients:
    return [None, make("gather", [dy, node.inputs[0]])]


def _straight_through(node: Node, dy: Node) -> Gradients:
    return [None, _cast(dy, node.inputs[1].dtype)]


RULES: dict[str, Rule] = {
    "neg": lambda node, dy: [_neg(dy)],
    "abs": _abs,
    "exp": lambda node, dy: [_mul(dy, node)],
    "log": lambda node, dy: [_div(dy, node.inputs[0])],
    "sqrt": lambda node, dy: [_div(_scaled(dy, 0.5), node)],
    "rsqrt": _rsqrt,
    "sin": lambda node, dy: [_mul(dy, make("cos", node.inputs))],
    "cos": lambda node, dy: [_neg(_mul(dy, make("sin", node.inputs)))],
    "tanh": _tanh,
    "add": lambda node, dy: [dy, dy],
    "sub": lambda node, dy: [dy, _neg(dy)],
    "mul": lambda node, dy: [_mul(dy, node.inputs[1]), _mul(dy, node.inputs[0])],
    "div": _divide,
    "min": _extreme("lt"),
    "max": _extreme("gt"),
    "select": _select,
    "cast": _cast_rule,
    "broadcast": _broadcast,
    "reshape": lambda node, dy: [make("reshape", [dy], shape=node.inputs[0].shape)],
    "permute": _permute,
    "slice": _slice,
    "pad": _pad,
    "concat": _concat,
    "reduce_sum": _reduce_sum,
    "reduce_max": _reduce_extreme,
    "reduce_min": _reduce_extreme,
    "dot": _dot,
    "gather": _gather,
    "scatter_add": _scatter_add,
    "pack": lambda node, dy: [_cast(dy, node.inputs[0].dtype)],
    "straight_through": _straight_through,
}
"""The rule of each operation that has a gradient. `item` and `kernel` are handled by :func:`gradient` itself."""
