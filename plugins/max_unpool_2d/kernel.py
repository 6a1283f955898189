"""How MaxUnpool2d's kernels are launched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..hwc8 import SIDE
from ..plugin import Array, Attributes, Launch, blocks_for
from ..vector_entries import entries, entry_for, entry_hwc8

SOURCE = Path(__file__).with_name("kernel.cu")
THREADS = 256
SHARE = 2
"""A thread takes 8 bytes, so that what it stores in each of two rows is 16, side by side."""
ENTRIES = (*entries("max_unpool_2d", SHARE), entry_hwc8("max_unpool_2d"))


def launch(inputs: Sequence[Array], attributes: Attributes) -> Launch:
    """Return the launch for values and place (N, C, H, W), float32 or float16, both alike.

    Raises:
        ValueError: they are something else.
    """
    values, place = inputs
    if values.ndim != 4 or values.shape != place.shape or values.dtype != place.dtype:
        raise ValueError(
            f"MaxUnpool2d takes values and place of one shape (N, C, H, W) and dtype, not "
            f"{values.dtype} {values.shape} and {place.dtype} {place.shape}"
        )
    batch, channels, height, width = values.shape
    rows = batch * channels * height
    entry, side = entry_for("max_unpool_2d", values.dtype, width, SHARE)
    return Launch(
        entry=entry,
        blocks=blocks_for(rows * width // side, THREADS),
        threads=THREADS,
        numbers=(rows, width),
        outputs=(((batch, channels, 2 * height, 2 * width), values.dtype),),
    )


def launch_hwc8(inputs: Sequence[Array], attributes: Attributes) -> Launch:
    """Return the launch for values and place (N, H, W, 8 G), float16: see formats.py."""
    values, _ = inputs
    batch, height, width, channels = values.shape
    rows, groups = batch * height, channels // SIDE
    return Launch(
        entry=entry_hwc8("max_unpool_2d"),
        blocks=blocks_for(rows * width * groups, THREADS),
        threads=THREADS,
        numbers=(rows, width, groups),
        outputs=(((batch, 2 * height, 2 * width, channels), values.dtype),),
    )
