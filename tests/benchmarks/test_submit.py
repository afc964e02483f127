"""The benchmark of submission: its chain of kernels gives its input back, on any device, and its row has the fields."""

from __future__ import annotations

import json

from click.testing import CliRunner

from benchmarks import submit


def test_a_row_of_json(backend_name: str) -> None:
    name = {"opencl-pocl": "opencl:portable", "opencl-intel": "opencl:intel"}.get(backend_name, backend_name)
    result = CliRunner().invoke(submit.main, ["--device", name, "--kernels", "7", "--json"])
    assert result.exit_code == 0, result.output
    row = json.loads(result.output)
    assert list(row) == ["device", "kernels", "same_buffers_ms", "other_buffers_ms", "whole_ms"]
    assert row["kernels"] == 7
    assert row["same_buffers_ms"] > 0
    assert row["whole_ms"] > 0
