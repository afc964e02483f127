"""The gallery of vendors' compilers: how their words are read, and that our kernels suit them all where the lab is."""

from __future__ import annotations

import functools

import pytest

from benchmarks.vendors.figures import DRIVERS, Figures, driver_of
from benchmarks.vendors.gallery import Entry, gallery, models_named, problems
from benchmarks.vendors.lab import Job, Lab, Outcome, _outcomes, lab_file
from benchmarks.vendors.page import page
from tritloom.codegen import gpus
from tritloom.codegen.targets import target as find_target
from tritloom.models.config import ModelConfig
from tritloom.models.kernels import Compiled, kernels_of
from tritloom.models.programs import Sizes
from tritloom.models.shapes import SHAPES

SPIRV = (
    *("adreno-660", "adreno-740", "adreno-830", "mali-g610", "apple-m1", "llvmpipe"),
    *("amd-navi10", "amd-navi21", "amd-navi31", "amd-gfx1201", "nvidia-turing", "nvidia-ampere"),
)
OPENCL = ("bmg", "dg2", "mtl", "tgllp")
ALL = models_named(("125m", "1b", "2b-4t"))
MODELS = {"125m": ALL["125m"]}
LARGER = {name: ALL[name] for name in ("1b", "2b-4t")}

TURNIP = {
    "subgroup size": 64,
    "Instruction Count": 48,
    "Registers used": 3,
    "Max Waves Per Core": 16,
    "STP Count": 1,
    "LDP Count": 2,
    "Estimated cycles stalled on SS": 6,
    "Estimated cycles stalled on SY": 86,
}
RADV = {
    "subgroup size": 32,
    "Instructions": 10,
    "VGPRs": 8,
    "Subgroups per SIMD": 32,
    "Spilled SGPRs": 1,
    "Spilled VGPRs": 4,
    "Scratch size": 64,
    "Inverse Throughput": 43,
}


def entry(name: str, models: tuple[str, ...], error: str = "", figures: Figures | None = None) -> Entry:
    kernel = Compiled(name, name, 1, 64, 512, "int8 x 4", 100, False, b"code", "code")
    return Entry("bmg", kernel, models, error, figures or Figures())


def test_statistics_under_one_name() -> None:
    assert driver_of("adreno-830").read(TURNIP) == Figures(64, 48, 12, 16, 3, 3, 140)
    assert driver_of("amd-navi21").read(RADV) == Figures(32, 10, 8, 32, 5, 64, 43)
    assert driver_of("llvmpipe").read({}) == Figures()
    assert {driver_of(gpu) for gpu in (*SPIRV, *OPENCL)} == {*DRIVERS}


def test_the_probers_lines() -> None:
    output = """begin /tmp/one.spv
stat Registers used = 3
stat Registers used = 4
stat FMA = 0.5
done
begin /tmp/two.spv
failed vkCreateComputePipelines: VkResult -3
begin /tmp/three.spv
"""
    assert list(_outcomes(output, "status -11")) == [
        Outcome("one", "", {"Registers used": 7, "FMA": 0.5}),
        Outcome("two", "vkCreateComputePipelines: VkResult -3"),
        Outcome("three", "the compiler crashed: status -11"),
    ]


def test_what_is_a_problem() -> None:
    good, spilled = entry("good", ("a",)), entry("spilled", ("a",), figures=Figures(spills=3, scratch=16))
    failed = entry("failed", ("a",), "VkResult -3")
    assert problems([good, spilled, failed]) == [
        "bmg: spilled: 3 spilled, 16 scratch",
        "bmg: failed: VkResult -3",
    ]


