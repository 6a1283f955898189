"""Find words in the maps of CRAFT: the centers of characters, and the gaps between them.

Baek et al., "Character Region Awareness for Text Detection", CVPR 2019. A word is a connected
region of the pixels above a threshold in the region map (characters) or in the affinity map (gaps
within a word). Its box is the rectangle of least area around its characters, which is grown because
the network learns Gaussians that fade before a character ends. The growth is that of the authors'
code.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from ..spec import BoxSettings
from .boxes import best_boxes, order_corners
from .types import Map, Quads, ScoredQuads

_SMALLEST = 10
"""Regions of fewer map pixels are noise."""
_DIAMOND = 0.1
"""A box whose sides differ by less than this share is made upright: the rectangle of least area
around a round region has any angle."""

Mask = npt.NDArray[np.uint8]


def boxes_from_craft(region: Map, affinity: Map, settings: BoxSettings) -> ScoredQuads:
    """Find the boxes of words.

    Args:
        region: (H, W) float32 in [0, 1]; NaN counts as no text.
        affinity: (H, W) likewise.
        settings: ``threshold`` for pixels of characters, ``link_threshold`` for those of gaps,
            ``box_threshold`` for the largest region score in a word, and limits.

    Returns:
        quads (K, 4, 2) in the map's pixels, clipped to it, and scores (K,) in [0, 1], best first.
    """
    characters = (region > settings.threshold).astype(np.uint8)  # NaN > threshold is false
    links = (affinity > settings.link_threshold).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(characters | links, connectivity=4)
    order = 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")  # 0 is the background
    boxes: list[tuple[float, Quads]] = []
    for label in order[: settings.max_candidates]:
        x, y, width, height, area = (int(value) for value in stats[label])
        if area < _SMALLEST:
            break  # the others are smaller
        part = slice(y, y + height), slice(x, x + width)
        own = labels[part] == label
        score = min(1.0, float(np.nan_to_num(region[part][own]).max()))
        if score < settings.box_threshold:
            continue
        mask = (own & (characters[part] > 0)).astype(np.uint8)
        box = _box_of(mask, (x, y), area, settings)
        if box is not None:
            boxes.append((score, box))
    return best_boxes(boxes, region.shape, settings)


def _box_of(mask: Mask, corner: tuple[int, int], area: int, settings: BoxSettings) -> Quads | None:
    """Return the box (4, 2) of a word; None if it has no characters or is too thin.

    Args:
        mask: (h, w), the pixels of its characters.
        corner: (x, y) of the mask in the map.
        area: the number of pixels of the word, with its gaps.
        settings: ``min_side``.
    """
    height, width = mask.shape
    if not mask.any():
        return None
    growth = int(2 * math.sqrt(area * min(width, height) / (width * height)))
    # Room for the growth, so that it is the same at the edges of the mask.
    padded = cv2.copyMakeBorder(mask, growth, growth, growth, growth, cv2.BORDER_CONSTANT, value=0)
    # A kernel of 1 + growth pixels adds half of the growth on each side.
    grown = cv2.dilate(padded, np.ones((1 + growth, 1 + growth), np.uint8))
    contours, _ = cv2.findContours(grown, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    points = np.concatenate(contours)
    (x, y), (long, short), angle = cv2.minAreaRect(points)
    # A contour runs through pixel centers, so half a pixel is missing on every side.
    sides = long + 1, short + 1
    if min(sides) < settings.min_side:
        return None
    origin = np.array(corner, np.float32) - growth
    if abs(1 - max(sides) / min(sides)) <= _DIAMOND:
        left, top, columns, rows = cv2.boundingRect(points)
        quad = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float32)
        return quad + np.array([left, top], np.float32) + origin
    return order_corners(cv2.boxPoints(((x + 0.5, y + 0.5), sides, angle)) + origin)
