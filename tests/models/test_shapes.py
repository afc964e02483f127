"""Models of awkward sizes against the independent NumPy model: logits, losses and LoRA gradients on every backend.

The sizes are such that no power of two divides them, heads are untied or grouped, adapters lie on some projections and
have odd ranks. Weights are drawn until no activation lies near a rounding tie (see tests/models/numpy_bitnet.py), so
that the strict tolerances apply to every token.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.numpy_bitnet import NumpyBitnet
from tests.support import device_named
from tritloom.models import load_model
from tritloom.models.adapter import Adapter, new_adapter, save_adapter
from tritloom.models.checkpoint import Checkpoint, save_checkpoint, tensor_shapes
from tritloom.models.config import PROJECTIONS, Architecture, ModelConfig

TIE = 1e-5
"""Float32 keeps an activation this near, in quantisation steps, to its exact value."""
NOTHING = 1e-5
"""The norm of a gradient that counts as none: where one token alone is attended to, queries and keys have zero."""

SIZES = ModelConfig(
    hidden_size=132,
    intermediate_size=270,
    num_hidden_layers=2,
    num_attention_heads=6,
    num_key_value_heads=2,
    head_dim=22,
    vocab_size=251,
    rms_norm_eps=1e-5,
    rope_theta=10000.0,
    max_position_embeddings=64,
    tie_word_embeddings=False,
    hidden_act="relu2",
)
IntArray = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Case:
    """A model, its adapter, and a batch. `form` is how the weights are saved."""

    config: ModelConfig = SIZES
    form: str = "master"
    rank: int = 3
    targets: tuple[str, ...] = PROJECTIONS
    shape: tuple[int, int] = (2, 7)
    rslora: bool = False

    def save(self, folder: Path, seed: int) -> tuple[Path, Path]:
        """Write the base and the adapter for a seed, and return their folders."""
        random = np.random.default_rng(seed)
        tensors: dict[str, Any] = {}
        for key, shape in tensor_shapes(self.config).items():
            values = random.normal(0, 0.7, shape)
            if key == "embed" or key == "lm_head":
                values *= 2 / np.sqrt(self.config.hidden_size)
            elif "norm" in key:
                values = 1 + 0.3 * values
            tensors[key] = values.astype(np.float32)
        checkpoint = Checkpoint(self.config, tensors)
        if self.form != "master":
            checkpoint = checkpoint.as_packed("bitlinear" if self.form == "divided" else "autobitlinear")
        save_checkpoint(folder / "base", checkpoint)
        adapter = new_adapter(self.config, self.rank, 5.0, self.targets, seed=seed, use_rslora=self.rslora)
        save_adapter(folder / "adapter", _trained(adapter, random), "base")
        return folder / "base", folder / "adapter"

    def batch(self, seed: int) -> tuple[IntArray, IntArray]:
        """Ids, and labels of which about a quarter are ignored but not all."""
        random = np.random.default_rng(seed)
        ids = random.integers(0, self.config.vocab_size, self.shape, dtype=np.int32)
        labels = np.where(random.random(self.shape) < 0.25, np.int32(-100), ids)
        labels[0, -1] = ids[0, -1]
        return ids, labels


def _trained(adapter: Adapter, random: np.random.Generator) -> Adapter:
    tensors = {
        key: random.normal(0, 0.05, value.shape).astype(np.float32) if "lora_B" in key else value
        for key, value in adapter.tensors.items()
    }
    return replace(adapter, tensors=tensors)


def _check(case: Case, backend: str, folder: Path) -> None:
    """Compare the model on a backend with the NumPy model, with the adapter and without."""
    for seed in range(100):
        base, adapter = case.save(folder / str(seed), seed)
        ids, labels = case.batch(seed)
        plain, adapted = NumpyBitnet(base), NumpyBitnet(base, adapter)
        expected = plain.forward(ids)
        if min(expected.margin, adapted.forward(ids).margin) > TIE:
            break
    else:
        pytest.fail("every draw has an activation near a rounding tie")
    model = load_model(base, device=device_named(backend))
    logits = model.logits(ids)
    assert logits.dtype == np.float32
    assert logits.shape == (*case.shape, case.config.vocab_size)
    np.testing.assert_allclose(logits, expected.logits, rtol=0, atol=1e-4)
    assert abs(model.loss(ids, labels) - plain.loss_and_grads(ids, labels)[0]) <= 1e-4
    model.load_adapter(adapter)
    loss, gradients = model.loss_and_grads(ids, labels)
    expected_loss, expected_gradients = adapted.loss_and_grads(ids, labels)
    assert abs(loss - expected_loss) <= 1e-4
    assert gradients.keys() == expected_gradients.keys()
    for key, value in expected_gradients.items():
        assert gradients[key].dtype == np.float32
        assert gradients[key].shape == value.shape
        error = np.linalg.norm(gradients[key] - value)
        assert error <= max(1e-3 * np.linalg.norm(value), NOTHING), f"{key}: {error:.2e}"


CASES = {
    "grouped": Case(targets=("q_proj", "v_proj")),
    "packed": Case(form="packed", rank=5, targets=("k_proj", "o_proj", "down_proj"), shape=(3, 11)),
    "b1_58": Case(
        replace(
            SIZES,
            architecture="bitnet_b1_58",
            hidden_act="silu",
            num_attention_heads=3,
            head_dim=44,
            num_key_value_heads=3,
            tie_word_embeddings=True,
        ),
        rank=7,
        rslora=True,
    ),
    "llama": Case(
        replace(SIZES, architecture="llama", hidden_act="silu", num_hidden_layers=1, head_dim=26),
        form="divided",
        rank=1,
        targets=("o_proj", "gate_proj", "up_proj"),
        shape=(1, 29),
    ),
}


def test_sizes_that_no_power_of_two_divides(backend_name: str, tmp_path: Path) -> None:
    _check(CASES["grouped"], backend_name, tmp_path)


@pytest.mark.parametrize("name", ["b1_58", "packed", "llama"])
@pytest.mark.parametrize(
    "backend",
    [pytest.param(name, marks=pytest.mark.device(name)) for name in ("reference", "cpu", "opencl-intel")],
)
def test_such_sizes_in_other_forms(name: str, backend: str, tmp_path: Path) -> None:
    _check(CASES[name], backend, tmp_path)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any graph, of a few dozens a side."""
    architecture: Architecture = draw(st.sampled_from(["bitnet", "bitnet_b1_58", "llama"]))
    kv, group, half = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 9))
    attention = kv * group * 2 * half
    targets = draw(st.sets(st.sampled_from(PROJECTIONS), min_size=1))
    config = ModelConfig(
        hidden_size=draw(st.integers(2, 40)) if architecture == "llama" else attention,
        intermediate_size=draw(st.integers(1, 60)),
        num_hidden_layers=draw(st.integers(1, 2)),
        num_attention_heads=kv * group,
        num_key_value_heads=kv,
        head_dim=2 * half,
        vocab_size=draw(st.integers(2, 70)),
        rms_norm_eps=draw(st.sampled_from([1e-6, 1e-5])),
        rope_theta=draw(st.sampled_from([10000.0, 500000.0])),
        max_position_embeddings=64,
        tie_word_embeddings=draw(st.booleans()),
        hidden_act=draw(st.sampled_from(["relu2", "silu"])),
        architecture=architecture,
    )
    return Case(
        config,
        form=draw(st.sampled_from(["master", "packed", "divided"])),
        rank=draw(st.integers(1, 9)),
        targets=tuple(name for name in PROJECTIONS if name in targets),
        shape=(draw(st.integers(1, 3)), draw(st.integers(3, 12))),
        rslora=draw(st.booleans()),
    )


