"""The tensor operations: one table, and :func:`make`, the one way to make a node.

| operation | operands | parameters | result |
|---|---|---|---|
| `input` | | key (hashable), shape, dtype | an argument; two inputs of one key, shape and dtype are one |
| `constant` | | value, dtype | a scalar, shape () |
| `iota` | | length | i32 [length]: 0, 1, 2... |
| UnaryOp's values (`neg`, `exp`...) | x | | elementwise |
| BinaryOp's values (`add`, `min`, `lt`...) | a, b: one shape, one dtype | | elementwise; comparisons give bool |
| `select` | bool, a, b: one shape | | elementwise a or b |
| `cast` | x | dtype | conversion by value; of ternary, to i8 alone |
| `broadcast` | x | shape | NumPy's rule: aligned at the last dimension, 1 stretches |
| `reshape` | x | shape | row-major |
| `permute` | x | order | dimension i of the result is dimension order[i] of x; (1, 0) for ternary as well |
| `slice` | x | starts, stops | one range a dimension, none empty |
| `pad` | x | before, after | zeros around |
| `concat` | one or more | axis | |
| `reduce_sum`, `reduce_max`, `reduce_min` | x | axes | reduced axes stay, with size 1 |
| `dot` | a[..., M, K], b[..., N, K] or b[N, K] | | [..., M, N]: the sum over the last dimension of both |
| `gather` | table[V, ...], ids i32 | | ids' shape, then the row's |
| `scatter_add` | ids i32, rows f32 | length | f32 [length, ...]: rows of one id are added; 0 where no id points |
| `pack` | a float matrix of -1, 0, 1 | | ternary, same shape |
| `stop_gradient` | x | | x, and no gradient flows |
| `straight_through` | value, surrogate | tag, to keep two apart | value; the gradient goes to the surrogate |
| `kernel` | its IN and INOUT tensors | template, configuration, scalars | its OUT and INOUT tensors, read with `item` |
| `item` | a kernel | index | one of its results |

The parameters `shape` and `dtype` stand in the node's own fields, all others in its attributes (axes counted from the
front, `axes` sorted). A `kernel` also has the attribute `results`, a (shape, dtype) for each result, and its
`configuration` is None (the template's default) or sorted pairs. No tensor has a dimension of 0.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tritloom.codegen.errors import SourceLocation, caller_location
from tritloom.codegen.ir import tensor_meanings as meanings
from tritloom.codegen.ir import tensor_rules as rules
from tritloom.codegen.ir.dtypes import DType
from tritloom.codegen.ir.tensor import Attributes, Node, Shape, intern
from tritloom.codegen.ir.tensor_simplify import simplify
from tritloom.codegen.ir.tile import BinaryOp, ReduceOp, UnaryOp

UNARY: dict[str, UnaryOp] = {op.value: op for op in UnaryOp}
BINARY: dict[str, BinaryOp] = {op.value: op for op in BinaryOp}
REDUCTIONS: dict[str, ReduceOp] = {f"reduce_{op.value}": op for op in ReduceOp}


@dataclass(frozen=True, slots=True)
class TensorOp:
    """One operation: its typing rule and its meaning (None where the interpreter itself provides the value)."""

    name: str
    arity: int | None
    """How many operands; None for any number."""
    rule: rules.Rule
    meaning: meanings.Meaning | None
    parameters: frozenset[str] = frozenset()


def _table() -> dict[str, TensorOp]:
    def op(
        name: str, arity: int | None, rule: rules.Rule, meaning: meanings.Meaning | None, *parameters: str
    ) -> TensorOp:
        return TensorOp(name, arity, rule, meaning, frozenset(parameters))

    ops = [
        op("input", 0, rules.input_rule, None, "key", "shape", "dtype"),
        op("constant", 0, rules.constant_rule, meanings.constant, "value", "dtype"),
        op("iota", 0, rules.iota_rule, meanings.iota, "length"),
        op("select", 3, rules.select_rule, meanings.select),
        op("cast", 1, rules.cast_rule, meanings.cast, "dtype"),
        op("broadcast", 1, rules.broadcast_rule, meanings.broadcast, "shape"),
        op("reshape", 1, rules.reshape_rule, meanings.reshape, "shape"),
        op("permute", 1, rules.permute_rule, meanings.permute, "order"),
        op("slice", 1, rules.slice_rule, meanings.slice_, "starts", "stops"),
        op("pad", 1, rules.pad_rule, meanings.pad, "before", "after"),
        op("concat", None, rules.concat_rule, meanings.concat, "axis"),
        op("dot", 2, rules.dot_rule, meanings.dot),
        op("gather", 2, rules.gather_rule, meanings.gather),
        op("scatter_add", 2, rules.scatter_add_rule, meanings.scatter_add, "length"),
        op("pack", 1, rules.pack_rule, meanings.pack),
        op("stop_gradient", 1, rules.stop_gradient_rule, meanings.first),
        op("straight_through", 2, rules.straight_through_rule, meanings.first, "tag"),
        op("kernel", None, rules.kernel_rule, None, "template", "configuration", "scalars"),
        op("item", 1, rules.item_rule, None, "index"),
    ]
    ops += [op(n, 1, rules.unary_rule(o), meanings.unary_meaning(o)) for n, o in UNARY.items()]
    ops += [op(n, 2, rules.binary_rule(o), meanings.binary_meaning(o)) for n, o in BINARY.items()]
    ops += [op(n, 1, rules.reduce_rule(o), meanings.reduce_meaning(o), "axes") for n, o in REDUCTIONS.items()]
    return {one.name: one for one in ops}


OPS: dict[str, TensorOp] = _table()
"""Every operation by name."""


def make(
    op: str | UnaryOp | BinaryOp,
    inputs: Sequence[Node] = (),
    *,
    location: SourceLocation | None = None,
    **parameters: Any,
) -> Node:
    """The node of an operation, simplified where that cannot change a value.

    Raises ShapeError or DTypeError at `location` (by default the caller's own line) if the operands do not fit.
    """
    name = op if isinstance(op, str) else op.value
    where = location or caller_location()
    record = OPS[name]
    operands = tuple(inputs)
    unknown = parameters.keys() - record.parameters
    if unknown or (record.arity is not None and len(operands) != record.arity):
        raise TypeError(f"`{name}` with {len(operands)} operand(s) and the parameters {sorted(parameters)}")
    typed = record.rule(operands, parameters, where)

    def again(op: str, inputs: Sequence[Node], **parameters: Any) -> Node:
        return make(op, inputs, location=where, **parameters)

    simpler = simplify(name, operands, typed, record.meaning, again)
    if simpler is not None:
        return simpler
    return intern(name, operands, attributes(typed.attributes), typed.shape, typed.dtype, where)


def attributes(values: Mapping[str, Any]) -> Attributes:
    """A node's attributes, sorted. Python calls 0.0 and -0.0 equal, so the bits of floats stand beside them."""
    found = dict(values)
    bits = tuple((name, _bits(value)) for name, value in sorted(values.items()) if _holds_float(value))
    if bits:
        found["float_bits"] = bits
    return tuple(sorted(found.items()))


def _holds_float(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, tuple) and any(map(_holds_float, value)))


def _bits(value: Any) -> Hashable:
    if isinstance(value, tuple):
        return tuple(map(_bits, value))
    return value.hex() if isinstance(value, float) else value


def constant(value: float | bool, dtype: DType, shape: Shape = ()) -> Node:
    """A constant of that dtype, broadcast to the shape."""
    scalar = make("constant", dtype=dtype, value=value)
    return scalar if shape == () else make("broadcast", [scalar], shape=shape)
