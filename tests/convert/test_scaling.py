"""The time of a conversion grows with the number of nodes, not with its square."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
FACTOR = 3.0
"""A quadratic step would take 8 times as long per node at 8 times as many nodes."""


@pytest.mark.full
@pytest.mark.parametrize("kind", ["conv", "transpose", "if", "split"])
def test_time_per_node_stays(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = runpy.run_path(str(BENCHMARKS / "conversion_scaling.py"))["measure"]
    monkeypatch.setenv("OCR_TRT_CONVERT_SECONDS", "0")
    measure(kind, 500)  # imports
    per_node = []
    for nodes in (2000, 16_000):
        count, seconds, _ = measure(kind, nodes)  # seconds of processor time
        per_node.append(seconds / count)
    assert per_node[1] <= FACTOR * per_node[0]
