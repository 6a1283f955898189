"""One interface to the outputs of all families of detectors: maps, and the boxes in them.

    family   maps (M, h, w)                                     found by
    map      1: probabilities                                   ``boxes.py``
    craft    2: characters (region), gaps (affinity)            ``craft.py``
    east     6 or 9: probabilities, then 5 or 8 of geometry     ``east.py``

Maps of overlapping tiles may be averaged: the geometry of EAST is relative to each pixel.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..spec import BoxSettings, CraftOutput, DetectorOutput, EastOutput
from .boxes import boxes_from_map
from .craft import boxes_from_craft
from .east import boxes_from_east
from .types import Output, ScoredBoxes

Maps = npt.NDArray[np.float32]
"""(M, h, w), or (N, M, h, w) for several images."""


def maps_from_output(output: Output, settings: DetectorOutput) -> Maps:
    """Return the maps (N, M, h, w) in a detector's output (N, C, H, W) or (N, H, W)."""
    has_channels = output.ndim == 4
    planes = output if has_channels else output[:, None]
    if isinstance(settings, EastOutput):
        score = _activated(planes[:, settings.score : settings.score + 1], settings.activation)
        start = settings.first
        geometry = planes[:, start : start + settings.channels].astype(np.float32)
        # The angle of a rotated rectangle has no unit of length.
        geometry[:, : settings.lengths] *= np.float32(settings.geometry_scale)
        return np.concatenate([score, geometry], axis=1)
    if isinstance(settings, CraftOutput):
        chosen = planes[:, [settings.region, settings.affinity]]
    elif not has_channels:
        chosen = planes
    else:
        chosen = planes[:, settings.channel : settings.channel + 1]
    return _activated(chosen, settings.activation)


def _activated(values: Output, activation: str) -> Maps:
    if activation == "sigmoid":
        # Clipped because exp overflows above 88.7 in float32.
        return np.asarray(1 / (1 + np.exp(-np.clip(values, -80, 80))), np.float32)
    return np.asarray(values, np.float32)


def last_channels(settings: DetectorOutput) -> dict[str, int]:
    """Return the last channel that each key of the output needs."""
    if isinstance(settings, EastOutput):
        return {"score": settings.score, "geometry": settings.first + settings.channels - 1}
    if isinstance(settings, CraftOutput):
        return {"region": settings.region, "affinity": settings.affinity}
    return {"channel": settings.channel}


def probabilities(maps: Maps, settings: DetectorOutput) -> Maps:
    """Return those of the maps (..., M, h, w) that are probabilities."""
    return maps[..., :1, :, :] if isinstance(settings, EastOutput) else maps


def text_map(maps: Maps, settings: DetectorOutput) -> Maps:
    """Return one map (..., h, w) of where text is: for CRAFT, the larger one of its two."""
    return probabilities(maps, settings).max(-3)


def boxes_from_maps(
    maps: Maps, settings: DetectorOutput, boxes: BoxSettings, stride: tuple[float, float]
) -> ScoredBoxes:
    """Find text boxes in the maps (M, h, w) of one image.

    Args:
        maps: of :func:`maps_from_output`.
        settings: the family.
        boxes: thresholds and limits.
        stride: (x, y) pixels of the input per pixel of the maps.

    Returns:
        boxes (K, P, 2) in the maps' pixels, clipped to them, and scores (K,) in [0, 1], best first;
        P is 4 unless ``boxes.shape`` is polygon.
    """
    if isinstance(settings, EastOutput):
        return boxes_from_east(maps, settings, boxes, stride)
    if isinstance(settings, CraftOutput):
        return boxes_from_craft(maps[0], maps[1], boxes)
    return boxes_from_map(maps[0], boxes)


def distance_of_maps(one: Maps, two: Maps, settings: DetectorOutput) -> tuple[float, float, float]:
    """Return sums over maps (N, M, h, w): minima and maxima of probabilities, and geometry's error.

    The error is that of the geometry where both maps see text, in shares of its size, weighted by
    the probability.
    """
    p, q = (np.nan_to_num(probabilities(each, settings)) for each in (one, two))
    low, high = np.minimum(p, q), float(np.maximum(p, q).sum())
    if not isinstance(settings, EastOutput):
        return float(low.sum()), high, 0.0
    first, second = (np.nan_to_num(each[:, 1:]) for each in (one, two))
    size = np.abs(first).sum(1, keepdims=True)
    error = np.abs(first - second).sum(1, keepdims=True) / np.maximum(size, 1e-6)
    return float(low.sum()), high, float((low * np.minimum(error, 1)).sum())
