"""Resizing one side of an image, as OpenCV means it: in NumPy, and in standard ONNX ops.

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


_TEXT = """
    SIDE_twice_after = Mul (two, SIDE_after)
    SIDE_unit = Where (is_area, SIDE_after, SIDE_twice_after)
    SIDE_length = Where (is_area, SIDE_before, SIDE_twice_after)
    SIDE_results_in_row = Range (zero, SIDE_results, one)
    SIDE_result = Unsqueeze (SIDE_results_in_row, last_axis)
    SIDE_area_begin = Mul (SIDE_result, SIDE_before)
    SIDE_twice_begin = Mul (two, SIDE_area_begin)
    SIDE_twice_middle = Add (SIDE_twice_begin, SIDE_before)
    SIDE_free_begin = Sub (SIDE_twice_middle, SIDE_after)
    SIDE_last_pixel = Sub (SIDE_before, one)
    SIDE_last_begin = Mul (SIDE_unit, SIDE_last_pixel)
    SIDE_some_begin = Max (SIDE_free_begin, zero)
    SIDE_linear_begin = Min (SIDE_some_begin, SIDE_last_begin)
    SIDE_begin = Where (is_area, SIDE_area_begin, SIDE_linear_begin)
    SIDE_end = Add (SIDE_begin, SIDE_length)
    SIDE_pixel = Range (zero, SIDE_pixels, one)
    SIDE_pixel_begin = Mul (SIDE_pixel, SIDE_unit)
    SIDE_pixel_end = Add (SIDE_pixel_begin, SIDE_unit)
    SIDE_upper = Min (SIDE_pixel_end, SIDE_end)
    SIDE_lower = Max (SIDE_pixel_begin, SIDE_begin)
    SIDE_signed = Sub (SIDE_upper, SIDE_lower)
    SIDE_overlap = Max (SIDE_signed, zero)
    SIDE_overlap_32 = Cast <to = 1> (SIDE_overlap)
    SIDE_length_32 = Cast <to = 1> (SIDE_length)
    SIDE_weights = Div (SIDE_overlap_32, SIDE_length_32)
"""


def weights_text(side: str) -> str:
    """Return lines of a function body that make ``<side>_weights`` (..., results, pixels).

    They need ``<side>_before`` and ``<side>_after``, int64, and ``is_area``, bool, which may be
    (N, 1, 1) for sides of N sizes; ``<side>_pixels`` and ``<side>_results``, scalars, the most of
    either; and the constants ``zero``, ``one``, ``two``, and ``last_axis`` (1,).
    """
    return _TEXT.replace("SIDE", side)
