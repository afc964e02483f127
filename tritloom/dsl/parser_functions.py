"""The functions of the kernel language: what a call of each builds.

Each handler takes the parser, the call, and the AST of its arguments under the names that
:mod:`tritloom.dsl.language` gives them.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

from tritloom.codegen.ir.dtypes import f32
from tritloom.codegen.ir.tile import Axis, BinaryOp, ReduceOp, UnaryOp, Value
from tritloom.dsl.parser_expressions import FOLDED, BlocksRequest, ExpressionParser, Operand, dtype_of

Nodes = tuple[ast.expr, ...]


def _programs(p: ExpressionParser, call: ast.Call, size: ast.expr, block: ast.expr) -> object:
    axis = p.builder.program_axis("axis", p.size(size), p.static_int(block, "the block"), p.at(call))
    p.index(axis)
    return axis


def _blocks(
    p: ExpressionParser,
    call: ast.Call,
    size: ast.expr,
    block: ast.expr,
    start: ast.expr | None = None,
    stop: ast.expr | None = None,
) -> object:
    bounds = [None if node is None or p.evaluate(node) is None else p.scalar(node) for node in (start, stop)]
    return BlocksRequest(p.scalar(size), p.static_int(block, "the block"), bounds[0], bounds[1])


def _whole(p: ExpressionParser, call: ast.Call, size: ast.expr) -> object:
    axis = p.builder.whole_axis("axis", p.scalar(size), location=p.at(call))
    p.index(axis)
    return axis


def _guard(p: ExpressionParser, where: ast.expr | None) -> Value | None:
    if where is None:
        return None
    value = p.evaluate(where)
    return None if value is None else p.as_value(p.as_operand(value, where), p.at(where))


def _load(
    p: ExpressionParser, call: ast.Call, tensor: ast.expr, indices: Nodes = (), where: ast.expr | None = None
) -> object:
    buffer = p.buffer(p.evaluate(tensor), tensor)
    return p.builder.load(buffer, [p.index_value(n) for n in indices], _guard(p, where), p.at(call))


def _store(
    p: ExpressionParser,
    call: ast.Call,
    tensor: ast.expr,
    indices_and_value: Nodes = (),
    where: ast.expr | None = None,
) -> object:
    buffer = p.buffer(p.evaluate(tensor), tensor)
    if len(indices_and_value) != len(buffer.shape) + 1:
        raise p.error(
            call,
            f"tl.store takes `{buffer.name}`, {len(buffer.shape)} indices and a value, not {len(indices_and_value)} "
            f"arguments after `{buffer.name}`",
            "write tl.store(y, m, n, value, where=condition)",
        )
    indices = [p.index_value(n) for n in indices_and_value[:-1]]
    node = indices_and_value[-1]
    value = p.strong(p.operand(node), buffer.dtype, p.at(node))
    tile = p.as_value(value, p.at(node), buffer.dtype)
    assert tile is not None
    p.builder.store(buffer, indices, tile, _guard(p, where), p.at(call))
    return None


def _zeros(p: ExpressionParser, call: ast.Call, axes: Nodes = (), dtype: ast.expr | None = None) -> object:
    chosen = f32 if dtype is None else p.dtype(dtype)
    return p.builder.full([p.axis(n) for n in axes], 0, chosen, p.at(call))


def _full(
    p: ExpressionParser, call: ast.Call, value: ast.expr, axes: Nodes = (), dtype: ast.expr | None = None
) -> object:
    chosen = None if dtype is None or p.evaluate(dtype) is None else p.dtype(dtype)
    found = p.operand(value)
    tile = p.as_value(found, p.at(value), chosen)
    assert tile is not None
    if chosen is not None:
        tile = p.builder.cast(tile, chosen, p.at(call))
    return p.builder.expand(tile, [p.axis(n) for n in axes], p.at(call))


def _cast(p: ExpressionParser, call: ast.Call, value: ast.expr, dtype: ast.expr) -> object:
    found, chosen = p.operand(value), p.dtype(dtype)
    if isinstance(found, Value):
        return p.builder.cast(found, chosen, p.at(call))
    return p.builder.const(found, chosen, p.at(value))


def _where(
    p: ExpressionParser, call: ast.Call, condition: ast.expr, if_true: ast.expr, if_false: ast.expr
) -> object:
    chosen = p.operand(condition)
    left, right = p.operand(if_true), p.operand(if_false)
    if not isinstance(chosen, Value):
        return left if chosen else right
    if not isinstance(left, Value) and not isinstance(right, Value):
        wider = dtype_of(left + right if not isinstance(left, bool) or not isinstance(right, bool) else left)
        left = p.builder.const(left, wider, p.at(if_true))
    if isinstance(left, Value) and isinstance(right, Value):
        narrow, other = left.dtype, right.dtype
        left, right = p.strong(left, other, p.at(if_true)), p.strong(right, narrow, p.at(if_false))
    return p.builder.select(chosen, left, right, p.at(call))


def _reduced(p: ExpressionParser, op: ReduceOp, call: ast.Call, value: ast.expr, axes: list[Axis]) -> object:
    tile = p.operand(value)
    if not isinstance(tile, Value):
        raise p.error(value, f"`{op.value}` over an axis of the number {tile}", "reduce a tile")
    reduced: Value = tile
    for axis in axes:
        reduced = p.builder.reduce(op, reduced, axis, p.at(call))
    return reduced


def _sum(p: ExpressionParser, call: ast.Call, value: ast.expr, axes: Nodes = ()) -> object:
    if not axes:
        raise p.error(call, "tl.sum with no axis", "name the axis: tl.sum(x, k)")
    return _reduced(p, ReduceOp.SUM, call, value, [p.axis(n) for n in axes])


def _extreme(op: BinaryOp, reduction: ReduceOp) -> Callable[..., object]:
    def build(p: ExpressionParser, call: ast.Call, value: ast.expr, others: Nodes = ()) -> object:
        evaluated = [p.evaluate(n) for n in others]
        if not others:
            raise p.error(
                call,
                f"tl.{op.value} of one value",
                f"write tl.{op.value}(x, k) over an axis, or of two tiles",
            )
        if all(isinstance(v, Axis) for v in evaluated):
            return _reduced(p, reduction, call, value, [v for v in evaluated if isinstance(v, Axis)])
        result = p.operand(value)
        for found, node in zip(evaluated, others, strict=True):
            result = _either(p, op, result, p.as_operand(found, node), call)
        return result

    return build


def _either(p: ExpressionParser, op: BinaryOp, left: Operand, right: Operand, call: ast.Call) -> Operand:
    if isinstance(left, Value) or isinstance(right, Value):
        return p.binary(op, left, right, p.at(call))
    return min(left, right) if op is BinaryOp.MIN else max(left, right)


def _clamp(p: ExpressionParser, call: ast.Call, value: ast.expr, low: ast.expr, high: ast.expr) -> object:
    raised = _either(p, BinaryOp.MAX, p.operand(value), p.operand(low), call)
    return _either(p, BinaryOp.MIN, raised, p.operand(high), call)


def _dot(p: ExpressionParser, call: ast.Call, left: ast.expr, right: ast.expr, axis: ast.expr) -> object:
    sides = []
    for node in (left, right):
        tile = p.operand(node)
        if not isinstance(tile, Value):
            raise p.error(node, f"tl.dot of the number {tile}", "tl.dot takes two tiles that share an axis")
        sides.append(tile)
    return p.builder.dot(sides[0], sides[1], p.axis(axis), p.at(call))


def _elementwise(name: str, op: UnaryOp | None) -> Callable[..., object]:
    def build(p: ExpressionParser, call: ast.Call, value: ast.expr) -> object:
        operand = p.operand(value)
        location = p.at(call)
        if not isinstance(operand, Value):
            try:
                return FOLDED[name](operand)
            except (ArithmeticError, ValueError) as error:
                raise p.error(call, f"tl.{name} of {operand}: {error}", "check the number") from None
        if op not in (UnaryOp.ABS, UnaryOp.FLOOR, UnaryOp.ROUND):
            strong = p.strong(operand, f32, location)
            assert isinstance(strong, Value)
            operand = strong
        if op is not None:
            return p.builder.unary(op, operand, location)
        b = p.builder
        grown = b.unary(UnaryOp.EXP, b.unary(UnaryOp.NEG, operand, location), location)
        return b.binary(BinaryOp.DIV, 1.0, b.binary(BinaryOp.ADD, grown, 1.0, location), location)

    return build


HANDLERS: dict[str, Callable[..., object]] = {
    "programs": _programs,
    "blocks": _blocks,
    "whole": _whole,
    "load": _load,
    "store": _store,
    "zeros": _zeros,
    "full": _full,
    "cast": _cast,
    "where": _where,
    "sum": _sum,
    "max": _extreme(BinaryOp.MAX, ReduceOp.MAX),
    "min": _extreme(BinaryOp.MIN, ReduceOp.MIN),
    "clamp": _clamp,
    "dot": _dot,
    "sigmoid": _elementwise("sigmoid", None),
    **{
        op.value: _elementwise(op.value, op)
        for op in (
            UnaryOp.ABS,
            UnaryOp.EXP,
            UnaryOp.LOG,
            UnaryOp.SQRT,
            UnaryOp.RSQRT,
            UnaryOp.SIN,
            UnaryOp.COS,
            UnaryOp.TANH,
            UnaryOp.FLOOR,
            UnaryOp.ROUND,
        )
    },
}
"""What builds a call of each function of the kernel language."""
