"""Launches of MaxUnpool2d's kernels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..plugin import Array, Attributes, Launch
from ..window_kernels import WindowKernels

SOURCE = Path(__file__).with_name("kernel.cu")
# A thread reads 8 bytes, so that what it stores in each of two rows is 16 bytes, side by side.
KERNELS = WindowKernels(stem="max_unpool_2d", share=2)


def launch(inputs: Sequence[Array], attributes: Attributes) -> Launch:
    """Return the launch for values and place (N, C, H, W), float32 or float16, both alike.

    Raises:
        ValueError: the shapes or dtypes are others.
    """
    values, place = inputs
    if values.ndim != 4 or values.shape != place.shape or values.dtype != place.dtype:
        raise ValueError(
            f"MaxUnpool2d requires values and place of one shape (N, C, H, W) and dtype, not "
            f"{values.dtype} {values.shape} and {place.dtype} {place.shape}"
        )
    batch, channels, height, width = values.shape
    result = batch, channels, 2 * height, 2 * width
    return KERNELS.launch((batch, channels, height, width), ((result, values.dtype),))


def launch_hwc8(inputs: Sequence[Array], attributes: Attributes) -> Launch:
    """Return the launch for values and place (N, H, W, 8 G), float16: see hwc8.py."""
    values, _ = inputs
    batch, height, width, channels = values.shape
    result = batch, 2 * height, 2 * width, channels
    return KERNELS.launch_hwc8((batch, height, width, channels), ((result, values.dtype),))
