"""Kernels written in the kernel language: what they build, what they compute, and how they are called."""

from __future__ import annotations

import functools
import linecache
import math
import pydoc
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tritloom.backends import registry
from tritloom.backends.reference import ReferenceDevice
from tritloom.codegen.errors import BoundsError, DeviceError, GradientError, RaceError, ShapeError
from tritloom.codegen.ir.dtypes import f32, i32
from tritloom.codegen.ir.ternary import TernaryArray
from tritloom.codegen.ir.tile import If, Let, Load, Loop
from tritloom.codegen.ir.tile_interpreter import UnwrittenError
from tritloom.codegen.ir.tile_verifier import verify
from tritloom.codegen.target import Target
from tritloom.codegen.targets import target as find_target
from tritloom.dsl import language as tl
from tritloom.dsl.arguments import ArgumentError
from tritloom.dsl.grad import grad
from tritloom.dsl.inline import inline
from tritloom.dsl.kernel import GradientContext, Kernel, kernel
from tritloom.dsl.tensor import Tensor, array

Array = NDArray[Any]
OFFSET = 3
"""A number of this module that kernels use."""
random = np.random.default_rng(0)


def floats(*shape: int) -> Array:
    return random.standard_normal(shape).astype(np.float32)


def run(k: Any, *arguments: Any, **keywords: Any) -> Any:
    """The result on the reference device, which the interpreter must give as well."""
    found = k(*arguments, device="reference", **keywords)
    again = k.interpret(*arguments, **keywords)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(again))
    return found


@inline
def square(value: Any) -> Any:
    """A helper's docstring is no statement."""
    return value * value


@inline
def row_sum(x: Any, m: Any, size: Any, block: Any, power: int = 1) -> Any:
    """A helper with a loop of its own; `power` is known when the kernel is compiled."""
    total = tl.zeros(m)
    for k in tl.blocks(size, block):
        if power == 2:
            total += tl.sum(square(x[m, k]), k)
        else:
            total += tl.sum(x[m, k], k)
    return total


@kernel
def bitlinear(
    x: tl.f32["M", "K"],
    gain: tl.f32["K"],
    w: tl.ternary["N", "K"],
    scale: tl.f32[1],
    y: tl.out(tl.f32["M", "N"]),
    eps: tl.f32 = 1e-5,
    BM: int = tl.tunable(8, 4, 1),
    BN: int = tl.tunable(48, 64),
    BK: int = tl.tunable(64),
) -> None:
    """RMSNorm, quantisation and a ternary product in one kernel."""
    M, K = x.shape
    N, _ = w.shape
    n = tl.programs(N, BN)
    m = tl.programs(M, BM)
    r = tl.rsqrt(row_sum(x, m, K, BK, power=2) / K + eps)
    top = tl.zeros(m)
    for k in tl.blocks(K, BK):
        top = tl.max(top, tl.max(tl.abs(x[m, k] * r * gain[k]), k))
    s = 127 / tl.max(top, 1e-5)
    acc = tl.zeros(m, n, dtype=tl.i32)
    for k in tl.blocks(K, BK):
        q = tl.cast(tl.clamp(tl.round(x[m, k] * r * gain[k] * s), -128, 127), tl.i8)
        acc += tl.dot(q, w[n, k], k)
    y[m, n] = tl.cast(acc, tl.f32) * scale[0] / s


@pytest.mark.parametrize("sizes", [(1, 1, 1), (13, 50, 100), (8, 48, 64)], ids=str)
def test_bitlinear(sizes: tuple[int, int, int]) -> None:
    rows, columns, depth = sizes
    x, gain, weights = floats(rows, depth), floats(depth), random.integers(-1, 2, (columns, depth))
    scale = np.array([0.5], np.float32)
    normed = x / np.sqrt((x * x).mean(1, keepdims=True) + 1e-5) * gain
    s = 127 / np.maximum(np.abs(normed).max(1, keepdims=True), 1e-5)
    wanted = np.clip(np.rint(normed * s), -128, 127) @ weights.T * 0.5 / s
    packed = TernaryArray.pack(weights)
    ulp_of_q = np.abs(wanted).max() * 1e-4 + 0.5 / s.min()  # one activation on a rounding tie may move
    np.testing.assert_allclose(run(bitlinear, x, gain, packed, scale), wanted, atol=ulp_of_q)
    np.testing.assert_allclose(run(bitlinear, x, gain, packed, scale, BM=4, BN=64), wanted, atol=ulp_of_q)


