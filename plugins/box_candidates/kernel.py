"""Launches of BoxCandidates' kernels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..plugin import Array, Attributes, KernelStep, Launch

SOURCE = Path(__file__).with_name("kernel.cu")
KINDS = {np.dtype(np.float32): "f32", np.dtype(np.float16): "f16"}
STEPS = ("label", "join", "fill", "number", "measure", "place", "extend")
ENTRIES = tuple(f"box_candidates_{step}_{kind}" for kind in KINDS.values() for step in STEPS)
THREADS = 128
"""Per block: 4 warps, as in kernel.cu. A warp processes 32 pixels of a row."""
_WARP, _MAX_INT32 = 32, 2**31 - 1


def launch(inputs: Sequence[Array], attributes: Attributes) -> Launch:
    """Return the launch for maps (N, H, W), float32 or float16, and a threshold (1,), float32.

    Raises:
        ValueError: a shape, dtype or attribute is not accepted, or the maps are too large for the
            kernels' 32-bit indices.
    """
    probability, _ = inputs
    limits = attributes["max_components"], attributes["max_rows"]
    blocks_per_map = _checked_blocks(inputs, limits)
    maps, height, width = probability.shape
    kind = KINDS[probability.dtype]
    first, *rest = (
        KernelStep(
            entry=f"box_candidates_{name}_{kind}",
            blocks=max(1, maps if name == "place" else maps * blocks_per_map),
            threads=THREADS,
        )
        for name in STEPS
    )
    whole, floats = np.dtype(np.int32), np.dtype(np.float32)
    components, rows = limits
    return Launch(
        entry=first.entry,
        blocks=first.blocks,
        threads=first.threads,
        then=tuple(rest),
        numbers=(maps, height, width, components, rows),
        outputs=(
            ((maps,), whole),
            ((maps, components), whole),
            ((maps, components), floats),
            ((maps, components, 2), whole),
            ((maps, rows, 2), whole),
        ),
        scratch=(
            ((maps, height * width + 1), whole),  # labels; node 0 is the map's surroundings
            ((maps, blocks_per_map), whole),  # components found per block
            ((maps, components), np.dtype(np.uint64)),  # sums of probabilities
            ((maps, components), whole),  # where each component's rows start
        ),
    )


def _checked_blocks(inputs: Sequence[Array], limits: tuple[int, int]) -> int:
    """Check the inputs and limits; return the number of blocks per map."""
    probability, threshold = inputs
    if probability.ndim != 3 or probability.dtype not in KINDS or 0 in probability.shape[1:]:
        raise ValueError(
            "BoxCandidates requires (N, H, W) with at least one pixel, in float32 or float16, not "
            f"{probability.dtype} {probability.shape}"
        )
    if threshold.shape != (1,) or threshold.dtype != np.float32:
        raise ValueError(f"threshold must be float32 (1,), got {threshold.dtype} {threshold.shape}")
    if min(limits) < 1:
        raise ValueError(f"max_components and max_rows must be at least 1, got {limits}")
    maps, height, width = probability.shape
    # Blocks per map: ceil(height * ceil(width / 32) / 4).
    of_map = -(-height * -(-width // _WARP) // (THREADS // _WARP))
    if height * width >= _MAX_INT32 or maps * of_map > _MAX_INT32:
        raise ValueError(
            f"{maps} maps of {height} x {width} pixels are too many for 32-bit indices"
        )
    return of_map
