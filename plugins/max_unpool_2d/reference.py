"""NumPy reference of MaxUnpool2d."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def max_unpool_2d(values: npt.NDArray, place: npt.NDArray) -> npt.NDArray:
    """Spread (N, C, H, W) to (N, C, 2H, 2W): values at their places, zeros elsewhere."""
    batch, channels, height, width = values.shape
    windows = np.where(place[..., None] == np.arange(4), values[..., None], values.dtype.type(0))
    windows = windows.reshape(batch, channels, height, width, 2, 2).transpose(0, 1, 2, 4, 3, 5)
    return windows.reshape(batch, channels, 2 * height, 2 * width)
