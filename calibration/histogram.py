"""A histogram of absolute values whose range grows with the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BINS = 2048
_DEAD = 1e-30
"""A tensor that never exceeds this is dead: its values are not counted."""


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Counts of |x| in ``BINS`` equal bins from 0 to ``top``."""

    counts: npt.NDArray[np.int64]
    """(BINS,)"""
    top: float
    peaks: tuple[float, ...] = ()
    """The largest |x| of each batch, exactly, in order."""

    @property
    def peak(self) -> float:
        """The largest |x|, exactly."""
        return max(self.peaks, default=0.0)

    @property
    def total(self) -> int:
        """The number of values."""
        return int(self.counts.sum())

    def add(self, values: npt.NDArray[np.float32]) -> Histogram:
        """Return the histogram with one more batch. The top doubles until everything fits.

        Raises:
            ValueError: a value is NaN or infinite.
        """
        sizes = np.abs(values.reshape(-1))
        peak = float(sizes.max(initial=0.0))
        if not np.isfinite(peak):
            raise ValueError("NaN or infinite values")
        top, counts = self.top or (peak if peak > _DEAD else 0.0), self.counts
        if top == 0:
            return Histogram(counts=counts, top=top, peaks=(*self.peaks, peak))
        # Doubling the top merges pairs of bins exactly, so earlier counts need no estimate.
        while peak > top:
            counts = np.concatenate([counts.reshape(-1, 2).sum(1), np.zeros(BINS // 2, np.int64)])
            top *= 2
        counts = counts + np.histogram(sizes, BINS, (0.0, top))[0]
        return Histogram(counts=counts, top=top, peaks=(*self.peaks, peak))


EMPTY = Histogram(counts=np.zeros(BINS, np.int64), top=0.0)
