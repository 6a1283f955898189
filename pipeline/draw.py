"""Draw boxes on an image, and the texts that were read next to it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image as PilImage
from PIL import ImageDraw

from ..ocr.crop import quad_size
from ..ocr.types import Image
from .fonts import font_for, in_drawing_order
from .text_lines import TextLine

_COLORS = ((214, 39, 40), (31, 119, 180), (44, 160, 44), (148, 103, 189), (255, 127, 14))


def _label_size(line: TextLine) -> int:
    """Return the largest font size at which the text fits its box, at least 8."""
    width, height = quad_size(line.quad)
    # Text width is proportional to the font size: measure at size 20 and scale.
    natural = font_for(line.text, 20).getbbox(in_drawing_order(line.text) or "?")
    return int(max(8, min(0.8 * height, 20 * width / max(1.0, natural[2] - natural[0]))))


def draw_lines(image: Image, lines: Sequence[TextLine]) -> Image:
    """Return the RGB image with boxes, and to its right a page with the texts in their places.

    (H, W, 3) becomes (H, 2 W, 3).
    """
    boxes = image.copy()
    page = np.full_like(image, 255)
    thickness = max(1, round(min(image.shape[:2]) / 400))
    for index, line in enumerate(lines):
        color = _COLORS[index % len(_COLORS)]
        points = [np.round(line.outline).astype(np.int32)]
        cv2.polylines(boxes, points, True, color, thickness, cv2.LINE_AA)
        cv2.polylines(page, points, True, (225, 225, 225), 1, cv2.LINE_AA)
    canvas = PilImage.fromarray(page)
    pen = ImageDraw.Draw(canvas)
    for line in lines:
        x, y = line.quad.mean(0)  # anchor "mm" centers the text there
        font, text = font_for(line.text, _label_size(line)), in_drawing_order(line.text)
        pen.text((float(x), float(y)), text, (20, 20, 20), font, anchor="mm")
    # (H, W, 3) twice, side by side
    return np.hstack([boxes, np.asarray(canvas)])
