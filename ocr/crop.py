"""Cut boxes of text out of images, and turn them."""

from __future__ import annotations

import cv2
import numpy as np

from ..spec import Angle
from .types import Image, Quads

TALL = 1.5
"""Ratio of height to width above which a box may contain rotated text."""
ROTATED: tuple[Angle, ...] = (90, 270)
"""The angles of rotated text in tall boxes: it runs down or up."""


def quad_size(quad: Quads) -> tuple[float, float]:
    """Return the (width, height) in pixels of one quadrilateral (4, 2): means of opposite sides."""
    top, right, bottom, left = (
        float(np.linalg.norm(quad[(i + 1) % 4].astype(np.float64) - quad[i])) for i in range(4)
    )
    return (top + bottom) / 2, (left + right) / 2


def ways_to_read(quad: Quads, *, both_ways: bool = False) -> dict[Angle, Quads]:
    """Return the orientations in which the text of a box (4, 2) may run, by the angle of the text.

    A box much higher than wide contains one narrow letter, or text that runs down (90 degrees) or
    up (270). Other boxes have one orientation. ``both_ways`` adds text that is upside down (180).
    """
    width, height = quad_size(quad)
    angles: tuple[Angle, ...] = (0, *ROTATED) if height > TALL * width else (0,)
    if both_ways:
        angles = (*angles, 180)
    return {angle: quad_of_text(quad, angle) for angle in angles}


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


def turned_back(image: Image, angle: Angle) -> Image:
    """Turn an image (h, w[, 3]) counterclockwise, so that text at this angle runs to the right."""
    # np.rot90 turns counterclockwise. Models and OpenCV require contiguous arrays.
    return np.ascontiguousarray(np.rot90(image, angle // 90))


def turned(image: Image, angle: Angle) -> Image:
    """Turn an image (h, w[, 3]) clockwise, as a label or a class states."""
    return np.ascontiguousarray(np.rot90(image, -angle // 90))


def quad_of_text(quad: Quads, angle: Angle) -> Quads:
    """Return the corners (4, 2) of a crop from the top left one of its text, which is turned.

    At 90 degrees the text runs down, so its top left corner is the top right one of the crop.
    """
    return np.roll(quad, -(angle // 90), axis=0)
