"""Confidence intervals: the draws, the bounds, and how often they contain the true value."""

from __future__ import annotations

import numpy as np
import pytest

from ocr_trt.measure.bootstrap import (
    MIN_IMAGES,
    RESAMPLES,
    difference_interval,
    interval,
    resampled_sums,
)


def ratio(sums: np.ndarray) -> np.ndarray:
    return sums[..., 0] / sums[..., 1]


def errors(rng: np.random.Generator, count: int) -> np.ndarray:
    """Lines of 10 characters, of which one in twenty is wrong on average: (N, 2)."""
    return np.stack([rng.binomial(10, 0.05, count), np.full(count, 10)], 1).astype(float)


def test_each_draw_sums_as_many_rows(rng: np.random.Generator) -> None:
    rows = rng.integers(0, 9, (30, 3)).astype(float)
    sums = resampled_sums(np.hstack([rows, np.ones((30, 1))]))
    assert sums.shape == (RESAMPLES, 4)
    assert (sums[:, 3] == 30).all()
    spread = np.sqrt(30) * rows.std(0)
    np.testing.assert_allclose(sums[:, :3].std(0), spread, rtol=0.06)
    np.testing.assert_allclose(sums[:, :3].mean(0), rows.sum(0), atol=0.1 * spread.max())


def test_draws_are_the_same_each_time_and_for_each_system(rng: np.random.Generator) -> None:
    ours, theirs = rng.random((20, 2)), rng.random((20, 2))
    both = resampled_sums(np.hstack([ours, theirs]))
    np.testing.assert_allclose(both[:, :2], resampled_sums(ours), rtol=1e-12)
    np.testing.assert_allclose(both[:, 2:], resampled_sums(theirs), rtol=1e-12)
    assert not np.array_equal(resampled_sums(ours), resampled_sums(ours, seed=1))


def test_many_rows_are_drawn_in_parts(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rng.random((50, 2))
    whole = resampled_sums(rows)
    monkeypatch.setattr("ocr_trt.measure.bootstrap._MAX_DRAWS", 50 * 300)
    np.testing.assert_allclose(resampled_sums(rows), whole, rtol=1e-12)


def test_bounds_contain_the_true_value_at_the_stated_rate() -> None:
    rng, hits = np.random.default_rng(0), 0
    for _ in range(150):
        found = interval(errors(rng, 60), ratio)
        assert found is not None
        hits += found.low <= 0.05 <= found.high
    assert 0.91 <= hits / 150 <= 0.985, "95 % of them, but for chance"


def test_skewed_measures_have_skewed_bounds() -> None:
    """Expected: scipy.stats.bootstrap 1.17 (BCa, 100,000 resamples), within its variation."""
    rng = np.random.default_rng(3)
    rows = np.stack([rng.binomial(8, rng.beta(1, 12, 60)), rng.integers(4, 12, 60)], 1)
    found = interval(rows.astype(float), ratio)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.0630, 0.1236), abs=0.0015)


def test_interval_of_a_difference_is_narrower_than_that_of_the_values(
    rng: np.random.Generator,
) -> None:
    theirs = errors(rng, 200)
    ours = theirs.copy()
    ours[:5, 0] += 1
    alone, paired = interval(ours, ratio), difference_interval(ours, theirs, ratio)
    assert alone is not None
    assert paired is not None
    assert 0 < paired.low < 0.0025 < paired.high
    assert paired.high - paired.low < (alone.high - alone.low) / 3
    turned = difference_interval(theirs, ours, ratio)
    assert turned is not None
    assert (turned.low, turned.high) == pytest.approx((-paired.high, -paired.low), abs=1e-4)


@pytest.mark.parametrize("count", [0, 1, MIN_IMAGES - 1])
def test_few_images_have_no_interval(count: int) -> None:
    assert interval(np.ones((count, 2)), ratio) is None
    assert interval(np.ones((MIN_IMAGES, 2)), ratio) is not None


def test_equal_results_have_an_interval_of_width_0() -> None:
    rows = errors(np.random.default_rng(1), 50)
    found = difference_interval(rows, rows, ratio)
    assert found is not None
    assert (found.low, found.high) == (0.0, 0.0)
