"""The NumPy reference of CropWarp."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...ocr.crop import quad_size
from ...ocr.types import Image, Quads
from ..image_inputs import DTYPES, colored
from ..plugin import Array, Attributes
from ..resizing import weights

FARTHEST = 65536.0
"""Pixels. A quadrilateral with a coordinate beyond it is invalid."""
MOST_SAMPLES = 16
"""The most samples per result, along one side."""

Floats = npt.NDArray[np.float64]


def cross(a: Floats, b: Floats) -> float:
    """Return the signed area of the parallelogram of two vectors (2,)."""
    return float(a[0] * b[1] - b[0] * a[1])


def unit_square_to(quad: Quads) -> Floats | None:
    """Return the homography (3, 3) from the unit square to a quadrilateral (4, 2).

    It is the closed form of P. Heckbert, "Fundamentals of Texture Mapping and Image Warping", 1989,
    section 2.2.3. None if a corner is NaN or beyond :data:`FARTHEST`, or if the last three corners
    are on one line.
    """
    if not (np.abs(quad) <= FARTHEST).all():  # also true for NaN
        return None
    p0, p1, p2, p3 = quad.astype(np.float64)
    upwards, leftwards, rest = p1 - p2, p3 - p2, p0 - p1 + p2 - p3
    size = cross(upwards, leftwards)
    if size == 0:
        return None
    g, h = cross(rest, leftwards) / size, cross(upwards, rest) / size
    columns = ((p1 - p0 + g * p1), (p3 - p0 + h * p3), p0)
    return np.vstack([np.stack(columns, 1), [g, h, 1]])


def bilinear(image: Image, x: Floats, y: Floats) -> Floats:
    """Sample (H, W, 3) at positions counted from its corner; pixels of the border are repeated."""
    height, width = image.shape[:2]
    x, y = (np.fmin(np.fmax(a - 0.5, 0), n - 1)[..., None] for a, n in ((x, width), (y, height)))
    left, top = x[..., 0].astype(int), y[..., 0].astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    to_right, to_bottom = x - left[..., None], y - top[..., None]
    pixels = image.astype(np.float64)
    over = pixels[top, left] * (1 - to_right) + pixels[top, right] * to_right
    under = pixels[bottom, left] * (1 - to_right) + pixels[bottom, right] * to_right
    result: Floats = over * (1 - to_bottom) + under * to_bottom
    return result


def crop_pixels(image: Image, quad: Quads, attributes: Attributes) -> Floats:
    """Return one crop in RGB, (height, width, 3), with its padding."""
    height, width = attributes["height"], attributes["width"]
    crop = np.full((height, width, 3), attributes["pad"], np.float64)
    transform = unit_square_to(quad)
    if transform is None:
        return crop
    across, down = (max(1, round(side)) for side in quad_size(quad))
    columns = min(width, max(1, round(across * height / down)))
    area = columns * height < across * down  # whether the crop shrinks, as in ocr.preprocess
    across, down = min(across, MOST_SAMPLES * columns), min(down, MOST_SAMPLES * height)
    # Sample centers in the unit square; (x, y, w) are homogeneous coordinates (down, across).
    u, v = (np.arange(across) + 0.5) / across, (np.arange(down)[:, None] + 0.5) / down
    x, y, w = (row[0] * u + row[1] * v + row[2] for row in transform)
    with np.errstate(divide="ignore", invalid="ignore"):
        straight = bilinear(image, x / w, y / w)
    of_rows, of_columns = weights(down, height, area=area), weights(across, columns, area=area)
    crop[:, :columns] = np.einsum("ry,yxc,kx->rkc", of_rows, straight, of_columns, optimize=True)
    return crop


def crop_warp(inputs: Sequence[Array], attributes: Attributes) -> Array:
    """Cut, straighten, scale, pad and normalize; README.md lists shapes and attributes."""
    image, quads, *colors = inputs
    shape = len(quads), attributes["height"], attributes["width"], 3
    crops = [crop_pixels(image, quad, attributes) for quad in quads]
    pixels = np.array(crops, np.float64).reshape(shape)
    return np.ascontiguousarray(
        colored(pixels, colors).transpose(0, 3, 1, 2), DTYPES[attributes["to"]]
    )
