"""The memory of ``run`` stays flat over many images of many sizes."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SOAK = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "soak.py"))
LARGEST_GROWTH = 50.0  # MiB


@pytest.mark.full
@pytest.mark.parametrize("workers", [1, 2])
def test_memory_stays_flat(workers: int, bundles: dict[str, Path], tmp_path: Path) -> None:
    SOAK["write_images"](tmp_path, 200)
    engines = {role: bundles[role] for role in ("detector", "recognizer")}
    memory = list(SOAK["memory_of_run"](tmp_path, engines, workers))
    assert len(memory) == 200
    assert SOAK["growth_of"](memory, 20) < LARGEST_GROWTH
