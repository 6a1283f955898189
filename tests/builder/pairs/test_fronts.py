"""Pareto fronts, predicted times and the numbers of images: arithmetic on known numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ocr_trt.builder.pairs.fronts import pareto_front
from ocr_trt.builder.pairs.pair_verdict import images_needed, verdict_of
from ocr_trt.builder.pairs.pairs import predicted_time

Point = tuple[float, float]


def front(points: list[Point]) -> list[Point]:
    return pareto_front(points, lambda each: each)


@pytest.mark.parametrize(
    ("points", "expected", "why"),
    [
        ([], [], "nothing"),
        ([(2, 1), (1, 2)], [(2, 1), (1, 2)], "both, in their order"),
        ([(1, 1), (2, 1)], [(1, 1)], "as accurate, but slower"),
        ([(1, 1), (1, 2)], [(1, 1)], "as fast, but less accurate"),
        ([(1, 1), (1, 1)], [(1, 1)], "one of two equal ones"),
        ([(3, -1), (1, 0.5), (2, 0.7)], [(3, -1), (1, 0.5)], "a gain is a negative loss"),
    ],
)
def test_front_has_what_nothing_beats(points: list[Point], expected: list[Point], why: str) -> None:
    assert front(points) == expected, why


def test_front_of_random_points_is_that_of_the_definition(rng: np.random.Generator) -> None:
    for _ in range(50):
        # A coarse grid, so that many points are equal in some costs.
        points = [tuple(map(float, row)) for row in rng.integers(0, 4, (12, 3))]
        expected = {
            one
            for one in points
            if not any(
                other != one and all(a <= b for a, b in zip(other, one, strict=True))
                for other in points
            )
        }
        own = pareto_front(points, lambda each: each)
        assert sorted(own) == sorted(expected), "each of them once"


def test_time_of_a_pair_counts_its_own_lines() -> None:
    assert predicted_time(20.0, 5.0, 10.0, 0.8) == pytest.approx(20 + 5 + 10 * 0.8)
    assert predicted_time(20.0, 5.0, 0.0, 0.8) == 25.0, "a detector that finds nothing"


@pytest.mark.parametrize(
    ("loss", "high", "disagreement", "expected", "why"),
    [
        (0.2, 0.4, 9.0, "shown", "the whole interval is within 0.5"),
        (0.5, 0.5, 0.5, "shown", "0.5 points are within 0.5"),
        (0.5 + 1e-12, 0.5, 9.0, "shown", "a rounding error does not count"),
        (0.2, 0.9, 0.5, "agrees", "every difference may be an error"),
        (0.2, 0.9, 0.6, "unsure", "neither labels nor agreement can tell"),
        (-1.0, math.inf, 2.0, "unsure", "a gain on seven images proves nothing"),
        (0.6, 0.7, 0.0, "over", "more than the budget"),
        (0.6, math.inf, 0.0, "over", "also without an interval"),
    ],
)
def test_verdict_uses_interval_then_agreement(
    loss: float, high: float, disagreement: float, expected: str, why: str
) -> None:
    assert verdict_of(loss, high, disagreement, 0.5) == expected, why


def test_number_of_images_shrinks_the_interval_to_the_budget() -> None:
    # The interval reaches 1.2 above the loss, and may reach 0.4: a third, so 9 times the images.
    assert images_needed(0.1, 1.3, 0.5, 20) == 180
    assert images_needed(0.5, 1.3, 0.5, 20) is None, "no number of images leaves a margin of 0"
    assert images_needed(0.1, math.inf, 0.5, 5) is None
