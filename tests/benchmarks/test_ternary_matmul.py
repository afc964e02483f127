"""The benchmark of ternary products: its rows have the promised fields, and a wrong product stops it."""

from __future__ import annotations

import json

import click
import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import ternary_matmul


def test_rows_of_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ternary_matmul, "SHAPES", ((100, 60),))
    monkeypatch.setattr(ternary_matmul, "TURNS", 10)
    monkeypatch.setenv("TRITLOOM_THREADS", "1")
    result = CliRunner().invoke(ternary_matmul.main, ["--rows", "1", "--rows", "9", "--json"])
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.output.splitlines()]
    assert [(row["M"], row["direction"]) for row in rows] == [
        (1, "forward"),
        (1, "backward"),
        (9, "forward"),
        (9, "backward"),
    ]
    for row in rows:
        assert list(row) == ["device", "threads", "direction", "M", "K", "N", "gops", "ceiling_gops", "ratio"]
        assert (row["device"], row["threads"], row["K"], row["N"]) == ("cpu", 1, 100, 60)
        assert row["gops"] > 0
        assert row["ceiling_gops"] > 0


def test_a_wrong_product_is_noticed() -> None:
    rng = np.random.default_rng(1)
    x, weights = rng.integers(-9, 9, (4, 8)).astype(np.int8), rng.integers(-1, 2, (5, 8)).astype(np.int8)
    y = x.astype(np.int32) @ weights.T.astype(np.int32)
    ternary_matmul.check(x, weights, y, rng)
    with pytest.raises(click.ClickException, match="differs"):
        ternary_matmul.check(x, weights, y + 1, rng)
