"""The models against reference tensors that transformers and PEFT computed: logits, losses and LoRA gradients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support import device_named
from tritloom.models import load_model

FORMS = ("master", "packed", "packed_bl")
ADAPTERS = {"online": "master", "offline": "packed"}


def _moved_rows(found: np.ndarray, expected: np.ndarray, within: float) -> np.ndarray:
    """Which token rows differ by more than `within` somewhere."""
    moved: np.ndarray = np.abs(found - expected).max(axis=-1) > within
    return moved


@pytest.mark.parametrize("form", FORMS)
def test_logits_and_loss(form: str, backend_name: str, oracle: Path) -> None:
    reference = np.load(oracle / "fwd.npz")
    model = load_model(oracle / form, device=device_named(backend_name))
    logits = model.logits(reference["ids"])
    assert logits.shape == reference["logits"].shape
    assert logits.dtype == np.float32
    # An activation on a rounding tie may fall either way with another order of summation: 2% of the rows, by 2e-2.
    assert np.abs(logits - reference["logits"]).max() <= 2e-2
    assert _moved_rows(logits, reference["logits"], 1e-4).mean() <= 0.02
    assert abs(model.loss(reference["ids"], reference["labels"]) - reference["loss"]) <= 1e-4


@pytest.mark.parametrize("name", ADAPTERS)
def test_adapter_gradients(name: str, backend_name: str, oracle: Path) -> None:
    reference = np.load(oracle / f"lora_{name}.npz")
    model = load_model(oracle / ADAPTERS[name], device=device_named(backend_name))
    model.load_adapter(oracle / f"adapter_{name}")
    logits = model.logits(reference["ids"])
    tie = bool(_moved_rows(logits, reference["logits"], 1e-4).any())
    assert _moved_rows(logits, reference["logits"], 1e-4).mean() <= 0.02
    loss, gradients = model.loss_and_grads(reference["ids"], reference["labels"])
    assert abs(loss - reference["loss"]) <= 1e-4
    expected = {key[2:].replace(".default", ""): reference[key] for key in reference if key.startswith("g.")}
    assert gradients.keys() == expected.keys()
    for key, value in expected.items():
        error = np.linalg.norm(gradients[key] - value) / np.linalg.norm(value)
        assert error <= (5e-3 if tie else 1e-3), f"{key}: {error:.2e}"
