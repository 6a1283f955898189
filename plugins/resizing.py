"""Resizing one side of an image with the weights of OpenCV, in NumPy.

Each result is the mean of an interval of the side. In INTER_AREA, for sides that shrink, the
interval is all that the result covers. In INTER_LINEAR (linear interpolation) it is one pixel long,
around the result's center, and is shifted if it would reach beyond the side. The unit of positions
is a fraction of a pixel chosen so that all interval ends are integers. ``cuda/box.cuh`` computes
the same in kernels.
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
