"""Resizing one side of an image with the weights of OpenCV, in NumPy.

Each result is the mean of an interval of the side. By area it is all that the result covers, as
INTER_AREA has it where a side shrinks; otherwise it is one pixel's length around the result's
middle, kept within the side, which is linear interpolation, INTER_LINEAR. The side is counted in
parts of a pixel, so that all ends are whole numbers. ``cuda/box.cuh`` is the same for kernels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def weights(before: int, after: int, *, area: bool) -> npt.NDArray[np.float64]:
    """Return (after, before): how much of each pixel of a side is in each of the resized one."""
    unit = after if area else 2 * after
    result, pixel = np.arange(after)[:, None], np.arange(before) * unit
    if area:
        begin, length = result * before, before
    else:
        begin = np.clip((2 * result + 1) * before - after, 0, unit * (before - 1))
        length = unit
    overlap = np.minimum(pixel + unit, begin + length) - np.maximum(pixel, begin)
    return np.maximum(overlap, 0) / length
