"""A kernel that a device cannot run: a failure on the suite's own devices, a skipped test on one that a user chose."""

from __future__ import annotations

import numpy as np
import pytest

from tests import support
from tests.backends.test_opencl import SCALED
from tests.conformance.running import run
from tritloom.backends.reference import ReferenceDevice
from tritloom.backends.registry import device as find_device
from tritloom.codegen.errors import UnsupportedError


@pytest.mark.parametrize(
    ("chosen", "outcome"), [(None, UnsupportedError), ("reference", pytest.skip.Exception)]
)
def test_what_is_not_supported(
    monkeypatch: pytest.MonkeyPatch, chosen: str | None, outcome: type[BaseException]
) -> None:
    def refuse(*_: object) -> None:
        raise UnsupportedError("too large")

    monkeypatch.setattr(ReferenceDevice, "compile", refuse)
    monkeypatch.setattr(support, "CHOSEN", chosen)
    with pytest.raises((UnsupportedError, pytest.skip.Exception)) as caught:
        run(find_device("reference"), SCALED, {"x": np.ones(3, np.float32)}, {"N": 3}, {"alpha": 1.0})
    assert caught.type is outcome