def test_blocks_do_not_change_the_kernels_meaning() -> None:
    x, packed = floats(5, 70), TernaryArray.pack(random.integers(-1, 2, (9, 70)))
    gain, scale = np.ones(70, np.float32), np.ones(1, np.float32)
    first = bitlinear.interpret(x, gain, packed, scale)
    other = bitlinear.configure(BM=1, BN=64).interpret(x, gain, packed, scale, eps=1e-5)
    np.testing.assert_allclose(first, other, rtol=1e-5)


@kernel
def control(
    x: tl.f32["M", "K"],
    ids: tl.i32["M"],
    y: tl.out(tl.f32["M"]),
    count: tl.out(tl.i32["M"]),
    limit: tl.i32 = 4,
    alpha: tl.f32 = 1.0,
    B: int = tl.tunable(4),
) -> None:
    """Conditions that merge, a constant condition, an unrolled loop, values carried without a word."""
    M, K = x.shape
    m = tl.programs(M, B)
    total = tl.zeros(m)
    seen = tl.zeros(m, dtype=tl.i32)
    for i in range(3):
        total = total + (i + OFFSET) * 1.0
    for k in tl.blocks(K, 8):
        big = x[m, k] > 0
        seen += tl.sum(tl.where(big, 1, 0), k)
        if limit > 2:
            total = total + tl.sum(tl.where(big & (k < K - 1), x[m, k], 0.0), k)
        else:
            total += 1
    if alpha > 0:
        if alpha > 10:
            factor = alpha
        else:
            factor = 2.0
    else:
        factor = 0.5
    if B == 4:
        bonus = 100.0
    else:
        bonus = 0.0
    y[m] = total * factor + bonus + x[m, ids[m]]
    count[m] = seen


@pytest.mark.parametrize(("limit", "alpha"), [(4, 1.0), (1, -1.0), (4, 20.0)])
def test_control_flow(limit: int, alpha: float) -> None:
    x = random.integers(-4, 5, (7, 19)).astype(np.float32)
    ids = random.integers(0, 19, 7).astype(np.int32)
    y, count = control(x, ids, limit, alpha, device="reference")
    total = np.where(x > 0, x, 0)[:, :-1].sum(1) if limit > 2 else np.full(7, 3.0)
    factor = alpha if alpha > 10 else 2.0 if alpha > 0 else 0.5
    wanted = (total + 12) * factor + 100 + x[np.arange(7), ids]
    np.testing.assert_array_equal(y, wanted)
    np.testing.assert_array_equal(count, (x > 0).sum(1))
    other, _ = control.interpret(x, ids, limit, alpha, B=2)
    np.testing.assert_array_equal(other, wanted - 100)


def test_conditions_known_at_compile_time_leave_no_branch() -> None:
    verify(control.configure().build())
    body = control.configure(B=4).build().body
    assert sum(isinstance(s, If) for s in body.walk()) == 3
    assert sum(isinstance(s, Loop) for s in body.walk()) == 1


@kernel
def attend(
    q: tl.f32["T", "D"],
    k: tl.f32["T", "D"],
    v: tl.f32["T", "D"],
    y: tl.out(tl.f32["T", "D"]),
    BT: int = tl.tunable(4),
    BS: int = tl.tunable(8),
) -> None:
    """Causal attention of one head, with a streaming softmax."""
    T, D = q.shape
    t = tl.programs(T, BT)
    d = tl.whole(D)
    query = q[t, d] * (1 / math.sqrt(D))
    peak = tl.full(t, value=-1e30)
    total = tl.zeros(t)
    mixed = tl.zeros(t, d)
    for s in tl.blocks(T, BS, stop=tl.max(t, t) + 1):
        scores = tl.where(s <= t, tl.dot(query, k[s, d], d), -1e30)
        higher = tl.max(peak, tl.max(scores, s))
        p = tl.where(s <= t, tl.exp(scores - higher), 0.0)
        shrink = tl.exp(peak - higher)
        total = total * shrink + tl.sum(p, s)
        mixed = mixed * shrink + tl.dot(p, v[s, d], s)
        peak = higher
    y[t, d] = mixed / total


@pytest.mark.parametrize("length", [1, 8, 21])
def test_attention(length: int) -> None:
    q, k, v = floats(length, 12), floats(length, 12), floats(length, 12)
    scores = np.where(np.tri(length, dtype=bool), q @ k.T / math.sqrt(12), -np.inf)
    p = np.exp(scores - scores.max(1, keepdims=True))
    np.testing.assert_allclose(run(attend, q, k, v), p / p.sum(1, keepdims=True) @ v, rtol=1e-4, atol=1e-6)
    assert attend.static == {"D"}


