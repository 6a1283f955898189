"""Choose a few of many things, evenly spread."""

from __future__ import annotations

import numpy as np


def spread(count: int, limit: int) -> list[int]:
    """Return at most ``limit`` indices below ``count``, evenly spread, distinct, ascending."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, limit))})
