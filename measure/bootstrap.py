"""How sure a measure is: bootstrap confidence intervals of ratios of sums.

The bias-corrected and accelerated bootstrap, BCa (Efron, "Better Bootstrap Confidence Intervals",
JASA 82, 1987; Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, section 14.3). What
is drawn again is a whole image with all its words, since words of one image are alike.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from .report_data import Interval

LEVEL = 0.95
RESAMPLES = 5000
FEWEST = 8
"""Images; fewer say nothing about how much images differ."""

Sums = npt.NDArray[np.float64]
Statistic = Callable[[Sums], Sums]
"""From sums (..., K) over some images to the measure (...)."""

_AT_ONCE = 1 << 22
_NORMAL = NormalDist()


def resampled_sums(rows: Sums, resamples: int = RESAMPLES, seed: int = 0) -> Sums:
    """Draw N of N rows (N, K) with replacement, ``resamples`` times; return the sums (R, K).

    The draws depend on N and ``seed`` alone: systems measured on the same images get the same.
    """
    count = len(rows)
    rng = np.random.default_rng(seed)
    step = max(1, _AT_ONCE // count)
    return np.concatenate(
        [
            _multiplicities(rng, min(step, resamples - start), count) @ rows
            for start in range(0, resamples, step)
        ]
    )


def _multiplicities(rng: np.random.Generator, resamples: int, count: int) -> Sums:
    """How often each of the rows was drawn: (resamples, count)."""
    drawn = rng.integers(0, count, (resamples, count)) + count * np.arange(resamples)[:, None]
    times = np.bincount(drawn.ravel(), minlength=resamples * count)
    return times.reshape(resamples, count).astype(np.float64)


def interval(rows: Sums, measure: Statistic) -> Interval | None:
    """Return the BCa interval of a measure of the sums of rows (N, K); None if N is too small."""
    if len(rows) < FEWEST:
        return None
    total = rows.sum(0)
    drawn = measure(resampled_sums(rows))
    low, high = np.quantile(drawn, _shares(drawn, float(measure(total)), measure(total - rows)))
    return Interval(low=float(low), high=float(high))


def difference_interval(ours: Sums, theirs: Sums, measure: Statistic) -> Interval | None:
    """Return the interval of ``measure(ours) - measure(theirs)``, both (N, K), same images."""
    width = ours.shape[1]
    return interval(
        np.hstack([ours, theirs]),
        lambda sums: measure(sums[..., :width]) - measure(sums[..., width:]),
    )


def _shares(drawn: Sums, value: float, without_one: Sums) -> tuple[float, float]:
    """Which quantiles of the draws (R,) bound the interval.

    ``without_one`` (N,): the measure with one row left out, each in turn.
    """
    tail = (1 - LEVEL) / 2
    below = float((drawn < value).mean() + (drawn == value).mean() / 2)
    if not 0 < below < 1:
        return tail, 1 - tail
    bias = _NORMAL.inv_cdf(below)
    moved = without_one.mean() - without_one
    spread = float((moved**2).sum())
    skew = float((moved**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0

    def share(probability: float) -> float:
        shifted = bias + _NORMAL.inv_cdf(probability)
        return _NORMAL.cdf(bias + shifted / (1 - skew * shifted))

    return share(tail), share(1 - tail)
