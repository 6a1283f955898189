"""From a histogram to a range: the largest |x| that int8 shall still represent.

Each method is a pure function ``Histogram -> float``. Quantization is symmetric, with
scale = range / 127.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .entropy import entropy
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
    """The range whose int8 values are nearest to the true ones, in mean squared error.

    Every bin's middle is rounded and clipped as int8 would do it. (The usual estimate, a twelfth of
    a squared step for each value, charges zeros for an error they do not have; behind ReLU and
    max-unpooling it clips far too much.)
    """
    if not histogram.total:
        return 0.0
    middles = (np.arange(BINS) + 0.5) * histogram.top / BINS
    candidates = histogram.peak * np.linspace(1.0, 0.05, _CANDIDATES)
    scales = candidates[:, None] / 127
    rounded = np.minimum(np.round(middles / scales), 127) * scales
    errors = (histogram.counts * (rounded - middles) ** 2).sum(1)
    return float(candidates[np.argmin(errors)])


def moving_average(histogram: Histogram, weight: float = 0.1) -> float:
    """The largest |x| of an image, averaged over images; each new one counts ``weight``.

    As fake quantization does in training; one image with an outlier changes little.
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
