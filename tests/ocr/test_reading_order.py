from __future__ import annotations

import numpy as np
import pytest

from ocr_trt.ocr.reading_order import reading_order


def box(x: float, y: float, width: float = 60, height: float = 20, slope: float = 0) -> np.ndarray:
    rise = width * slope
    return np.float32(
        [[x, y], [x + width, y + rise], [x + width, y + rise + height], [x, y + height]]
    )


@pytest.mark.parametrize(
    "ordered",
    [
        [],
        [box(0, 0)],
        [box(0, 0), box(80, 3), box(160, -2)],
        [box(100, 0), box(180, 0), box(0, 40), box(80, 40)],
        [box(0, 0, slope=0.1), box(80, 8, slope=0.1), box(160, 16, slope=0.1), box(0, 30)],
        [box(0, 0, 200, 60), box(0, 80, 40, 10), box(50, 80, 40, 10)],
    ],
    ids=["none", "one", "a wavy line", "two lines", "a rising line", "big over small"],
)
def test_reading_order(ordered: list[np.ndarray], rng: np.random.Generator) -> None:
    shuffled = rng.permutation(len(ordered))
    quads = np.array([ordered[i] for i in shuffled], np.float32).reshape(-1, 4, 2)
    assert [int(shuffled[i]) for i in reading_order(quads)] == list(range(len(ordered)))
