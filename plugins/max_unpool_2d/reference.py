"""The NumPy reference of MaxUnpool2d, and its examples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..plugin import Example

_SHAPES = ((1, 1, 1, 1), (2, 3, 3, 5), (1, 2, 2, 8), (3, 1, 1, 24), (0, 4, 4, 4), (1, 5, 17, 16))


def max_unpool_2d(values: npt.NDArray, place: npt.NDArray) -> npt.NDArray:
    """Spread (N, C, H, W) to (N, C, 2H, 2W): values at their places, zeros elsewhere.

    A place that is none of 0, 1, 2 and 3 leaves its window zero.
    """
    batch, channels, height, width = values.shape
    windows = np.where(place[..., None] == np.arange(4), values[..., None], values.dtype.type(0))
    # (N, C, H, W, 4) -> (N, C, H, W, 2, 2) -> (N, C, H, 2, W, 2) -> (N, C, 2H, 2W)
    windows = windows.reshape(batch, channels, height, width, 2, 2).transpose(0, 1, 2, 4, 3, 5)
    return windows.reshape(batch, channels, 2 * height, 2 * width)


def examples() -> list[Example]:
    """Return inputs with NaN, infinities and invalid places, in several widths."""
    rng, made = np.random.default_rng(0), []
    for dtype in (np.float32, np.float16):
        some = np.array([0.0, -0.0, 1.0, -2.5, np.inf, -np.inf, np.nan], dtype)
        for shape in _SHAPES:
            name = f"{np.dtype(dtype)} {'x'.join(map(str, shape))}"
            # 4 is no place.
            place = rng.integers(0, 5, shape).astype(dtype)
            inputs = (rng.choice(some, shape), place)
            made.append(Example(name=name, inputs=inputs, attributes={}))
    return made
