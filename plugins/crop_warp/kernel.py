"""Launches of CropWarp's kernels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..image_inputs import DTYPES, check_inputs
from ..plugin import Array, Attributes, Launch, blocks_for
from ..vector_entries import entries, entry_for

SOURCE = Path(__file__).with_name("kernel.cu")
ENTRIES = entries("crop_warp")
THREADS = 128
MAX_CROP_SIDE = 4096
"""Pixels. With 16 samples per pixel, 2 * samples * results of a side stays at 2^29, in 32 bits."""
_MOST_BLOCKS = 2**31 - 1


def launch(inputs: Sequence[Array], attributes: Attributes) -> Launch:
    """Return the launch for an image (H, W, 3) uint8, quads (N, 4, 2) and color, mean, scale.

    Raises:
        ValueError: a shape, dtype or attribute is not accepted.
    """
    image, quads, *colors = inputs
    check_inputs("CropWarp", image, colors, attributes)
    if quads.ndim != 3 or quads.shape[1:] != (4, 2) or quads.dtype != np.float32:
        raise ValueError(
            f"CropWarp requires quads (N, 4, 2), float32, got {quads.dtype} {quads.shape}"
        )
    height, width, pad = (attributes[name] for name in ("height", "width", "pad"))
    if max(height, width) > MAX_CROP_SIDE:
        raise ValueError(
            f"CropWarp: crops have up to {MAX_CROP_SIDE} pixels per side, got {height} x {width}"
        )
    count, channels, dtype = len(quads), len(colors[0]), DTYPES[attributes["to"]]
    entry, side = entry_for("crop_warp", dtype, width)
    # A block computes results of one crop only, because its threads share the crop's map.
    blocks = max(1, count) * blocks_for(height * width // side, THREADS)
    if blocks > _MOST_BLOCKS:
        raise ValueError(
            f"CropWarp: {count} crops of {height} x {width} are too many for one launch"
        )
    return Launch(
        entry=entry,
        blocks=blocks,
        threads=THREADS,
        numbers=(*image.shape[:2], count, channels, height, width, pad),
        outputs=(((count, channels, height, width), dtype),),
    )
