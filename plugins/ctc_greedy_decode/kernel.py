"""Launches of CtcGreedyDecode's kernels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..plugin import Array, Attributes, Launch

SOURCE = Path(__file__).with_name("kernel.cu")
KINDS = {np.dtype(np.float32): "f32", np.dtype(np.float16): "f16"}
ENTRIES = tuple(f"ctc_greedy_decode_{kind}" for kind in KINDS.values())
THREADS = 256
"""Per block: 8 warps, as in kernel.cu."""


def launch(inputs: Sequence[Array], attributes: Attributes) -> Launch:
    """Return the launch for logits (N, T, C), float32 or float16, and the attribute ``blank``.

    Raises:
        ValueError: the shape, dtype or attribute is not accepted.
    """
    (logits,), blank = inputs, attributes["blank"]
    if logits.ndim != 3 or logits.dtype not in KINDS:
        raise ValueError(
            "CtcGreedyDecode requires (N, T, C) in float32 or float16, not "
            f"{logits.dtype} {logits.shape}"
        )
    count, steps, classes = logits.shape
    if not 0 <= blank < classes:
        raise ValueError(f"blank must be one of {classes} classes, 0 to {classes - 1}, got {blank}")
    return Launch(
        entry=f"ctc_greedy_decode_{KINDS[logits.dtype]}",
        blocks=max(1, count),  # one per sequence; CUDA launches no empty grid
        threads=THREADS,
        numbers=(count, steps, classes, blank),
        outputs=(
            ((count, steps), np.dtype(np.int32)),
            ((count,), np.dtype(np.int32)),
            ((count,), np.dtype(np.float32)),
        ),
    )
