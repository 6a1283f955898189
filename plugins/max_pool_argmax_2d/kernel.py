"""How MaxPoolArgmax2d's kernels are launched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..plugin import Array, Attributes, Launch, blocks_for
from ..vectors import entries, entry_for

SOURCE = Path(__file__).with_name("kernel.cu")
ENTRIES = entries("max_pool_argmax_2d")
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
