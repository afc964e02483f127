"""Expressions of the kernel language: from Python's AST to values of the tile IR.

An expression has a Python number (known when the kernel is compiled), a tile value, an axis, a tensor parameter, a
dtype, a function, or a tuple of these. Sizes are *weak*: like Python numbers they take the dtype of the operand beside
them.
"""

from __future__ import annotations

import ast
import builtins
import math
import operator
import types
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tritloom.codegen.errors import DTypeError, KernelSyntaxError, SourceLocation
from tritloom.codegen.ir.dtypes import DType, bool_, f32, i32, u32
from tritloom.codegen.ir.tile import Axis, BinaryOp, Buffer, Index, Size, UnaryOp, Value
from tritloom.codegen.ir.tile_builder import Builder, names
from tritloom.dsl import language
from tritloom.dsl.inline import Inline
from tritloom.dsl.source import FunctionSource

Number = float | int | bool
Operand = Value | Number

_BINARY: dict[type[ast.operator], tuple[str, BinaryOp | None, Callable[[Any, Any], Any]]] = {
    ast.Add: ("+", BinaryOp.ADD, operator.add),
    ast.Sub: ("-", BinaryOp.SUB, operator.sub),
    ast.Mult: ("*", BinaryOp.MUL, operator.mul),
    ast.Div: ("/", BinaryOp.DIV, operator.truediv),
    ast.FloorDiv: ("//", BinaryOp.FLOORDIV, operator.floordiv),
    ast.Mod: ("%", BinaryOp.MOD, operator.mod),
    ast.BitAnd: ("&", BinaryOp.AND, operator.and_),
    ast.BitOr: ("|", BinaryOp.OR, operator.or_),
    ast.BitXor: ("^", BinaryOp.XOR, operator.xor),
    ast.LShift: ("<<", BinaryOp.SHL, operator.lshift),
    ast.RShift: (">>", BinaryOp.SHR, operator.rshift),
    ast.Pow: ("**", None, operator.pow),
    ast.MatMult: ("@", None, operator.matmul),
}
_COMPARISONS: dict[type[ast.cmpop], tuple[BinaryOp, Callable[[Any, Any], Any]]] = {
    ast.Lt: (BinaryOp.LT, operator.lt),
    ast.LtE: (BinaryOp.LE, operator.le),
    ast.Gt: (BinaryOp.GT, operator.gt),
    ast.GtE: (BinaryOp.GE, operator.ge),
    ast.Eq: (BinaryOp.EQ, operator.eq),
    ast.NotEq: (BinaryOp.NE, operator.ne),
}
_OF_SIZES = {
    BinaryOp.ADD,
    BinaryOp.SUB,
    BinaryOp.MUL,
    BinaryOp.FLOORDIV,
    BinaryOp.MOD,
    BinaryOp.MIN,
    BinaryOp.MAX,
}
"""What may be computed of sizes before a launch."""
_PYTHON: tuple[object, ...] = (range, min, max, abs, int, float, bool)
"""Python's own functions that take numbers here, as those of math do."""
_NO_EXPRESSION: dict[type[ast.expr], tuple[str, str]] = {
    ast.Lambda: ("a lambda", "write a function under @tl.inline"),
    ast.ListComp: ("a list", "work on whole tiles"),
    ast.List: ("a list", "work on whole tiles"),
    ast.GeneratorExp: ("a generator", "loop with `for k in tl.blocks(K, BK):`"),
    ast.DictComp: ("a dictionary", "work on whole tiles"),
    ast.Dict: ("a dictionary", "work on whole tiles"),
    ast.SetComp: ("a set", "work on whole tiles"),
    ast.Set: ("a set", "work on whole tiles"),
    ast.JoinedStr: ("a string", "a kernel has numbers and tiles alone"),
    ast.NamedExpr: ("`:=`", "assign on a line of its own"),
    ast.Await: ("await", "a kernel runs on the device"),
    ast.Yield: ("yield", "store the result to an output"),
    ast.YieldFrom: ("yield", "store the result to an output"),
    ast.Starred: ("`*`", "write the arguments one by one"),
    ast.Slice: ("a slice", "index with an axis: `x[m, k]` reads this program's block of both"),
}


@dataclass(frozen=True, slots=True)
class Undefined:
    """A name that has no value here, and why."""

    reason: str
    hint: str


@dataclass(frozen=True, slots=True)
class BlocksRequest:
    """What `tl.blocks(...)` asks of the loop around it."""

    size: Value
    block: int
    start: Value | None
    stop: Value | None


