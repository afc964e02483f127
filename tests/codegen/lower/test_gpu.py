"""The GPU lowering with no device: layouts, the machine form's rules, shared memory and its limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import Case, random_kernels
from tritloom.codegen.emit.opencl import emit_opencl
from tritloom.codegen.errors import UnsupportedError
from tritloom.codegen.ir.dtypes import DType, bf16, f16, f32, i8, i32, ternary
from tritloom.codegen.ir.machine import Body, For, Instruction, Memory, Op, Register, Space, index
from tritloom.codegen.ir.machine_verifier import verify_machine
from tritloom.codegen.ir.ternary import TernaryLayout
from tritloom.codegen.ir.tile import Axis, AxisKind, BinaryOp, Kernel, Mode, ReduceOp, UnaryOp, const
from tritloom.codegen.ir.tile_builder import Builder
from tritloom.codegen.lower.gpu import lower_gpu
from tritloom.codegen.lower.gpu.builder import ScopedBuilder
from tritloom.codegen.lower.gpu.layout import Layout, spread
from tritloom.codegen.lower.gpu.plan import choose
from tritloom.codegen.target import MatrixUnit, Target
from tritloom.codegen.targets import target as target_of
from tritloom.dsl.kernel import Kernel as TileKernel
from tritloom.dsl.nn.attention import attention_key_gradient, attention_query_gradient

TARGET = Target(name="gpu", emitter="opencl", max_threads=256, shared_bytes=32 << 10)
UNITS = (
    MatrixUnit(16, 16, 32, i8, i32),
    MatrixUnit(16, 8, 32, i8, i32),
    MatrixUnit(16, 16, 16, f16, f32),
    MatrixUnit(16, 16, 16, bf16, f32),
)
TARGETS = [
    TARGET,
    replace(TARGET, max_threads=1),
    replace(TARGET, max_threads=32, layout=TernaryLayout(16)),
    replace(TARGET, features=frozenset({"int8-dot", "f16"})),
    *(
        replace(TARGET, features=frozenset({"subgroups"}), subgroup_size=width, matrices=matrices)
        for width, matrices in ((8, ()), (32, UNITS), (64, UNITS), (128, ()))
    ),
]


PAIRS = [(i8, i8), (i8, ternary), (f32, f32), (f32, ternary), (f16, f16), (bf16, ternary)]
NAMES = ["plain", "one-thread", "interleaved", "packed", "lanes-8", "matrices-32", "matrices-64", "lanes-128"]


def matmul(left: DType, right: DType, m_block: int, n_block: int, k_block: int) -> Kernel:
    b = Builder("matmul")
    x, w = b.buffer("x", left["M", "K"]), b.buffer("w", right["N", "K"])
    total = i32 if left is i8 else f32
    y = b.buffer("y", total["M", "N"], Mode.OUT)
    m, n = b.program_axis("m", b.size("M"), m_block), b.program_axis("n", b.size("N"), n_block)
    with b.loop("k", b.size("K"), k_block, [b.full([m, n], 0, total)]) as loop:
        product = b.dot(b.load(x, [m, loop.axis]), b.load(w, [n, loop.axis]), loop.axis)
        loop.next = [b.binary(BinaryOp.ADD, loop.values[0], product)]
    b.store(y, [m, n], loop.results[0])
    return b.finish()


def row_sums() -> Kernel:
    b = Builder("row_sums")
    x, y = b.buffer("x", f32["M", "K"]), b.buffer("y", f32["M"], Mode.OUT)
    m = b.program_axis("m", b.size("M"), 4)
    with b.loop("k", b.size("K"), 128, [b.full([m], 0, f32)]) as loop:
        tile = b.load(x, [m, loop.axis])
        loop.next = [b.binary(BinaryOp.ADD, loop.values[0], b.reduce(ReduceOp.SUM, tile, loop.axis))]
    b.store(y, [m], loop.results[0])
    return b.finish()


def axis(name: str, block: int) -> Axis:
    return Axis(name, const(block), block, AxisKind.WHOLE)


POWERS = st.sampled_from([1, 2, 4, 8])


@given(
    blocks=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    widths=st.lists(POWERS, min_size=3, max_size=3),
)
def test_a_layout_deals_each_element_to_one_thread_and_its_copies(
    blocks: list[int], widths: list[int]
) -> None:
    axes = [axis(f"a{i}", block) for i, block in enumerate(blocks)]
    spreads, stride = [], 1
    for one, width in zip(axes, widths):
        spreads.append(spread(one, width, stride))
        stride *= width
    layout = Layout(tuple(spreads))
    held: Counter[tuple[int, ...]] = Counter()
    for thread in range(stride):
        for combination in layout.combinations():
            element = tuple(
                s.offsets[r] + sum((thread // p.stride) % p.threads * p.weight for p in s.parts)
                for s, r in zip(layout.spreads, combination)
            )
            if all(i < block for i, block in zip(element, blocks)):
                held[element] += 1
    copies = stride
    for s in layout.spreads:
        copies //= s.threads
    elements = 1
    for block in blocks:
        elements *= block
    assert len(held) == elements
    assert set(held.values()) == {copies}
    kept = tuple(axes[:1])
    restricted = list(layout.restrict(kept).combinations())
    for combination, position in zip(layout.combinations(), layout.positions(kept), strict=True):
        assert restricted[position] == combination[:1]


@given(case=random_kernels(), target=st.sampled_from(TARGETS))
@settings(max_examples=40)
def test_random_kernels_lower_to_good_machine_form(case: Case, target: Target) -> None:
    try:
        function = lower_gpu(case.kernel, target)
    except UnsupportedError:
        if target.max_threads > 1:
            raise
        return  # one thread alone cannot hold the largest tiles
    verify_machine(function)
    assert 1 <= function.threads <= target.max_threads
    assert shared_bytes(function.arrays) <= target.shared_bytes
    check_barriers(function.body, set())
    check_waits(function.body, set())
    if not target.has("subgroups"):
        source = emit_opencl(function, target)
        assert source.count("{") == source.count("}")


def shared_bytes(arrays: Sequence[Memory]) -> int:
    return sum(a.dtype.nbytes * (a.length or 0) for a in arrays if a.space is Space.SHARED)


@pytest.mark.parametrize("target", TARGETS, ids=NAMES)
@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_dots_lower_on_every_target(target: Target, pair: tuple[DType, DType]) -> None:
    function = lower_gpu(matmul(*pair, 16, 16, 32), target)
    verify_machine(function)
    ops = Counter(s.op for s in function.body.walk() if isinstance(s, Instruction))
    packed = target.has("int8-dot") and pair[0] is i8
    matrices = bool(target.matrices) and pair[0] is not f32
    assert (ops[Op.DOT4_SS] > 0) == packed
    assert (ops[Op.MATRIX_MULTIPLY_ADD] > 0) == matrices
    assert (ops[Op.FMA] > 0) != (packed or matrices)


def test_memory_along_the_fastest_axis_is_read_by_neighbouring_threads() -> None:
    plan = choose(row_sums(), TARGET)
    k = next(axis for axis in plan.contiguous if axis.name == "k")
    (along,) = plan.layout((k,)).spreads
    assert along.stride == 1
    assert along.threads >= 16


def test_a_matrix_product_spreads_both_axes_of_its_result() -> None:
    kernel = matmul(f32, f32, 64, 64, 16)
    plan = choose(kernel, TARGET)
    layout = plan.layout(kernel.program_axes)
    assert layout.thread_bits == plan.threads - 1
    assert all(s.count <= 8 for s in layout.spreads)


def check_barriers(body: Body, varying: set[Register], divergent: bool = False) -> int:
    """Fail on a barrier under a bound or condition that may differ between threads; the number of barriers.

    `varying` are the registers that may differ, completed on the way.
    """
    barriers = 0
    for statement in body.statements:
        if isinstance(statement, Instruction):
            if statement.op is Op.BARRIER:
                assert not divergent
                barriers += 1
            elif statement.result is not None and (
                statement.op is Op.THREAD or any(arg in varying for arg in statement.args)
            ):
                varying.add(statement.result)
        elif isinstance(statement, For):
            inner = divergent or any(r in varying for r in (statement.start, statement.stop, statement.step))
            if any(r in varying for r in (statement.start, statement.step)):
                varying.add(statement.variable)
            before = -1
            while before != len(varying):  # what one turn makes vary, the next one sees
                before = len(varying)
                for phi in statement.phis:
                    if inner or phi.initial in varying or phi.next in varying:
                        varying.update((phi.inside, phi.after))
                inside = check_barriers(statement.body, varying, inner)
            barriers += inside
        else:
            inner = divergent or statement.condition in varying
            barriers += check_barriers(statement.then, varying, inner)
            barriers += check_barriers(statement.otherwise, varying, inner)
            for phi in statement.merges:
                if inner or phi.initial in varying or phi.next in varying:
                    varying.add(phi.after)
    return barriers


def check_waits(body: Body, read: set[Memory]) -> None:
    """Fail on a store to a shared array that was read since the last barrier. `read` are those arrays.

    A matrix's store is not asked for: it may be in its subgroup's own place.
    """
    for statement in body.statements:
        if isinstance(statement, Instruction):
            attribute = statement.attribute
            if statement.op is Op.BARRIER:
                read.clear()
            elif statement.op is Op.MATRIX_LOAD:
                read.add(attribute.memory)
            elif statement.op in (Op.LOAD, Op.LOAD_WORDS) and attribute.space is Space.SHARED:
                read.add(attribute)
            elif statement.op in (Op.STORE, Op.STORE_WORDS):
                assert attribute not in read, f"{attribute.name} is written while others may read it"
        elif isinstance(statement, For):
            for _ in range(2):  # what one turn has read, the next one may write
                check_waits(statement.body, read)
        else:
            before = set(read)
            check_waits(statement.then, read)
            check_waits(statement.otherwise, before)
            read |= before


@pytest.mark.parametrize("gradient", [attention_query_gradient, attention_key_gradient])
def test_threads_wait_before_they_write_over_operands(gradient: TileKernel) -> None:
    """Both operands of a product are read after the barrier that the second one needs."""
    kernel = gradient.configure(D=16).build({"H": 2, "G": 1})
    check_waits(lower_gpu(kernel, target_of("metal")).body, set())


def test_a_write_that_does_not_wait_is_found() -> None:
    b = ScopedBuilder("f")
    s = b.array("s", f32, Space.SHARED, 8)
    at = b.cast(b.thread(), index)
    b.store(s, at, b.load(s, at))
    with pytest.raises(AssertionError, match="s is written"):
        check_waits(b.finish(8).body, set())


def test_a_divergent_barrier_is_found() -> None:
    b = ScopedBuilder("f")
    with b.if_(b.compare("lt", b.thread(), 3)):
        b.barrier()
    with pytest.raises(AssertionError):
        check_barriers(b.finish().body, set())


def test_a_read_of_what_others_wrote_waits() -> None:
    function = lower_gpu(row_sums(), TARGET)
    statements = [s for s in function.body.walk() if isinstance(s, Instruction)]
    arrays = set(function.arrays)
    written = False
    reads = 0
    for statement in statements:
        if statement.op is Op.BARRIER:
            written = False
        elif statement.op is Op.STORE and statement.attribute in arrays:
            written = True
        elif statement.op is Op.LOAD and statement.attribute in arrays:
            reads += 1
            assert not written
    assert reads


def test_sums_that_a_loop_carries_meet_after_it() -> None:
    function = lower_gpu(row_sums(), TARGET)
    (loop,) = (s for s in function.body.statements if isinstance(s, For))
    inside = [s.op for s in loop.body.walk() if isinstance(s, Instruction)]
    assert Op.BARRIER not in inside
    assert Op.BARRIER in [s.op for s in function.body.walk() if isinstance(s, Instruction)]


def test_a_running_total_that_is_read_meets_in_the_loop() -> None:
    b = Builder("running")
    x, y = b.buffer("x", f32["M", "K"]), b.buffer("y", f32["M", "K"], Mode.OUT)
    m = b.program_axis("m", b.size("M"), 4)
    with b.loop("k", b.size("K"), 128, [b.full([m], 0, f32)]) as loop:
        tile = b.load(x, [m, loop.axis])
        total = b.binary(BinaryOp.ADD, loop.values[0], b.reduce(ReduceOp.SUM, tile, loop.axis))
        b.store(y, [m, loop.axis], b.expand(total, [loop.axis]))
        loop.next = [total]
    function = lower_gpu(b.finish(), TARGET)
    verify_machine(function)
    (machine_loop,) = (s for s in function.body.statements if isinstance(s, For))
    assert Op.BARRIER in [s.op for s in machine_loop.body.walk() if isinstance(s, Instruction)]


def reversed_in_place(n: int) -> Kernel:
    """x = reversed(x + 1) within one program: threads meet in a buffer."""
    b = Builder("reversed")
    x = b.buffer("x", i32["N"], Mode.INOUT)
    whole = b.whole_axis("i", const(n))
    i = b.index(whole)
    b.store(x, [i], b.binary(BinaryOp.ADD, b.load(x, [i]), 1))
    other = b.binary(BinaryOp.SUB, n - 1, i)
    b.store(x, [i], b.load(x, [other]))
    return b.finish()


def test_threads_that_meet_in_a_buffer_wait() -> None:
    function = lower_gpu(reversed_in_place(200), TARGET)
    order = [s.op for s in function.body.walk() if isinstance(s, Instruction)]
    order = [op for op in order if op in (Op.LOAD, Op.STORE, Op.BARRIER)]
    runs = [op for op, before in zip(order, [None, *order]) if op is not before]
    assert runs == [Op.LOAD, Op.STORE, Op.BARRIER, Op.LOAD, Op.BARRIER, Op.STORE]


def test_in_place_updates_element_by_element_need_no_barrier() -> None:
    b = Builder("in_place")
    x = b.buffer("x", f32["N"], Mode.INOUT)
    n = b.program_axis("n", b.size("N"), 512)
    b.store(x, [n], b.binary(BinaryOp.MUL, b.load(x, [n]), 2.0))
    function = lower_gpu(b.finish(), TARGET)
    assert Op.BARRIER not in [s.op for s in function.body.walk() if isinstance(s, Instruction)]


def test_a_loop_may_be_as_long_as_a_loaded_number_says() -> None:
    b = Builder("lengths")
    lengths, x = b.buffer("lengths", i32["M"]), b.buffer("x", f32["M", "K"])
    y = b.buffer("y", f32["M"], Mode.OUT)
    m = b.program_axis("m", b.size("M"), 1)
    length = b.reduce(ReduceOp.MAX, b.load(lengths, [m]), m)
    with b.loop("k", length, 32, [b.full([m], 0, f32)]) as loop:
        part = b.reduce(ReduceOp.SUM, b.load(x, [m, loop.axis]), loop.axis)
        loop.next = [b.binary(BinaryOp.ADD, loop.values[0], part)]
    b.store(y, [m], loop.results[0])
    verify_machine(lower_gpu(b.finish(), TARGET))


def test_too_much_shared_memory_names_the_blocks() -> None:
    with pytest.raises(UnsupportedError) as error:
        lower_gpu(matmul(f32, f32, 128, 128, 64), TARGET)
    assert "bytes of shared memory" in error.value.message
    assert "m=128" in error.value.hint
    assert "k=64" in error.value.hint


def test_one_scratch_array_is_used_again_where_two_do_not_fit() -> None:
    b = Builder("two")
    x, y = b.buffer("x", f32["M", "K"]), b.buffer("y", f32["M"], Mode.OUT)
    m = b.program_axis("m", b.size("M"), 4)
    k = b.whole_axis("k", const(64))
    tile = b.load(x, [m, k])
    most = b.reduce(ReduceOp.MAX, tile, k)
    b.store(y, [m], b.reduce(ReduceOp.SUM, b.unary(UnaryOp.EXP, b.binary(BinaryOp.SUB, tile, most)), k))
    kernel = b.finish()
    roomy = lower_gpu(kernel, TARGET)
    need = shared_bytes(roomy.arrays)
    tight = lower_gpu(kernel, replace(TARGET, shared_bytes=need - 1))
    verify_machine(tight)
    assert len(tight.arrays) < len(roomy.arrays)


def test_too_large_a_tile_is_refused() -> None:
    b = Builder("large")
    x, y = b.buffer("x", f32["M", "K"]), b.buffer("y", f32["M", "K"], Mode.OUT)
    m, k = b.program_axis("m", b.size("M"), 1024), b.program_axis("k", b.size("K"), 1024)
    b.store(y, [m, k], b.load(x, [m, k]))
    with pytest.raises(UnsupportedError, match="elements of the tile") as error:
        lower_gpu(b.finish(), TARGET)
    assert "m=1024" in error.value.hint


def test_equal_operations_are_one_register_and_masks_leave_loops() -> None:
    b = ScopedBuilder("f")
    b.declare_size("M")
    thread, size = b.thread(), b.size("M")
    with b.for_(0, size) as loop:
        mask = b.compare("lt", thread, size)
        assert b.compare("lt", thread, size) is mask
        inside = b.mul(loop.variable, thread)
    with b.for_(0, size) as other:
        assert b.compare("lt", thread, size) is mask
        assert b.mul(other.variable, thread) is not inside
    function = b.finish()
    verify_machine(function)
    top = [s.result for s in function.body.statements if isinstance(s, Instruction)]
    assert mask in top
    assert inside not in top


def test_a_branch_does_not_see_its_sibling() -> None:
    b = ScopedBuilder("f")
    thread = b.thread()
    with b.if_(b.compare("lt", thread, 3)) as opened:
        then = b.div(thread, 7)
        with opened.otherwise():
            otherwise = b.div(thread, 7)
        opened.pairs.append((then, otherwise))
    assert then is not otherwise
    verify_machine(b.finish())


def test_the_source_is_for_people() -> None:
    source = emit_opencl(lower_gpu(row_sums(), TARGET), TARGET)
    assert "// row_sums: " in source
    assert "blocks: m=4, k=128" in source
    assert "for (int k = 0; k < K; k += 128)" in source
