"""Resizing one side of an image with the weights of OpenCV, in NumPy.

Each result is the mean of an interval of the side. By area, the interval is all that the result
covers: INTER_AREA, for sides that shrink. Otherwise it is one pixel long, around the result's
center, and is moved to lie within the side: linear interpolation, INTER_LINEAR. Positions are
counted in fractions of a pixel that make all interval ends whole numbers. ``cuda/box.cuh`` is the
same for kernels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def weights(before: int, after: int, *, area: bool) -> npt.NDArray[np.float64]:
    """Return the weight of each pixel of a side in each result: (after, before), float64.

    Args:
        before: the number of pixels.
        after: the number of results.
        area: whether to average areas; otherwise to interpolate.
    """
    unit = after if area else 2 * after  # positions per pixel
    result, pixel = np.arange(after)[:, None], np.arange(before) * unit
    if area:
        begin, length = result * before, before
    else:
        # The center of result r is at (r + 1/2) before / after pixels; the interval begins half a
        # pixel before it.
        begin = np.clip((2 * result + 1) * before - after, 0, unit * (before - 1))
        length = unit
    overlap = np.minimum(pixel + unit, begin + length) - np.maximum(pixel, begin)
    return np.maximum(overlap, 0) / length