@pytest.mark.parametrize("form", ["master", "packed", "packed_bl", "online", "offline"])
def test_the_numpy_model_computes_the_reference_tensors(form: str, oracle: Path) -> None:
    adapted = form in ("online", "offline")
    reference = np.load(oracle / (f"lora_{form}.npz" if adapted else "fwd.npz"))
    base = oracle / {"online": "master", "offline": "packed"}.get(form, form)
    model = NumpyBitnet(base, oracle / f"adapter_{form}" if adapted else None)
    logits = model.forward(reference["ids"]).logits
    np.testing.assert_allclose(logits, reference["logits"], rtol=0, atol=1e-5)
    loss, gradients = model.loss_and_grads(reference["ids"], reference["labels"])
    assert loss == pytest.approx(float(reference["loss"]), abs=1e-5)
    expected = {key[2:].replace(".default", ""): reference[key] for key in reference if key.startswith("g.")}
    assert gradients.keys() == expected.keys()
    for key, value in expected.items():
        assert np.linalg.norm(gradients[key] - value) <= 1e-4 * np.linalg.norm(value), key


@settings(max_examples=15)
@given(case=cases())
def test_any_small_model(case: Case, tmp_path_factory: pytest.TempPathFactory) -> None:
    _check(case, "reference", tmp_path_factory.mktemp("models"))
