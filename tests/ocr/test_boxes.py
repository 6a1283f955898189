from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocr_trt.ocr.boxes import boxes_from_map, grow_distance, order_corners, shrink_quad
from ocr_trt.ocr.metrics.detection import count_image
from ocr_trt.spec import BoxSettings

SIDES = st.floats(4, 2000)


def shrink_distance(width: float, height: float, ratio: float) -> float:
    """Return the paper's distance: area times (1 - ratio**2) over perimeter."""
    return width * height * (1 - ratio**2) / (2 * (width + height))


@given(width=SIDES, height=SIDES, ratio=st.floats(0.3, 0.95))
def test_growing_undoes_shrinking(width: float, height: float, ratio: float) -> None:
    distance = shrink_distance(width, height, ratio)
    grown = grow_distance(width - 2 * distance, height - 2 * distance, ratio)
    assert grown == pytest.approx(distance, rel=1e-9)


def test_shrunk_quad_lies_inside_by_the_distance() -> None:
    quad = np.float32([[10, 10], [110, 10], [110, 30], [10, 30]])
    shrunk = shrink_quad(quad, 0.6)
    distance = shrink_distance(100, 20, 0.6)
    assert shrunk is not None
    assert shrunk.min(0) == pytest.approx(quad.min(0) + distance, abs=0.05)
    assert shrunk.max(0) == pytest.approx(quad.max(0) - distance, abs=0.05)


@pytest.mark.parametrize(
    "quad",
    [
        np.zeros((4, 2), np.float32),
        np.float32([[0, 0], [9, 0], [9, 0], [0, 0]]),
        np.float32([[0, 0], [0.05, 0], [0.05, 0.05], [0, 0.05]]),
    ],
    ids=["a point", "a line", "less than a pixel"],
)
def test_degenerate_quad_shrinks_to_nothing_or_a_dot(quad: np.ndarray) -> None:
    shrunk = shrink_quad(quad, 0.6, inset=0.5)
    assert shrunk is None


@pytest.mark.parametrize("turn", range(4))
def test_corners_are_ordered_from_top_left(turn: int) -> None:
    quad = np.float32([[10, 12], [90, 4], [94, 30], [12, 40]])
    assert np.array_equal(order_corners(np.roll(quad, turn, axis=0)), quad)


def painted(quads: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    canvas = np.zeros(shape, np.float32)
    for quad in quads:
        cv2.fillPoly(canvas, [np.round(quad).astype(np.int32)], 0.9)
    return canvas


def test_boxes_come_back_from_a_map_of_shrunk_regions() -> None:
    truth = np.float32(
        [
            [[20, 20], [180, 20], [180, 60], [20, 60]],
            [[40, 100], [160, 120], [155, 150], [35, 130]],
        ]
    )
    canvas = painted([shrink_quad(q, 0.6, inset=0.5) for q in truth], (200, 220))
    quads, scores = boxes_from_map(canvas, BoxSettings(shrink_ratio=0.6))
    assert count_image(quads, truth, [False, False]).matched == 2
    assert np.abs(quads[quads[:, 0, 1].argsort()][0] - truth[0]).max() < 2.5
    assert scores == pytest.approx(0.9, abs=1e-5)


def test_unclip_ratio_grows_by_area_over_perimeter() -> None:
    canvas = painted([np.float32([[50, 50], [149, 50], [149, 69], [50, 69]])], (150, 220))
    ((quad,), _) = boxes_from_map(canvas, BoxSettings(unclip_ratio=1.5))
    distance = 100 * 20 * 1.5 / 240
    assert quad[0] == pytest.approx([50 - distance, 50 - distance], abs=0.01)
    assert quad[2] == pytest.approx([150 + distance, 70 + distance], abs=0.01)


def test_half_a_pixel_is_not_lost_on_any_side() -> None:
    canvas = np.zeros((20, 30), np.float32)
    canvas[5:11, 4:20] = 1.0
    ((quad,), _) = boxes_from_map(canvas, BoxSettings(unclip_ratio=0.0))
    assert quad[0].tolist() == [4, 5]
    assert quad[2].tolist() == [20, 11]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, 1),
        ({"threshold": 0.95}, 0),
        ({"box_threshold": 0.95}, 0),
        ({"min_side": 30.0}, 0),
    ],
    ids=["found", "no pixel above the threshold", "mean too low", "too thin"],
)
def test_thresholds_are_applied(change: dict[str, float], found: int) -> None:
    canvas = painted([np.float32([[10, 10], [60, 10], [60, 25], [10, 25]])], (40, 80))
    quads, scores = boxes_from_map(canvas, BoxSettings(**change))
    assert quads.shape == (found, 4, 2)
    assert scores.shape == (found,)


