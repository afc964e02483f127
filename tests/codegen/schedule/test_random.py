"""Random programs give what the tensor interpreter says, on the tables of both kinds of target."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from tests.codegen.schedule.programs import CPU, GPU, Random, check, random_programs
from tritloom.codegen.target import Target


@pytest.mark.parametrize("target", [CPU, GPU], ids=["cpu", "gpu"])
@settings(max_examples=60, deadline=None)
@given(program=random_programs())
def test_random_program(target: Target, program: Random) -> None:
    check(program.outputs, program.inputs, target=target, donate=program.donate, exact=True)
