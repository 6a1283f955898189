"""Find words in the maps of CRAFT: the centers of characters, and the gaps between them.

Baek et al., "Character Region Awareness for Text Detection", CVPR 2019. A word is a connected
region of the pixels above a threshold in the region map (characters) or in the affinity map (gaps
within a word). Its box is the rectangle of least area around its characters, which is grown because
the network learns Gaussians that fade before a character ends. Growth and box
are those of the authors' code (clovaai/CRAFT-pytorch), in coordinates whose pixel centers are at
0.5.

For curved words, the outline of the grown region is divided into columns (``curved_text.py``). The
authors' code scans the columns of the box instead, which requires that a word bends to one side.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from ..spec import BoxSettings
from .boxes import best_boxes, order_corners
from .curved_text import curved_outline, is_straight, region_shape
from .types import Map, Outlines, Quads, ScoredBoxes

_SMALLEST = 10
"""Regions of fewer map pixels are noise."""
_DIAMOND = 0.1
"""A box whose sides differ by less than this share is made upright: the rectangle of least area
around a round region has any angle."""

Mask = npt.NDArray[np.uint8]


def boxes_from_craft(region: Map, affinity: Map, settings: BoxSettings) -> ScoredBoxes:
    """Find the boxes of words.

    Args:
        region: (H, W) float32 in [0, 1]; NaN counts as no text.
        affinity: (H, W) likewise.
        settings: ``threshold`` for pixels of characters, ``link_threshold`` for those of gaps,
            ``box_threshold`` for the largest region score in a word, and limits.

    Returns:
        boxes (K, P, 2) in the map's pixels, clipped to it, and scores (K,) in [0, 1], best first;
        P is 4 unless ``settings.shape`` is polygon.
    """
    characters = (region > settings.threshold).astype(np.uint8)  # NaN > threshold is false
    links = (affinity > settings.link_threshold).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(characters | links, connectivity=4)
    order = 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")  # 0 is the background
    boxes: list[tuple[float, Outlines]] = []
    for label in order[: settings.max_candidates]:
        x, y, width, height, area = (int(value) for value in stats[label])
        if area < _SMALLEST:
            break  # the others are smaller
        part = slice(y, y + height), slice(x, x + width)
        own = labels[part] == label
        score = min(1.0, float(np.nan_to_num(region[part][own]).max()))
        if score < settings.box_threshold:
            continue
        growth = _growth(own.shape, area)
        mask = (own & (characters[part] > 0)).astype(np.uint8)
        box: Outlines | None = _box_of(mask, growth, settings)
        if box is not None and settings.shape == "polygon":
            # With the gaps, so that a word is one region, which a curved outline requires.
            curved = _curved_box_of(own.astype(np.uint8), growth)
            box = box if curved is None else curved
        if box is not None:
            # From the pixels of the grown mask to those of the map.
            boxes.append((score, box + (np.array([x, y], np.float32) - growth)))
    return best_boxes(boxes, region.shape, settings)


def _growth(size: tuple[int, ...], area: int) -> int:
    """Return by how many pixels a word of ``area`` pixels in a rectangle (h, w) is grown."""
    height, width = size
    return int(2 * math.sqrt(area * min(width, height) / (width * height)))


def _contours(mask: Mask, growth: int) -> list[npt.NDArray[np.int32]]:
    """Return the contours (K, 1, 2) of a mask (h, w) after it was grown, in its pixels."""
    # Room for the growth, so that it is the same at the edges of the mask.
    padded = cv2.copyMakeBorder(mask, growth, growth, growth, growth, cv2.BORDER_CONSTANT, value=0)
    # A kernel of 1 + growth pixels adds half of the growth on each side.
    grown = cv2.dilate(padded, np.ones((1 + growth, 1 + growth), np.uint8))
    return list(cv2.findContours(grown, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0])


def _curved_box_of(mask: Mask, growth: int) -> Outlines | None:
    """Return the outline (P, 2) of a curved word (h, w), grown; None if it is straight."""
    contours = _contours(mask, growth)
    if len(contours) != 1 or is_straight(contours[0]):
        return None
    # Half a pixel less than around the whole region: through pixel centers, as straight boxes.
    return curved_outline(region_shape(contours[0]), -0.5)


def _box_of(mask: Mask, growth: int, settings: BoxSettings) -> Quads | None:
    """Return the box (4, 2) of a word in the pixels of the grown mask.

    None: the word has no characters or is too thin.

    Args:
        mask: (h, w), the pixels of its characters.
        growth: pixels.
        settings: ``min_side``.
    """
    if not mask.any():
        return None
    points = np.concatenate(_contours(mask, growth))
    # A contour runs through pixel centers, and so does the authors' box.
    (x, y), sides, angle = cv2.minAreaRect(points)
    if min(sides) < settings.min_side:
        return None
    if abs(1 - max(sides) / max(min(sides), 1e-5)) <= _DIAMOND:
        left, top, columns, rows = cv2.boundingRect(points)
        right, bottom = columns - 1, rows - 1
        quad = np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]], np.float32)
        return quad + np.array([left + 0.5, top + 0.5], np.float32)
    return order_corners(cv2.boxPoints(((x + 0.5, y + 0.5), sides, angle)))
