"""The range that loses the least information, as in TensorRT's entropy calibrator.

For each candidate range the histogram is cut there, and all counts beyond are added to its last
bin. This histogram is compared with its own version in 128 levels by the Kullback-Leibler
divergence (Migacz, "8-bit inference with TensorRT", GTC 2017).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .histogram import Histogram

_LEVELS = 128  # of |x| in int8
_STRIDE = 8
"""Bins from one candidate to the next: 0.4 % of the largest range."""

Counts = npt.NDArray[np.float64]


def entropy(histogram: Histogram) -> float:
    """Return the range whose 128 levels diverge least from the histogram."""
    if not histogram.total:
        return 0.0
    counts = histogram.counts.astype(np.float64)
    # Zeros are exact in any range. There are so many behind a ReLU that they would decide alone.
    counts[0] = counts[1]
    last = int(np.nonzero(histogram.counts)[0][-1]) + 1
    if not counts.any() or last <= _LEVELS:
        return histogram.peak
    ends = [*range(_LEVELS, last, _STRIDE), last]
    best = min(ends, key=lambda end: _divergence(counts, end))
    return min(histogram.peak, best * histogram.top / len(counts))


def _divergence(counts: Counts, end: int) -> float:
    """Return KL(P || Q): P is the histogram cut at bin ``end``, Q the same in 128 levels."""
    true = counts[:end].copy()
    true[-1] += counts[end:].sum()
    kept = counts[:end]
    level = np.minimum(np.arange(end) * _LEVELS // end, _LEVELS - 1)  # (end,), level of each bin
    # The counts of a level are spread over those of its bins that are not empty.
    filled = kept > 0
    sums = np.bincount(level, kept, _LEVELS)
    members = np.bincount(level, filled, _LEVELS)
    rounded = np.where(filled, (sums / np.maximum(members, 1))[level], 0.0)
    if not rounded.any():
        return np.inf
    p, q = true / true.sum(), rounded / rounded.sum()
    lost = (p > 0) & (q == 0)
    if lost.any():
        # Only the last bin can be lost: it was empty, and now contains all counts that were cut
        # off. The divergence would be infinite.
        q = np.where(lost, 1e-12, q)
    seen = p > 0
    return float((p[seen] * np.log(p[seen] / q[seen])).sum())
