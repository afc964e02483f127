"""SPIR-V from machine form: every module is valid, asks for no more than it uses, and is always the same."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from tests.codegen.test_golden import add, rms_norm, ternary_matmul
from tests.spirv_tools import validate
from tests.strategies import Case, random_kernels
from tests.support import REPOSITORY
from tritloom.codegen.compile import spirv
from tritloom.codegen.emit.spirv import Arguments, SpirvModule, emit_spirv
from tritloom.codegen.errors import UnsupportedError
from tritloom.codegen.ir.dtypes import DType, bf16, bool_, f16, f32, i8, i16, i32, u8, u32
from tritloom.codegen.ir.machine import Function, MachineType, Op, Register, Space, index
from tritloom.codegen.ir.machine_builder import MachineBuilder
from tritloom.codegen.ir.machine_verifier import verify_machine
from tritloom.codegen.target import FEATURES
from tritloom.codegen.targets import target
from tritloom.dsl.kernel import Kernel

VULKAN = target("vulkan")
EVERYTHING = replace(VULKAN, features=frozenset(FEATURES), subgroup_size=32)
BARE = {"PhysicalStorageBufferAddresses", "Shader"}
NUMBERS = (f32, f16, bf16, i8, i16, i32, u8, u32)
INTEGERS = (i8, i16, i32, u8, u32)


def emitted(function: Function, everything: bool = True) -> SpirvModule:
    """The function's module, valid."""
    verify_machine(function)
    module = emit_spirv(function, EVERYTHING if everything else VULKAN)
    validate(module.words)
    return module


def computed(
    dtypes: tuple[DType, ...], make: Callable[..., Register], lanes: int = 1, threads: int = 1
) -> SpirvModule:
    """A function that loads one register of each dtype and stores what is made of them."""
    b = MachineBuilder("operation")
    at = b.cast(b.thread(), index)
    operands = [b.load(b.buffer(f"x{i}", dtype, writable=False), at, lanes) for i, dtype in enumerate(dtypes)]
    made = make(b, *operands)
    if made.dtype.is_bool:
        made = b.cast(made, u8)
    b.store(b.buffer("y", made.dtype), at, made)
    return emitted(b.finish(threads=threads))


# kernels


@pytest.mark.parametrize("kernel", [add, rms_norm, ternary_matmul], ids=lambda kernel: kernel.name)
def test_kernels_are_valid(kernel: Kernel) -> None:
    validate(spirv(kernel.configure().build(), VULKAN).words)
    validate(spirv(kernel.configure().build(), EVERYTHING).words)


@given(case=random_kernels())
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_random_kernels_are_valid(case: Case) -> None:
    for one in (VULKAN, EVERYTHING):
        try:
            module = spirv(case.kernel, one)
        except UnsupportedError as error:
            assert "shared memory" in error.message  # noqa: PT017
            continue
        validate(module.words)


def test_the_same_kernel_gives_the_same_words_in_every_process() -> None:
    code = (
        "import hashlib; from tests.codegen.test_golden import ternary_matmul; from tritloom.codegen.compile "
        "import spirv; from tritloom.codegen.targets import target; "
        "made = spirv(ternary_matmul.configure().build(), target('vulkan')); "
        "print(hashlib.sha256(made.words).hexdigest(), hashlib.sha256(made.text.encode()).hexdigest())"
    )
    seen = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(REPOSITORY)}
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        seen.add(done.stdout)
    assert len(seen) == 1


# what a module asks for


def test_a_kernel_of_floats_asks_for_nothing_special() -> None:
    module = spirv(add.configure().build(), VULKAN)
    assert set(module.capabilities) == BARE
    assert module.extensions == ()
    assert not module.uses_subgroups


@pytest.mark.parametrize("dtype", [i8, u8, i16, f16, bf16], ids=lambda dtype: dtype.name)
def test_narrow_numbers_ask_for_their_width_alone(dtype: DType) -> None:
    b = MachineBuilder("narrow")
    x, y = b.buffer("x", dtype), b.buffer("y", dtype)
    b.buffer("unused", i16 if dtype.bits == 8 else i8)
    zero = b.const(0, index)
    b.store(y, zero, b.cast(b.mul(b.cast(b.load(x, zero), f32), 2.0), dtype))
    module = emitted(b.finish(), everything=False)
    assert set(module.capabilities) == BARE | {f"Int{dtype.bits}", f"StorageBuffer{dtype.bits}BitAccess"}


