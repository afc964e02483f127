"""A kernel's signature: what its parameters are, read from annotations and defaults."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tritloom.codegen.errors import KernelSyntaxError, SourceLocation
from tritloom.codegen.ir.dtypes import DType, TensorSpec, f32, i32
from tritloom.codegen.ir.template import ScalarParameter, TensorParameter
from tritloom.codegen.ir.tile import Mode
from tritloom.dsl.language import Static, Tunable, is_positive_integer
from tritloom.dsl.source import FunctionSource


@dataclass(slots=True)
class Signature:
    """The parameters of a kernel."""

    source: FunctionSource
    tensors: tuple[TensorParameter, ...] = ()
    scalars: tuple[ScalarParameter, ...] = ()
    defaults: dict[str, float | int] = field(default_factory=dict)
    """Of the scalars that have one."""
    tunables: dict[str, Tunable] = field(default_factory=dict)
    static: frozenset[str] = frozenset()
    positional: tuple[str, ...] = ()
    """What a call takes in order: all but the outputs and the tunables."""
    locations: dict[str, SourceLocation] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.source.name

    def tensor(self, name: str) -> TensorParameter:
        """The tensor parameter of that name."""
        return next(tensor for tensor in self.tensors if tensor.name == name)

    def described(self) -> str:
        """`bitlinear(x: f32[M, K], y: out f32[M, N], eps: f32 = 1e-05, BM=8)`, for people."""
        parts = []
        for tensor in self.tensors:
            mode = "" if tensor.mode is Mode.IN else f"{tensor.mode.value} "
            parts.append(f"{tensor.name}: {mode}{tensor.dtype}[{', '.join(map(str, tensor.dims))}]")
        for scalar in self.scalars:
            default = f" = {self.defaults[scalar.name]}" if scalar.name in self.defaults else ""
            parts.append(f"{scalar.name}: {scalar.dtype}{default}")
        parts += [f"{name}={tunable.default}" for name, tunable in self.tunables.items()]
        return f"{self.name}({', '.join(parts)})"


def read_signature(source: FunctionSource, local_names: Mapping[str, Any]) -> Signature:
    """The signature of a kernel. `local_names` are those of the scope that defines it, for its annotations."""
    return _Reader(source, local_names).read()


class _Reader:
    def __init__(self, source: FunctionSource, local_names: Mapping[str, Any]):
        self._source = source
        self._scope = {**local_names, **source.closure}
        self._tensors: list[TensorParameter] = []
        self._scalars: list[ScalarParameter] = []
        self._positional: list[str] = []
        self._signature = Signature(source)

    def _error(self, node: ast.AST, message: str, hint: str) -> KernelSyntaxError:
        return KernelSyntaxError(message, hint=hint, location=self._source.location(node))

    def read(self) -> Signature:
        arguments = self._source.definition.args
        for extra in (arguments.vararg, arguments.kwarg):
            if extra is not None:
                raise self._error(
                    extra, f"`*{extra.arg}`: a kernel names all its parameters", "write them one by one"
                )
        function = self._source.function
        names = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        positional = [*arguments.posonlyargs, *arguments.args]
        given = dict(getattr(function, "__kwdefaults__", None) or {})
        defaults = getattr(function, "__defaults__", None) or ()
        given.update(
            zip([a.arg for a in positional[len(positional) - len(defaults) :]], defaults, strict=True)
        )
        for argument in names:
            self._parameter(argument, given)
        self._check_dimensions(names)
        result = self._signature
        result.tensors, result.scalars = tuple(self._tensors), tuple(self._scalars)
        result.positional = tuple(self._positional)
        marked = {dim for tensor in result.tensors for dim in tensor.dims if isinstance(dim, Static)}
        used = static_dimensions(self._source.definition, {t.name: t.dims for t in result.tensors})
        result.static = frozenset(str(dim) for dim in marked | used)
        return result

    def _parameter(self, argument: ast.arg, given: Mapping[str, Any]) -> None:
        name = argument.arg
        self._signature.locations[name] = self._source.location(argument)
        if isinstance(given.get(name), Tunable):
            self._signature.tunables[name] = given[name]
            return
        annotation = self._annotation(argument)
        if isinstance(annotation, TensorSpec):
            dims = annotation.dims
            for dim in dims:
                if not (dim.isidentifier() if isinstance(dim, str) else is_positive_integer(dim)):
                    raise self._error(
                        argument,
                        f"`{name}` has the dimension {dim!r}",
                        'a dimension is a name or a number from 1 on, as in tl.f32["M", 64]',
                    )
            if name in given:
                raise self._error(
                    argument, f"the tensor `{name}` has a default", "leave it out: a tensor is always given"
                )
            mode = Mode(annotation.mode)
            if annotation.dtype.is_ternary and (len(dims) != 2 or mode is not Mode.IN):
                raise self._error(
                    argument,
                    f"`{name}` is ternary, and a ternary parameter is a matrix that is only read",
                    'declare it as tl.ternary["N", "K"]',
                )
            self._tensors.append(TensorParameter(name, annotation.dtype, dims, mode))
            if mode is not Mode.OUT:
                self._positional.append(name)
        elif isinstance(annotation, DType):
            if annotation not in (i32, f32):
                raise self._error(
                    argument,
                    f"the scalar `{name}` is {annotation}",
                    "a scalar is tl.i32 or tl.f32; a tensor has dimensions",
                )
            if name in given:
                default = given[name]
                whole = isinstance(default, int) and not isinstance(default, bool)
                if not whole and not (annotation is f32 and isinstance(default, float)):
                    raise self._error(
                        argument,
                        f"the default of `{name}` is {default!r}, not {annotation}",
                        "give a number of that dtype",
                    )
                self._signature.defaults[name] = default
            self._scalars.append(ScalarParameter(name, annotation))
            self._positional.append(name)
        else:
            raise self._error(
                argument,
                f"`{name}` is annotated with {annotation!r}",
                'annotate it as tl.f32["M", "K"], tl.out(...), tl.inout(...), tl.f32 or tl.i32',
            )

    def _annotation(self, argument: ast.arg) -> object:
        if argument.annotation is None:
            raise self._error(
                argument,
                f"the parameter `{argument.arg}` has no annotation",
                f'write {argument.arg}: tl.f32["M", "K"], or {argument.arg}=tl.tunable(64) for a tunable number',
            )
        found = self._source.function.__annotations__[argument.arg]
        if not isinstance(found, str):
            return found
        try:
            return eval(found, dict(self._source.globals), self._scope)  # the user's own annotation
        except Exception as error:  # noqa: BLE001  (whatever the annotation raises is the user's mistake)
            raise self._error(
                argument.annotation,
                f"the annotation of `{argument.arg}` fails: {type(error).__name__}: {error}",
                'annotate it as tl.f32["M", "K"], with names that the file defines',
            ) from None

    def _check_dimensions(self, arguments: list[ast.arg]) -> None:
        read = {dim for t in self._tensors if t.mode is not Mode.OUT for dim in t.dims}
        nodes = {argument.arg: argument for argument in arguments}
        for tensor in self._tensors:
            for dim in tensor.dims:
                if isinstance(dim, str) and dim not in read:
                    raise self._error(
                        nodes[tensor.name],
                        f"the dimension `{dim}` of the output `{tensor.name}` is no dimension of an input",
                        "a call takes the sizes of outputs from the inputs' shapes",
                    )
                if isinstance(dim, str) and any(dim == scalar.name for scalar in self._scalars):
                    raise self._error(
                        nodes[tensor.name],
                        f"`{dim}` is both a dimension of `{tensor.name}` and a scalar parameter",
                        "give one of them another name",
                    )


def static_dimensions(definition: ast.FunctionDef, dims: Mapping[str, tuple[str | int, ...]]) -> set[str]:
    """The dimensions that are used in `tl.whole(...)` or `range(...)`: they must be known to compile a kernel."""
    names: dict[str, set[str]] = {}

    def of(node: ast.AST) -> set[str]:
        match node:
            case ast.Name(id=name):
                return names.get(name, set())
            case ast.Subscript(
                value=ast.Attribute(value=ast.Name(id=owner), attr="shape"),
                slice=ast.Constant(value=int() as i),
            ):
                shape = dims.get(owner, ())
                return (
                    {str(shape[i])} if -len(shape) <= i < len(shape) and isinstance(shape[i], str) else set()
                )
            case ast.BinOp(left=left, right=right):
                return of(left) | of(right)
            case ast.UnaryOp(operand=operand):
                return of(operand)
            case ast.Call(func=ast.Name() | ast.Attribute(), args=args) if _called(node) in ("min", "max"):
                return set().union(*(of(a) for a in args))
        return set()

    found: set[str] = set()
    for node in _in_order(definition):
        match node:
            case ast.Assign(
                targets=[ast.Tuple(elts=targets)], value=ast.Attribute(value=ast.Name(id=owner), attr="shape")
            ):
                for target, dim in zip(targets, dims.get(owner, ()), strict=False):
                    if isinstance(target, ast.Name):
                        names[target.id] = {dim} if isinstance(dim, str) else set()
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                names[name] = of(value)
            case ast.Call(args=args) if _called(node) in ("whole", "range"):
                found |= set().union(*(of(a) for a in args))
    return found


def _called(node: ast.Call) -> str:
    return (
        node.func.attr
        if isinstance(node.func, ast.Attribute)
        else node.func.id
        if isinstance(node.func, ast.Name)
        else ""
    )


def _in_order(node: ast.AST) -> list[ast.AST]:
    """The node's descendants in the order of the source."""
    found: list[ast.AST] = []
    for child in ast.iter_child_nodes(node):
        found.append(child)
        found.extend(_in_order(child))
    return found
