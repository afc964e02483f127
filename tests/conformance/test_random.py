"""Random kernels: whatever the language allows, every device computes as the interpreter does."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from tests.conformance.running import conforms
from tests.strategies import Case, random_kernels
from tritloom.backends.base import Device


@pytest.mark.slow
@given(case=random_kernels())
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_random_kernel(device: Device, case: Case) -> None:
    conforms(device, case.kernel, case.tensors, case.sizes, case.scalars)
