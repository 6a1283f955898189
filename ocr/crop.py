"""Cut boxes of text out of images, and turn them."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from ..spec import Angle
from .outlines import (
    center_line,
    columns_of,
    corners_of,
    curved_size,
    is_curved,
    padded,
)
from .types import Image, Outlines, Quads

TALL = 1.5
"""Ratio of height to width above which a box may contain rotated text."""
_PART = 4096
"""Pixels: the width of the parts of a line that are cut out at once."""
ROTATED: tuple[Angle, ...] = (90, 270)
"""The angles of rotated text in tall boxes: it runs down or up."""


def quad_size(quad: Outlines) -> tuple[float, float]:
    """Return the (width, height) in pixels of one quadrilateral (4, 2): means of opposite sides.

    For an outline (P, 2) around curved text they are the length and the height of the text.
    """
    if len(quad) > 4:
        if is_curved(quad):
            return curved_size(quad)
        quad = corners_of(quad)
    top, right, bottom, left = (
        float(np.linalg.norm(quad[(i + 1) % 4].astype(np.float64) - quad[i])) for i in range(4)
    )
    return (top + bottom) / 2, (left + right) / 2


def ways_to_read(quad: Outlines, *, both_ways: bool = False) -> dict[Angle, Outlines]:
    """Return the orientations in which the text of a box (P, 2) may run, by the angle of the text.

    A box much higher than wide contains one narrow letter, or text that runs down (90 degrees) or
    up (270). Other boxes have one orientation. ``both_ways`` adds text that is upside down (180).

    Curved text runs along its outline (0), or back (180) if that is steep or ``both_ways`` is true.
    """
    if is_curved(quad):
        back = both_ways or is_steep(quad)
        return {angle: quad_of_text(quad, angle) for angle in ((0, 180) if back else (0,))}
    width, height = quad_size(quad)
    angles: tuple[Angle, ...] = (0, *ROTATED) if height > TALL * width else (0,)
    if both_ways:
        angles = (*angles, 180)
    return {angle: quad_of_text(quad, angle) for angle in angles}


def is_steep(outline: Outlines) -> bool:
    """Whether the chord of curved text (P, 2) is so steep that the text may run up or down."""
    first, *_, last = columns_of(outline).mean(1)
    across, down = np.abs(last - first)
    return bool(down > TALL * across)


def crop_size(quad: Outlines) -> tuple[int, int]:
    """Return the (height, width) in pixels of a box (P, 2) after it is cut out."""
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


def crop_outline(image: Image, outline: Outlines) -> Image:
    """Cut one outline (P, 2) out of ``image`` and straighten it, at its own resolution.

    A quadrilateral is cut out by :func:`crop_quad`. Curved text is bent straight: each column of
    the result (h, w[, 3]) is a line across the text, at even distances along its center line.
    Between the columns of the outline, top and bottom are cubic splines.
    """
    columns = columns_of(outline)
    _, distances = center_line(columns)
    # Columns that cross in the middle have no distance, which the interpolation divides by.
    apart = np.concatenate([[True], np.diff(distances) > 1e-3])
    columns, distances = columns[apart], distances[apart]
    if len(columns) < 3:
        return crop_quad(image, corners_of(outline))
    height, width = crop_size(outline)
    # The center line between two columns is bent, so its length is measured at many places.
    places = np.linspace(0, distances[-1], 8 * len(columns))
    _, lengths = center_line(_spline(distances, columns, places))
    even = (np.arange(width) + 0.5) * (lengths[-1] / width)
    # (width, 2, 2): the top and the bottom of each column of the result.
    sides = _spline(distances, columns, np.interp(even, lengths, places))
    down = ((np.arange(height) + 0.5) / height)[:, None, None]
    # (height, width, 2). OpenCV's coordinates start at the center of the first pixel.
    source = sides[:, 0] * (1 - down) + sides[:, 1] * down - 0.5
    # OpenCV allows sides below 2**15 pixels, so parts are cut out of the part of the image there.
    parts = range(0, width, _PART)
    return np.concatenate([_sampled(image, source[:, at : at + _PART]) for at in parts], axis=1)


def _spline(
    at: npt.NDArray[np.float64], values: npt.NDArray, places: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Interpolate ``values`` (M, ...) at the ascending numbers ``at`` (M,): (places, ...).

    Between two values it is the cubic polynomial whose slopes at both are the finite differences
    of their neighbors.
    """
    values = values.astype(np.float64)
    slopes = np.gradient(values, at, axis=0, edge_order=2)
    index = np.clip(np.searchsorted(at, places) - 1, 0, len(at) - 2)
    step = at[index + 1] - at[index]
    shape = (-1, *[1] * (values.ndim - 1))
    t, step = ((places - at[index]) / step).reshape(shape), step.reshape(shape)
    # Hermite's polynomials of the values, and of the slopes.
    later = t * t * (3 - 2 * t)
    bend = slopes[index] * (1 - t) - slopes[index + 1] * t
    return values[index] * (1 - later) + values[index + 1] * later + step * t * (1 - t) * bend


def _sampled(image: Image, source: npt.NDArray[np.float64]) -> Image:
    """Return an image (h, w[, 3]) of the pixels at ``source`` (h, w, 2); borders are repeated."""
    size = np.array([image.shape[1], image.shape[0]])
    low = np.clip(np.floor(source.min((0, 1))), 0, size - 1).astype(int)
    high = np.clip(np.ceil(source.max((0, 1))) + 1, low + 1, size).astype(int)
    part = image[low[1] : high[1], low[0] : high[0]]
    places = (source - low).astype(np.float32)
    return cv2.remap(part, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def turned_back(image: Image, angle: Angle) -> Image:
    """Turn an image (h, w[, 3]) counterclockwise, so that text at this angle runs to the right."""
    # np.rot90 turns counterclockwise. Models and OpenCV require contiguous arrays.
    return np.ascontiguousarray(np.rot90(image, angle // 90))


def turned(image: Image, angle: Angle) -> Image:
    """Turn an image (h, w[, 3]) clockwise, as a label or a class states."""
    return np.ascontiguousarray(np.rot90(image, -angle // 90))


def quad_of_text(quad: Outlines, angle: Angle) -> Outlines:
    """Return the outline (P, 2) of a crop from the top left corner of its text, which is turned.

    At 90 degrees the text runs down, so its top left corner is the top right one of the crop.
    Curved text can only be turned by 180 degrees.
    """
    if len(quad) == 4:
        return np.roll(quad, -(angle // 90), axis=0)
    if angle in (0, 180):
        return np.roll(quad, (angle // 180) * len(quad) // 2, axis=0)
    return padded(np.roll(corners_of(quad), -(angle // 90), axis=0), len(quad))
