"""Bootstrap confidence intervals of metrics that are ratios of sums.

The bias-corrected and accelerated bootstrap, BCa (Efron, "Better Bootstrap Confidence Intervals",
JASA 82, 1987; Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, section 14.3). The
unit of resampling is an image with all its words, because the words of an image are correlated.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from .report_data import Interval

LEVEL = 0.95
RESAMPLES = 5000
MIN_IMAGES = 8
"""With fewer images there is no interval: their variation cannot be estimated."""

Sums = npt.NDArray[np.float64]
Statistic = Callable[[Sums], Sums]
"""A function from sums (..., K) over images to the metric (...)."""

_MAX_DRAWS = 1 << 22
"""Limit of the drawn indices that are in memory at the same time."""
_NORMAL = NormalDist()


def resampled_sums(rows: Sums, resamples: int = RESAMPLES, seed: int = 0) -> Sums:
    """Resample the rows (N, K) with replacement R = ``resamples`` times; return the sums (R, K).

    Each resample has N rows. The draws depend on N and ``seed`` alone, so all systems that were
    measured on the same images get the same draws.
    """
    count = len(rows)
    rng = np.random.default_rng(seed)
    # In parts, to limit memory. A part: counts (step, N) @ rows (N, K) = sums (step, K).
    step = max(1, _MAX_DRAWS // count)
    return np.concatenate(
        [
            _multiplicities(rng, min(step, resamples - start), count) @ rows
            for start in range(0, resamples, step)
        ]
    )


def _multiplicities(rng: np.random.Generator, resamples: int, count: int) -> Sums:
    """Return how often each row was drawn: (resamples, count)."""
    # One bincount for all resamples: resample r has bins r * count .. (r + 1) * count - 1.
    drawn = rng.integers(0, count, (resamples, count)) + count * np.arange(resamples)[:, None]
    times = np.bincount(drawn.ravel(), minlength=resamples * count)
    return times.reshape(resamples, count).astype(np.float64)


def interval(rows: Sums, statistic: Statistic) -> Interval | None:
    """Return the BCa interval of a statistic of the summed rows (N, K); None if N is too small."""
    if len(rows) < MIN_IMAGES:
        return None
    total = rows.sum(0)
    drawn = statistic(resampled_sums(rows))  # (R,)
    # total - rows (N, K): the sums without each one of the rows, for the jackknife.
    low, high = np.quantile(drawn, _shares(drawn, float(statistic(total)), statistic(total - rows)))
    return Interval(low=float(low), high=float(high))


def difference_interval(ours: Sums, theirs: Sums, statistic: Statistic) -> Interval | None:
    """Return the interval of ``statistic(ours) - statistic(theirs)``.

    Both are (N, K), with the rows of the same images in the same order.
    """
    # One row (N, 2 K) for both systems, so that each resample compares them on the same images.
    width = ours.shape[1]
    return interval(
        np.hstack([ours, theirs]),
        lambda sums: statistic(sums[..., :width]) - statistic(sums[..., width:]),
    )


def _shares(drawn: Sums, value: float, without_one: Sums) -> tuple[float, float]:
    """Return the two quantiles of the draws (R,) that bound the interval.

    ``without_one`` (N,): the statistic without each one of the rows (jackknife).
    """
    tail = (1 - LEVEL) / 2
    # Sums of counts are discrete, so draws often equal the value; those count half.
    below = float((drawn < value).mean() + (drawn == value).mean() / 2)
    if not 0 < below < 1:  # the bias correction would be infinite: use plain percentiles
        return tail, 1 - tail
    bias = _NORMAL.inv_cdf(below)
    moved = without_one.mean() - without_one
    # The acceleration is a sixth of the skewness of the jackknife values (Efron and
    # Tibshirani, eq. 14.15).
    spread = float((moved**2).sum())
    skew = float((moved**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0

    def share(probability: float) -> float:
        shifted = bias + _NORMAL.inv_cdf(probability)
        return _NORMAL.cdf(bias + shifted / (1 - skew * shifted))

    return share(tail), share(1 - tail)
