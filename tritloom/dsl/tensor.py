"""The lazy tensor: NumPy's manners over a node of the tensor IR.

Nothing is computed until a value is asked for (`numpy()`, `np.asarray`, `item()`, `realise`); inside a function under
`tl.jit` or `tl.grad` never. Shapes broadcast as in NumPy. Dtypes are strict: two tensors of different dtypes do not
meet without a cast, while a Python number takes the dtype of the tensor beside it.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from tritloom.backends.base import Device
from tritloom.backends.registry import device as find_device
from tritloom.codegen.errors import DeviceError, DTypeError, ShapeError, TritloomError, caller_location
from tritloom.codegen.ir.dtypes import DType
from tritloom.codegen.ir.tensor import Node, Shape, intern
from tritloom.codegen.ir.tensor_ops import constant, make
from tritloom.codegen.ir.tensor_rules import describe
from tritloom.codegen.ir.ternary import TernaryArray
from tritloom.dsl.execution import Binding, Canonical, Compiled, canonical
from tritloom.dsl.storage import Host, Storage

Number = float | int | bool


class TraceError(TritloomError):
    """A value was asked for of a tensor that stands for any argument of a traced function."""


class CopyError(TritloomError, ValueError):
    """NumPy was to take a tensor's memory without a copy. A ValueError too, as NumPy's protocol has it."""


class Tensor:
    """A tensor: a node of a program that is computed when its value is asked for."""

    __slots__ = ("__weakref__", "node")
    __array_ufunc__ = None  # NumPy arrays leave the mixed operators to us

    def __init__(self, node: Node):
        self.node = node

    # what it is

    @property
    def shape(self) -> Shape:
        return self.node.shape

    @property
    def dtype(self) -> DType:
        return self.node.dtype

    @property
    def ndim(self) -> int:
        """How many dimensions it has."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many elements it has."""
        return self.node.size

    @property
    def device(self) -> Device | None:
        """Where its data lie; None for a tensor of constants alone, or of a traced function."""
        return _home(self.node)

    def __repr__(self) -> str:
        return f"Tensor({describe(self.node)})"

    def __len__(self) -> int:
        if not self.shape:
            raise ShapeError("a scalar has no length", location=caller_location())
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    # its value

    def realise(self) -> Tensor:
        """Compute it now, if it is not yet, and return it."""
        realise(self)
        return self

    def host(self) -> Host:
        """Its value: a TernaryArray if it is ternary, else a NumPy array."""
        realise(self)
        storage: Storage = self.node.attribute("key")
        return storage.host()

    def numpy(self) -> NDArray[Any]:
        """Its value as a NumPy array of its own; ternary as int8."""
        value = self.host()
        return value.unpack() if isinstance(value, TernaryArray) else value

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """What `np.asarray(tensor)` takes: :meth:`numpy`, converted to `dtype` where one is given.

        Raises CopyError for `copy=False`: a tensor lies in its device's memory.
        """
        if copy is False:
            raise CopyError(
                f"NumPy asks for {describe(self.node)} without a copy",
                hint="leave copy=False out: values are always copied from the device",
                location=caller_location(),
            )
        value = self.numpy()
        return value if dtype is None else value.astype(dtype, copy=False)

    def item(self) -> Any:
        """The value of a tensor of one element as a Python number."""
        if self.size != 1:
            raise ShapeError(
                f"`item` of {describe(self.node)}, which has {self.size} elements", location=caller_location()
            )
        return self.numpy().item()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def to(self, device: str | Device) -> Tensor:
        """The same values on another device."""
        target = device if isinstance(device, Device) else find_device(device)
        realise(self)
        storage: Storage = self.node.attribute("key")
        return self if storage.device is target else leaf(Storage.of(storage.host(), target))

    # arithmetic

    def __add__(self, other: Operand) -> Tensor:
        return binary("add", self, other)

    def __radd__(self, other: Operand) -> Tensor:
        return binary("add", other, self)

    def __sub__(self, other: Operand) -> Tensor:
        return binary("sub", self, other)

    def __rsub__(self, other: Operand) -> Tensor:
        return binary("sub", other, self)

    def __mul__(self, other: Operand) -> Tensor:
        return binary("mul", self, other)

    def __rmul__(self, other: Operand) -> Tensor:
        return binary("mul", other, self)

    def __truediv__(self, other: Operand) -> Tensor:
        return binary("div", self, other)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return binary("div", other, self)

    def __floordiv__(self, other: Operand) -> Tensor:
        return binary("floordiv", self, other)

    def __mod__(self, other: Operand) -> Tensor:
        return binary("mod", self, other)

    def __and__(self, other: Operand) -> Tensor:
        return binary("and", self, other)

    def __or__(self, other: Operand) -> Tensor:
        return binary("or", self, other)

    def __xor__(self, other: Operand) -> Tensor:
        return binary("xor", self, other)

    def __lshift__(self, other: Operand) -> Tensor:
        return binary("shl", self, other)

    def __rshift__(self, other: Operand) -> Tensor:
        return binary("shr", self, other)

    def __lt__(self, other: Operand) -> Tensor:
        return binary("lt", self, other)

    def __le__(self, other: Operand) -> Tensor:
        return binary("le", self, other)

    def __gt__(self, other: Operand) -> Tensor:
        return binary("gt", self, other)

    def __ge__(self, other: Operand) -> Tensor:
        return binary("ge", self, other)

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return binary("eq", self, other)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return binary("ne", self, other)

    __hash__ = object.__hash__

    def __neg__(self) -> Tensor:
        return unary("neg", self)

    def __invert__(self) -> Tensor:
        return unary("not", self)

    def __abs__(self) -> Tensor:
        return unary("abs", self)

    def __pow__(self, exponent: Any) -> Tensor:
        """Whole powers of 1 and more, by multiplication."""
        if not isinstance(exponent, int) or exponent < 1:
            raise DTypeError(
                f"a power of {exponent!r}", hint="write tl.sqrt, tl.rsqrt, tl.exp and / for others"
            )
        half = self if exponent < 4 else self ** (exponent // 2)
        if exponent >= 4:
            return half * half * self if exponent % 2 else half * half
        return self if exponent == 1 else self * self if exponent == 2 else self * self * self

    def __matmul__(self, other: Tensor) -> Tensor:
        return matmul(self, other)

    # reductions

    def sum(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        """The sum over the axes (all if None); f16 and bf16 are summed in f32."""
        return reduction("reduce_sum", self, axis, keepdims)

    def max(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        """The greatest element over the axes."""
        return reduction("reduce_max", self, axis, keepdims)

    def min(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        """The least element over the axes."""
        return reduction("reduce_min", self, axis, keepdims)

    def mean(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        """The mean over the axes, of floats."""
        total = self.sum(axis, keepdims)
        return total / (self.size // total.size)

    # movement

    def cast(self, dtype: DType) -> Tensor:
        """Conversion by value: float to integer truncates toward zero and saturates, integers wrap."""
        return Tensor(make("cast", [self.node], dtype=dtype))

    astype = cast

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements, row by row, in another shape; one dimension may be -1."""
        dims = list(shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape)
        if dims.count(-1) == 1:
            rest = math.prod(dim for dim in dims if dim != -1)
            if rest <= 0 or self.size % rest:
                raise ShapeError(
                    f"{describe(self.node)} does not reshape to {dims}", location=caller_location()
                )
            dims[dims.index(-1)] = self.size // rest
        return Tensor(make("reshape", [self.node], shape=tuple(dims)))

    def broadcast_to(self, shape: Sequence[int]) -> Tensor:
        """Repeated along dimensions of size 1 and along new leading ones."""
        return Tensor(make("broadcast", [self.node], shape=tuple(shape)))

    def permute(self, *order: Any) -> Tensor:
        """Its dimensions in another order."""
        axes = order[0] if len(order) == 1 and isinstance(order[0], (tuple, list)) else order
        return Tensor(make("permute", [self.node], order=tuple(axes)))

    def transpose(self, first: int = -2, second: int = -1) -> Tensor:
        """Two dimensions exchanged."""
        order = list(range(self.ndim))
        order[first], order[second] = order[second], order[first]
        return self.permute(order)

    @property
    def T(self) -> Tensor:
        """All dimensions in reverse order."""
        return self.permute(tuple(reversed(range(self.ndim))))

    def __getitem__(self, index: Any) -> Tensor:
        """Ranges, integers, None and `...`; or an i32 tensor alone, which gathers along the first dimension."""
        if isinstance(index, Tensor):
            return Tensor(make("gather", [self.node, index.node]))
        return _basic_index(self, index if isinstance(index, tuple) else (index,))


Operand = Tensor | Number
Axes = int | Sequence[int] | None


def array(value: Any, device: str | Device | None = None) -> Tensor:
    """A tensor of a NumPy array (or what NumPy makes one of) or a TernaryArray, copied to the device.

    Python numbers become f32, i32 or bool. Raises DTypeError for a NumPy array of a dtype that no device has.
    """
    target = device if isinstance(device, Device) else find_device(device)
    if isinstance(value, Tensor):
        return value.to(target)
    if isinstance(value, TernaryArray):
        return leaf(Storage.of(value, target))
    found = np.asarray(value)
    if not isinstance(value, (np.ndarray, np.generic)):
        narrow = {"f": np.float32, "i": np.int32}.get(found.dtype.kind)
        found = found if narrow is None else found.astype(narrow)
    return leaf(Storage.of(found, target))


def as_tensor(value: Any, device: Device | None = None) -> Tensor | None:
    """A tensor as it is, an array as a new tensor on the device, None for anything else."""
    if isinstance(value, Tensor):
        return value
    return array(value, device) if isinstance(value, (np.ndarray, TernaryArray)) else None


def leaf(storage: Storage) -> Tensor:
    """The tensor of some memory."""
    return Tensor(intern("input", (), (("key", storage),), storage.shape, storage.dtype))


def abstract(shape: Shape, dtype: DType, device: Device) -> Tensor:
    """A tensor that has a shape and no values: programs may be planned for it, and none can run."""
    return leaf(Storage(device, None, shape, dtype))


_homes: weakref.WeakKeyDictionary[Node, Device | None] = weakref.WeakKeyDictionary()
"""What :func:`_home` found: a traced program asks at every kernel call."""


def _home(node: Node) -> Device | None:
    """The device of the first storage that a node depends on."""
    stack = [node]
    while stack:
        one = stack[-1]
        unknown = [operand for operand in one.inputs if operand not in _homes]
        if unknown and one not in _homes:
            stack.extend(reversed(unknown))
            continue
        stack.pop()
        if one in _homes:
            continue
        key = one.attribute("key") if one.op == "input" else None
        found = (_homes[operand] for operand in one.inputs if _homes[operand] is not None)
        _homes[one] = key.device if isinstance(key, Storage) else next(found, None)
    return _homes[node]


# computing


def bind(bindings: Sequence[Binding], values: Sequence[Storage] = ()) -> list[Storage]:
    """The storage of each input of a program: `values` for the first ones, its own leaves for the others.

    Raises TraceError where an input is a traced function's argument.
    """
    found = list(values)
    for binding in bindings[len(values) :]:
        if not isinstance(binding.key, Storage):
            raise TraceError(
                "the value of a tensor was asked for while its function is traced",
                hint="tl.jit and tl.grad see shapes and dtypes alone: use tl.where for `if`, and no .numpy()",
                location=caller_location(),
            )
        found.append(binding.key.transposed() if binding.transposed else binding.key)
    return found


def common_device(storages: Sequence[Storage], device: Device | None = None) -> Device:
    """The one device of the storages. Raises DeviceError if there are two."""
    for storage in storages:
        if device is not None and storage.device is not device:
            raise DeviceError(
                f"tensors of {device.name} and {storage.device.name} meet",
                hint=f'move one of them with .to("{device.name}")',
                location=caller_location(),
            )
        device = storage.device
    return device or find_device(None)


@lru_cache(maxsize=64)
def _compiled(program: Canonical, device: Device) -> Compiled:
    return Compiled(program, device)


def realise(*tensors: Tensor) -> None:
    """Compute tensors together, as one program; each keeps its value from then on."""
    unique = {id(tensor): tensor for tensor in tensors}.values()
    pending = [t for t in unique if t.node.op != "input" or not isinstance(t.node.attribute("key"), Storage)]
    if not pending:
        return
    nodes = list(dict.fromkeys(tensor.node for tensor in pending))
    program, bindings = canonical(nodes)
    storages = bind(bindings)
    compiled = _compiled(program, common_device(storages))
    results = dict(zip(nodes, compiled.run(storages), strict=True))
    for tensor in pending:
        tensor.node = leaf(results[tensor.node]).node


# building


def node_of(value: Any, dtype: DType | None = None) -> Node:
    """The node of a tensor, or of a Python number in that dtype."""
    if isinstance(value, Tensor):
        return value.node
    if isinstance(value, (bool, int, float, np.generic)) and dtype is not None:
        return constant(value.item() if isinstance(value, np.generic) else value, dtype)
    raise DTypeError(
        f"a tensor and a {type(value).__name__} meet",
        hint="make it a tensor with tl.array",
        location=caller_location(),
    )


def common_shape(what: str, *shapes: Shape) -> Shape:
    """The shape that all broadcast to. Raises ShapeError."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        listed = " and ".join(str(list(shape)) for shape in shapes)
        raise ShapeError(
            f"`{what}` of the shapes {listed}",
            hint="shapes are aligned at the last dimension, and a dimension of 1 stretches",
            location=caller_location(),
        ) from None


def expand(node: Node, shape: Shape) -> Node:
    """The node broadcast to a shape."""
    return node if node.shape == shape else make("broadcast", [node], shape=shape)


def unary(op: str, x: Tensor) -> Tensor:
    """An elementwise operation of one operand."""
    return Tensor(make(op, [node_of(x)]))


def binary(op: str, left: Any, right: Any) -> Tensor:
    """An elementwise operation of two operands, broadcast to each other."""
    dtype = left.dtype if isinstance(left, Tensor) else right.dtype if isinstance(right, Tensor) else None
    a, b = node_of(left, dtype), node_of(right, dtype)
    if a.dtype is not b.dtype:
        raise DTypeError(
            f"`{op}` of {describe(a)} and {describe(b)}",
            hint=f"cast one of them, as in x.cast(tl.{a.dtype if a.dtype.is_float else b.dtype})",
            location=caller_location(),
        )
    shape = common_shape(op, a.shape, b.shape)
    return Tensor(make(op, [expand(a, shape), expand(b, shape)]))


def reduction(op: str, x: Tensor, axis: Axes, keepdims: bool) -> Tensor:
    """A reduction over some axes, which then go unless `keepdims`."""
    axes = tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    reduced = make(op, [x.node], axes=axes)
    if keepdims:
        return Tensor(reduced)
    gone = {a % x.ndim for a in axes}
    shape = tuple(dim for i, dim in enumerate(x.shape) if i not in gone)
    return Tensor(make("reshape", [reduced], shape=shape))


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """NumPy's matrix product: a[..., M, K] with b[..., K, N]; a vector is a row on the left, a column on the right."""
    left, right = node_of(a), node_of(b)
    if not left.shape or not right.shape:
        raise ShapeError("a matrix product with a scalar", hint="write * for it", location=caller_location())
    squeeze = []
    if len(left.shape) == 1:
        left, squeeze = make("reshape", [left], shape=(1, *left.shape)), [-2]
    if len(right.shape) == 1:
        right = make("reshape", [right], shape=(*right.shape, 1))
        squeeze.append(-1)
    rank = len(right.shape)
    result = dot(Tensor(left), Tensor(make("permute", [right], order=(*range(rank - 2), rank - 1, rank - 2))))
    shape = [dim for i, dim in enumerate(result.shape) if i - result.ndim not in squeeze]
    return result.reshape(shape)


def dot(a: Tensor, b: Tensor) -> Tensor:
    """The products of rows: a[..., M, K] and b[..., N, K] give [..., M, N], in f32 or, of i8, in i32.

    `b` may be ternary. Leading dimensions broadcast. In a kernel: :func:`tritloom.dsl.language.dot`.
    """
    left, right = node_of(a), node_of(b)
    if len(right.shape) > 2 and left.shape[:-2] != right.shape[:-2]:
        lead = common_shape("dot", left.shape[:-2], right.shape[:-2])
        left, right = expand(left, (*lead, *left.shape[-2:])), expand(right, (*lead, *right.shape[-2:]))
    return Tensor(make("dot", [left, right]))


def _basic_index(x: Tensor, index: tuple[Any, ...]) -> Tensor:
    given = sum(1 for one in index if one is not None and one is not Ellipsis)
    dots = sum(1 for one in index if one is Ellipsis)
    if given > x.ndim or dots > 1:
        raise ShapeError(f"{describe(x.node)} is indexed with {given} positions", location=caller_location())
    filler = (slice(None),) * (x.ndim - given)
    position = next((i for i, one in enumerate(index) if one is Ellipsis), len(index))
    full = (*index[:position], *filler, *index[position + 1 :])
    starts, stops, shape, axis = [], [], [], 0
    for one in full:
        if one is None:
            shape.append(1)
            continue
        dim = x.shape[axis]
        start, stop = _range(one, dim, axis)
        starts.append(start)
        stops.append(stop)
        if isinstance(one, slice):
            shape.append(stop - start)
        axis += 1
    sliced = make("slice", [x.node], starts=tuple(starts), stops=tuple(stops))
    return Tensor(make("reshape", [sliced], shape=tuple(shape)))


def _range(one: Any, dim: int, axis: int) -> tuple[int, int]:
    if isinstance(one, slice):
        start, stop, step = one.indices(dim)
        if step != 1:
            raise ShapeError(
                f"a slice with the step {step}",
                hint="steps other than 1 are not there",
                location=caller_location(),
            )
        return start, stop
    if isinstance(one, bool) or not hasattr(one, "__index__"):
        raise DTypeError(
            f"an index of type {type(one).__name__}",
            hint="index with integers, ranges, None, ... or one i32 tensor",
            location=caller_location(),
        )
    position = one.__index__()
    if not -dim <= position < dim:
        raise ShapeError(
            f"index {position} of axis {axis}, which has {dim} elements", location=caller_location()
        )
    return position % dim, position % dim + 1
