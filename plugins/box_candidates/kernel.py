"""How BoxCandidates' kernels are launched."""

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
"""4 warps, as the kernels have it; a warp has 32 pixels of a row."""
_STREAMS, _MOST = 32, 2**31 - 1


def launch(inputs: Sequence[Array], attributes: Attributes) -> Launch:
    """Return the launch for maps (N, H, W), float32 or float16, and a threshold (1,), float32.

    Raises:
        ValueError: they are something else, or too large for 32 bits.
    """
    probability, threshold = inputs
    limits = attributes["max_components"], attributes["max_rows"]
    if probability.ndim != 3 or probability.dtype not in KINDS or 0 in probability.shape[1:]:
        raise ValueError(
            "BoxCandidates takes (N, H, W) with a pixel at least, in float32 or float16, not "
            f"{probability.dtype} {probability.shape}"
        )
    if threshold.shape != (1,) or threshold.dtype != np.float32:
        raise ValueError(f"the threshold is float32 (1,), not {threshold.dtype} {threshold.shape}")
    if min(limits) < 1:
        raise ValueError(f"max_components and max_rows are 1 at least, not {limits}")
    maps, height, width = probability.shape
    of_map = -(-height * -(-width // _STREAMS) // (THREADS // _STREAMS))
    if height * width >= _MOST or maps * of_map > _MOST:
        raise ValueError(f"{maps} maps of {height} x {width} pixels are more than 32 bits count")
    kind = KINDS[probability.dtype]
    first, *rest = (
        KernelStep(
            entry=f"box_candidates_{name}_{kind}",
            blocks=max(1, maps if name == "place" else maps * of_map),
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
            ((maps, height * width + 1), whole),
            ((maps, of_map), whole),
            ((maps, components), np.dtype(np.uint64)),
            ((maps, components), whole),
        ),
    )
