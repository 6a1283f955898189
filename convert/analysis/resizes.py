"""What a resize does along one axis: whether its rounding is safe, and how to select pixels.

A resize treats rows and columns independently, and each pixel of its result is a weighted sum of
pixels. So along one axis it is a matrix (result size, image size). A nearest-neighbor resize has
one 1 in each row: it is the vector of the selected indices.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt

Centers = Literal["asymmetric", "half_pixel", "align_corners"]
"""How an index i of the result becomes a position in the image, as ONNX names it:
i in/out, (i + 1/2) in/out - 1/2, i (in - 1)/(out - 1).
"""


def repeats(indices: npt.NDArray[np.int64], size: int) -> bool:
    """Whether indices (out,) repeat each of ``size`` pixels equally often."""
    count, rest = divmod(len(indices), size)
    return not rest and np.array_equal(indices, np.arange(size).repeat(count))


def step_of(indices: npt.NDArray[np.int64]) -> int | None:
    """Return the positive step of evenly spaced indices; None if they are not evenly spaced."""
    steps = set(np.diff(indices).tolist()) or {1}
    step = int(steps.pop())
    return step if not steps and step > 0 else None


def is_safe(old: int, new: int, centers: Centers) -> bool:
    """Whether every runtime selects the same pixels in a nearest-neighbor resize of one axis.

    TensorFlow rounds down, except with align_corners. Where a position is exactly on the border
    between two pixels, the result depends on how a runtime computes it in float32. All other
    positions are at least 1/(2 out) away from a border, far more than the error of float32.
    """
    if old == new:
        return True
    places = np.arange(new, dtype=np.int64)
    if centers == "half_pixel":
        return not ((2 * places + 1) * old % (2 * new) == 0).any()
    if centers == "asymmetric":
        return not (places[1:] * old % new == 0).any()
    # With one row, ONNX does not define the position.
    return new > 1 and not ((2 * places * (old - 1) + new - 1) % (2 * (new - 1)) == 0).any()


def scale_for(old: int, new: int) -> np.float32:
    """Return the smallest float32 that is not below new / old.

    Runtimes compute the size of the result as floor(old * scale), and 45 / 23 rounded down to
    float32 would give 44 rows.
    """
    scale = np.float32(new / old)
    while Fraction(float(scale)) * old < new:
        scale = np.nextafter(scale, np.float32(np.inf))
    return scale
