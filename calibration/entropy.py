"""The range that loses the least information, as TensorRT's entropy calibrator chose it.

For each candidate range the histogram is cut there, what lies beyond goes into its last bin, and
the cut one is compared with itself in 128 levels by the Kullback-Leibler divergence (Migacz, "8-bit
inference with TensorRT", GTC 2017).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .histogram import Histogram

_LEVELS = 128
_STRIDE = 8
"""Bins from one candidate to the next: 0.4 % of the largest range."""

Counts = npt.NDArray[np.float64]


def entropy(histogram: Histogram) -> float:
    """The range whose 128 levels diverge least from the histogram."""
    if not histogram.total:
        return 0.0
    counts = histogram.counts.astype(np.float64)
    counts[0] = counts[1]  # zeros are exact in any range, and would decide alone
    last = int(np.nonzero(histogram.counts)[0][-1]) + 1
    if not counts.any() or last <= _LEVELS:
        return histogram.peak
    ends = [*range(_LEVELS, last, _STRIDE), last]
    best = min(ends, key=lambda end: _divergence(counts, end))
    return min(histogram.peak, best * histogram.top / len(counts))


def _divergence(counts: Counts, end: int) -> float:
    """Return KL(P || Q) of the histogram cut at bin ``end``, and of the same in 128 levels."""
    true = counts[:end].copy()
    true[-1] += counts[end:].sum()
    kept = counts[:end]
    level = np.minimum(np.arange(end) * _LEVELS // end, _LEVELS - 1)
    filled = kept > 0
    sums = np.bincount(level, kept, _LEVELS)
    members = np.bincount(level, filled, _LEVELS)
    rounded = np.where(filled, (sums / np.maximum(members, 1))[level], 0.0)
    if not rounded.any():
        return np.inf
    p, q = true / true.sum(), rounded / rounded.sum()
    lost = (p > 0) & (q == 0)
    if lost.any():  # only the last bin can be: all that was cut off lies in a bin that was empty
        q = np.where(lost, 1e-12, q)
    seen = p > 0
    return float((p[seen] * np.log(p[seen] / q[seen])).sum())
