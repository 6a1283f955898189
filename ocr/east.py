"""Find boxes in the maps of EAST: a score, and the geometry of a box at each pixel.

Zhou et al., "EAST: An Efficient and Accurate Scene Text Detector", CVPR 2017. Each pixel of the
score map above the threshold states a whole box:

    RBOX, 5 channels: distances to the top, right, bottom and left side of a rotated rectangle, and
        its angle in radians, positive if the text rises to the right. With c = cos and s = sin of
        the angle, the text runs along (c, -s), and (s, c) points down, as y does.
    QUAD, 8 channels: the offsets (x, y) of the corners, clockwise from the text's top left one.

Distances and offsets are in pixels of the input. The pixel (x, y) of a map with a stride stands for
the point (x * stride, y * stride) of the input, as in TensorFlow's and OpenCV's EAST.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from ..spec import BoxSettings, EastOutput
from .boxes import best_boxes, region_score
from .crop import quad_size
from .types import Map, Quads, ScoredQuads

_MOST_PIXELS = 20_000
"""Limit of the text pixels whose boxes are merged, unless ``max_candidates`` states another one."""

Weighted = tuple[npt.NDArray[np.float64], float]
"""A quad (4, 2), and the sum of the scores of the pixels that it was merged from."""


def quads_at_pixels(
    geometry: npt.NDArray[np.float32], points: npt.NDArray[np.int64], stride: tuple[float, float]
) -> Quads:
    """Return the box (K, 4, 2) that each of K pixels states, in the map's pixels.

    Args:
        geometry: (5, K) or (8, K), in pixels of the input.
        points: (K, 2), the (x, y) of the pixels.
        stride: (x, y) pixels of the input per pixel of the map.
    """
    sides = np.array(stride, np.float32)
    origins = points[:, None].astype(np.float32)  # (K, 1, 2)
    if len(geometry) == 8:
        # (8, K) -> (K, 4, 2)
        return origins + geometry.T.reshape(-1, 4, 2) / sides
    top, right, bottom, left, angle = geometry
    cosine, sine = np.cos(angle), np.sin(angle)
    along = np.stack([cosine, -sine], 1)  # (K, 2): the direction of the text
    down = np.stack([sine, cosine], 1)
    corners = [
        x[:, None] * along + y[:, None] * down
        for x, y in ((-left, -top), (right, -top), (right, bottom), (-left, bottom))
    ]
    return origins + np.stack(corners, 1).astype(np.float32) / sides


def overlap(one: npt.NDArray, other: npt.NDArray) -> float:
    """Return the intersection over union of two convex quads (4, 2); 0 if one has no area."""
    # Bounding boxes first: most pairs are far apart.
    if (one.max(0) <= other.min(0)).any() or (other.max(0) <= one.min(0)).any():
        return 0.0
    first, second = _clockwise(one.tolist()), _clockwise(other.tolist())
    shared = _area(_clipped(first, second))
    union = _area(first) + _area(second) - shared
    return shared / union if union > 0 else 0.0


Polygon = list[tuple[float, float]]


def _area(polygon: Polygon) -> float:
    """Return the area of a polygon, positive if it is clockwise, as y points down."""
    ends = zip(polygon, polygon[1:] + polygon[:1], strict=True)
    return sum(x * v - u * y for (x, y), (u, v) in ends) / 2


def _clockwise(polygon: Polygon) -> Polygon:
    return polygon if _area(polygon) >= 0 else polygon[::-1]


def _clipped(polygon: Polygon, convex: Polygon) -> Polygon:
    """Return the part of a polygon inside a convex one (Sutherland and Hodgman, 1974).

    OpenCV's ``intersectConvexConvex`` returns 0 for some polygons that are almost equal.
    """
    for (x, y), (u, v) in zip(convex, convex[1:] + convex[:1], strict=True):
        # The distance of each point from the line of this edge; positive on the inner side.
        sides = [(u - x) * (q - y) - (v - y) * (p - x) for p, q in polygon]
        kept: Polygon = []
        for index, (point, side) in enumerate(zip(polygon, sides, strict=True)):
            last, before = polygon[index - 1], sides[index - 1]
            if (side >= 0) != (before >= 0):
                share = before / (before - side)
                kept.append(
                    (last[0] + share * (point[0] - last[0]), last[1] + share * (point[1] - last[1]))
                )
            if side >= 0:
                kept.append(point)
        polygon = kept
    return polygon


def merged_along_rows(
    quads: Quads, scores: npt.NDArray[np.float32], limit: float
) -> list[Weighted]:
    """Merge the boxes of neighboring pixels, in the order of rows: locality-aware NMS.

    Each box is compared with the last merged one only. If they overlap by more than ``limit``, the
    corners become the means, weighted by the scores.
    """
    merged: list[Weighted] = []
    last: Weighted | None = None
    for quad, score in zip(quads.astype(np.float64), scores.tolist(), strict=True):
        if last is not None and overlap(last[0], quad) > limit:
            total = last[1] + score
            last = (last[0] * last[1] + quad * score) / total, total
        else:
            if last is not None:
                merged.append(last)
            last = quad, score
    return merged if last is None else [*merged, last]


def suppressed(boxes: list[Weighted], limit: float, most: int) -> list[Quads]:
    """Keep the boxes with the largest scores; drop those that overlap a kept one by more.

    At most ``most`` boxes are kept, of the best ``4 * most``: noise can state a box at each pixel.
    """
    best = sorted(boxes, key=lambda box: -box[1])[: 4 * most]
    quads = np.array([quad for quad, _ in best], np.float32).reshape(-1, 4, 2)
    low, high = quads.min(1), quads.max(1)  # (K, 2)
    areas = np.array([abs(cv2.contourArea(quad)) for quad in quads])
    kept: list[int] = []
    for index, quad in enumerate(quads):
        # An upper bound of each overlap, because most boxes are far apart: the intersection is no
        # larger than that of the bounding boxes, and than either box.
        sides = np.minimum(high[kept], high[index]) - np.maximum(low[kept], low[index])
        shared = np.minimum(sides.clip(0).prod(1), np.minimum(areas[kept], areas[index]))
        bound = shared / np.maximum(areas[kept] + areas[index] - shared, 1e-6)
        near = np.flatnonzero(bound > limit)
        near = near[np.argsort(-bound[near])]  # the likeliest first
        if not any(overlap(quads[kept[each]], quad) > limit for each in near):
            kept.append(index)
        if len(kept) == most:
            break
    return [quads[index] for index in kept]


def boxes_from_east(
    maps: npt.NDArray[np.float32],
    output: EastOutput,
    settings: BoxSettings,
    stride: tuple[float, float],
) -> ScoredQuads:
    """Find text boxes in the maps of EAST.

    Args:
        maps: (1 + 5, h, w) or (1 + 8, h, w): probabilities, geometry; NaN counts as no text.
        output: states the geometry.
        settings: ``threshold`` for pixels, ``box_threshold`` for the mean score in a box,
            ``overlap`` for merging, and limits.
        stride: (x, y) pixels of the input per pixel of the map.

    Returns:
        quads (K, 4, 2) in the map's pixels, clipped to it, and scores (K,) in [0, 1], best first.
    """
    score: Map = maps[0]
    is_text = (score > settings.threshold) & np.isfinite(maps[1:]).all(0)
    rows, columns = np.nonzero(is_text)  # in the order of rows, which merging requires
    limit = settings.max_candidates or _MOST_PIXELS
    if len(rows) > limit:
        best = np.sort(np.argsort(-score[rows, columns], kind="stable")[:limit])
        rows, columns = rows[best], columns[best]
    points = np.stack([columns, rows], 1)
    quads = quads_at_pixels(maps[1:, rows, columns], points, stride)
    # A box far larger than the map is noise, whose coordinates could overflow in OpenCV.
    usable = (np.abs(quads) < 4 * max(score.shape)).all((1, 2))
    merged = merged_along_rows(quads[usable], score[rows, columns][usable], settings.overlap)
    boxes: list[tuple[float, Quads]] = []
    for quad in suppressed(merged, settings.overlap, settings.max_boxes):
        if min(quad_size(quad)) < settings.min_side:
            continue
        # Contours run through pixel centers.
        contour = np.round(quad - 0.5).astype(np.int32)[:, None]
        mean = _mean_inside(score, contour)
        if mean >= settings.box_threshold:
            boxes.append((mean, quad))
    return best_boxes(boxes, score.shape, settings)


def _mean_inside(score: Map, contour: npt.NDArray[np.int32]) -> float:
    """Return the mean score in the part of a contour (4, 1, 2) inside the map; 0 if none is."""
    x, y, width, height = cv2.boundingRect(contour)
    rows, columns = score.shape
    if x >= columns or y >= rows or x + width <= 0 or y + height <= 0:
        return 0.0
    return region_score(score, contour)
