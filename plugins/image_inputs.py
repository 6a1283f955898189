"""Colors, normalization and input checks of the ops that turn images into tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ..spec import InputSpec
from .plugin import Array, Attributes

MAX_SIDE = 32767
"""Pixels. Twice the product of two sides is below 2^31; OpenCV's warps accept no more either."""

COLORS: Mapping[str, npt.NDArray[np.float32]] = {
    "RGB": np.eye(3, dtype=np.float32),
    "BGR": np.eye(3, dtype=np.float32)[::-1].copy(),
    "GRAY": np.array([[0.299, 0.587, 0.114]], np.float32),
}
"""(C, 3): the shares of red, green and blue in each channel of a tensor; gray by Rec. 601."""

DTYPES: Mapping[int, np.dtype] = {1: np.dtype(np.float32), 10: np.dtype(np.float16)}
"""Dtypes by their ONNX number, as in the attribute ``to`` of Cast."""


def colors_of(settings: InputSpec) -> tuple[Array, Array, Array]:
    """Return the ops' inputs color (C, 3), mean (C,) and scale (C,), float32, of a spec."""
    color = COLORS[settings.color]
    # A spec has one mean and scale for all channels, or one for each.
    mean, scale = (
        np.ascontiguousarray(np.broadcast_to(np.array(values, np.float32), len(color)))
        for values in (settings.mean, settings.scale)
    )
    return color, mean, scale


def colored(pixels: Array, colors: Sequence[Array]) -> Array:
    """Return ``(color · pixel - mean) * scale``: (..., 3) RGB -> (..., C) float64."""
    color, mean, scale = (array.astype(np.float64) for array in colors)
    result: Array = (pixels @ color.T - mean) * scale
    return result


def check_inputs(op: str, image: Array, colors: Sequence[Array], attributes: Attributes) -> None:
    """Check the inputs and attributes that all such ops have.

    Args:
        op: the op's name.
        image: (H, W, 3) uint8.
        colors: color (C, 3), mean (C,) and scale (C,), float32.
        attributes: ``height``, ``width``, ``pad`` and ``to``.

    Raises:
        ValueError: a shape, dtype or value is not accepted.
    """
    sides = (*image.shape[:2], attributes["height"], attributes["width"])
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(
            f"{op} requires an image (H, W, 3) of uint8, got {image.dtype} {image.shape}"
        )
    if not all(1 <= side <= MAX_SIDE for side in sides):
        raise ValueError(f"{op}: sides must be 1 to {MAX_SIDE} pixels, got {sides}")
    channels = len(colors[0])
    shapes = [array.shape for array in colors]
    if shapes != [(channels, 3), (channels,), (channels,)] or channels < 1:
        raise ValueError(f"{op} requires color (C, 3), mean (C,) and scale (C,), got {shapes}")
    if any(array.dtype != np.float32 for array in colors):
        raise ValueError(f"{op} requires color, mean and scale in float32")
    if not 0 <= attributes["pad"] <= 255:
        raise ValueError(f"{op}: pad must be 0 to 255, got {attributes['pad']}")
    if attributes["to"] not in DTYPES:
        known = ", ".join(map(str, DTYPES))
        raise ValueError(f"{op}: to must be one of {known}, got {attributes['to']}")