@dataclass(slots=True)
class Shared:
    """What all functions of one kernel share while it is parsed."""

    builder: Builder
    weak: set[Value] = field(default_factory=set)
    """Values that are expressions of sizes alone."""
    indices: dict[Axis, Index] = field(default_factory=dict)


class ExpressionParser(ABC):
    """Evaluates the expressions of one function."""

    def __init__(self, shared: Shared, source: FunctionSource, environment: dict[str, object]):
        self.shared = shared
        self.builder = shared.builder
        self.source = source
        self.environment = environment

    @abstractmethod
    def call_intrinsic(self, name: str, call: ast.Call) -> object:
        """A call of a function of the kernel language."""

    @abstractmethod
    def call_inline(self, function: Inline, call: ast.Call) -> object:
        """A call of a helper: its body in place, and what it returns."""

    def at(self, node: ast.AST) -> SourceLocation:
        """The node's place in the user's file."""
        return self.source.location(node)

    def error(self, node: ast.AST, message: str, hint: str) -> KernelSyntaxError:
        """To be raised, with the caret under the node."""
        return KernelSyntaxError(message, hint=hint, location=self.at(node))

    # expressions

    def evaluate(self, node: ast.expr) -> object:
        """What an expression stands for."""
        match node:
            case ast.Name():
                return self._name(node)
            case ast.Constant(value=value):
                if value is None or isinstance(value, bool | int | float):
                    return value
                raise self.error(
                    node, f"a kernel has no {type(value).__name__}", "a kernel has numbers and tiles alone"
                )
            case ast.Tuple(elts=elements):
                return tuple(self.evaluate(element) for element in elements)
            case ast.BinOp():
                return self._binary_node(node)
            case ast.UnaryOp():
                return self._unary_node(node)
            case ast.Compare():
                return self._compare(node)
            case ast.BoolOp():
                return self._bool(node)
            case ast.IfExp():
                chosen = self.evaluate(node.test)
                if not _is_number(chosen):
                    raise self.error(
                        node.test,
                        "this condition is not known when the kernel is compiled",
                        "choose element by element with tl.where(condition, a, b)",
                    )
                return self.evaluate(node.body if chosen else node.orelse)
            case ast.Subscript():
                return self._subscript(node)
            case ast.Attribute():
                return self._attribute(node)
            case ast.Call():
                return self._call(node)
        what, hint = _NO_EXPRESSION.get(type(node), (f"`{type(node).__name__}`", "see the names under tl"))
        raise self.error(node, f"{what} is no part of the kernel language", hint)

    def _name(self, node: ast.Name) -> object:
        name = node.id
        if name in self.environment:
            found = self.environment[name]
            if isinstance(found, Undefined):
                raise self.error(node, found.reason, found.hint)
            return found
        for scope in (self.source.closure, self.source.globals, vars(builtins)):
            if name in scope:
                return self._outer(scope[name], node, name)
        raise self.error(node, f"`{name}` is not defined", "assign it first, or check its spelling")

    def _outer(self, value: object, node: ast.expr, name: str) -> object:
        """A value from outside of the kernel: numbers, dtypes, functions that kernels may call, and modules of them."""
        if isinstance(value, bool | int | float | DType | Inline | types.ModuleType):
            return value
        if isinstance(value, np.bool_ | np.integer | np.floating):
            return value.item()
        if callable(value):
            return value
        raise self.error(
            node,
            f"`{name}` is {_a(type(value).__name__)}, which a kernel cannot use",
            "outside names may be numbers, dtypes and functions under @tl.inline; pass arrays as parameters",
        )

    def _attribute(self, node: ast.Attribute) -> object:
        owner = self.evaluate(node.value)
        if isinstance(owner, types.ModuleType):
            if is_language(owner) and node.attr in language.BY_NAME:
                return language.BY_NAME[node.attr]
            if not hasattr(owner, node.attr):
                raise self.error(
                    node, f"`{ast.unparse(node.value)}` has no `{node.attr}`", "see the names under tl"
                )
            return self._outer(getattr(owner, node.attr), node, ast.unparse(node))
        if isinstance(owner, Buffer) and node.attr == "shape":
            return tuple(self.from_value(dim) for dim in owner.shape)
        if isinstance(owner, Buffer | Value) and node.attr == "dtype":
            return owner.dtype
        raise self.error(
            node,
            f"`{ast.unparse(node.value)}` is {self.describe(owner)} and has no `{node.attr}`",
            "a tensor parameter has .shape and .dtype, a tile has .dtype",
        )

    def _subscript(self, node: ast.Subscript) -> object:
        owner = self.evaluate(node.value)
        if isinstance(owner, tuple):
            position = self.evaluate(node.slice)
            if isinstance(position, int) and -len(owner) <= position < len(owner):
                return owner[position]
            raise self.error(
                node.slice, f"no element of a tuple of {len(owner)}", "index it with a number that it has"
            )
        buffer = self.buffer(owner, node.value)
        return self.builder.load(buffer, self.index_list(node.slice), location=self.at(node))

    def _call(self, node: ast.Call) -> object:
        function = self.evaluate(node.func)
        for argument in node.args:
            if isinstance(argument, ast.Starred):
                raise self.error(
                    argument, "`*` is no part of the kernel language", "write the arguments one by one"
                )
        for keyword in node.keywords:
            if keyword.arg is None:
                raise self.error(
                    keyword.value, "`**` is no part of the kernel language", "write the arguments one by one"
                )
        if isinstance(function, Inline):
            return self.call_inline(function, node)
        name = intrinsic_name(function)
        if name is not None:
            return self.call_intrinsic(name, node)
        shown = ast.unparse(node.func)
        if function in _PYTHON or getattr(function, "__module__", "") == "math":
            return self._python(shown, function, node)
        hint = f"put @tl.inline above `def {shown}`"
        if shown == "print":
            hint = "look at values with kernel.interpret(...), and at the kernel with print(kernel.ir)"
        elif shown in language.BY_NAME:
            hint = f"use tl.{shown}"
        elif getattr(function, "__module__", "").split(".")[0] == "numpy":
            hint = "NumPy's functions do not run in kernels: look for the name under tl"
        elif not isinstance(function, types.FunctionType):
            hint = "a kernel calls functions under tl and those under @tl.inline"
        raise self.error(node.func, f"`{shown}` cannot be called in a kernel", hint)

    def _python(self, name: str, function: Any, node: ast.Call) -> object:
        """Python's own function, of numbers that are known when the kernel is compiled."""
        values = [self.evaluate(argument) for argument in node.args]
        for argument, value in zip(node.args, values, strict=True):
            if not _is_number(value):
                short = name.removeprefix("math.")
                hint = f"use tl.{short}" if short in language.BY_NAME else "use the functions under tl"
                if name == "range":
                    hint = "`range` unrolls; loop over tiles with tl.blocks"
                elif name in ("int", "float", "bool"):
                    hint = "use tl.cast(x, tl.f32)"
                raise self.error(
                    argument, f"`{name}` takes numbers that are known when the kernel is compiled", hint
                )
        try:
            return function(*values)
        except (TypeError, ValueError, OverflowError) as error:
            raise self.error(node, f"`{name}`: {error}", "check its arguments") from None

    # operators

    def _unary_node(self, node: ast.UnaryOp) -> object:
        value = self.operand(node.operand)
        if isinstance(node.op, ast.Not):
            if isinstance(value, Value):
                raise self.error(node, "`not` of a tile", "use ~ for element by element")
            return not value
        if isinstance(node.op, ast.UAdd):
            return value
        if not isinstance(value, Value):
            return -value if isinstance(node.op, ast.USub) else ~int(value)
        if isinstance(node.op, ast.USub):
            if value in self.shared.weak:
                return self.binary(BinaryOp.SUB, 0, value, self.at(node))
            return self.builder.unary(UnaryOp.NEG, value, self.at(node))
        if value.dtype.is_bool:
            return self.builder.unary(UnaryOp.NOT, value, self.at(node))
        ones = -1 if value.dtype.limits[0] < 0 else int(value.dtype.limits[1])
        return self.builder.binary(BinaryOp.XOR, value, ones, self.at(node))

    def _binary_node(self, node: ast.BinOp) -> object:
        return self.apply(node.op, self.operand(node.left), self.operand(node.right), node)

    def apply(self, sign: ast.operator, left: Operand, right: Operand, node: ast.AST) -> Operand:
        """An operator of Python on two operands."""
        shown, op, function = _BINARY[type(sign)]
        if not isinstance(left, Value) and not isinstance(right, Value):
            if isinstance(sign, ast.MatMult):
                raise self.error(node, "`@` of two numbers", "use *")
            try:
                result: Number = function(left, right)
            except (ArithmeticError, TypeError, ValueError) as error:
                raise self.error(
                    node, f"`{shown}` of {left} and {right}: {error}", "check the two numbers"
                ) from None
            return result
        if op is None:
            hint = "use tl.dot(a, b, k)" if shown == "@" else "write x * x, or tl.exp(y * tl.log(x))"
            raise self.error(node, f"`{shown}` is no part of the kernel language", hint)
        return self.binary(op, left, right, self.at(node))

    def binary(self, op: BinaryOp, left: Operand, right: Operand, location: SourceLocation) -> Value:
        """The operation, sizes having taken the other operand's dtype."""
        weak = self.shared.weak
        both_weak = all(not isinstance(v, Value) or v in weak for v in (left, right))
        if both_weak:
            if op is BinaryOp.DIV or isinstance(left, float) or isinstance(right, float):
                left, right = self.strong(left, f32, location), self.strong(right, f32, location)
        elif isinstance(left, Value) and left in weak and isinstance(right, Value):
            left = self.strong(left, right.dtype, location)
        elif isinstance(right, Value) and right in weak and isinstance(left, Value):
            right = self.strong(right, left.dtype, location)
        result = self.builder.binary(op, left, right, location)
        if both_weak and result.dtype is i32 and op in _OF_SIZES:
            weak.add(result)
        return result

    def strong(self, value: Operand, dtype: DType, location: SourceLocation) -> Operand:
        """A size as a value of that dtype; all else as it is."""
        if not isinstance(value, Value) or value not in self.shared.weak or dtype is i32:
            return value
        if not dtype.is_float and dtype is not u32:
            raise DTypeError(
                f"a size is i32 and meets {dtype}",
                hint=f"cast it: tl.cast(..., tl.{dtype})",
                location=location,
            )
        return self.builder.cast(value, dtype, location)

    def _compare(self, node: ast.Compare) -> object:
        if len(node.ops) > 1:
            raise self.error(node, "a chain of comparisons", "write (a < b) & (b < c)")
        found = _COMPARISONS.get(type(node.ops[0]))
        if found is None:
            raise self.error(
                node, "`is` and `in` are no part of the kernel language", "compare numbers with == and !="
            )
        op, function = found
        first, second = self.evaluate(node.left), self.evaluate(node.comparators[0])
        if isinstance(first, DType) and isinstance(second, DType):
            return bool(function(first, second))
        left, right = self.as_operand(first, node.left), self.as_operand(second, node.comparators[0])
        if not isinstance(left, Value) and not isinstance(right, Value):
            return bool(function(left, right))
        return self.binary(op, left, right, self.at(node))

    def _bool(self, node: ast.BoolOp) -> object:
        word, sign = ("and", "&") if isinstance(node.op, ast.And) else ("or", "|")
        value: object = None
        for operand in node.values:
            value = self.evaluate(operand)
            if not _is_number(value):
                raise self.error(node, f"`{word}` of tiles", f"use {sign}, with brackets around each side")
            if bool(value) != (word == "and"):
                return value
        return value

    # what an expression may be used as

    def operand(self, node: ast.expr) -> Operand:
        """A tile, a scalar or a number; an axis stands for its indices."""
        return self.as_operand(self.evaluate(node), node)

    def as_operand(self, value: object, node: ast.expr) -> Operand:
        """The same for a value that was evaluated already."""
        if isinstance(value, Axis):
            return self.index(value)
        if isinstance(value, Value | bool | int | float):
            return value
        hint = "use it in arithmetic only as a tile or a number"
        if isinstance(value, Buffer):
            hint = f"index it: {value.name}[{', '.join('mnkij'[: len(value.shape)])}]"
        elif isinstance(value, tuple):
            hint = "take its elements: M, K = x.shape"
        raise self.error(node, f"`{ast.unparse(node)}` is {self.describe(value)}, not a tile", hint)

    def index(self, axis: Axis) -> Index:
        """The indices of an axis as a tile."""
        found = self.shared.indices.get(axis)
        if found is None:
            found = self.shared.indices[axis] = self.builder.index(axis, axis.location)
        return found

    def index_list(self, node: ast.expr) -> list[Value]:
        """The indices between the brackets."""
        return [self.index_value(n) for n in (node.elts if isinstance(node, ast.Tuple) else [node])]

    def index_value(self, node: ast.expr) -> Value:
        """One index: an axis, an i32 tile or a number."""
        value = self.operand(node)
        if isinstance(value, Value):
            return value
        if isinstance(value, float) or value < 0:
            raise self.error(
                node, f"{value} is no index", "an index is an i32 tile, an axis, or a number from 0 on"
            )
        return self.builder.const(int(value), i32, self.at(node))

    def buffer(self, value: object, node: ast.expr) -> Buffer:
        """The tensor parameter that is indexed."""
        if isinstance(value, Buffer):
            return value
        hint = "only tensor parameters are indexed"
        if isinstance(value, Value):
            hint = "a tile is used whole: its axes are matched by name"
        raise self.error(node, f"`{ast.unparse(node)}` is {self.describe(value)} and cannot be indexed", hint)

    def axis(self, node: ast.expr) -> Axis:
        """An axis."""
        value = self.evaluate(node)
        if isinstance(value, Axis):
            return value
        raise self.error(
            node,
            f"`{ast.unparse(node)}` is {self.describe(value)}, not an axis",
            "an axis is made by tl.programs, tl.blocks or tl.whole",
        )

    def dtype(self, node: ast.expr) -> DType:
        """A dtype."""
        value = self.evaluate(node)
        if isinstance(value, DType):
            return value
        raise self.error(
            node, f"`{ast.unparse(node)}` is {self.describe(value)}, not a dtype", "write one as in tl.f32"
        )

    def static_int(self, node: ast.expr, what: str) -> int:
        """An integer that is known when the kernel is compiled."""
        value = self.evaluate(node)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise self.error(
            node,
            f"{what} is {self.describe(value)}, not a number that is known when the kernel is compiled",
            "declare it in the signature, as in BM=tl.tunable(8, 4)",
        )

    def size(self, node: ast.expr) -> Value:
        """An expression of sizes that is known before the launch."""
        value = self.operand(node)
        if isinstance(value, int) and not isinstance(value, bool):
            return self.builder.const(value, i32, self.at(node))
        if isinstance(value, Value) and value in self.shared.weak:
            return value
        raise self.error(
            node,
            f"`{ast.unparse(node)}` is not known before the launch",
            "the size of a program axis is a dimension of a parameter, or arithmetic of dimensions",
        )

    def scalar(self, node: ast.expr) -> Value:
        """An i32 scalar: a size or any value with no axes."""
        value = self.operand(node)
        if isinstance(value, Value):
            return value
        return self.builder.const(value, i32, self.at(node))

    def from_value(self, value: Value) -> object:
        """A dimension: a Python number if it is known, else a weak size."""
        from_constant = getattr(value, "value", None)
        if from_constant is not None:
            return int(from_constant)
        if isinstance(value, Size):
            self.shared.weak.add(value)
        return value

    def as_value(
        self, value: object, location: SourceLocation | None, dtype: DType | None = None
    ) -> Value | None:
        """A number as a constant (of `dtype`, else f32 or i32 or bool), a tile as it is, None for anything else."""
        if isinstance(value, Axis):
            return self.index(value)
        if isinstance(value, Value):
            return value
        if isinstance(value, bool | int | float):
            return self.builder.const(value, dtype or dtype_of(value), location)
        return None

    def describe(self, value: object) -> str:
        """What a value is, for errors."""
        match value:
            case Buffer():
                return f"a tensor of {value.dtype} with {len(value.shape)} dimension(s)"
            case Axis():
                return "an axis"
            case Value():
                if value in self.shared.weak:
                    return "a size"
                return (
                    f"a tile of {value.dtype} {names(value.axes)}"
                    if value.axes
                    else f"a scalar of {value.dtype}"
                )
            case bool() | int() | float():
                return f"the number {value}"
            case None:
                return "None"
            case DType():
                return f"the dtype {value}"
            case tuple():
                return f"a tuple of {len(value)}"
        return _a(type(value).__name__)


def _a(noun: str) -> str:
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"


def _is_number(value: object) -> bool:
    return isinstance(value, bool | int | float)


def dtype_of(value: Number) -> DType:
    """The dtype that a Python number has where nothing else decides it."""
    return bool_ if isinstance(value, bool) else i32 if isinstance(value, int) else f32


def is_language(module: types.ModuleType) -> bool:
    """Whether the names of the kernel language may be taken from this module."""
    return module.__name__ in ("tritloom", "tritloom.dsl", language.__name__)


def intrinsic_name(function: object) -> str | None:
    """The name under `tl` of a function of the kernel language, or of the tensor function of the same name."""
    name = getattr(function, "__name__", "")
    if name in language.BY_NAME and getattr(function, "__module__", "").startswith("tritloom.dsl"):
        return str(name)
    return None


FOLDED: dict[str, Callable[[float], float]] = {
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "rsqrt": lambda x: 1.0 / math.sqrt(x),
    "sin": math.sin,
    "cos": math.cos,
    "tanh": math.tanh,
    "floor": math.floor,
    "round": round,
    "abs": abs,
    "sigmoid": lambda x: 1.0 / (1.0 + math.exp(-x)),
}
"""The elementwise functions of Python numbers."""
