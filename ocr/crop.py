"""Cutting text out of images."""

from __future__ import annotations

import cv2
import numpy as np

from .types import Image, Quads

TALL = 1.5
"""Height over width from which on a box may hold turned text."""


def quad_size(quad: Quads) -> tuple[float, float]:
    """Return the (width, height) in pixels of one quadrilateral (4, 2): means of opposite sides."""
    top, right, bottom, left = (
        float(np.linalg.norm(quad[(i + 1) % 4].astype(np.float64) - quad[i])) for i in range(4)
    )
    return (top + bottom) / 2, (left + right) / 2


def ways_to_read(quad: Quads) -> list[Quads]:
    """Return a box (4, 2) as it stands; one much higher than wide also from its other two ends.

    Such a box holds one narrow letter, or text turned by 90 degrees either way. Read from its right
    side the text runs down, from its left side up: the corners are the same, from another on.
    """
    width, height = quad_size(quad)
    if height <= TALL * width:
        return [quad]
    return [quad, np.roll(quad, -1, axis=0), np.roll(quad, 1, axis=0)]


def crop_size(quad: Quads) -> tuple[int, int]:
    """Return the (height, width) that a quadrilateral (4, 2) has once it is cut out, in pixels."""
    width, height = (max(1, round(side)) for side in quad_size(quad))
    return height, width


def crop_quad(image: Image, quad: Quads) -> Image:
    """Cut one quadrilateral (4, 2) out of ``image`` and straighten it, at its own resolution.

    The result is (h, w[, 3]) with h and w the mean side lengths, at least 1. Bilinear; what lies
    outside the image repeats its border.
    """
    height, width = crop_size(quad)
    # Coordinates count from the corner of the first pixel, OpenCV's from its center: hence the
    # half.
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32) - 0.5
    transform = cv2.getPerspectiveTransform(np.float32(quad) - 0.5, target)
    return cv2.warpPerspective(
        image, transform, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
