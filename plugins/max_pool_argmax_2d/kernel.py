"""How MaxPoolArgmax2d's kernels are launched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..hwc8 import SIDE
from ..plugin import Array, Attributes, Launch, blocks_for
from ..vector_entries import entries, entry_for, entry_hwc8

SOURCE = Path(__file__).with_name("kernel.cu")
ENTRIES = (*entries("max_pool_argmax_2d"), entry_hwc8("max_pool_argmax_2d"))
THREADS = 256


def launch(inputs: Sequence[Array], attributes: Attributes) -> Launch:
    """Return the launch for x (N, C, H, W), H and W even, float32 or float16.

    Raises:
        ValueError: x is something else.
    """
    (x,) = inputs
    if x.ndim != 4 or x.shape[2] % 2 or x.shape[3] % 2:
        raise ValueError(f"MaxPoolArgmax2d takes (N, C, H, W) with H and W even, not {x.shape}")
    batch, channels, height, width = x.shape
    rows, columns = batch * channels * height // 2, width // 2
    entry, side = entry_for("max_pool_argmax_2d", x.dtype, columns)
    result = ((batch, channels, height // 2, columns), x.dtype)
    return Launch(
        entry=entry,
        blocks=blocks_for(rows * columns // side, THREADS),
        threads=THREADS,
        numbers=(rows, columns),
        outputs=(result, result),
    )


def launch_hwc8(inputs: Sequence[Array], attributes: Attributes) -> Launch:
    """Return the launch for x (N, H, W, 8 G), H and W even, float16: see formats.py."""
    (x,) = inputs
    batch, height, width, channels = x.shape
    rows, columns, groups = batch * height // 2, width // 2, channels // SIDE
    result = ((batch, height // 2, columns, channels), x.dtype)
    return Launch(
        entry=entry_hwc8("max_pool_argmax_2d"),
        blocks=blocks_for(rows * columns * groups, THREADS),
        threads=THREADS,
        numbers=(rows, columns, groups),
        outputs=(result, result),
    )