def test_static_dimensions_have_no_value_without_arguments() -> None:
    with pytest.raises(ShapeError, match="compiled for each value of its dimension `D`"):
        _ = attend.ir
    assert "whole d = 0 .. 12 by 12" in attend.configure(D=12).ir
    with pytest.raises(ShapeError, match="configured for D = 16 and is called with 12"):
        attend.configure(D=16).interpret(floats(3, 12), floats(3, 12), floats(3, 12))


@kernel
def shifted(x: tl.f32["N"], y: tl.out(tl.f32["N"]), z: tl.inout(tl.f32["N"]), by: tl.i32 = 1) -> None:
    N = x.shape[0]
    n = tl.programs(N, 4)
    y[n] = tl.load(x, n + by, where=(n + by < N) & (n + by >= 0))
    tl.store(z, n, x[N - 1 - n] * 2, where=~(n % 2 == 0))
    z[n] += 1


def test_index_arithmetic_guards_and_updates() -> None:
    x, z = floats(11), floats(11)
    before = z.copy()
    y, updated = shifted(x, z, device="reference")
    np.testing.assert_array_equal(y, np.append(x[1:], 0))
    odd = np.arange(11) % 2 == 1
    np.testing.assert_array_equal(updated, np.where(odd, x[::-1] * 2, before) + np.float32(1))
    np.testing.assert_array_equal(z, before)
    np.testing.assert_array_equal(shifted.interpret(x, z, by=-2)[0], np.append([0, 0], x[:-2]))


@kernel
def sizes(x: tl.f32["M", "K"], y: tl.out(tl.f32["M"]), h: tl.out(tl.f16["M"])) -> None:
    """Sizes take the dtype that they meet, as numbers do."""
    M, K = x.shape
    m = tl.programs(M, 4)
    half = (K + 1) // 2
    mean = x[m, 0] / K + half * 0.5 - K / 2 + tl.max(K, 3) + tl.sqrt(K) - -K % 3
    y[m] = mean
    h[m] = K


def test_sizes_are_weak() -> None:
    x = floats(5, 9)
    y, h = sizes(x, device="reference")
    np.testing.assert_allclose(y, x[:, 0] / 9 + 2.5 - 4.5 + 9 + 3 - 0, rtol=1e-6)
    assert h.dtype == np.float16
    assert (h == 9).all()


@kernel
def numbers(x: tl.f32["M"], y: tl.out(tl.f32["M"]), c: tl.out(tl.i32["M"])) -> None:
    m = tl.programs(x.shape[0], 4)
    a = max(2, 3) * math.pi if x.dtype == tl.f32 else 0.0
    b = tl.exp(0.0) + tl.floor(2.5) + tl.sigmoid(0.0) + tl.clamp(7, 0, 5)
    y[m] = tl.sigmoid(x[m]) * a + b + tl.cast(tl.where(m > 2, True, False), tl.f32)
    c[m] = (m << 2 | 1) ^ ~m


def test_numbers_and_operators() -> None:
    x = floats(6)
    y, c = numbers(x, device="reference")
    m = np.arange(6)
    wanted = 1 / (1 + np.exp(-x)) * 3 * math.pi + 8.5 + (m > 2)
    np.testing.assert_allclose(y, wanted, rtol=1e-5)
    np.testing.assert_array_equal(c, (m << 2 | 1) ^ ~m)


# mistakes that only running shows


@kernel
def out_of_bounds(x: tl.f32["M", "K"], y: tl.out(tl.f32["M"])) -> None:
    M, K = x.shape
    m = tl.programs(M, 2)
    y[m] = x[m + 1, K - 1]


@kernel
def racing(x: tl.f32["M", "K"], y: tl.out(tl.f32["M"])) -> None:
    M, K = x.shape
    m = tl.programs(M, 4)
    k = tl.programs(K, 4)
    y[m] = tl.sum(x[m, k], k)


@kernel
def incomplete(x: tl.f32["M"], y: tl.out(tl.f32["M"])) -> None:
    m = tl.programs(x.shape[0], 4)
    tl.store(y, m, x[m], where=m > 0)


def test_running_mistakes_name_the_place() -> None:
    with pytest.raises(BoundsError) as caught:
        out_of_bounds(floats(4, 8), device="reference")
    assert "`x` of shape (4, 8) is read at (4, 7) by the program (m=1)" in caught.value.message
    assert caught.value.location is not None
    assert "x[m + 1, K - 1]" in caught.value.location.excerpt()
    with pytest.raises(
        RaceError, match=r"`y` is written at \(0\) by the program \(m=0, k=1\), and .* \(m=0, k=0\)"
    ):
        racing.interpret(floats(3, 8))
    assert racing.interpret(floats(3, 4)).shape == (3,)
    with pytest.raises(UnwrittenError, match=r"no program writes `y` of shape \(5,\) at \(0\)"):
        incomplete.interpret(floats(5))


