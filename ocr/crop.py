"""Cut boxes of text out of images."""

from __future__ import annotations

import cv2
import numpy as np

from .types import Image, Quads

TALL = 1.5
"""Ratio of height to width above which a box may contain rotated text."""


def quad_size(quad: Quads) -> tuple[float, float]:
    """Return the (width, height) in pixels of one quadrilateral (4, 2): means of opposite sides."""
    top, right, bottom, left = (
        float(np.linalg.norm(quad[(i + 1) % 4].astype(np.float64) - quad[i])) for i in range(4)
    )
    return (top + bottom) / 2, (left + right) / 2


def ways_to_read(quad: Quads) -> list[Quads]:
    """Return the one or three orientations in which the text of a box (4, 2) may run.

    A box much higher than wide contains one narrow letter, or text rotated by 90 degrees in either
    direction. The other two orientations have the same corners, but start at the top right corner
    (text runs down) or at the bottom left corner (text runs up).
    """
    width, height = quad_size(quad)
    if height <= TALL * width:
        return [quad]
    # Rolling the corners makes another one the text's top left corner.
    return [quad, np.roll(quad, -1, axis=0), np.roll(quad, 1, axis=0)]


def crop_size(quad: Quads) -> tuple[int, int]:
    """Return the (height, width) in pixels of a quadrilateral (4, 2) after it is cut out."""
    width, height = (max(1, round(side)) for side in quad_size(quad))
    return height, width


def crop_quad(image: Image, quad: Quads) -> Image:
    """Cut one quadrilateral (4, 2) out of ``image`` and straighten it, at its own resolution.

    The result is (h, w[, 3]) with h and w the mean side lengths, at least 1. Interpolation is
    bilinear; outside the image its border is repeated.
    """
    height, width = crop_size(quad)
    # Coordinates here start at the corner of the first pixel, those of OpenCV at its center.
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32) - 0.5
    transform = cv2.getPerspectiveTransform(np.float32(quad) - 0.5, target)
    return cv2.warpPerspective(
        image, transform, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
