"""Boxes from regions equal boxes from the map that contains the regions."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ocr_trt.ocr.box_candidates import BoxCandidates, boxes_from_candidates, candidates_from_outputs
from ocr_trt.ocr.boxes import boxes_from_map, region_score
from ocr_trt.plugins.box_candidates import box_candidates
from ocr_trt.spec import BoxSettings


def candidates(canvas: np.ndarray, threshold: float, limit: int = 3000) -> BoxCandidates:
    level = np.array([threshold], np.float32)
    (result,) = candidates_from_outputs(box_candidates(canvas[None], level, limit, 20_000))
    return result


def rectangles(rng: np.random.Generator, shape: tuple[int, int], count: int) -> np.ndarray:
    """Draw rotated rectangles of text, some inside or across others, some with holes."""
    canvas = np.zeros(shape, np.float32)
    for _ in range(count):
        center = rng.uniform(0, shape[::-1])
        box = (tuple(center), tuple(rng.uniform(4, 70, 2)), rng.uniform(0, 180))
        value = rng.choice([0.0, rng.uniform(0.5, 1)], p=(0.2, 0.8))
        cv2.fillPoly(canvas, [np.round(cv2.boxPoints(box)).astype(np.int32)], value)
    noisy = canvas + rng.normal(0, 0.05, shape) * (canvas > 0)
    return np.clip(noisy, 0, 1).astype(np.float32)


SETTINGS = [
    BoxSettings(),
    BoxSettings(threshold=0.4, box_threshold=0.7, shrink_ratio=0.6),
    BoxSettings(box_threshold=0.0, min_side=0.0, max_boxes=7),
]


@pytest.mark.parametrize("settings", SETTINGS, ids=["default", "reference detector", "all of them"])
def test_boxes_are_those_of_the_map(settings: BoxSettings, rng: np.random.Generator) -> None:
    seen = 0
    for _ in range(20):
        canvas = rectangles(rng, (160, 240), 10)
        expected, expected_scores = boxes_from_map(canvas, settings)
        regions = candidates(canvas, settings.threshold)
        assert regions.missing == 0
        quads, scores = boxes_from_candidates(regions, canvas.shape, settings)
        assert scores == pytest.approx(expected_scores, abs=1e-6)
        assert quads == pytest.approx(expected, abs=1e-3)
        seen += len(quads)
    assert seen > 40


@pytest.mark.parametrize("share", [0.1, 0.3, 0.45, 0.6])
def test_noise_has_the_regions_of_find_contours(share: float, rng: np.random.Generator) -> None:
    for _ in range(10):
        canvas = rng.random((40, 90)).astype(np.float32)
        mask = (canvas > 1 - share).astype(np.uint8)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        detected = candidates(canvas, 1 - share)
        assert detected.count == len(contours)
        scores = [region_score(canvas, contour) for contour in contours[::-1]]
        assert detected.means == pytest.approx(scores, abs=1e-6)
        for span, contour in zip(detected.rows, contours[::-1], strict=True):
            assert span.tolist() == [contour[..., 1].min(), contour[..., 1].max()]


def test_equal_scores_come_in_the_same_order() -> None:
    canvas = np.zeros((60, 80), np.float32)
    for y in (5, 25, 45):
        for x in (5, 45):
            canvas[y : y + 8, x : x + 20 + y // 5] = 0.75
    expected, _ = boxes_from_map(canvas, BoxSettings())
    quads, _ = boxes_from_candidates(candidates(canvas, 0.3), canvas.shape, BoxSettings())
    assert len(quads) == 6
    assert np.array_equal(quads, expected)


def test_missing_regions_are_counted() -> None:
    canvas = np.zeros((40, 40), np.float32)
    canvas[2:38:6, 3:30] = 1.0
    canvas[3:38:6, 3:30] = 1.0
    detected = candidates(canvas, 0.3, limit=4)
    assert (detected.count, detected.missing) == (6, 2)
    quads, _ = boxes_from_candidates(detected, canvas.shape, BoxSettings(unclip_ratio=0))
    assert sorted(quads[:, 0, 1].tolist()) == [2, 8, 14, 20]


@pytest.mark.parametrize("value", [0.0, np.nan], ids=["nothing", "NaN is no text"])
def test_empty_map_has_no_boxes(value: float) -> None:
    canvas = np.full((9, 8), value, np.float32)
    quads, scores = boxes_from_candidates(candidates(canvas, 0.3), (9, 8), BoxSettings())
    assert quads.shape == (0, 4, 2)
    assert scores.shape == (0,)