# parsing


def loads(k: Kernel) -> int:
    return sum(isinstance(s, Let) and isinstance(s.value, Load) for s in k.configure().build().body.walk())


def test_a_kernel_is_parsed_once_for_each_configuration() -> None:
    first = bitlinear.configure().build()
    assert bitlinear.configure().build() is first
    assert bitlinear.configure(BM=8).build() is first
    assert bitlinear.configure(BM=4).build() is not first
    assert bitlinear.build({"BM": 8, "BN": 48, "BK": 64}, {}) is first
    assert loads(bitlinear) == 7


def test_a_temporary_of_a_loop_is_not_carried() -> None:
    @kernel
    def reuse(x: tl.f32["M", "K"], y: tl.out(tl.f32["M"])) -> None:
        M, K = x.shape
        m = tl.programs(M, 4)
        v = x[m, 0]
        total = v * 1
        for k in tl.blocks(K, 4):
            v = x[m, k]
            total += tl.sum(v, k)
        for k in tl.blocks(K, 4):
            v = x[m, k]
            total += tl.max(v, k)
        y[m] = total

    built = reuse.configure().build()
    verify(built)
    loops = [s for s in built.body.walk() if isinstance(s, Loop)]
    assert [len(loop.variables) for loop in loops] == [1, 1]
    x = floats(5, 10)
    wanted = x[:, 0] + x.sum(1) + x[:, :4].max(1) + x[:, 4:8].max(1) + x[:, 8:].max(1)
    np.testing.assert_allclose(run(reuse, x), wanted, rtol=1e-5)


def test_a_value_carried_through_two_loops_and_a_branch() -> None:
    @kernel
    def fibonacci(x: tl.f32["M"], y: tl.out(tl.i32["M"])) -> None:
        M = x.shape[0]
        m = tl.programs(M, 1)
        a = 0
        b = 1
        for _ in tl.blocks(M, 1):
            if b > 5:
                c = a
            else:
                c = a + b
            a = b
            b = c
        y[m] = a

    a, b = 0, 1
    for _ in range(9):
        a, b = b, a if b > 5 else a + b
    assert run(fibonacci, floats(9)).tolist() == [a] * 9


def test_closures_and_local_annotations() -> None:
    width = 5
    spec = f32["M"]

    @kernel
    def local(x: spec, y: tl.out(spec)) -> None:
        m = tl.programs(x.shape[0], width)
        y[m] = x[m] * width

    assert "by 5" in local.ir
    np.testing.assert_array_equal(run(local, np.ones(7, np.float32)), np.full(7, 5))


def test_what_a_kernel_says_of_itself() -> None:
    assert repr(racing) == "<kernel racing(x: f32[M, K], y: out f32[M])>"
    assert bitlinear.__doc__ is not None
    assert bitlinear.default({}, registry.device("reference").target) == {"BM": 8, "BN": 48, "BK": 64}
    assert "acc: i32[n, m]" in bitlinear.ir
    assert "test_kernel.py:" in bitlinear.ir


def test_a_tunable_kernel_has_source_for_every_target() -> None:
    assert "define" in bitlinear.source("aarch64")
    assert "kernel" in bitlinear.source("opencl")


OPERATORS = {"+": np.add, "-": np.subtract, "*": np.multiply}


@given(
    st.recursive(
        st.sampled_from(["x[m]", "2", "m_f", "0.5"]),
        lambda inner: (
            st.tuples(inner, st.sampled_from(list(OPERATORS)), inner).map(" ".join).map("({})".format)
        ),
        max_leaves=8,
    )
)
def test_arithmetic_means_what_python_means(expression: str) -> None:
    source = (
        "@kernel\ndef k(x: tl.f32['M'], y: tl.out(tl.f32['M'])):\n"
        "    m = tl.programs(x.shape[0], 4)\n    m_f = tl.cast(m, tl.f32)\n"
        f"    y[m] = {expression} + x[m] * 0.0\n"
    )
    k = define(source)
    x = np.arange(7, dtype=np.float32) - 3
    names = {"x": {"m": x}, "m": "m", "m_f": np.arange(7, dtype=np.float32)}
    wanted = eval(expression, {}, names) + x * 0
    verify(k.configure().build())
    np.testing.assert_allclose(k.interpret(x), wanted, rtol=1e-6)


