from __future__ import annotations

import numpy as np
import pytest

from ocr_trt.ocr.metrics.detection import count_image, detection_score, match_boxes


def box(x: float, y: float, width: float = 100, height: float = 20) -> list[list[float]]:
    return [[x, y], [x + width, y], [x + width, y + height], [x, y + height]]


def quads(*boxes: list[list[float]]) -> np.ndarray:
    return np.array(boxes, np.float32).reshape(-1, 4, 2)


@pytest.mark.parametrize(
    ("detected", "truth", "ignore", "counts"),
    [
        (quads(box(0, 0)), quads(box(0, 0)), [False], (1, 1, 1)),
        (quads(box(40, 0)), quads(box(0, 0)), [False], (0, 1, 1)),
        (quads(box(30, 0)), quads(box(0, 0)), [False], (1, 1, 1)),
        (quads(box(0, 0), box(2, 0)), quads(box(0, 0)), [False], (1, 2, 1)),
        (quads(box(0, 0), box(0, 50)), quads(box(0, 0), box(0, 50)), [False, True], (1, 1, 1)),
        (quads(box(0, 50, 30)), quads(box(0, 50)), [True], (0, 0, 0)),
        (quads(box(60, 50)), quads(box(0, 50)), [True], (0, 1, 0)),
        (quads(), quads(box(0, 0)), [False], (0, 0, 1)),
        (quads(box(0, 0)), quads(), [], (0, 1, 0)),
        (quads(), quads(), [], (0, 0, 0)),
        (quads(box(5, 5, 0, 0)), quads(box(0, 0)), [False], (0, 1, 1)),
        (quads([[0, 0], [100, 20], [100, 0], [0, 20]]), quads(box(0, 0)), [False], (1, 1, 1)),
    ],
    ids=[
        "same", "IoU 0.43", "IoU 0.54", "each matches once", "don't care found",
        "inside don't care", "half out of don't care", "nothing found", "nothing to find",
        "nothing at all", "a point",
        "crossed corners",
    ],
)  # fmt: skip
def test_icdar_counting(
    detected: np.ndarray, truth: np.ndarray, ignore: list[bool], counts: tuple[int, int, int]
) -> None:
    result = count_image(detected, truth, ignore)
    assert (result.matched, result.detected, result.truth) == counts


def test_score_over_images() -> None:
    first = count_image(quads(box(0, 0), box(0, 90)), quads(box(0, 0)), [False])
    second = count_image(quads(), quads(box(0, 0)), [False])
    score = detection_score([first, second])
    assert (score.precision, score.recall, score.hmean) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("detected", "truth", "hmean"),
    [(quads(), quads(), 1.0), (quads(box(0, 0)), quads(), 0.0), (quads(), quads(box(0, 0)), 0.0)],
    ids=["nothing is right", "found what is not there", "missed all"],
)
def test_empty_scores(detected: np.ndarray, truth: np.ndarray, hmean: float) -> None:
    counts = count_image(detected, truth, [False] * len(truth))
    assert detection_score([counts]).hmean == hmean


def test_matches_name_detection_and_truth() -> None:
    matches = match_boxes(quads(box(0, 50), box(0, 0)), quads(box(0, 0), box(0, 50)), [False] * 2)
    assert matches == {1: 0, 0: 1}


def arch(radius: float, height: float = 20, points: int = 12) -> np.ndarray:
    """A band (P, 2) along the upper half of a circle, first half of the points at the outside."""
    angles = np.linspace(np.pi, 2 * np.pi, points // 2)
    circle = np.stack([np.cos(angles), np.sin(angles)], 1)
    outside, inside = circle * (radius + height / 2), circle * (radius - height / 2)
    return (np.concatenate([outside, inside[::-1]]) + 200).astype(np.float32)


def test_polygons_match_by_their_own_area() -> None:
    truth = arch(100, points=40)[None]
    # An arch that is a fifth of the height away, with other points; one that is half away.
    for radius, matched in ((104, 1), (110, 0)):
        assert count_image(arch(radius, points=30)[None], truth, [False]).matched == matched
    # The rectangle around an arch is mostly no text.
    around = quads([[90, 90], [310, 90], [310, 210], [90, 210]])
    assert count_image(around, truth, [False]).matched == 0
    # A box below the arch is not in a "don't care" arch, although its hull covers the box.
    below = quads(box(160, 170, 80, 20))
    assert count_image(below, truth, [True]).detected == 1
    assert count_image(arch(100, 10)[None], truth, [True]).detected == 0


def test_quads_match_polygons_of_straight_text() -> None:
    x = np.linspace(0, 100, 7)
    top = np.stack([x, np.zeros(7)], 1)
    truth = np.concatenate([top, top[::-1] + np.array([0, 20])]).astype(np.float32)[None]
    assert count_image(quads(box(30, 0)), truth, [False]).matched == 1
    assert count_image(quads(box(40, 0)), truth, [False]).matched == 0


def test_a_curved_detection_may_cross_itself() -> None:
    crossed = arch(100)
    crossed[2], crossed[3] = crossed[3].copy(), crossed[2].copy()
    assert count_image(crossed[None], arch(100)[None], [False]).detected == 1
