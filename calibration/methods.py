"""From a histogram to a range: the largest |x| that int8 shall still represent.

Each method is a pure function ``Histogram -> float``. Quantisation is symmetric: scale = range /
127.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .histogram import BINS, Histogram

PERCENTILE = 99.999
_CANDIDATES = 96


def min_max(histogram: Histogram) -> float:
    """The largest |x| seen."""
    return histogram.peak


def percentile(histogram: Histogram, percent: float = PERCENTILE) -> float:
    """The |x| below which ``percent`` of all values lie."""
    if not histogram.total:
        return 0.0
    reached = np.cumsum(histogram.counts) / histogram.total
    index = int(np.searchsorted(reached, percent / 100))
    return min(histogram.peak, (min(index, BINS - 1) + 1) * histogram.top / BINS)


def mean_squared_error(histogram: Histogram) -> float:
    """The range with the least mean squared error of rounding and clipping together.

    Within a range r, rounding to 127 steps costs (r / 127)**2 / 12 per value; a value x beyond it
    is clipped and costs (x - r)**2.
    """
    if not histogram.total:
        return 0.0
    middles = (np.arange(BINS) + 0.5) * histogram.top / BINS
    candidates = histogram.peak * np.linspace(1.0, 0.05, _CANDIDATES)
    beyond = np.clip(middles[None] - candidates[:, None], 0, None)
    clipping = (histogram.counts * beyond**2).sum(1)
    rounding = (candidates / 127) ** 2 / 12 * histogram.total
    return float(candidates[np.argmin(clipping + rounding)])


METHODS: dict[str, Callable[[Histogram], float]] = {
    "minmax": min_max,
    "percentile": percentile,
    "mse": mean_squared_error,
}