def test_float_modes_are_asked_for_where_the_target_has_them() -> None:
    module = emitted(_copy(), everything=True)
    assert {"DenormPreserve", "SignedZeroInfNanPreserve", "RoundingModeRTE"} <= set(module.capabilities)
    assert "OpExecutionMode %copy DenormPreserve 32" in module.text
    assert set(emitted(_copy(), everything=False).capabilities) == BARE


def _copy(shared: bool = False) -> Function:
    b = MachineBuilder("copy")
    x, y = b.buffer("x", f32, writable=False), b.buffer("y", f32)
    at = b.cast(b.thread(), index)
    value = b.load(x, at)
    if shared:
        scratch = b.array("scratch", f32, Space.SHARED, 8)
        b.store(scratch, at, value)
        b.barrier()
        value = b.load(scratch, b.cast(b.xor(b.thread(), 1), index))
    b.store(y, at, value)
    return b.finish(threads=8)


def test_the_calling_convention() -> None:
    b = MachineBuilder("convention")
    x, y = b.buffer("x", f32, writable=False), b.buffer("y", f32)
    b.declare_size("N")
    b.declare_scalar("a", f32)
    b.declare_scalar("k", i32)
    at = b.cast(b.add(b.size("N"), b.size("k")), index)
    b.store(y, at, b.mul(b.load(x, at), b.size("a", f32)))
    module = emitted(b.finish(threads=16), everything=False)
    assert module.arguments == Arguments(2, 1, (f32, i32))
    assert module.threads == 16
    packed = module.arguments.pack(7, [0x1122334455667788, 0x99], [5], [1.0, -1])
    assert packed.hex() == (
        "0700000000000000" + "8877665544332211" + "9900000000000000" + "05000000" + "0000803f" + "ffffffff"
    )
    assert len(packed) == module.arguments.nbytes
    text = module.text
    offsets = [line.split()[-1] for line in text.splitlines() if "OpMemberDecorate %Arguments" in line]
    assert offsets == ["0", "4", "8", "16", "24", "28", "32"]
    assert "OpExecutionMode %convention LocalSize 16 1 1" in text
    assert "OpMemberDecorate %x_buffer 0 NonWritable" in text
    assert "OpMemberDecorate %y_buffer 0 NonWritable" not in text


