"""README's kernel is short, runs on every device as it stands there, and is right."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.pages import blocks, run_file
from tests.support import REPOSITORY, device_named
from tritloom.codegen.errors import AxisError
from tritloom.codegen.targets import TARGETS

README = REPOSITORY / "README.md"
BLOCKS = [block.source for block in blocks(README)]
MISTAKE = "largest = tl.max(largest, k)"


@pytest.fixture(scope="module")
def readme(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """README's Python blocks as one module: kernels are read from a file."""
    import importlib.util

    file = tmp_path_factory.mktemp("readme") / "readme_kernel.py"
    file.write_text("\n".join(BLOCKS))
    spec = importlib.util.spec_from_file_location("readme_kernel", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_kernel_has_25_lines_at_most() -> None:
    body = BLOCKS[0][BLOCKS[0].index("@tl.kernel") :]
    assert len([line for line in body.splitlines() if line.strip()]) <= 25


@pytest.mark.parametrize(("rows", "columns", "width"), [(7, 65, 100), (1, 1, 1), (33, 48, 257)])
def test_the_kernel_is_right(
    readme: ModuleType, backend_name: str, rows: int, columns: int, width: int
) -> None:
    rng = np.random.default_rng(rows)
    x = rng.normal(size=(rows, width)).astype(np.float32)
    gain = rng.normal(size=width).astype(np.float32)
    weights = rng.integers(-1, 2, (columns, width))
    scale = np.array([0.7], np.float32)
    w = readme.tl.TernaryArray.pack(weights)
    y = np.asarray(readme.norm_quantise_matmul(x, gain, w, scale, device=device_named(backend_name)))
    h = x / np.sqrt((x.astype(np.float64) ** 2).mean(1, keepdims=True) + 1e-5) * gain
    s = 127 / np.maximum(np.abs(h).max(1, keepdims=True), 1e-5)
    q = np.clip(np.round(h * s), -128, 127)
    expected = q @ weights.T * scale[0] / s
    # A value on a rounding tie may fall either way: one step of q, times a weight of one.
    assert np.abs(y - expected).max() <= (1.001 * scale[0] / s).max()
    assert np.mean(np.abs(y - expected) > 1e-4) <= 0.02


def test_it_can_be_shown_for_any_target(readme: ModuleType) -> None:
    kernel = readme.norm_quantise_matmul
    assert "dot" in str(kernel.ir)
    sources = {name: kernel.source(target=name) for name in TARGETS}
    assert "__kernel" in sources["opencl"]
    assert "define" in sources["cpu"]
    assert "aarch64" in sources["aarch64"]
    assert "OpEntryPoint" in sources["vulkan"]
    assert np.asarray(readme.y).shape == (7, 65)


def test_the_mistake_is_told_in_these_words(tmp_path: Path) -> None:
    right = next(line for line in BLOCKS[0].splitlines() if "largest = tl.max" in line)
    source = BLOCKS[0].replace(right.strip(), MISTAKE)
    with pytest.raises(AxisError) as caught:
        run_file(f"{source}\nnorm_quantise_matmul.ir\n", tmp_path)
    told = f"{AxisError.__module__}.{AxisError.__name__}: {caught.value}".replace(f"{tmp_path}/", "")
    assert told in README.read_text()