def test_best_boxes_are_kept_and_come_first() -> None:
    canvas = np.zeros((100, 100), np.float32)
    for row, value in enumerate((0.6, 0.9, 0.7)):
        canvas[10 + 30 * row : 20 + 30 * row, 10:60] = value
    _, scores = boxes_from_map(canvas, BoxSettings(max_boxes=2))
    assert scores == pytest.approx([0.9, 0.7], abs=1e-6)


@pytest.mark.parametrize(
    "canvas",
    [np.zeros((32, 32), np.float32), np.full((32, 32), np.nan, np.float32)],
    ids=["empty map", "NaN counts as no text"],
)
def test_empty_map_has_no_boxes(canvas: np.ndarray) -> None:
    quads, scores = boxes_from_map(canvas, BoxSettings())
    assert quads.shape == (0, 4, 2)
    assert len(scores) == 0


def test_boxes_are_clipped_to_the_map() -> None:
    quads, _ = boxes_from_map(np.ones((16, 16), np.float32), BoxSettings(unclip_ratio=3.0))
    assert quads.min() >= 0
    assert quads.max() <= 16


def test_fast_score_is_the_mean_of_the_rectangle_around_a_region() -> None:
    canvas = np.zeros((60, 80), np.float32)
    canvas[10:20, 10:60] = canvas[20:40, 10:20] = 0.8  # an L, which fills 700 of 1500 pixels
    _, slow = boxes_from_map(canvas, BoxSettings(box_threshold=0.0))
    _, fast = boxes_from_map(canvas, BoxSettings(box_threshold=0.0, score_mode="fast"))
    assert slow == pytest.approx(0.8, abs=1e-5)
    assert fast == pytest.approx(0.8 * 700 / 1500, abs=1e-3)


def test_fast_score_of_a_region_at_the_border_counts_pixels_of_the_map_only() -> None:
    canvas = np.zeros((40, 40), np.float32)
    cv2.fillPoly(canvas, [np.array([[0, 12], [12, 0], [22, 10], [10, 22]], np.int32)], 0.9)
    ((_,), (score,)) = boxes_from_map(canvas, BoxSettings(score_mode="fast"))
    assert score == pytest.approx(0.9, abs=0.05)


def test_dilation_joins_regions_with_a_gap_of_one_pixel() -> None:
    canvas = np.zeros((40, 80), np.float32)
    canvas[10:20, 10:30] = canvas[10:20, 31:60] = 0.9
    separate, _ = boxes_from_map(canvas, BoxSettings())
    joined, _ = boxes_from_map(canvas, BoxSettings(dilate=True))
    assert (len(separate), len(joined)) == (2, 1)


def test_the_largest_regions_are_the_candidates() -> None:
    canvas = np.zeros((100, 100), np.float32)
    for row, (value, width) in enumerate(((0.9, 20), (0.6, 60), (0.7, 40))):
        canvas[10 + 30 * row : 20 + 30 * row, 10 : 10 + width] = value
    _, scores = boxes_from_map(canvas, BoxSettings(max_candidates=2))
    assert scores == pytest.approx([0.7, 0.6], abs=1e-6)
