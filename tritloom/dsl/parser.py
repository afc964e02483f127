"""The body of a kernel: from Python statements to the statements of the tile IR.

A name that is assigned in a loop or in a branch and read later becomes a carried or a merged value by itself:
:mod:`tritloom.dsl.liveness` tells which.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping, Sequence

from tritloom.codegen.errors import AxisError, KernelSyntaxError, TritloomError
from tritloom.codegen.ir.dtypes import DType, TensorSpec, f32
from tritloom.codegen.ir.tile import Axis, Buffer, Const, Kernel, Mode, Store, Value
from tritloom.codegen.ir.tile_builder import Builder, names
from tritloom.dsl import language
from tritloom.dsl.inline import Inline
from tritloom.dsl.liveness import assigned, live_at_head, live_before
from tritloom.dsl.parser_expressions import (
    BlocksRequest,
    ExpressionParser,
    Shared,
    Undefined,
)
from tritloom.dsl.parser_functions import HANDLERS
from tritloom.dsl.signature import Signature
from tritloom.dsl.source import FunctionSource

MAXIMAL_UNROLL = 1024
MAXIMAL_DEPTH = 32
_NO_STATEMENT: dict[type[ast.stmt], tuple[str, str]] = {
    ast.While: ("a `while` loop", "loop with `for k in tl.blocks(K, BK):`"),
    ast.With: ("`with`", "a kernel has assignments, for, if and calls"),
    ast.Try: ("`try`", "a kernel raises nothing: guard accesses with where="),
    ast.Raise: ("`raise`", "a kernel raises nothing: check arguments before the call"),
    ast.Assert: ("`assert`", "check arguments before the call"),
    ast.Break: ("`break`", "bound the loop: tl.blocks(K, BK, stop=...)"),
    ast.Continue: ("`continue`", "use an `if`, or tl.where"),
    ast.Import: ("`import`", "import at the top of the file"),
    ast.ImportFrom: ("`import`", "import at the top of the file"),
    ast.FunctionDef: ("a nested function", "write a function under @tl.inline outside of the kernel"),
    ast.ClassDef: ("a class", "a kernel has numbers and tiles alone"),
    ast.Global: ("`global`", "a kernel writes only to its outputs"),
    ast.Nonlocal: ("`nonlocal`", "a kernel writes only to its outputs"),
    ast.Delete: ("`del`", "a name ends with its kernel"),
    ast.AnnAssign: ("an annotation on an assignment", "write the assignment alone"),
    ast.Match: ("`match`", "use `if` and `else`"),
    ast.AsyncFor: ("`async for`", "loop with `for k in tl.blocks(K, BK):`"),
    ast.AsyncWith: ("`async with`", "a kernel runs on the device"),
    ast.AsyncFunctionDef: ("a nested function", "write a function under @tl.inline outside of the kernel"),
}


_UNSET = Undefined("", "")


def parse(
    signature: Signature,
    known: Mapping[str, int],
    configuration: Mapping[str, int],
    multiples: Mapping[str, int] | None = None,
) -> Kernel:
    """The tile kernel of a function, for one value of each tunable parameter and of each static dimension.

    `multiples` gives a divisor of some of the other dimensions.
    """
    source = signature.source
    builder = Builder(source.name, source.location(source.definition))
    for name, divisor in (multiples or {}).items():
        builder.size(name, divisor)
    environment: dict[str, object] = dict(configuration)
    for tensor in signature.tensors:
        location = signature.locations[tensor.name]
        spec = TensorSpec(tensor.dtype, tensor.dims)
        environment[tensor.name] = builder.buffer(
            tensor.name, spec, tensor.mode, known=dict(known), location=location
        )
    for scalar in signature.scalars:
        environment[scalar.name] = builder.scalar(scalar.name, scalar.dtype, signature.locations[scalar.name])
    parser = FunctionParser(Shared(builder), source, environment, depth=0)
    parser.statements(source.definition.body, set())
    kernel = builder.finish()
    written = {statement.buffer for statement in kernel.body.walk() if isinstance(statement, Store)}
    for value in environment.values():
        if isinstance(value, Buffer) and value.mode is Mode.OUT and value not in written:
            raise KernelSyntaxError(
                f"the output `{value.name}` is never stored to",
                hint=f"store a tile: {value.name}[{', '.join('mnijk'[: len(value.shape)])}] = ...",
                location=value.location,
            )
    return kernel


class FunctionParser(ExpressionParser):
    """Builds the statements of one function: the kernel itself (depth 0) or a helper inside of it."""

    def __init__(self, shared: Shared, source: FunctionSource, environment: dict[str, object], depth: int):
        super().__init__(shared, source, environment)
        self._depth = depth
        self._conditions = 0
        """How many loops and branches are open here that run when the kernel runs."""
        self._returned: list[object] = []

    def statements(self, statements: Sequence[ast.stmt], live_after: set[str]) -> None:
        """Statements in order; `live_after` are the names that are read after them."""
        for position, statement in enumerate(statements):
            if self._returned:
                return
            self._statement(statement, live_before(statements[position + 1 :], live_after))

    def _statement(self, statement: ast.stmt, live_after: set[str]) -> None:
        match statement:
            case ast.Assign(targets=[target], value=value):
                self._assign(target, self.evaluate(value), value)
            case ast.Assign(targets=[_, second, *_]):
                raise self.error(second, "two targets of one assignment", "assign on a line each")
            case ast.AugAssign():
                self._augmented(statement)
            case ast.For():
                self._for(statement, live_after)
            case ast.If():
                self._if(statement, live_after)
            case ast.Expr():
                self._expression(statement)
            case ast.Return():
                self._return(statement)
            case ast.Pass():
                pass
            case _:
                what, hint = _NO_STATEMENT.get(
                    type(statement), (f"`{type(statement).__name__}`", "see the names under tl")
                )
                raise self.error(statement, f"{what} is no part of the kernel language", hint)

    def _expression(self, statement: ast.Expr) -> None:
        node = statement.value
        if isinstance(node, ast.Constant) and (isinstance(node.value, str) or node.value is ...):
            return
        if not isinstance(node, ast.Call):
            raise self.error(node, "this value is not used", "assign it to a name, or store it to an output")
        value = self.evaluate(node)
        if value is not None:
            raise self.error(
                node, "what this call returns is not used", "assign it to a name, or store it to an output"
            )

    def _return(self, statement: ast.Return) -> None:
        if not self._depth:
            raise self.error(
                statement,
                "a kernel returns nothing",
                "store to a parameter declared with tl.out: the call returns that tensor",
            )
        if self._conditions:
            raise self.error(
                statement,
                "`return` inside of a loop or of a branch",
                "return once, at the end of the function",
            )
        self._returned.append(None if statement.value is None else self.evaluate(statement.value))

    # assignments

    def _assign(self, target: ast.expr, value: object, node: ast.expr) -> None:
        match target:
            case ast.Name(id=name):
                if value is None:
                    raise self.error(node, "this call returns nothing", "call it on a line of its own")
                if isinstance(value, BlocksRequest):
                    raise self.error(
                        node, "tl.blocks outside of a `for`", "write `for k in tl.blocks(K, BK):`"
                    )
                self._bind(name, value)
            case ast.Tuple(elts=targets):
                if not isinstance(value, tuple):
                    raise self.error(
                        node,
                        f"this is {self.describe(value)} and cannot be taken apart",
                        "as in M, K = x.shape",
                    )
                if len(value) != len(targets):
                    raise self.error(
                        target,
                        f"{len(targets)} names for {len(value)} values",
                        f"write {len(value)} names, with _ for those you do not need",
                    )
                for inner, element in zip(targets, value, strict=True):
                    self._assign(inner, element, node)
            case ast.Subscript():
                self._store(target, value, node)
            case _:
                raise self.error(
                    target, "this cannot be assigned to", "assign to a name, or store: y[m, n] = tile"
                )

    def _bind(self, name: str, value: object) -> None:
        if isinstance(value, Axis) and value.name == "axis":
            value.name = name
            self.index(value).name = name
        elif isinstance(value, Value) and not value.name and not isinstance(value, Const):
            value.name = name
        self.environment[name] = value

    def _store(self, target: ast.Subscript, value: object, node: ast.expr) -> None:
        buffer = self.buffer(self.evaluate(target.value), target.value)
        indices = self.index_list(target.slice)
        operand = self.strong(self.as_operand(value, node), buffer.dtype, self.at(node))
        tile = self.as_value(operand, self.at(node), buffer.dtype)
        assert tile is not None
        self.builder.store(buffer, indices, tile, location=self.at(target))

    def _augmented(self, statement: ast.AugAssign) -> None:
        target = statement.target
        if isinstance(target, ast.Name):
            before = self.operand(ast.copy_location(ast.Name(target.id, ast.Load()), target))
            after = self.apply(statement.op, before, self.operand(statement.value), statement)
            self._bind(target.id, after)
        elif isinstance(target, ast.Subscript):
            buffer = self.buffer(self.evaluate(target.value), target.value)
            before = self.builder.load(buffer, self.index_list(target.slice), location=self.at(target))
            after = self.apply(statement.op, before, self.operand(statement.value), statement)
            self._store(target, after, statement.value)
        else:
            raise self.error(
                target, "this cannot be assigned to", "assign to a name, or store: y[m, n] = tile"
            )

    # loops

    def _for(self, loop: ast.For, live_after: set[str]) -> None:
        if loop.orelse:
            raise self.error(
                loop.orelse[0], "`else` of a loop is no part of the kernel language", "put it after the loop"
            )
        if not isinstance(loop.target, ast.Name):
            raise self.error(loop.target, "a loop has one name", "write `for k in tl.blocks(K, BK):`")
        iterated = self.evaluate(loop.iter)
        if isinstance(iterated, BlocksRequest):
            self._block_loop(loop, loop.target.id, iterated, live_after)
        elif isinstance(iterated, range):
            if len(iterated) > MAXIMAL_UNROLL:
                raise self.error(
                    loop.iter,
                    f"`range` unrolls {len(iterated)} times, at most {MAXIMAL_UNROLL} are allowed",
                    "loop over blocks with tl.blocks",
                )
            live = live_at_head(loop, live_after)
            for index in iterated:
                self.environment[loop.target.id] = index
                self.statements(loop.body, live)
        else:
            raise self.error(
                loop.iter,
                f"a loop over {self.describe(iterated)}",
                "loop over blocks with tl.blocks(K, BK), or over numbers with range(4)",
            )

    def _block_loop(self, loop: ast.For, name: str, request: BlocksRequest, live_after: set[str]) -> None:
        live = live_at_head(loop, live_after)
        changed = [n for n in assigned(loop.body) if n != name]
        carried = {n: self._initial(n, loop) for n in changed if n in live and self._is_bound(n)}
        before = dict(self.environment)
        with self.builder.loop(
            name,
            request.size,
            request.block,
            list(carried.values()),
            start=request.start,
            stop=request.stop,
            location=self.at(loop),
        ) as opened:
            for variable, value in zip(carried, opened.values, strict=True):
                value.name = variable
                self.environment[variable] = value
            self.environment[name] = opened.axis
            opened.axis.location = self.at(loop.target)
            self.index(opened.axis)
            self._conditions += 1
            self.statements(loop.body, live)
            self._conditions -= 1
            opened.next = [
                self._next(variable, value, opened.axis, loop) for variable, value in carried.items()
            ]
        self.environment.clear()
        self.environment.update(before)
        for variable, result in zip(carried, opened.results, strict=True):
            result.name = variable
            self.environment[variable] = result
        for variable in changed:
            if variable not in carried:
                self.environment[variable] = Undefined(
                    f"`{variable}` has a value only inside of the loop over `{name}`",
                    f"give it a value before the loop, as in {variable} = tl.zeros(m)",
                )
        self.environment[name] = Undefined(
            f"`{name}` is the axis of a loop and ends with it", "make a loop of its own for it"
        )

    def _is_bound(self, name: str) -> bool:
        return name in self.environment and not isinstance(self.environment[name], Undefined)

    def _initial(self, name: str, loop: ast.For) -> Value:
        value = self.environment[name]
        initial = None if isinstance(value, Axis) else self.as_value(value, self.at(loop))
        if initial is None:
            raise self.error(
                loop,
                f"`{name}` is {self.describe(value)} before this loop and is assigned in it",
                "use another name in the loop",
            )
        if isinstance(initial, Const):
            initial.name = name
        return initial

    def _next(self, name: str, initial: Value, axis: Axis, loop: ast.For) -> Value:
        """The value at the end of a turn, repeated over the axes of the initial one that it lacks."""
        value = self.environment[name]
        if isinstance(value, Undefined):
            raise self.error(loop, value.reason, value.hint)
        result = self.as_value(value, self.at(loop), initial.dtype)
        if result is None:
            raise self.error(
                loop, f"`{name}` becomes {self.describe(value)} in this loop", "use another name in the loop"
            )
        if set(result.axes) < set(initial.axes):
            return self.builder.expand(result, initial.axes, result.location)
        if axis in result.axes:
            raise AxisError(
                f"`{name}` {names(result.axes)} still has the axis `{axis.name}` when its loop ends",
                hint=f"reduce over it: {name} = tl.sum({name}, {axis.name})",
                location=result.location or self.at(loop),
            )
        return result

    # conditions

    def _if(self, statement: ast.If, live_after: set[str]) -> None:
        condition = self.evaluate(statement.test)
        if isinstance(condition, bool | int | float):
            self.statements(statement.body if condition else statement.orelse, live_after)
            return
        if not isinstance(condition, Value):
            raise self.error(
                statement.test,
                f"the condition is {self.describe(condition)}",
                "compare numbers or scalars, as in `if K > 64:`",
            )
        before = dict(self.environment)
        changed = assigned([statement])
        with self.builder.condition(condition, self.at(statement.test)) as opened:
            self._conditions += 1
            self.statements(statement.body, live_after)
            then, self.environment = self.environment, dict(before)
            with opened.otherwise():
                self.statements(statement.orelse, live_after)
                otherwise = self.environment
                merged = [n for n in changed if n in live_after and self._differ(then, otherwise, n)]
                false = {n: self._branch_value(n, otherwise, then, statement) for n in merged}
            true = {n: self._branch_value(n, then, otherwise, statement) for n in merged}
            self._conditions -= 1
            with opened.otherwise():
                wide = {n: self._like(false[n], true[n]) for n in merged}
            opened.pairs = [(self._like(true[n], wide[n]), wide[n]) for n in merged]
        self.environment = dict(before)
        for name, result in zip(merged, opened.results, strict=True):
            result.name = name
            self.environment[name] = result
        for name in changed:
            if name in merged:
                continue
            if name in then and name in otherwise and not self._differ(then, otherwise, name):
                self.environment[name] = then[name]
            else:
                self.environment[name] = Undefined(
                    f"`{name}` has a value in only one branch of the `if`", "give it a value before the `if`"
                )

    @staticmethod
    def _differ(then: Mapping[str, object], otherwise: Mapping[str, object], name: str) -> bool:
        """Whether both branches leave a value and not the same one."""
        first, second = then.get(name, _UNSET), otherwise.get(name, _UNSET)
        if isinstance(first, Undefined) or isinstance(second, Undefined):
            return False
        numbers = isinstance(first, bool | int | float) and type(first) is type(second)
        return not (first is second or (numbers and first == second))

    def _branch_value(
        self, name: str, here: Mapping[str, object], there: Mapping[str, object], statement: ast.If
    ) -> Value:
        other = there[name]
        dtype: DType | None = other.dtype if isinstance(other, Value) else None
        if dtype is None and isinstance(here[name], int) and isinstance(other, float):
            dtype = f32
        value = None if isinstance(here[name], Axis) else self.as_value(here[name], self.at(statement), dtype)
        if value is None:
            raise self.error(
                statement,
                f"`{name}` is {self.describe(here[name])} after one branch of this `if`",
                "use another name in the branch",
            )
        if isinstance(value, Const):
            value.name = name
        return value

    def _like(self, value: Value, other: Value) -> Value:
        """The value, repeated over the axes that only the other branch's has."""
        return (
            self.builder.expand(value, other.axes, value.location)
            if set(value.axes) < set(other.axes)
            else value
        )

    # calls

    def call_intrinsic(self, name: str, call: ast.Call) -> object:
        """A call of a function of the kernel language."""
        signature = inspect.signature(language.BY_NAME[name])
        return HANDLERS[name](self, call, **self._bind_call(name, signature, call))

    def _bind_call(self, name: str, signature: inspect.Signature, call: ast.Call) -> dict[str, object]:
        keywords = {str(keyword.arg): keyword.value for keyword in call.keywords}
        try:
            return dict(signature.bind(*call.args, **keywords).arguments)
        except TypeError as error:
            shown = ", ".join(
                f"*{p.name}"
                if p.kind is p.VAR_POSITIONAL
                else p.name
                if p.default is p.empty
                else f"{p.name}=..."
                for p in signature.parameters.values()
            )
            raise self.error(call, f"tl.{name}: {error}", f"it is called as tl.{name}({shown})") from None

    def call_inline(self, function: Inline, call: ast.Call) -> object:
        """A call of a helper: its body in place, and what it returns."""
        if self._depth >= MAXIMAL_DEPTH:
            raise self.error(
                call, f"`{function.name}` calls itself without end", "a helper cannot be recursive"
            )
        values = [self.evaluate(argument) for argument in call.args]
        keywords = {str(keyword.arg): self.evaluate(keyword.value) for keyword in call.keywords}
        try:
            bound = inspect.signature(function.function).bind(*values, **keywords)
        except TypeError as error:
            raise self.error(
                call, f"`{function.name}`: {error}", "pass the arguments that the helper's def names"
            ) from None
        bound.apply_defaults()
        inner = FunctionParser(self.shared, function.source, dict(bound.arguments), self._depth + 1)
        try:
            inner.statements(function.source.definition.body, set())
        except TritloomError as error:
            if not getattr(error, "inside", None):
                error.inside = function.name  # type: ignore[attr-defined]
                error.message += f" (in `{function.name}`, called at {self.at(call)})"
            raise
        return inner._returned[0] if inner._returned else None
