"""A page of text that shows whether a reader works: its stages run, all or most of them."""

from __future__ import annotations

import math

import cv2
import numpy as np

_LINES = 12
_SIDE = 640


def page_of_text(max_pixels: int) -> bytes:
    """Return a PNG file of 640x640 pixels with twelve lines of text of different lengths.

    If that is more than ``max_pixels``, the image is smaller and cuts the text.
    """
    side = min(_SIDE, math.isqrt(max_pixels))
    image = np.full((side, side, 3), 255, np.uint8)
    for number in range(_LINES):
        text = "Warm-up line 0123456789 of text"[: 8 + 2 * number]
        place = (24, 48 + 48 * number)
        cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.9, (0, 0, 0), 2, cv2.LINE_AA)
    ok, data = cv2.imencode(".png", image)
    assert ok
    return bytes(data)
