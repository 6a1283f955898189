"""Choose calibration lines so that every width and every contrast is represented."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np

from ..common.spread import spread
from ..ocr.preprocess import to_gray
from ..ocr.types import Image

_FAINT, _STRONG = 64, 128
"""Contrast below which a line is faint, and from which it is strong, in gray levels."""


def contrast_level(line: Image) -> int:
    """Return the contrast of an RGB line: 0 faint, 1 medium, 2 strong.

    It is the difference between the 5th and the 95th percentile of its gray levels.
    """
    low, high = np.percentile(to_gray(line), (5, 95))
    return int(high - low >= _FAINT) + int(high - low >= _STRONG)


def stratified(strata: Sequence[Hashable], limit: int) -> list[int]:
    """Return at most ``limit`` indices, ascending, with equal shares of all strata where possible.

    The unused part of a small stratum's share goes to the others. Within a stratum, indices are
    evenly spread.
    """
    members: dict[Hashable, list[int]] = defaultdict(list)
    for index, stratum in enumerate(strata):
        members[stratum].append(index)
    chosen: list[int] = []
    waiting = sorted(members.values(), key=len)
    # Smallest first, so that what they leave is shared by all that come after them.
    for number, group in enumerate(waiting):
        share = -(-(limit - len(chosen)) // (len(waiting) - number))  # rounded up
        chosen += [group[i] for i in spread(len(group), share)]
    return sorted(chosen[:limit])
