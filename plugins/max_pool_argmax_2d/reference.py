"""The NumPy reference of MaxPoolArgmax2d, and its examples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..plugin import Example

_SHAPES = ((1, 1, 2, 2), (2, 3, 6, 10), (1, 2, 4, 16), (3, 1, 2, 48), (0, 4, 8, 8), (1, 5, 34, 32))


def max_pool_argmax_2d(x: npt.NDArray) -> tuple[npt.NDArray, npt.NDArray]:
    """Pool (N, C, H, W), H and W even, to (N, C, H/2, W/2); also return the places.

    Places have the shape of the maxima and the dtype of ``x``: 0, 1, 2, 3 for the window's top
    left, top right, bottom left, bottom right. The first of equal maxima wins, as in TensorFlow. A
    NaN wins over all numbers, and the first NaN over later ones.
    """
    batch, channels, height, width = x.shape
    windows = x.reshape(batch, channels, height // 2, 2, width // 2, 2)
    # (N, C, H/2, 2, W/2, 2) -> (N, C, H/2, W/2, 2, 2) -> (N, C, H/2, W/2, 4)
    windows = windows.transpose(0, 1, 2, 4, 3, 5).reshape(*windows.shape[:3], width // 2, 4)
    return windows.max(-1), windows.argmax(-1).astype(x.dtype)


def examples() -> list[Example]:
    """Return inputs with ties, zeros of both signs, infinities and NaN, in several widths."""
    rng, made = np.random.default_rng(0), []
    for dtype in (np.float32, np.float16):
        # Few different values, so that most windows have ties.
        some = np.array([0.0, -0.0, 1.0, -1.0, 2.5, np.inf, -np.inf], dtype)
        for shape in _SHAPES:
            name = f"{np.dtype(dtype)} {'x'.join(map(str, shape))}"
            made.append(Example(name=name, inputs=(rng.choice(some, shape),), attributes={}))
        broken = rng.choice(np.append(some, dtype(np.nan)), (2, 2, 8, 16))
        name = f"{np.dtype(dtype)} with NaN"
        made.append(Example(name=name, inputs=(broken,), attributes={}, kernel_only=True))
    return made
