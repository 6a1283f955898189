"""Methods that choose a range, the largest |x| that int8 represents, from a histogram.

Each method is a pure function ``Histogram -> float``. Quantization is symmetric, with
scale = range / 127.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .entropy import entropy
from .histogram import BINS, Histogram

PERCENTILE = 99.999
_CANDIDATES = 96  # ranges tried by mean_squared_error, from the peak down to 5 % of it


def min_max(histogram: Histogram) -> float:
    """Return the largest |x|."""
    return histogram.peak


def percentile(histogram: Histogram, percent: float = PERCENTILE) -> float:
    """Return the |x| below which ``percent`` of all values lie, to the width of a bin."""
    if not histogram.total:
        return 0.0
    reached = np.cumsum(histogram.counts) / histogram.total
    index = int(np.searchsorted(reached, percent / 100))
    return min(histogram.peak, (min(index, BINS - 1) + 1) * histogram.top / BINS)


def mean_squared_error(histogram: Histogram) -> float:
    """Return the range with the smallest mean squared error between int8 and float values.

    The middle of every bin is rounded and clipped as in int8. (The usual estimate of step^2 / 12
    per value charges zeros for an error that they do not have; behind ReLU and max-unpooling it
    clips far too much.)
    """
    if not histogram.total:
        return 0.0
    middles = (np.arange(BINS) + 0.5) * histogram.top / BINS  # (BINS,)
    candidates = histogram.peak * np.linspace(1.0, 0.05, _CANDIDATES)
    scales = candidates[:, None] / 127  # (candidates, 1)
    rounded = np.minimum(np.round(middles / scales), 127) * scales  # (candidates, BINS)
    errors = (histogram.counts * (rounded - middles) ** 2).sum(1)
    return float(candidates[np.argmin(errors)])


def moving_average(histogram: Histogram, weight: float = 0.1) -> float:
    """Return the exponential moving average of the largest |x| of each image.

    Fake quantization does the same in training. One image with an outlier changes little.
    """
    average = histogram.peaks[0] if histogram.peaks else 0.0
    for peak in histogram.peaks[1:]:
        average += weight * (peak - average)
    return average


METHODS: dict[str, Callable[[Histogram], float]] = {
    "minmax": min_max,
    "average": moving_average,
    "percentile": percentile,
    "entropy": entropy,
    "mse": mean_squared_error,
}