def test_the_page() -> None:
    rows = [
        entry("alpha", ("125m", "1b"), figures=Figures(32, 1200, 40, 8, 0, 0, 77)),
        entry("beta", ("1b",), "VkResult -3\nand more"),
    ]
    text = page(
        {"bmg": rows},
        ["125m", "1b"],
        Sizes(),
        {"compiler": "1.2"},
        date="2026-11-25",
        commit="abc",
        command="python -m benchmarks.vendors",
    )
    assert (
        "| [bmg](#bmg) | Intel Arc B580 (Battlemage, Xe2) | 1 of 1, 40 registers | 1 of 2, 40 registers |"
        in text
    )
    assert "| alpha | 125m, 1b | 64 | 512 | int8 x 4 | 32 | 1,200 | 40 | 8 | 77 | 0 | 0 |" in text
    assert "| beta | 1b | 64 | 512 | int8 x 4 | **VkResult -3** |  |  |  |  |  |  |" in text
    assert all(word in text for word in ("2026-11-25", "Commit abc", "compiler 1.2", "1 x 128 tokens"))


@functools.cache
def the_lab() -> Lab:
    file = lab_file()
    assert file is not None
    return Lab(file)


@pytest.mark.device("lab")
@pytest.mark.parametrize("gpu", SPIRV)
def test_a_description_is_what_the_driver_answers(gpu: str) -> None:
    answers, known = the_lab().describe(gpu), gpus.load(gpu)
    assert int(answers["max_threads"][0]) == known.max_threads
    assert int(answers["shared_bytes"][0]) == known.shared_bytes
    assert int(answers["storage_range"][0]) == known.limits.storage_range
    assert int(answers["allocation"][0]) == known.limits.allocation
    words = answers["subgroup"][0].split()
    facts = dict(zip(words[1::2], words[2::2], strict=True))
    assert (int(facts["min"]), int(facts["max"])) == (min(known.subgroup_sizes), max(known.subgroup_sizes))
    assert known.subgroup_size == int(words[0]) or facts["required"] == "1"
    assert (answers["f16"][0].split()[0] == "1") == ("f16" in known.features)
    packed = answers["int8_dot"][0].split()
    assert (packed[packed.index("packed_signed") + 1] == "1") == ("int8-dot" in known.features)
    floats = answers["denormals"][0].split()
    assert (floats[2] == "1") == ("keeps-denormals" in known.features)
    assert (floats[floats.index("round_even") + 2] == "1") == ("rounds-to-even" in known.features)
    assert (floats[floats.index("inf_nan") + 2] == "1") == ("keeps-nan" in known.features)
    assert (gpu != "llvmpipe") == ("fused-multiply-add" in known.features)  # as VulkanDevice takes it
    offered = {tuple(line.split()) for line in answers.get("matrix", [])}
    for unit in known.matrices:
        size = f"{unit.rows}x{unit.columns}x{unit.depth}"
        assert (size, unit.operand, unit.operand, unit.accumulator, unit.accumulator) in offered


@pytest.mark.device("lab")
def test_a_module_that_is_none_fails_alone() -> None:
    jobs = [Job("empty", b""), Job("zeros", bytes(64))]
    outcomes = the_lab().compile("nvidia-ampere", jobs)
    assert [outcome.name for outcome in outcomes] == ["empty", "zeros"]
    assert all(outcome.error for outcome in outcomes)
    (refused,) = the_lab().compile("bmg", [Job("words", b"these are words")])
    assert "error" in refused.error


@pytest.mark.slow
def test_two_layers_have_the_kernels_of_all() -> None:
    """As `models_named` says: the kernels of a large model are those of two of its layers and of the 125M model."""
    target = find_target("bmg")
    whole = {row.name for row in kernels_of("train", SHAPES["1b"], Sizes(), target)}
    small = {row.name for config in ALL.values() for row in kernels_of("train", config, Sizes(), target)}
    assert whole <= small


@pytest.mark.slow
@pytest.mark.device("lab")
@pytest.mark.parametrize("models", [MODELS, LARGER], ids="-".join)
@pytest.mark.parametrize("gpu", [*SPIRV, *OPENCL])
def test_every_kernel_compiles_without_spills(gpu: str, models: dict[str, ModelConfig]) -> None:
    assert problems(gallery(the_lab(), gpu, models, Sizes())) == []
