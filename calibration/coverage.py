"""Check whether the calibration images suffice: find dead, clipped and unstable ranges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from .histogram import Histogram
from .observe import Observation

_CLIPPED = 1e-3
"""A tensor with a larger share of values beyond its range is reported."""
_MOVED = 0.1
"""A range that the second half of the images changes by a larger share is reported."""


@dataclass(frozen=True, kw_only=True)
class CoverageFinding:
    """A tensor whose range is not reliable, and the reason."""

    tensor: str
    kind: Literal["dead", "clipped", "moving"]
    text: str


def share_beyond(histogram: Histogram, limit: float) -> float:
    """Return the share of values whose |x| is above a limit, accurate to one bin."""
    if not histogram.total or limit >= histogram.peak:
        return 0.0
    # Values in the bin that contains the limit count as within it.
    first = int(limit / histogram.top * len(histogram.counts)) + 1
    return float(histogram.counts[first:].sum() / histogram.total)


def coverage(
    seen: Observation, ranges: Mapping[str, float], choose: Callable[[Histogram], float]
) -> tuple[CoverageFinding, ...]:
    """Return the tensors whose ranges the images do not determine reliably.

    Args:
        seen: the observation of all images.
        ranges: the largest |x| to represent, by tensor.
        choose: the method that chose the ranges.
    """
    found = []
    for name, limit in ranges.items():
        histogram = seen.histograms[name]
        if histogram.peak == 0:
            text = (
                f"is 0 in all {seen.batches} images, so int8 can represent only 0; use more varied "
                "images"
            )
            found.append(CoverageFinding(tensor=name, kind="dead", text=text))
            continue
        if (beyond := share_beyond(histogram, limit)) > _CLIPPED:
            text = (
                f"has {100 * beyond:.2f} % of its values beyond its range {limit:.4g}; int8 clips "
                "them"
            )
            found.append(CoverageFinding(tensor=name, kind="clipped", text=text))
        early = choose(seen.early[name])
        if seen.batches > 1 and abs(limit - early) > _MOVED * limit:
            text = (
                f"has range {early:.4g} on the first half of the images, but {limit:.4g} on all "
                f"{seen.batches}; use more images"
            )
            found.append(CoverageFinding(tensor=name, kind="moving", text=text))
    return tuple(found)
