"""Launches of MaxPoolArgmax2d's kernels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..plugin import Array, Attributes, Launch
from ..window_kernels import WindowKernels

SOURCE = Path(__file__).with_name("kernel.cu")
KERNELS = WindowKernels(stem="max_pool_argmax_2d")


def launch(inputs: Sequence[Array], attributes: Attributes) -> Launch:
    """Return the launch for x (N, C, H, W), H and W even, float32 or float16.

    Raises:
        ValueError: the shape or dtype is another.
    """
    (x,) = inputs
    if x.ndim != 4 or x.shape[2] % 2 or x.shape[3] % 2:
        raise ValueError(f"MaxPoolArgmax2d requires (N, C, H, W), H and W even, got {x.shape}")
    batch, channels, height, width = x.shape
    windows = batch, channels, height // 2, width // 2
    return KERNELS.launch(windows, ((windows, x.dtype),) * 2)


def launch_hwc8(inputs: Sequence[Array], attributes: Attributes) -> Launch:
    """Return the launch for x (N, H, W, 8 G), H and W even, float16: see hwc8.py."""
    (x,) = inputs
    batch, height, width, channels = x.shape
    windows = batch, height // 2, width // 2, channels
    return KERNELS.launch_hwc8(windows, ((windows, x.dtype),) * 2)
