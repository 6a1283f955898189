"""Decode with OpenCV what Pillow decodes in less depth or with more memory.

Pillow keeps the upper 8 of 16 bits of a color, so 12-bit values would be dark, and decodes WebP in
16 bytes per pixel.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image as PilImage

from ..types import Image
from .color_profile import ToSrgb
from .levels import Levels, Values, levels_of_array
from .pixels import Strip, Strips, rgb_from_strips

_SILENT = 0  # LOG_LEVEL_SILENT of OpenCV


def decode_by_opencv(data: Path | bytes, frame: int, to_srgb: ToSrgb | None = None) -> Image:
    """Decode one image of a file to (H, W, 3) uint8 RGB; ``to_srgb`` converts 8-bit colors.

    The orientation tag of a TIFF file is applied, that of other files is not.

    Raises:
        ValueError: OpenCV cannot decode it.
        cv2.error: the same, or memory is exhausted.
    """
    content = (
        np.frombuffer(data, np.uint8) if isinstance(data, bytes) else np.fromfile(data, np.uint8)
    )
    pixels = _decoded(content, frame)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    channels = pixels.shape[2]
    colors = pixels[:, :, :3] if channels >= 3 else pixels[:, :, :1]
    has_alpha = channels == 4
    levels, alpha_levels = _levels(colors), _levels(pixels[:, :, 3:])

    def convert(top: int, bottom: int) -> Strip:
        strip = levels.to_bytes(colors[top:bottom]) if levels else colors[top:bottom]
        # BGR -> RGB; one channel becomes three equal ones
        rgb = np.broadcast_to(strip[:, :, ::-1], (*strip.shape[:2], 3))
        if to_srgb:
            rgb = np.asarray(to_srgb(PilImage.fromarray(np.ascontiguousarray(rgb))))
        alpha = pixels[top:bottom, :, 3] if has_alpha else None
        if alpha is not None and alpha_levels:
            alpha = alpha_levels.to_bytes(alpha)
        return np.ascontiguousarray(rgb), None if alpha is None else np.ascontiguousarray(alpha)

    height, width = pixels.shape[:2]
    return rgb_from_strips(Strips(height=height, width=width, has_alpha=has_alpha, convert=convert))


def _levels(values: Values) -> Levels | None:
    """Return the levels of colors or of alpha (H, W, C); None if they have 8 bits, or C is 0."""
    return levels_of_array(values) if values.dtype != np.uint8 and values.size else None


def _decoded(content: Image, frame: int) -> Values:
    # OpenCV would print why it cannot decode a file. The level belongs to the whole process; if
    # threads change it at the same time, a message too many or too few is printed.
    log: Any = getattr(cv2.utils, "logging", cv2)  # OpenCV 4 has the functions in cv2 itself
    level = log.getLogLevel()
    log.setLogLevel(_SILENT)
    try:
        if frame:
            ok, images = cv2.imdecodemulti(content, cv2.IMREAD_UNCHANGED, None, (frame, frame + 1))
            pixels = images[0] if ok and images else None
        else:
            pixels = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    finally:
        log.setLogLevel(level)
    if pixels is None:
        raise ValueError("OpenCV cannot decode it")
    return pixels
