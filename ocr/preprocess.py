"""Turn an image into the input tensor of a model. OpenCV resizes the image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ..common.input_size import InputSize
from ..spec import InputSpec
from .types import Image, Tensor


def resize(image: Image, height: int, width: int) -> Image:
    """Resize to (height, width): area average when shrinking, bilinear otherwise."""
    # Bilinear interpolation would skip pixels when shrinking.
    shrinks = height * width < image.shape[0] * image.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=how)


def pad_to(image: Image, height: int, width: int, value: int) -> Image:
    """Pad at the bottom and the right to (height, width) with the pixel value ``value``."""
    below, right = height - image.shape[0], width - image.shape[1]
    return cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_CONSTANT, value=(value,) * 3)


def letterbox_size(image: Image, size: InputSize) -> tuple[int, int]:
    """Return the (rows, columns) of an image scaled to fit an input, proportions kept."""
    rows, columns = image.shape[:2]
    height, width = size
    factor = min(height / rows, width / columns)
    # A thin image keeps at least one row and one column.
    return min(height, max(1, round(rows * factor))), min(width, max(1, round(columns * factor)))


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How an image was scaled to an input of a detector."""

    size: InputSize
    """Height and width of the input."""
    scales: tuple[float, float]
    """(x, y) factors from the image's pixels to the input's."""


def letterbox(image: Image, size: InputSize, pad: int) -> tuple[Image, Fit]:
    """Fit an image into an input, proportions kept, padded at the bottom and the right.

    Returns the (height, width[, 3]) image.
    """
    rows, columns = image.shape[:2]
    new_rows, new_columns = letterbox_size(image, size)
    small = resize(image, new_rows, new_columns)
    fit = Fit(size=size, scales=(new_columns / columns, new_rows / rows))
    return pad_to(small, *size, pad), fit


def line_width(image: Image, height: int) -> int:
    """Return the width in pixels of a text line scaled to ``height``, at least 1."""
    return width_at_height(image.shape[:2], height)


def width_at_height(size: tuple[int, ...], height: int) -> int:
    """Return :func:`line_width` of a line of that (height, width) in pixels."""
    return max(1, round(size[1] * height / size[0]))


def fit_line(image: Image, height: int, width: int, pad: int) -> Image:
    """Scale a text line to ``height`` and pad it to ``width``; a longer line is squeezed."""
    line = resize(image, height, min(width, line_width(image, height)))
    return pad_to(line, height, width, pad)


def to_gray(image: Image) -> Image:
    """Convert RGB (H, W, 3) to gray (H, W) with the weights of Rec. 601."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def normalize(image: Image, mean: npt.ArrayLike, scale: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Return ``(image - mean) * scale`` as float32 (H, W, C); mean and scale: one value or C."""
    # Gray (H, W) -> (H, W, 1)
    pixels = image if image.ndim == 3 else image[..., None]
    centered = pixels.astype(np.float32) - np.asarray(mean, np.float32)
    return centered * np.asarray(scale, np.float32)


def image_to_tensor(image: Image, settings: InputSpec) -> Tensor:
    """Convert an RGB image (H, W, 3) of the input's size to (C, H, W) float32."""
    if settings.color == "GRAY":
        image = to_gray(image)
    elif settings.color == "BGR":
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    # (H, W, C) -> (C, H, W)
    return normalize(image, settings.mean, settings.scale).transpose(2, 0, 1)
