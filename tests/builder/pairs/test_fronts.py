"""Pareto fronts and predicted times: arithmetic on known numbers."""

from __future__ import annotations

import numpy as np
import pytest

from ocr_trt.builder.pairs.fronts import pareto_front
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
