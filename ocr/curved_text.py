"""Find the outline of a curved line of text: from the polygon around a region to its columns.

1. The region's contour is simplified (Douglas and Peucker, 1973), as differentiable binarization
   does for curved text, and the polygon is grown by an offset of its sides (``pyclipper``).
2. The two ends of the line: the points that split the polygon into two sides of which each is
   nearest to the other one. Both sides are measured as shares of their length, so that an arc,
   whose outer side is longer, splits as exactly as a straight line.
3. The four corners: where the polygon turns most near its ends.
4. The columns: perpendicular to the center line, evenly spaced.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import pyclipper

from .outlines import Columns, center_line, outline_of
from .types import Outlines

POINTS = 32
"""Points of an outline: 16 columns."""
_EPSILON, _EPSILON_OF_HEIGHT = 0.005, 0.15
"""Tolerance of the simplification: a share of the contour's length, as in the code of Liao et al.
(2020), but at most this share of the region's height, because shrunk regions are thin."""
_FULL = 0.8
"""A region that fills this share of the rectangle of least area around it is straight."""
_LEAST_BEND = 0.18
"""How far the center line of curved text leaves a straight line, in heights of the text; see
``_bend``. An arc is then 0.55 heights higher in its middle than at its ends. Of the straight words
in the sample images, 1 % bend more, because detectors' maps are noisy."""
_CLEARLY = 0.6
"""Share of that bend below which a quick measurement is enough."""
_NOISY_ENDS, _SMOOTH = 2, 3
"""Columns at each end that say little about the bend; columns of a moving average."""
_LEAST_LENGTH = 1.5
"""The least length of a curved line, in heights: there is no direction to a shorter one."""
_SAMPLES, _PAIRS = 64, 16
"""Points of the polygon among which the ends are sought; points of both sides to compare."""
_STAY = 0.2
"""Radians of a turn that a corner must have more for each height that an end is moved."""
_SIDE_SAMPLES = 128
"""Points of a side among which the ends of the columns are chosen."""
_UNIT = 64
"""pyclipper works on integers, so its unit is this part of a pixel."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class RegionShape:
    """The polygon (K, 2) around a region, and the sides of the rectangle with its area and length.

    A band of text of any curvature has nearly the area and the circumference of a rectangle.
    """

    polygon: Floats
    length: float
    height: float


def region_shape(contour: npt.NDArray[np.int32]) -> RegionShape:
    """Return the shape of a region from its contour (K, 1, 2) of pixel centers."""
    length = cv2.arcLength(contour, True)
    height = _rectangle(cv2.contourArea(contour), length)[1]
    epsilon = min(_EPSILON * length, _EPSILON_OF_HEIGHT * height)
    polygon = cv2.approxPolyDP(contour, epsilon, True)
    sides = _rectangle(cv2.contourArea(polygon), cv2.arcLength(polygon, True))
    # (K, 1, 2) of pixel centers -> (K, 2), measured from the corner of the first pixel.
    return RegionShape(
        polygon=polygon[:, 0].astype(np.float64) + 0.5, length=sides[0], height=sides[1]
    )


def _rectangle(area: float, circumference: float) -> tuple[float, float]:
    """Return the longer and the shorter side of the rectangle with this area and circumference.

    A contour runs through pixel centers, so half a pixel is missing on every side.
    """
    area, half = area + circumference / 2 + 1, circumference / 2 + 2
    # The sides are the roots of s**2 - half * s + area. A circle has no such rectangle.
    root = math.sqrt(max(0.0, half * half - 4 * area))
    return (half + root) / 2, (half - root) / 2


def is_straight(contour: npt.NDArray[np.int32]) -> bool:
    """Whether the region of a contour (K, 1, 2) is so much like a rectangle that it is not curved.

    This is quick, and most lines of a page are straight.
    """
    _, (width, height), _ = cv2.minAreaRect(contour)
    area = cv2.contourArea(contour) + cv2.arcLength(contour, True) / 2 + 1
    return area >= _FULL * (width + 1) * (height + 1)


def curved_outline(shape: RegionShape, distance: float) -> Outlines | None:
    """Return the outline (POINTS, 2) of a curved line, clockwise from the text's top left corner.

    The text runs to the right, or down if the line is much higher than wide.

    Args:
        shape: of the region.
        distance: the pixels by which the region is grown.

    Returns:
        None if the line is straight, short, or not a band that has two ends.
    """
    bend = _LEAST_BEND * (shape.height + 2 * distance)
    if _bend(_rough_center_line(shape.polygon)) < _CLEARLY * bend:  # 15 times as fast as the rest
        return None
    polygon = _grown(shape.polygon, distance + 0.5)
    if polygon is None:
        return None
    boundary = Boundary(polygon)
    ends, height = ends_of(boundary)
    if boundary.length < 2 * (1 + _LEAST_LENGTH) * height:
        return None
    (before, after), (start, stop) = (_corners(boundary, end, height) for end in ends)
    # One side runs clockwise from the first end to the second, the other one back.
    sides = boundary.part(after, start, _SIDE_SAMPLES), boundary.part(stop, before, _SIDE_SAMPLES)
    columns = _columns(sides[0], sides[1][::-1], POINTS // 2)
    if not _is_band(columns, height):
        return None
    return outline_of(in_reading_direction(columns).astype(np.float32))


def _grown(polygon: Floats, distance: float) -> Floats | None:
    """Return a polygon (K, 2) grown, clockwise; None if it becomes a ring, as its ends meet."""
    offset = pyclipper.PyclipperOffset()
    points = np.round(polygon * _UNIT).astype(np.int64)
    # Mitered joins keep the corners at both ends of the line, which round joins would lose.
    offset.AddPath(points.tolist(), pyclipper.JT_MITER, pyclipper.ET_CLOSEDPOLYGON)
    paths = offset.Execute(_UNIT * distance)
    if len(paths) != 1 or len(paths[0]) < 4:
        return None
    # In pyclipper, positive orientation is clockwise where y points down.
    path = paths[0] if pyclipper.Orientation(paths[0]) else paths[0][::-1]
    return np.array(path, np.float64) / _UNIT


class Boundary:
    """A closed polygon (K, 2), by the distance along it."""

    def __init__(self, polygon: Floats) -> None:
        self._points = np.concatenate([polygon, polygon[:1]])
        steps = np.linalg.norm(np.diff(self._points, axis=0), axis=1)
        self._distances = np.concatenate([[0.0], np.cumsum(steps)])
        self.length = float(self._distances[-1])

    def at(self, distances: npt.ArrayLike) -> Floats:
        """Return the points (..., 2) at distances (...), which may be negative."""
        wrapped = np.mod(np.asarray(distances, np.float64), self.length)
        x, y = (np.interp(wrapped, self._distances, axis) for axis in self._points.T)
        return np.stack([x, y], axis=-1)

    def side_at(self, distance: float) -> int:
        """Return the side at a distance; side i joins the points i and i + 1."""
        index = int(np.searchsorted(self._distances, distance % self.length, side="right"))
        return min(index, len(self._points) - 1) - 1

    def part(self, start: float, end: float, count: int) -> Floats:
        """Return evenly spaced points (count, 2) from one distance on to another."""
        return self.at(np.linspace(start, start + (end - start) % self.length, count))


def ends_of(boundary: Boundary) -> tuple[tuple[float, float], float]:
    """Return the distances along the boundary of both ends, and the height of the line."""
    samples = boundary.at(np.arange(_SAMPLES) * (boundary.length / _SAMPLES))
    first, second = np.triu_indices(_SAMPLES, k=_SAMPLES // 16)
    near = first + _SAMPLES - second < _SAMPLES // 16
    first, second = first[~near], second[~near]
    # Shares of both sides from the first end on, one clockwise and the other counterclockwise.
    shares = (np.arange(_PAIRS) + 0.5) / _PAIRS
    ahead = first[:, None] + shares * (second - first)[:, None]  # (pairs of ends, _PAIRS)
    back = first[:, None] - shares * (first + _SAMPLES - second)[:, None]
    one, two = (samples[np.round(index).astype(np.intp) % _SAMPLES] for index in (ahead, back))
    squares = ((one - two) ** 2).sum(-1).mean(-1)
    best = int(squares.argmin())
    unit = boundary.length / _SAMPLES
    return (first[best] * unit, second[best] * unit), math.sqrt(float(squares[best]))


def _corners(boundary: Boundary, end: float, height: float) -> tuple[float, float]:
    """Return the distances of both corners at one end: before it, and after it.

    The boundary should turn sharply at both; they should be one height apart, directly and along
    the boundary.
    """
    window = 0.4 * height

    def turn(places: Floats) -> Floats:
        points = boundary.at(places)
        came, goes = points - boundary.at(places - window), boundary.at(places + window) - points
        cross = came[..., 0] * goes[..., 1] - came[..., 1] * goes[..., 0]
        return np.asarray(np.arctan2(cross, (came * goes).sum(-1)))  # positive if clockwise

    # The end is moved along the boundary, and widened: (moves, widths) each.
    moves = np.arange(-20, 21)[:, None] * (height / 16)
    widths = np.arange(5, 15) * (height / 16)
    before, after = end + moves - widths, end + moves + widths
    direct = np.linalg.norm(boundary.at(before) - boundary.at(after), axis=-1)
    off = np.abs(direct / height - 1) + np.abs(2 * widths / height - 1)
    score = turn(before) + turn(after) - off - _STAY * np.abs(moves) / height
    best = np.unravel_index(int(score.argmax()), score.shape)
    return float(before[best]), float(after[best])


def _columns(top: Floats, bottom: Floats, count: int) -> Columns:
    """Return columns (count, 2, 2) between two sides (S, 2) that run in the same direction.

    The first and the last column join the ends of the sides; the others are perpendicular to the
    center line.
    """
    shares = np.linspace(0, len(top) - 1, count).round().astype(np.intp)
    chosen = [shares, shares]
    for _ in range(2):  # the first center line is that of columns that may lean
        columns = np.stack([top[chosen[0]], bottom[chosen[1]]], axis=1)
        middles, distances = center_line(columns)
        even = np.linspace(0, distances[-1], count)
        places = np.stack([np.interp(even, distances, axis) for axis in middles.T], axis=1)
        tangents = np.gradient(places, axis=0)
        chosen = [_across(side, places, tangents) for side in (top, bottom)]
    return np.stack([top[chosen[0]], bottom[chosen[1]]], axis=1)


def _across(side: Floats, places: Floats, tangents: Floats) -> npt.NDArray[np.intp]:
    """Return the index of the point of a side (S, 2) that is perpendicular to each place (C, 2).

    Indices ascend, from 0 to S - 1. Only points at a similar share of the side are compared: the
    perpendicular of a closed arc also meets its other end.
    """
    count, last = len(places), len(side) - 1
    away = side[None] - places[:, None]  # (C, S, 2)
    along = np.abs((away * tangents[:, None]).sum(-1))
    along /= np.maximum(np.linalg.norm(tangents, axis=1), 1e-9)[:, None]
    share = np.arange(len(side)) / last - (np.arange(count) / (count - 1))[:, None]
    along[np.abs(share) > 0.25] = np.inf
    chosen = np.maximum.accumulate(along.argmin(1))
    chosen[0], chosen[-1] = 0, last
    return chosen


def _is_band(columns: Columns, height: float) -> bool:
    """Whether columns are those of a curved line: of similar heights, long, and bent enough."""
    middles, distances = center_line(columns)
    heights = np.linalg.norm(columns[:, 1] - columns[:, 0], axis=1)
    if distances[-1] < _LEAST_LENGTH * height or not (
        0.3 * height < heights.min() and heights.max() < 2 * height
    ):
        return False
    return _bend(middles) >= _LEAST_BEND * height


def _rough_center_line(polygon: Floats) -> Floats:
    """Return the middles (16, 2) between both sides of a polygon (K, 2), along its longer axis."""
    count = POINTS // 2
    points = Boundary(polygon).part(0, -1e-6, _SIDE_SAMPLES)  # once around
    centered = points - points.mean(0)
    along, across = (centered @ np.linalg.svd(centered, full_matrices=False)[2].T).T
    # The lowest and the highest point in each of ``count`` equal parts of the axis.
    places = np.interp(along, (along.min(), along.max()), (0, count - 0.01)).astype(np.intp)
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, places, across)
    np.maximum.at(high, places, across)
    seen = np.isfinite(low)
    middles = np.interp(np.arange(count), np.flatnonzero(seen), (low + high)[seen] / 2)
    return np.stack([np.linspace(along.min(), along.max(), count), middles], axis=1)


def _bend(middles: Floats) -> float:
    """Return how far a center line (M, 2) leaves the straight line that fits it best, in pixels.

    It is the range of the smoothed distances from that line, without the ends of the center line,
    where a corner of the outline may be wrong.
    """
    inner = middles[_NOISY_ENDS:-_NOISY_ENDS]
    inner = inner - inner.mean(0)
    # The second singular vector is perpendicular to the line of least squares.
    across = inner @ np.linalg.svd(inner, full_matrices=False)[2][1]
    smooth = np.convolve(across, np.full(_SMOOTH, 1 / _SMOOTH), "valid")
    return float(np.ptp(smooth))


def in_reading_direction(columns: Columns) -> Columns:
    """Return columns (M, 2, 2) in reading order: to the right, or down if the line is high."""
    across, down = columns[-1].mean(0) - columns[0].mean(0)
    runs_back = down < 0 if abs(down) > 1.5 * abs(across) else across < 0
    # From the other end, the top is the bottom.
    return columns[::-1, ::-1] if runs_back else columns