def define(source: str) -> Kernel:
    """The kernel `k` of a source that stands in no file: linecache has it, as a notebook's cells."""
    name = f"<test {hash(source)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    names: dict[str, Any] = {"kernel": kernel, "tl": tl}
    exec(compile(source, name, "exec"), names)
    found = names["k"]
    assert isinstance(found, Kernel)
    return found


# with tensors


@kernel
def scaled_exp(
    x: tl.f32["M", "K"],
    ids: tl.i32["M"],
    y: tl.out(tl.f32["M", "K"]),
    z: tl.out(tl.i32["M"]),
    a: tl.f32 = 2.0,
) -> None:
    M, K = x.shape
    m = tl.programs(M, 4)
    for k in tl.blocks(K, 8):
        y[m, k] = tl.exp(x[m, k] * a)
    z[m] = ids[m] + 1


@scaled_exp.vjp
def _(context: GradientContext, dy: Tensor, dz: None) -> Tensor:
    assert dz is None
    assert context.inputs["ids"].dtype is i32
    gradient: Tensor = dy * context.y * context.a
    return gradient


def test_a_kernel_in_a_tensor_program_and_its_gradient() -> None:
    x, ids = floats(5, 11), np.arange(5, dtype=np.int32)
    on = functools.partial(array, device="reference")
    y, z = scaled_exp(on(x), ids, a=0.5)
    assert isinstance(y, Tensor)
    np.testing.assert_allclose(y.numpy(), np.exp(x * 0.5), rtol=1e-6)
    np.testing.assert_array_equal(z.numpy(), ids + 1)

    def loss(x: Tensor) -> Tensor:
        y, _ = scaled_exp(x, ids, a=0.5)
        assert isinstance(y, Tensor)
        return (y * y).sum()

    gradient = grad(loss)(on(x))
    np.testing.assert_allclose(gradient.numpy(), np.exp(x * 0.5) ** 2, rtol=1e-5)


def test_a_gradient_of_the_wrong_count() -> None:
    @kernel
    def copied(x: tl.f32["M"], g: tl.f32["M"], y: tl.out(tl.f32["M"])) -> None:
        m = tl.programs(x.shape[0], 4)
        y[m] = x[m] + g[m]

    @copied.vjp
    def _(_context: GradientContext, dy: Tensor) -> Tensor:
        return dy

    on = functools.partial(array, device="reference")
    with pytest.raises(GradientError, match=r"gradient of `copied` gives 1 tensor\(s\), not 2"):
        grad(lambda x: copied(x, x).sum())(on(floats(3)))


def test_tensors_of_two_devices() -> None:
    reference, other = registry.device("reference"), ReferenceDevice()
    with pytest.raises(DeviceError, match="`ids` of `scaled_exp` is on reference"):
        scaled_exp(array(floats(2, 3), reference), array(np.zeros(2, np.int32), other))


def test_defaults_by_sizes_and_target() -> None:
    @kernel
    def copied(
        x: tl.f32["N"], y: tl.out(tl.f32["N"]), BN: int = tl.tunable(64), BM: int = tl.tunable(4)
    ) -> None:
        (N,) = x.shape
        n = tl.programs(N, BN)
        y[n] = x[n]

    @copied.defaults
    def _(sizes: Mapping[str, int], target: Target) -> dict[str, int]:
        return {"BN": 8 if target.max_threads > 1 else min(sizes["N"], 32)}

    assert copied.default({"N": 5}, find_target("cpu")) == {"BN": 5, "BM": 4}
    assert copied.default({"N": 99}, find_target("bmg")) == {"BN": 8, "BM": 4}


@pytest.mark.parametrize("chosen", [{"BX": 8}, {"BN": 0}, {"BN": 2.0}])
def test_defaults_of_what_is_no_tunable_parameter(chosen: dict[str, int]) -> None:
    @kernel
    def copied(x: tl.f32["N"], y: tl.out(tl.f32["N"]), BN: int = tl.tunable(64)) -> None:
        (N,) = x.shape
        n = tl.programs(N, BN)
        y[n] = x[n]

    copied.defaults(lambda sizes, target: chosen)
    ((name, value),) = chosen.items()
    with pytest.raises(ArgumentError, match=rf"defaults of `copied` are given {name} = {value}") as caught:
        copied(np.ones(5, np.float32), device="reference")
    assert caught.value.hint.endswith("tunable parameters: BN")


def test_help_shows_what_a_user_writes() -> None:
    assert set(tl.__all__) == {*tl.SIGNATURE, *tl.BY_NAME}
    shown = pydoc.plain(pydoc.render_doc(tl))
    assert "programs(size" in shown
    assert "inherited from" not in shown
