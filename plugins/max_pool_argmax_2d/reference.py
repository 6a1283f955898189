"""NumPy reference of MaxPoolArgmax2d."""

from __future__ import annotations

import numpy.typing as npt


def max_pool_argmax_2d(x: npt.NDArray) -> tuple[npt.NDArray, npt.NDArray]:
    """Pool (N, C, H, W), H and W even, to (N, C, H/2, W/2); also return the places.

    ``place`` has the shape of the result and the dtype of ``x``: 0, 1, 2, 3 for the window's top
    left, top right, bottom left, bottom right; the first of equal maxima wins, as in TensorFlow.
    """
    batch, channels, height, width = x.shape
    windows = x.reshape(batch, channels, height // 2, 2, width // 2, 2)
    windows = windows.transpose(0, 1, 2, 4, 3, 5).reshape(*windows.shape[:3], width // 2, 4)
    return windows.max(-1), windows.argmax(-1).astype(x.dtype)