# operations


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("dtype", NUMBERS, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("op", [Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.MIN, Op.MAX], ids=lambda op: op.value)
def test_arithmetic(op: Op, dtype: DType, lanes: int) -> None:
    computed((dtype, dtype), lambda b, x, y: b.binary(op, x, y), lanes)


@pytest.mark.parametrize("dtype", INTEGERS, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("op", [Op.REM, Op.AND, Op.OR, Op.XOR, Op.SHL, Op.SHR], ids=lambda op: op.value)
def test_integers(op: Op, dtype: DType) -> None:
    computed((dtype, dtype), lambda b, x, y: b.binary(op, x, y))
    computed((dtype,), lambda b, x: b.not_(x))


def test_remainders_of_negative_numbers_are_defined() -> None:
    """Vulkan defines OpSDiv, but not OpSRem of them."""
    text = computed((i32, i32), lambda b, x, y: b.rem(x, y)).text
    assert "OpSRem" not in text
    assert [text.count(opcode) for opcode in ("OpSDiv", "OpIMul", "OpISub")] == [
        1,
        2,
        1,
    ]  # one of the program's number


@pytest.mark.parametrize(
    "op", [Op.SQRT, Op.RSQRT, Op.EXP, Op.LOG, Op.SIN, Op.COS, Op.TANH, Op.FLOOR, Op.ROUND]
)
def test_functions(op: Op) -> None:
    for lanes in (1, 2):
        module = computed((f32,), lambda b, x: b.unary(op, x), lanes)
    assert set(module.capabilities) - BARE == {
        "DenormPreserve",
        "SignedZeroInfNanPreserve",
        "RoundingModeRTE",
    }


@pytest.mark.parametrize("dtype", [f32, i8, i16, i32], ids=lambda dtype: dtype.name)
def test_signs(dtype: DType) -> None:
    computed((dtype,), lambda b, x: b.neg(x))
    computed((dtype,), lambda b, x: b.abs(x))
    computed((f32, f32), lambda b, x, y: b.fma(x, y, -1.0))


@pytest.mark.parametrize("predicate", ["lt", "le", "gt", "ge", "eq", "ne"])
@pytest.mark.parametrize("dtype", NUMBERS, ids=lambda dtype: dtype.name)
def test_comparisons(predicate: str, dtype: DType) -> None:
    def make(b: MachineBuilder, x: Register, y: Register) -> Register:
        first, second = b.compare(predicate, x, y), b.compare("ne", x, y)
        both = b.and_(b.or_(first, second), b.xor(first, b.not_(second)))
        return b.select(b.compare("eq", both, first), x, y)

    computed((dtype, dtype), make)


@pytest.mark.parametrize("made", [f32, f16, bf16, bool_, *INTEGERS, index], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("given_", [f32, f16, bf16, *INTEGERS], ids=lambda dtype: dtype.name)
def test_casts(given_: DType, made: DType) -> None:
    for lanes in (1, 4):
        computed((given_,), lambda b, x: b.cast(b.cast(x, made), i32 if made is index else made), lanes)


@pytest.mark.parametrize("dtype", [f16, bf16], ids=lambda dtype: dtype.name)
def test_a_nan_is_rounded_by_its_bits(dtype: DType) -> None:
    """A driver that need not keep NaN may take it that no float differs from itself."""
    text = computed((f32,), lambda b, x: b.cast(x, dtype)).text
    assert not any(f"OpF{order}NotEqual" in text for order in ("Ord", "Unord"))


def test_a_bool_as_a_number() -> None:
    for dtype in NUMBERS:
        computed((f32,), lambda b, x, dtype=dtype: b.cast(b.compare("lt", x, 0.0), dtype))


def test_vectors() -> None:
    computed((f32, f32), lambda b, x, y: b.shuffle(x, y, [0, 5, 2, 7]), 4)
    computed((f32, f32), lambda b, x, y: b.insert(x, b.extract(y, 2), 1), 4)
    computed((f32,), lambda b, x: b.splat(b.reduce("max", x), 4), 4)
    computed((i32,), lambda b, x: b.splat(b.reduce("add", x), 4), 4)
    computed((u32,), lambda b, x: b.lookup(range(16), x, i32), 4)
    computed((u32,), lambda b, x: b.lookup((1.0, 2.0, 3.0, 4.0), x, f32))
    with pytest.raises(UnsupportedError, match="8 lanes"):
        computed((f32,), lambda b, x: x, 8)


def test_sums_of_four_products() -> None:
    def make(b: MachineBuilder, x: Register, y: Register) -> Register:
        eight, unsigned = MachineType(i8, 4), MachineType(u8, 4)
        total = b.dot4_ss(b.const(1, i32), b.bitcast(x, eight), b.bitcast(y, eight))
        return b.dot4_us(total, b.bitcast(b.bitcast(x, eight), unsigned), b.bitcast(y, eight))

    module = computed((u32, u32), make)
    assert {"DotProduct", "DotProductInput4x8BitPacked"} <= set(module.capabilities)
    assert "Int8" not in module.capabilities
    assert module.extensions == ("SPV_KHR_integer_dot_product",)


def test_sums_of_four_products_where_the_device_has_none() -> None:
    b = MachineBuilder("dot")
    x, y = b.buffer("x", u32, writable=False), b.buffer("y", i32)
    zero, eight = b.const(0, index), MachineType(i8, 4)
    four = b.bitcast(b.load(x, zero), eight)
    b.store(y, zero, b.dot4_us(b.const(0, i32), b.bitcast(four, MachineType(u8, 4)), four))
    module = emitted(b.finish(), everything=False)
    assert set(module.capabilities) == BARE
    assert module.text.count("OpBitFieldUExtract") == module.text.count("OpBitFieldSExtract") == 4


def test_what_spirv_does_not_have_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="`dot2_bf16`"):
        computed((bf16, bf16), lambda b, x, y: b.dot2_bf16(b.const(0.0, f32, 2), x, y), 4)


def test_quotients_are_corrected_where_the_target_does_not_round_them() -> None:
    b = MachineBuilder("quotient")
    x, zero = b.buffer("x", f32), b.const(0, index)
    b.store(x, zero, b.div(b.load(x, zero), b.load(x, b.const(1, index))))
    function = b.finish()
    assert emitted(function, everything=False).text.count("OpFDiv") == 1
    corrected = emitted(function).text
    assert (corrected.count("OpFDiv"), corrected.count(" Fma ")) == (2, 2)


# memory


def test_masked_accesses_stand_under_a_condition() -> None:
    b = MachineBuilder("masked")
    x, y = b.buffer("x", f32, writable=False), b.buffer("y", f32)
    b.declare_size("N")
    t = b.thread()
    at, inside = b.cast(t, index), b.compare("lt", t, b.size("N"))
    b.store(y, at, b.load(x, at, mask=inside), inside)
    text = emitted(b.finish(threads=4)).text
    assert text.count("OpSelectionMerge") == 3  # of the number of programs, of the load, of the store
    lines = [line.split("=")[-1].split()[0] for line in text.splitlines()]
    load = max(i for i, line in enumerate(lines) if line == "OpLoad")
    assert lines[load - 2 : load + 3] == ["OpLabel", "OpAccessChain", "OpLoad", "OpBranch", "OpLabel"]


@pytest.mark.parametrize("dtype", [bool_, *NUMBERS], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("space", list(Space))
@pytest.mark.parametrize("lanes", [1, 2, 3, 4])
def test_elements_of_memory(dtype: DType, space: Space, lanes: int) -> None:
    b = MachineBuilder("memory")
    x = b.buffer("x", dtype)
    memory = x if space is Space.GLOBAL else b.array("s", dtype, space, 64)
    zero, at = b.const(0, index), b.cast(b.thread(), index)
    mask = b.compare("lt", b.thread(), 3)
    all_masks = b.splat(mask, lanes)
    b.store(memory, at, b.load(x, at, lanes))
    b.barrier()
    loaded = b.load(memory, zero, lanes, all_masks)
    b.store(memory, zero, loaded, all_masks)
    places = b.splat(at, lanes)
    b.scatter(x, places, b.gather(memory, places, all_masks), all_masks)
    b.scatter(memory, places, b.gather(x, places))
    emitted(b.finish(threads=4), everything=False)


@pytest.mark.parametrize("dtype", [i8, f16, f32, i32], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("space", [Space.GLOBAL, Space.SHARED])
@pytest.mark.parametrize("words", [1, 2, 4])
def test_words_of_memory(dtype: DType, space: Space, words: int) -> None:
    for scalar_too in (False, True):
        b = MachineBuilder("memory")
        x = b.buffer("x", dtype)
        memory = x if space is Space.GLOBAL else b.array("s", dtype, space, 256)
        step = 4 * words // dtype.nbytes
        at = b.cast(b.mul(b.thread(), step), index)
        mask = b.compare("lt", b.thread(), 3)
        b.store_words(memory, at, b.load_words(x, at, words, mask), mask)
        b.barrier()
        if scalar_too:
            b.store(memory, at, b.load(memory, at))
        b.store_words(x, at, b.load_words(memory, at, words))
        module = emitted(b.finish(threads=4), everything=False)
        if space is Space.SHARED and not scalar_too:
            name = {1: f"%{'f32' if dtype is f32 else 'u32'}", 2: "%u32x2", 4: "%u32x4"}[words]
            assert f"OpTypeArray {name} " in module.text


@pytest.mark.parametrize("words", [1, 2])
def test_words_of_words_are_no_cast(words: int) -> None:
    """A pointer that is cast to its own type crashes NVIDIA's compiler."""
    b = MachineBuilder("copy")
    x, y = b.buffer("x", u32, writable=False), b.buffer("y", u32)
    at = b.cast(b.thread(), index)
    b.store_words(y, at, b.load_words(x, at, words))
    pushed_address = 1
    wanted = pushed_address + (2 if words > 1 else 0)
    assert emitted(b.finish()).text.count("OpBitcast") == wanted


def test_shared_bytes_in_fours_are_words() -> None:
    b = MachineBuilder("shared")
    y = b.buffer("y", i32)
    s = b.array("s", i8, Space.SHARED, 62)
    zero = b.const(0, index)
    b.store(s, zero, b.bitcast(b.thread(), MachineType(i8, 4)))
    b.barrier()
    four = b.load(s, zero, 4)
    b.store(y, zero, b.dot4_ss(b.const(0, i32), four, four))
    module = emitted(b.finish(threads=8), everything=False)
    assert set(module.capabilities) == BARE
    assert "OpTypeArray %u32 %c_16" in module.text


def test_a_buffer_that_threads_exchange_data_through_is_coherent() -> None:
    b = MachineBuilder("exchange")
    x = b.buffer("x", f32)
    here, there = b.cast(b.thread(), index), b.cast(b.xor(b.thread(), 1), index)
    b.store(x, here, b.load(x, there))
    assert "Coherent" not in emitted(_copy(shared=True)).text
    b.barrier()
    b.store(x, here, b.load(x, there))
    text = emitted(b.finish(threads=8), everything=False).text
    assert "OpMemberDecorate %x_buffer 0 Coherent" in text
    assert "OpControlBarrier %c_2 %c_2 %c_328" in text  # acquire and release, of shared memory and buffers


# threads and subgroups


def test_threads_of_two_dimensions() -> None:
    b = MachineBuilder("threads")
    y = b.buffer("y", i32)
    for dimension in (0, 1):
        number = b._once(Op.THREAD, MachineType(i32), dimension)
        b.store(y, b.cast(number, index), b.program())
    function = b.finish(threads=12)
    function.width = 4
    text = emitted(function, everything=False).text
    assert "OpUMod %u32 %thread %c_4" in text
    assert "OpUDiv %u32 %thread %c_4" in text


def test_exchange_in_a_subgroup() -> None:
    b = MachineBuilder("exchange")
    y = b.buffer("y", f32)
    total = b.cast(b.thread(), f32)
    total = b.add(total, b.lane_xor(total, 1))
    s = b.array("s", f32, Space.SHARED, 8)
    b.store(s, b.cast(b.subgroup(), index), total)
    b.subgroup_barrier()
    b.store(y, b.cast(b.thread(), index), b.load(s, b.cast(b.subgroup(), index)))
    function = b.finish(threads=64)
    module = emitted(function)
    assert module.uses_subgroups
    assert {"GroupNonUniform", "GroupNonUniformShuffle"} <= set(module.capabilities)
    assert "BuiltIn SubgroupLocalInvocationId" in module.text
    assert "LocalInvocationIndex" not in module.text
    with pytest.raises(UnsupportedError, match="subgroup's size"):
        emit_spirv(function, VULKAN)


# control flow


def test_loops_and_conditions_carry_values() -> None:
    b = MachineBuilder("control")
    y = b.buffer("y", i32)
    b.declare_size("N")
    with b.for_(0, b.size("N"), initials=[b.const(1, i32), b.const(2, i32)], unroll=4) as loop:
        first, second = loop.values
        with b.if_(b.compare("lt", loop.variable, 3)) as branch:
            here = b.add(first, loop.variable)
            with b.for_(0, 2, initials=[here]) as inner:
                inner.next = [b.mul(inner.values[0], 3)]
            with branch.otherwise():
                there = b.sub(first, second)
            branch.pairs = [(inner.results[0], there)]
        with b.if_(b.compare("eq", second, 5)) as short:
            b.store(y, b.cast(loop.variable, index), second)
            short.pairs = [(b.add(second, 1), second)]
        loop.next = [short.results[0], branch.results[0]]
    b.store(y, b.const(0, index), b.sub(*loop.results))
    module = emitted(b.finish(), everything=False)
    assert module.text.count("OpLoopMerge") == 2
    assert module.text.count("DontUnroll") == 1  # the other allows four turns in a row
