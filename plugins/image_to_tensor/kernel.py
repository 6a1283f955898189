"""Launches of ImageToTensor's kernels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..image_inputs import DTYPES, check_inputs
from ..plugin import Array, Attributes, Launch, blocks_for

SOURCE = Path(__file__).with_name("kernel.cu")
ENTRIES = ("image_to_tensor_f32", "image_to_tensor_f16")
THREADS = 128


def launch(inputs: Sequence[Array], attributes: Attributes) -> Launch:
    """Return the launch for an image (H, W, 3) uint8 and color, mean, scale, float32.

    Raises:
        ValueError: a shape, dtype or attribute is not accepted, or attributes are contradictory.
    """
    image, *colors = inputs
    check_inputs("ImageToTensor", image, colors, attributes)
    names = ("rows", "columns", "height", "width", "pad", "area")
    rows, columns, height, width, pad, area = (attributes[name] for name in names)
    if not (1 <= rows <= height and 1 <= columns <= width):
        raise ValueError(
            f"ImageToTensor: {rows} rows and {columns} columns do not fit into {height} x {width}"
        )
    if area not in (0, 1):
        raise ValueError(f"ImageToTensor: area must be 0 or 1, got {area}")
    channels, dtype = len(colors[0]), DTYPES[attributes["to"]]
    return Launch(
        entry=ENTRIES[dtype == np.float16],
        # A thread per pixel computes all of its channels.
        blocks=blocks_for(height * width, THREADS),
        threads=THREADS,
        numbers=(*image.shape[:2], channels, rows, columns, height, width, pad, area),
        outputs=(((1, channels, height, width), dtype),),
    )
