"""The descriptions of GPUs: each file is sound and makes a target; a damaged one is refused by name."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tritloom.codegen import gpus
from tritloom.codegen.errors import DeviceError
from tritloom.codegen.ir.dtypes import f16, f32, i8, i32
from tritloom.codegen.target import MatrixUnit
from tritloom.codegen.targets import TARGETS, target

ASKED = (
    *("adreno-660", "adreno-740", "adreno-830", "mali-g610", "apple-m1", "llvmpipe"),
    *("amd-navi10", "amd-navi21", "amd-navi31", "amd-gfx1201"),
    *("nvidia-turing", "nvidia-ampere", "nvidia-hopper", "bmg", "dg2", "mtl", "tgllp"),
)


@pytest.mark.parametrize("name", gpus.NAMES)
def test_a_description_is_sound(name: str) -> None:
    gpu = gpus.load(name)
    assert gpu.name == name
    assert gpu.source
    assert gpu.what
    made = target(name)
    assert (made.name, made.emitter, made.max_threads) == (name, gpu.language, gpu.max_threads)
    assert made.subgroup_size == gpu.subgroup_size
    assert made.max_threads % made.subgroup_size == 0
    for unit in made.matrices:
        assert made.has("subgroups")
        assert unit.accumulator is (i32 if unit.operand is i8 else f32)


def test_all_are_targets() -> None:
    assert {*ASKED} <= {*gpus.NAMES} <= {*TARGETS}


def test_what_two_of_them_say() -> None:
    adreno, navi = target("adreno-830"), target("amd-navi31")
    assert (adreno.subgroup_size, adreno.shared_bytes, adreno.matrices) == (64, 32 << 10, ())
    assert navi.matrices[0] == MatrixUnit(16, 16, 16, i8, i32)
    assert navi.matrices[1] == MatrixUnit(16, 16, 16, f16, f32)
    assert navi.has("int8-dot")


def test_an_unknown_gpu() -> None:
    with pytest.raises(DeviceError, match=r"no GPU is described as 'adreno-1'\nhint: take one of adreno-660"):
        gpus.load("adreno-1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": ["speed"]}, "no feature is called speed"),
        ({"subgroup_size": 48}, r"48 is none of the subgroup sizes \[32, 64\]"),
        ({"subgroup_size": 48, "subgroup_sizes": [48]}, "power of two"),
        ({"name": "other"}, "the file of other is called amd-navi31.toml"),
        ({"registers": 0}, "more than 0"),
        ({"language": "cuda"}, r"language"),
        ({"cores": 3}, "cores"),
        ({"shared_bytes": "many"}, "shared_bytes"),
    ],
)
def test_a_damaged_description(tmp_path: Path, change: dict[str, object], message: str) -> None:
    fields = tomllib.loads((gpus.FOLDER / "amd-navi31.toml").read_text())
    del fields["matrices"], fields["limits"]
    file = tmp_path / "amd-navi31.toml"
    file.write_text("".join(f"{key} = {_toml(value)}\n" for key, value in (fields | change).items()))
    with pytest.raises(DeviceError, match=message) as caught:
        gpus.read(file)
    assert str(file) in caught.value.message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("max_threads = 1024", "max_threads = 16", "16 threads has no subgroup of 32"),
        ("depth = 16", "depth = 0", "depth of matrices are more than 0"),
        (', "subgroups"', "", "matrices belong to subgroups"),
    ],
)
def test_an_impossible_description(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = tmp_path / "amd-navi31.toml"
    text = (gpus.FOLDER / file.name).read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(DeviceError, match=message):
        gpus.read(file)


def _toml(value: object) -> str:
    return str(value) if isinstance(value, (int, list)) else f'"{value}"'


def test_an_unknown_dtype_of_a_matrix(tmp_path: Path) -> None:
    file = tmp_path / "amd-navi31.toml"
    file.write_text((gpus.FOLDER / file.name).read_text().replace('"i8"', '"int8"'))
    with pytest.raises(DeviceError, match="no dtype is called int8"):
        gpus.read(file)
