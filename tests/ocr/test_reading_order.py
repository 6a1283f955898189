from __future__ import annotations

import numpy as np
import pytest

from ocr_trt.ocr.reading_order import reading_order


def box(x: float, y: float, width: float = 60, height: float = 20, slope: float = 0) -> np.ndarray:
    rise = width * slope
    return np.float32(
        [[x, y], [x + width, y + rise], [x + width, y + rise + height], [x, y + height]]
    )


def column(x: float, y: float, lines: int, pitch: float = 30) -> list[np.ndarray]:
    """Lines of three words, 190 pixels wide."""
    return [
        box(x + 65 * word, y + pitch * line) for line in range(lines) for word in range(3)
    ]  # fmt: skip


def turned(boxes: list[np.ndarray], degrees: float) -> list[np.ndarray]:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return [np.float32(quad @ turn + 300) for quad in boxes]


TITLE = box(40, -40, 300, 24)
TWO_COLUMNS = [*column(0, 0, 5), *column(230, 0, 5)]
RECEIPT = [
    quad
    for line in range(6)
    for quad in (box(0, 30 * line), box(65, 30 * line), box(260, 30 * line, 50))
]


@pytest.mark.parametrize(
    "ordered",
    [
        [],
        [box(0, 0)],
        [box(0, 0), box(80, 3), box(160, -2)],
        [box(100, 0), box(180, 0), box(0, 40), box(80, 40)],
        [box(0, 0, slope=0.1), box(80, 8, slope=0.1), box(160, 16, slope=0.1), box(0, 30)],
        [box(0, 0, 200, 60), box(0, 80, 40, 10), box(50, 80, 40, 10)],
        TWO_COLUMNS,
        [*column(0, 0, 5), *column(230, 13, 7, 26)],
        [*column(0, 0, 4), *column(230, 0, 4), *column(460, 0, 4)],
        [TITLE, *TWO_COLUMNS, box(40, 180, 300, 24), *column(0, 220, 3), *column(230, 220, 3)],
        RECEIPT,
        [*column(230, 0, 3), *column(0, 120, 4)],
        turned(TWO_COLUMNS, 12),
        turned([TITLE, *TWO_COLUMNS], -20),
        turned(column(0, 0, 6), 30),
        [*column(0, 0, 5), box(-60, 0, 20, 140), box(220, 0, 20, 140)],
        [box(0, 0, 20, 140), box(40, 0, 20, 140), box(80, 0, 20, 140)],
    ],
    ids=[
        "none", "one", "a wavy line", "two lines", "a rising line", "big over small",
        "two columns", "columns whose lines do not meet", "three columns",
        "titles across two columns", "a receipt is read across", "an address at the right",
        "columns on a page turned right", "a title and columns turned left", "lines turned by 30",
        "text up the margins comes last", "vertical text from the left",
    ],
)  # fmt: skip
def test_reading_order(ordered: list[np.ndarray], rng: np.random.Generator) -> None:
    shuffled = rng.permutation(len(ordered))
    quads = np.array([ordered[i] for i in shuffled], np.float32).reshape(-1, 4, 2)
    assert [int(shuffled[i]) for i in reading_order(quads)] == list(range(len(ordered)))


def test_order_contains_every_box_once(rng: np.random.Generator) -> None:
    middles = rng.uniform(0, 500, (200, 1, 2))
    quads = np.float32(middles + rng.uniform(-30, 30, (200, 4, 2)))
    assert sorted(reading_order(quads).tolist()) == list(range(200))
