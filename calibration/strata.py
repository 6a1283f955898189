"""Choosing lines to calibrate on, so that every width and every contrast is there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np

from ..ocr.preprocess import to_gray
from ..ocr.types import Image

_FAINT, _STRONG = 64, 128
"""Where low and high contrast begin and end, in gray levels."""


def contrast_level(line: Image) -> int:
    """Return 0, 1 or 2: how far an RGB line's dark and light parts are from each other.

    Measured from the 5th to the 95th percentile of its gray.
    """
    low, high = np.percentile(to_gray(line), (5, 95))
    return int(high - low >= _FAINT) + int(high - low >= _STRONG)


def spread(count: int, limit: int) -> list[int]:
    """Return at most ``limit`` indices below ``count``, evenly spread, distinct, ascending."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, limit))})


def stratified(strata: Sequence[Hashable], limit: int) -> list[int]:
    """Return at most ``limit`` indices, ascending, with as many of each stratum as there can be.

    What a small stratum does not fill goes to the others; within one they are evenly spread.
    """
    members: dict[Hashable, list[int]] = defaultdict(list)
    for index, stratum in enumerate(strata):
        members[stratum].append(index)
    chosen: list[int] = []
    waiting = sorted(members.values(), key=len)
    for number, group in enumerate(waiting):
        share = -(-(limit - len(chosen)) // (len(waiting) - number))
        chosen += [group[i] for i in spread(len(group), share)]
    return sorted(chosen[:limit])
