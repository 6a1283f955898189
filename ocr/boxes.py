"""Find boxes in a detector's probability map, and shrink boxes to the regions of training maps.

A detector of the differentiable-binarization family (Liao et al., 2020) marks *shrunk* text
regions. A region of area A and perimeter L is shrunk by the distance D = A * (1 - r**2) / L, with r
the shrink ratio. To undo this, a shrunk region of area A' and perimeter L' is grown by A' *
unclip_ratio / L' (the paper's rule, an approximation), or, when r is known, by the exact inverse
for rectangles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import pyclipper

from ..spec import BoxSettings
from .curved_text import POINTS, curved_outline, is_straight, region_shape
from .outlines import padded
from .types import Map, Outlines, Quads, ScoredBoxes

_TWO_BY_TWO = np.ones((2, 2), np.uint8)
"""The kernel of the dilation. OpenCV anchors it at (1, 1): it adds pixels right and below."""


def grow_distance(width: float, height: float, ratio: float) -> float:
    """Return the distance by which a rectangle was shrunk, from its *shrunk* sides.

    With w, h the shrunk sides and q = 1 - ratio**2, the distance D solves
    2 D (w + h + 4 D) = q (w + 2 D) (h + 2 D), that is
    (8 - 4 q) D**2 + 2 (1 - q) (w + h) D - q w h = 0; D is its positive root.
    """
    q = 1 - ratio**2
    a, b, c = 8 - 4 * q, 2 * (1 - q) * (width + height), -q * width * height
    return (-b + math.sqrt(b * b - 4 * a * c)) / (2 * a)


def shrink_quad(quad: Quads, ratio: float, inset: float = 0.0) -> Quads | None:
    """Return ``quad`` (4, 2) shrunk, as a polygon (K, 2) float32; None when nothing is left.

    The shrinking distance is ``inset`` pixels larger than ``ratio`` alone requires.
    """
    area = abs(float(cv2.contourArea(quad.astype(np.float32))))
    length = float(cv2.arcLength(quad.astype(np.float32), True))
    if area <= 0:
        return None
    # pyclipper works on integers, so the unit here is 1/64 pixel.
    offset = pyclipper.PyclipperOffset()
    points = np.round(quad.astype(np.float64) * 64).astype(np.int64)
    offset.AddPath(points.tolist(), pyclipper.JT_MITER, pyclipper.ET_CLOSEDPOLYGON)
    paths = offset.Execute(-64 * (area * (1 - ratio**2) / length + inset))
    if not paths:
        return None
    return np.asarray(max(paths, key=len), np.float32) / np.float32(64)


def order_corners(points: Quads) -> Quads:
    """Order the corners of a box (4, 2) clockwise from top left, for text that runs right."""
    points = points[np.argsort(points[:, 0], kind="stable")]
    left, right = points[:2], points[2:]
    top_left, bottom_left = left[np.argsort(left[:, 1], kind="stable")]
    top_right, bottom_right = right[np.argsort(right[:, 1], kind="stable")]
    return np.stack([top_left, top_right, bottom_right, bottom_left]).astype(np.float32)


def text_mask(probability: Map, settings: BoxSettings) -> npt.NDArray[np.uint8]:
    """Return the pixels of a map (H, W) that are text as 1, and all others as 0: (H, W)."""
    mask = (probability > settings.threshold).astype(np.uint8)  # NaN > threshold is false
    return cv2.dilate(mask, _TWO_BY_TWO) if settings.dilate else mask


def candidate_contours(
    mask: npt.NDArray[np.uint8], settings: BoxSettings
) -> list[npt.NDArray[np.int32]]:
    """Return the outer contours (K, 1, 2) of the regions of a mask (H, W).

    If there are more than ``max_candidates``, only the largest by the area of their bounding boxes
    are returned, in the same order.
    """
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    limit = settings.max_candidates
    if limit is None or len(contours) <= limit:
        return list(contours)
    sizes = np.array([cv2.boundingRect(contour)[2:] for contour in contours]).prod(1)
    # A stable sort, so that equal sizes are chosen in the order of findContours.
    return [contours[index] for index in sorted(np.argsort(-sizes, kind="stable")[:limit])]


def region_score(probability: Map, contour: npt.NDArray[np.int32]) -> float:
    """Return the mean probability inside a contour (K, 1, 2) of pixel centers; NaN counts as 0.

    Pixels outside the map do not count.
    """
    x, y, width, height = cv2.boundingRect(contour)
    # A rectangle around a region can extend beyond the map.
    left, top = max(0, x), max(0, y)
    around = probability[top : y + height, left : x + width].astype(np.float32)
    inside = np.zeros(around.shape, np.uint8)
    cv2.fillPoly(inside, [contour - np.array([left, top], np.int32)], 1)
    return float(cv2.mean(np.nan_to_num(around, copy=False, nan=0.0), inside)[0])


def score_of(probability: Map, contour: npt.NDArray[np.int32], settings: BoxSettings) -> float:
    """Return the score of a region (K, 1, 2) of a map (H, W), 0..1; see ``score_mode``."""
    if settings.score_mode == "fast":
        # Rounded towards zero, as PaddleOCR's box_score_fast does.
        corners = cv2.boxPoints(cv2.minAreaRect(contour)).astype(np.int32)
        contour = corners[:, None]  # (4, 2) -> (4, 1, 2)
    return region_score(probability, contour)


def grown_box(points: npt.NDArray[np.int32], settings: BoxSettings) -> Quads | None:
    """Return the box (4, 2) of a shrunk region, grown back; None if the region is too thin.

    ``points`` (K, 1, 2) are (x, y) of pixels of the region that include its convex hull.
    """
    (x, y), (width, height), angle = cv2.minAreaRect(points)
    # A contour runs through pixel centers, so half a pixel is missing on every side.
    x, y, width, height = x + 0.5, y + 0.5, width + 1, height + 1
    if min(width, height) < settings.min_side:
        return None
    distance = _growth(width, height, settings)
    size = (width + 2 * distance, height + 2 * distance)
    return order_corners(cv2.boxPoints(((x, y), size, angle)))


def _growth(width: float, height: float, settings: BoxSettings) -> float:
    """Return the distance by which a region with these shrunk sides is grown."""
    if settings.shrink_ratio is not None:
        return grow_distance(width, height, settings.shrink_ratio)
    return width * height * settings.unclip_ratio / (2 * (width + height))


def points_of_boxes(settings: BoxSettings) -> int:
    """Return the number of points P of each box (P, 2)."""
    return POINTS if settings.shape == "polygon" else 4


def _scored_box(
    probability: Map, contour: npt.NDArray[np.int32], settings: BoxSettings
) -> tuple[float, Outlines] | None:
    """Return the score and the box (P, 2) of a region (K, 1, 2); None if the region is too thin."""
    box = grown_box(contour, settings)
    if box is None:
        return None
    if settings.shape == "polygon" and not is_straight(contour):
        shape = region_shape(contour)
        if shape.height < settings.min_side:
            return None
        curved = curved_outline(shape, _growth(shape.length, shape.height, settings))
        # Never the mean in a rectangle, which would contain much that is no text.
        return region_score(probability, contour), box if curved is None else curved
    return score_of(probability, contour, settings), box


def boxes_from_map(probability: Map, settings: BoxSettings) -> ScoredBoxes:
    """Find text boxes: threshold, contours, scores, rotated rectangles or polygons, growth.

    Args:
        probability: (H, W) float32 in [0, 1]; NaN counts as no text.
        settings: thresholds and limits.

    Returns:
        boxes (K, P, 2) in the map's pixels, clipped to it, and scores (K,) in [0, 1], best first;
        P is 4 unless ``settings.shape`` is polygon.
    """
    height, width = probability.shape
    contours = candidate_contours(text_mask(probability, settings), settings)
    found = (_scored_box(probability, contour, settings) for contour in contours)
    boxes = [box for box in found if box is not None and box[0] >= settings.box_threshold]
    return best_boxes(boxes, (height, width), settings)


def best_boxes(
    boxes: Sequence[tuple[float, Outlines]], size: tuple[int, int], settings: BoxSettings
) -> ScoredBoxes:
    """Return boxes (K, P, 2), clipped to the map's size (H, W), and scores (K,), best first."""
    best = sorted(boxes, key=lambda item: -item[0])[: settings.max_boxes]
    points = points_of_boxes(settings)
    same = [box if len(box) == points else padded(box, points) for _, box in best]
    quads = np.array(same, np.float32).reshape(-1, points, 2)
    limit = np.array([size[1], size[0]], np.float32)
    return quads.clip(0, limit), np.array([score for score, _ in best], np.float32)
