"""Runs machine form of GPUs in NumPy, all threads of a workgroup at once, and watches them.

Every access must lie inside of its memory. Two threads that meet in a byte, of which one writes, must have met at a
barrier in between; so must a subgroup's matrix and the threads that made it. Barriers, exchanges and matrices want all
threads. Shared memory begins as ones in all bits: NaN, or -1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritloom.codegen.ir.dtypes import DType, i32
from tritloom.codegen.ir.machine import (
    Body,
    For,
    Function,
    IfElse,
    Instruction,
    Memory,
    Op,
    Register,
)

Array = NDArray[Any]
_NONE = -1


class Broken(AssertionError):
    """Code that a GPU may run wrongly."""


class _Watched:
    """A memory's bytes, and who has met there since the last barrier.

    Threads are known by their numbers, the matrices of subgroup s as thread `threads + s`.
    """

    def __init__(self, memory: Memory, data: NDArray[np.uint8], threads: int, width: int):
        self.memory, self.data, self.threads, self.width = memory, data, threads, width
        numbers = np.arange(threads + -(-threads // width))
        self.subgroups = np.where(numbers < threads, numbers // width, numbers - threads)
        self.forget()

    def forget(self) -> None:
        """All threads have met."""
        size = len(self.data)
        self.writer = np.full(size, _NONE)
        self.written = np.zeros(size, np.int64)
        self.readers = np.full((2, size), _NONE)
        """The least and the greatest."""
        self.read = np.zeros(size, np.int64)

    def touch(self, who: Array, at: Array, epoch: int, *, writes: bool) -> None:
        """Threads `who` reach bytes `at`, two arrays of one shape."""
        who, at = who.reshape(-1), at.reshape(-1)
        if not len(at):
            return
        if at.min() < 0 or at.max() >= len(self.data):
            raise Broken(f"{self.memory.name}: byte {at.min()}..{at.max()} of {len(self.data)} is reached")
        mine = self.subgroups[who]
        writer = self.writer[at]
        met = (self.subgroups[writer] == mine) & (self.written[at] < epoch)
        self._check((writer != _NONE) & (writer != who) & ~met, at, "meets another thread's store")
        least, most = self.readers[:, at]
        if writes:
            met = (self.subgroups[least] == mine) & (self.subgroups[most] == mine) & (self.read[at] < epoch)
            others = (least != _NONE) & ((least != who) | (most != who))
            self._check(others & ~met, at, "is read by another thread")
            self.writer[at], self.written[at] = who, epoch
            self._check(self.writer[at] != who, at, "is written by two threads")
            return
        fresh = least == _NONE
        self.readers[:, at[fresh]] = who[fresh]
        np.minimum.at(self.readers[0], at, who)
        np.maximum.at(self.readers[1], at, who)
        self.read[at] = epoch

    def _check(self, wrong: Array, at: Array, what: str) -> None:
        if wrong.any():
            raise Broken(f"{self.memory.name}: byte {at[wrong][0]} {what} with no barrier")


class _Run:
    def __init__(
        self, function: Function, memories: Mapping[Memory, Array], numbers: Mapping[str, Any], width: int
    ):
        self.function, self.width = function, width
        self.threads = function.threads
        assert self.threads % width == 0
        self.numbers = numbers
        self.values: dict[Register, Array] = {}
        self.memories = {
            memory: _Watched(memory, data, self.threads, width) for memory, data in memories.items()
        }
        self.program = 0
        self.epoch = 0

    def start(self, program: int) -> None:
        self.program = program
        self.values = {}
        for watched in self.memories.values():
            watched.forget()
        for array in self.function.arrays:
            assert array.length is not None
            data = np.full(array.length * array.dtype.nbytes, 0xFF, np.uint8)
            self.memories[array] = _Watched(array, data, self.threads, self.width)
        with np.errstate(all="ignore"):
            self.body(self.function.body, np.ones(self.threads, bool))

    def body(self, body: Body, active: Array) -> None:
        for statement in body.statements:
            if isinstance(statement, Instruction):
                self.instruction(statement, active)
            elif isinstance(statement, For):
                self.loop(statement, active)
            else:
                self.condition(statement, active)

    def uniform(self, register: Register, active: Array) -> int:
        values = np.unique(self.values[register][active])
        if len(values) != 1:
            raise Broken("a loop's bound differs between threads")
        return int(values[0])

    def loop(self, loop: For, active: Array) -> None:
        start, stop, step = (self.uniform(r, active) for r in (loop.start, loop.stop, loop.step))
        if step < 1:
            raise Broken(f"a loop's step is {step}")
        carried = [self.values[phi.initial] for phi in loop.phis]
        for value in range(start, stop, step):
            self.values[loop.variable] = np.full((self.threads, 1), value, _numpy(loop.variable.dtype))
            self.values.update({phi.inside: v for phi, v in zip(loop.phis, carried)})
            self.body(loop.body, active)
            carried = [self.values[phi.next] for phi in loop.phis]
        self.values.update({phi.after: v for phi, v in zip(loop.phis, carried)})

    def condition(self, statement: IfElse, active: Array) -> None:
        chosen = self.values[statement.condition][:, 0].astype(bool)
        for body, mask in ((statement.then, active & chosen), (statement.otherwise, active & ~chosen)):
            if mask.any():
                self.body(body, mask)
        for phi in statement.merges:
            sides = [self.values.get(r) for r in (phi.initial, phi.next)]
            a, b = (side if side is not None else next(s for s in sides if s is not None) for side in sides)
            self.values[phi.after] = np.where(chosen[:, None], a, b)

    def instruction(self, i: Instruction, active: Array) -> None:
        if i.op in (Op.BARRIER, Op.SUBGROUP_BARRIER, Op.LANE_XOR, Op.MATRIX_LOAD, Op.MATRIX_STORE):
            if not active.all():
                raise Broken(f"{i.op.value} is not reached by all threads")
        match i.op:
            case Op.BARRIER:
                for watched in self.memories.values():
                    watched.forget()
                return
            case Op.SUBGROUP_BARRIER:
                self.epoch += 1
                return
            case Op.LOAD | Op.LOAD_WORDS:
                assert i.result is not None
                self.values[i.result] = self.load(i, active)
                return
            case Op.STORE | Op.STORE_WORDS:
                self.store(i, active)
                return
            case Op.MATRIX_LOAD:
                assert i.result is not None
                self.values[i.result] = self.matrix_load(i)
                return
            case Op.MATRIX_STORE:
                self.matrix_store(i)
                return
        assert i.result is not None
        self.values[i.result] = self.compute(i, [self.values[arg] for arg in i.args])

    def places(
        self, i: Instruction, mask: Register | None, nbytes: int, active: Array
    ) -> tuple[Array, Array, Array]:
        """Active threads, their byte numbers, and the mask of them."""
        memory = i.attribute
        chosen = active if mask is None else active & self.values[mask][:, 0].astype(bool)
        first = self.values[i.args[0]][chosen, 0].astype(np.int64) * memory.dtype.nbytes
        if (first % nbytes).any():
            raise Broken(f"{memory.name}: {nbytes} bytes at byte {first[first % nbytes != 0][0]}")
        at = first[:, None] + np.arange(nbytes)
        who = np.broadcast_to(np.flatnonzero(chosen)[:, None], at.shape)
        return who, at, chosen

    def load(self, i: Instruction, active: Array) -> Array:
        assert i.result is not None
        kind = i.result.type
        nbytes = kind.dtype.nbytes * kind.lanes
        who, at, chosen = self.places(i, i.args[1] if len(i.args) > 1 else None, nbytes, active)
        watched = self.memories[i.attribute]
        watched.touch(who, at, self.epoch, writes=False)
        result = np.zeros((self.threads, nbytes), np.uint8)
        result[chosen] = watched.data[at]
        return result.view(_numpy(kind.dtype))

    def store(self, i: Instruction, active: Array) -> None:
        value = np.ascontiguousarray(self.values[i.args[1]])
        raw = value.view(np.uint8).reshape(self.threads, -1)
        who, at, chosen = self.places(i, i.args[2] if len(i.args) > 2 else None, raw.shape[1], active)
        watched = self.memories[i.attribute]
        watched.touch(who, at, self.epoch, writes=True)
        watched.data[at] = raw[chosen]

    def matrix_places(self, i: Instruction, rows: int, columns: int) -> tuple[Array, Array]:
        access = i.attribute
        numbers = self.values[i.args[0]][:, 0].reshape(-1, self.width)
        if (numbers != numbers[:, :1]).any():
            raise Broken("a matrix's place differs within a subgroup")
        first = numbers[:, 0].astype(np.int64)
        nbytes = access.memory.dtype.nbytes
        aligned = min(16, (rows if access.transposed else columns) * nbytes)
        if (first * nbytes % aligned).any() or access.stride * nbytes % aligned:
            raise Broken(f"{access.memory.name}: a matrix at elements {first}, {access.stride} apart")
        r, c = np.mgrid[:rows, :columns]
        offsets = c * access.stride + r if access.transposed else r * access.stride + c
        at = (first[:, None, None] + offsets)[..., None] * nbytes + np.arange(nbytes)
        who = np.broadcast_to(self.threads + np.arange(len(first))[:, None, None, None], at.shape)
        return who, at

    def matrix_load(self, i: Instruction) -> Array:
        assert i.result is not None
        assert i.result.type.matrix is not None
        shape = i.result.type.matrix
        who, at = self.matrix_places(i, shape.rows, shape.columns)
        watched = self.memories[i.attribute.memory]
        watched.touch(who, at, self.epoch, writes=False)
        return np.ascontiguousarray(watched.data[at]).view(_numpy(i.result.dtype))[..., 0]

    def matrix_store(self, i: Instruction) -> None:
        value = np.ascontiguousarray(self.values[i.args[1]])
        who, at = self.matrix_places(i, *value.shape[1:])
        watched = self.memories[i.attribute.memory]
        watched.touch(who, at, self.epoch, writes=True)
        watched.data[at] = value[..., None].view(np.uint8)

    def compute(self, i: Instruction, args: Sequence[Array]) -> Array:
        assert i.result is not None
        kind = i.result.type
        dtype, shape = _numpy(kind.dtype), (self.threads, kind.lanes)
        threads = np.arange(self.threads)
        match i.op:
            case Op.CONST if kind.matrix is not None:
                groups = self.threads // self.width
                return np.full((groups, kind.matrix.rows, kind.matrix.columns), i.attribute, dtype)
            case Op.CONST:
                return np.broadcast_to(_wrapped(np.asarray(i.attribute), dtype), shape)
            case Op.SIZE:
                return np.full(shape, self.numbers[i.attribute], dtype)
            case Op.PROGRAM:
                return np.full(shape, self.program, dtype)
            case Op.THREAD:
                along = self.function.width or self.threads
                number = {None: threads, 0: threads % along, 1: threads // along}[i.attribute]
                return number[:, None].astype(dtype)
            case Op.SUBGROUP:
                return (threads // self.width)[:, None].astype(dtype)
            case Op.COMPARE:
                return np.asarray(_COMPARE[i.attribute](*args))
            case Op.SELECT:
                return np.where(*args).astype(dtype)
            case Op.CAST:
                return _cast(args[0], dtype)
            case Op.BITCAST:
                return np.ascontiguousarray(args[0]).view(dtype)
            case Op.SPLAT:
                return np.repeat(args[0], kind.lanes, axis=1)
            case Op.EXTRACT:
                return args[0][:, i.attribute : i.attribute + 1]
            case Op.SHUFFLE:
                return np.concatenate(args, axis=1)[:, list(i.attribute)]
            case Op.DOT4_SS:
                a, b = (x.astype(np.int32).reshape(self.threads, -1, 4) for x in args[1:])
                return np.asarray(args[0] + (a * b).sum(2, dtype=np.int32))
            case Op.LANE_XOR:
                if i.attribute >= self.width:
                    raise Broken(f"an exchange over {i.attribute} threads")
                return np.asarray(args[0][threads ^ i.attribute])
            case Op.MATRIX_MULTIPLY_ADD:
                a, b, c = args
                wide = np.int64 if c.dtype == np.int32 else np.float64
                return (a.astype(wide) @ b.astype(wide) + c).astype(dtype)
            case Op.FMA:
                x, y, z = (x.astype(np.float64) for x in args)
                return (x * y + z).astype(dtype)
        return np.asarray(_ARITHMETIC[i.op](*args).astype(dtype))


def _numpy(dtype: DType) -> np.dtype[Any]:
    return np.dtype(dtype.numpy)


def _wrapped(numbers: Array, dtype: np.dtype[Any]) -> Array:
    return numbers.astype(np.int64).astype(dtype) if dtype.kind in "iu" else numbers.astype(dtype)


def _cast(x: Array, dtype: np.dtype[Any]) -> Array:
    if dtype.kind in "iu" and x.dtype.kind not in "iub":
        limits = np.iinfo(dtype)
        wide = np.trunc(np.nan_to_num(x.astype(np.float64), nan=0.0, posinf=2.0**40, neginf=-(2.0**40)))
        return np.clip(wide, limits.min, limits.max).astype(np.int64).astype(dtype)
    return x.astype(dtype)


def _quotient(a: Array, b: Array) -> Array:
    if a.dtype.kind not in "iu":
        return a / b
    x, y = a.astype(np.int64), b.astype(np.int64)
    if (y == 0).any():
        y = np.where(y == 0, 1, y)
    return np.asarray(np.sign(x) * np.sign(y) * (np.abs(x) // np.abs(y)))


def _rest(a: Array, b: Array) -> Array:
    x, y = a.astype(np.int64), b.astype(np.int64)
    return np.asarray(x - _quotient(a, b) * np.where(y == 0, 1, y))


_COMPARE: Mapping[str, Callable[..., Any]] = {
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
}
_ARITHMETIC: Mapping[Op, Callable[..., Any]] = {
    Op.ADD: np.add,
    Op.SUB: np.subtract,
    Op.MUL: np.multiply,
    Op.DIV: _quotient,
    Op.REM: _rest,
    Op.MIN: np.minimum,
    Op.MAX: np.maximum,
    Op.AND: np.bitwise_and,
    Op.OR: np.bitwise_or,
    Op.XOR: np.bitwise_xor,
    Op.SHL: np.left_shift,
    Op.SHR: np.right_shift,
    Op.NOT: np.invert,
    Op.NEG: np.negative,
    Op.ABS: np.abs,
    Op.SQRT: np.sqrt,
    Op.RSQRT: lambda x: 1 / np.sqrt(x),
    Op.EXP: np.exp,
    Op.LOG: np.log,
    Op.SIN: np.sin,
    Op.COS: np.cos,
    Op.TANH: np.tanh,
    Op.FLOOR: np.floor,
    Op.ROUND: np.round,
}


def run(
    function: Function,
    arrays: Sequence[Array],
    numbers: Mapping[str, float | int],
    programs: int,
    subgroup: int = 1,
) -> list[Array]:
    """The buffers after all programs ran on copies of these arrays. `numbers` are the sizes and scalars by name."""
    copies = [np.ascontiguousarray(array).copy() for array in arrays]
    raw = {m: c.reshape(-1).view(np.uint8) for m, c in zip(function.buffers, copies, strict=True)}
    kinds = dict(function.scalars)
    known = {name: _numpy(kinds.get(name, i32)).type(value) for name, value in numbers.items()}
    running = _Run(function, raw, known, subgroup)
    for program in range(programs):
        running.start(program)
    return copies
