"""The benchmark of submission: its chain of kernels gives its input back, on any device, and its row has the fields."""

from __future__ import annotations

import json

from click.testing import CliRunner

from benchmarks import submit
from tests.support import device_named


def test_a_chain_on_any_device(backend_name: str) -> None:
    row = submit.measure(device_named(backend_name), 7)
    assert row.kernels == 7
    assert min(row.same_buffers_ms, row.other_buffers_ms, row.whole_ms) > 0


def test_a_row_of_json() -> None:
    result = CliRunner().invoke(submit.main, ["--device", "cpu", "--kernels", "3", "--json"])
    assert result.exit_code == 0, result.output
    row = json.loads(result.output)
    assert list(row) == ["device", "kernels", "same_buffers_ms", "other_buffers_ms", "whole_ms"]
    assert (row["device"], row["kernels"]) == ("cpu", 3)
