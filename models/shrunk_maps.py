"""The detector's training target: a map of shrunk text regions."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from ..ocr.boxes import shrink_quad
from .synthetic import TextBox
from .unet_detector import SHRINK_RATIO

_SUBPIXEL_BITS = 4
_BORDER_WEIGHT = 3.0


def _fill(canvas: npt.NDArray[np.float32], polygon: npt.NDArray[np.float32], value: float) -> None:
    # Coordinates count from the first pixel's corner, OpenCV's from its center: half a pixel less.
    points = np.round((polygon - 0.5) * 2**_SUBPIXEL_BITS).astype(np.int32)
    cv2.fillPoly(canvas, [points], value, shift=_SUBPIXEL_BITS)


def shrunk_map(boxes: Sequence[TextBox], height: int, width: int) -> npt.NDArray[np.float32]:
    """Return (H, W, 2) float32: the target in {0, 1}, and the weight of each pixel.

    The weight is 3 on the border of a box, outside its shrunk region: these pixels separate
    neighboring words (as in "U-Net", Ronneberger et al., 2015, equation 2). It is 0 where a box is
    marked "don't care" or is too small to shrink.
    """
    target, weight = np.zeros((height, width), np.float32), np.ones((height, width), np.float32)
    # fillPoly also paints the pixels that the outline only touches: about half a pixel more.
    regions = [shrink_quad(box.quad, SHRINK_RATIO, inset=0.5) for box in boxes]
    for box in boxes:
        _fill(weight, box.quad, _BORDER_WEIGHT)
    for region in regions:
        if region is not None:
            _fill(target, region, 1.0)
            _fill(weight, region, 1.0)
    for box, region in zip(boxes, regions, strict=True):
        if box.ignore or region is None:
            _fill(target, box.quad, 0.0)
            _fill(weight, box.quad, 0.0)
    return np.stack([target, weight], axis=-1)
