"""Points lost: their interval for each direction of a metric, and the verdict of a budget."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ocr_trt.engines.manifest import PointsInterval
from ocr_trt.measure.end_to_end_result import EndToEndResult
from ocr_trt.measure.points_lost import images_needed, points_interval, verdict_of
from ocr_trt.measure.recognizer_result import RecognizerResult
from ocr_trt.ocr.dataset import CropLabel, ImagePage, SceneLabel

IMAGES = 20
BOX = np.array([[[0, 0], [20, 0], [20, 10], [0, 10]]], np.float32)


def up_to(high: float) -> PointsInterval:
    return PointsInterval(low=-9.0, high=high)


@pytest.mark.parametrize(
    ("loss", "interval", "disagreement", "expected", "why"),
    [
        (0.2, up_to(0.4), 9.0, "shown", "the whole interval is within 0.5"),
        (0.5, up_to(0.5), 0.5, "shown", "0.5 points are within 0.5"),
        (0.5 + 1e-12, up_to(0.5), 9.0, "shown", "a rounding error does not count"),
        (0.2, up_to(0.9), 0.75, "agrees", "the disagreement is within its limit"),
        (0.2, up_to(0.9), 0.76, "unsure", "neither labels nor agreement can tell"),
        (-1.0, None, 2.0, "unsure", "a gain on seven images proves nothing"),
        (0.6, up_to(0.7), 0.0, "over", "more than the budget"),
        (0.6, None, 0.0, "over", "also without an interval"),
    ],
)
def test_verdict_uses_interval_then_agreement(
    loss: float, interval: PointsInterval | None, disagreement: float, expected: str, why: str
) -> None:
    verdict = verdict_of(loss, interval, disagreement, budget=0.5, allowed_disagreement=0.75)
    assert verdict == expected, why


def test_number_of_images_shrinks_the_interval_to_the_budget() -> None:
    # The interval reaches 1.2 above the loss, and may reach 0.4: a third, so 9 times the images.
    assert images_needed(0.1, up_to(1.3), 0.5, 20) == 180
    assert images_needed(0.5, up_to(1.3), 0.5, 20) is None, "no number leaves a margin of 0"
    assert images_needed(0.1, None, 0.5, 5) is None


def lines(right: int) -> EndToEndResult:
    """One line in each image; the first ``right`` of them are read right."""
    scenes = tuple(
        SceneLabel(image=ImagePage(path=Path(str(n))), quads=BOX, texts=("a",), ignore=(False,))
        for n in range(IMAGES)
    )
    texts = tuple(("a",) if number < right else ("b",) for number in range(IMAGES))
    return EndToEndResult.matched(scenes, (BOX,) * IMAGES, texts)


def test_interval_of_a_loss_is_positive_if_less_is_right() -> None:
    interval = points_interval(lines(15), lines(20), labeled=True)
    assert interval is not None
    assert 0 < interval.low < 25 < interval.high
    gain = points_interval(lines(20), lines(15), labeled=True)
    assert gain is not None
    assert (gain.low, gain.high) == pytest.approx((-interval.high, -interval.low), abs=3)
    # Without labels, each line that differs is lost, whichever of both is right.
    other = points_interval(lines(20), lines(15), labeled=False)
    assert other is not None
    assert 0 < other.low < 25 < other.high


def test_interval_of_a_loss_is_positive_if_the_error_rate_rises() -> None:
    crops = tuple(CropLabel(image=ImagePage(path=Path(str(n))), text="ab") for n in range(IMAGES))
    right, wrong = (
        RecognizerResult(
            crops=crops,
            texts=tuple("ax" if number < errors else "ab" for number in range(IMAGES)),
            text_scores=(1.0,) * IMAGES,
        )
        for errors in (0, 8)
    )
    interval = points_interval(wrong, right, labeled=True)
    assert interval is not None
    assert 0 < interval.low < 20 < interval.high
