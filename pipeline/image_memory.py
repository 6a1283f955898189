"""How much memory reading an image requires, so that workers together stay within a budget."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage

from ..common.memory import MemoryBudget, available_memory
from ..ocr.image import ImageFile

Opened: TypeAlias = ImageFile | PilImage.Image | npt.NDArray[np.uint8]
"""An image as ``ocr.image_source.opened`` returns it."""

_READING = 12
"""Bytes per pixel: the image 3, map and mask of the finest scale 5, line crops up to 4."""
_DRAWING = 30
"""Bytes per pixel: the image, and a drawing of twice its width in three stages."""
_SHARE = 4


def image_budget(size: int = 0) -> MemoryBudget:
    """Return a budget of ``size`` bytes for images in progress; 0: a quarter of what is free."""
    return MemoryBudget(size or available_memory() // _SHARE)


def memory_of(source: Opened, page: int = 1, *, draws: bool = False) -> int:
    """Return the bytes that decoding, reading and drawing a page require at most.

    The memory of the engines, which does not depend on the image, is not included.

    Raises:
        InputFileError: the header of the image is damaged, or states more pixels than allowed.
    """
    later = _DRAWING if draws else _READING
    if isinstance(source, ImageFile):
        header = source.header(page)
        return header.pixels * max(header.bytes_per_pixel, later)
    size = source.shape[:2] if isinstance(source, np.ndarray) else source.size
    return math.prod(size) * later
