"""Put boxes into reading order: columns from left to right, lines from top to bottom.

First the page is rotated by the median slope of its boxes, so that lines are level. From the top,
consecutive lines that leave the same vertical gutter free are grouped. If both sides of the gutter
look like running text, they are columns, and the left one is read before the right one. Otherwise
the lines are read across the gutter, which keeps the items and prices of a receipt together. A
title across both columns ends a group and starts the next one. The idea of cutting at white gaps is
from Nagy and Seth (1984, XY-cut).

Limits: text must run to the right, and the page must be rotated by less than 45 degrees. Boxes of
vertical text are read from left to right, although Chinese and Japanese run from right to left. A
table with wide cells is read by columns, not by rows. Adjacent columns with different slopes are
not separated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .types import Quads

_GUTTER = 1.0
"""Least width between columns, in heights of a line."""
_COLUMN_WIDTH = 6.0
"""Least width of the median line of a column, in heights of a line."""
_COLUMN_LINES = 3
"""Least number of lines in a column."""
_MARGIN_HEIGHT, _MARGIN_SHAPE = 2.5, 1.5
"""Rotated text in the margin is higher than this many lines, and than this multiple of its width.
"""

Gap = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class _Boxes:
    """Boxes of a level page: centers (K, 2), heights, slopes (K,), upright bounds (K, 2)."""

    centers: npt.NDArray[np.float32]
    heights: npt.NDArray[np.float32]
    slopes: npt.NDArray[np.float32]
    low: npt.NDArray[np.float32]
    high: npt.NDArray[np.float32]
    line_height: float


def reading_order(quads: Quads) -> npt.NDArray[np.int64]:
    """Return the indices (K,) of boxes (K, 4, 2) in reading order.

    A box belongs to a line if its center is less than half its height away from the center of the
    line's last box, along that box's slope. Rotated text in the margin comes last.
    """
    if not len(quads):
        return np.zeros(0, np.int64)
    level = _levelled(quads)
    heights, widths = _sides(level, 0, 3), _sides(level, 0, 1)
    line_height = float(np.median(heights))
    boxes = _Boxes(
        centers=level.mean(1),
        heights=heights,
        slopes=_slopes(level),
        low=level.min(1),
        high=level.max(1),
        line_height=line_height,
    )
    in_margin = (heights > _MARGIN_HEIGHT * line_height) & (heights > _MARGIN_SHAPE * widths)
    order = _in_order(boxes, np.flatnonzero(~in_margin).tolist())
    order += sorted(np.flatnonzero(in_margin).tolist(), key=lambda index: float(level[index, 0, 0]))
    return np.array(order, np.int64)


def _sides(quads: Quads, start: int, end: int) -> npt.NDArray[np.float32]:
    """Return the mean length (K,) of the side between two corners and of the opposite side."""
    near = np.linalg.norm(quads[:, end] - quads[:, start], axis=1)
    far = np.linalg.norm(quads[:, (end + 2) % 4] - quads[:, (start + 2) % 4], axis=1)
    return np.asarray((near + far) / 2, np.float32)


def _slopes(quads: Quads) -> npt.NDArray[np.float32]:
    # The sum of the upper and the lower side, from left to right: (K, 2).
    across = (quads[:, 1] - quads[:, 0]) + (quads[:, 2] - quads[:, 3])
    # A box without width must not divide by zero.
    slopes = across[:, 1] / np.maximum(np.abs(across[:, 0]), 1e-3)
    return np.asarray(slopes, np.float32)


def _levelled(quads: Quads) -> Quads:
    """Rotate the page about its corner by the median slope of boxes that are wider than high."""
    wide = _sides(quads, 0, 1) > _sides(quads, 0, 3)
    if not wide.any():
        return quads
    angle = np.arctan(np.clip(np.median(_slopes(quads[wide])), -1, 1))
    sine, cosine = np.sin(angle), np.cos(angle)
    # (K, 4, 2) @ (2, 2): every corner as a row vector.
    return np.asarray(quads @ np.array([[cosine, -sine], [sine, cosine]]), np.float32)


def _in_order(boxes: _Boxes, members: Sequence[int]) -> list[int]:
    order: list[int] = []
    for run, gutter in _runs(boxes, members):
        sides = _columns(boxes, run, gutter)
        # A column may contain columns; it is smaller than the run, so the recursion ends.
        for side in sides:
            order += _in_order(boxes, side)
        if not sides:
            order += [index for line in _lines(boxes, run) for index in line]
    return order


def _runs(boxes: _Boxes, members: Sequence[int]) -> Iterator[tuple[list[int], Gap]]:
    """Yield groups of boxes from the top down, and the widest gutter of each."""
    run: list[int] = []
    free: list[Gap] = []
    least = _GUTTER * boxes.line_height
    for band in _bands(boxes, members):
        gaps = _gaps(boxes, band)
        shared = _shared(free, gaps, least) if run else gaps
        # The margins are infinite gaps and always shared; only a finite gap is a gutter.
        if run and not any(np.isfinite(gap).all() for gap in shared):
            yield run, _widest(free)
            run, shared = [], gaps
        run, free = run + band, shared
    if run:
        yield run, _widest(free)


def _bands(boxes: _Boxes, members: Sequence[int]) -> list[list[int]]:
    """Group boxes whose vertical extents touch, from the top down."""
    bands: list[list[int]] = []
    end = -np.inf
    for index in sorted(members, key=lambda index: float(boxes.low[index, 1])):
        if not bands or boxes.low[index, 1] >= end:
            bands.append([])
        bands[-1].append(index)
        end = max(end, float(boxes.high[index, 1]))
    return bands


def _gaps(boxes: _Boxes, band: Sequence[int]) -> list[Gap]:
    """Return the gaps of a band from left to right, with the infinite margins."""
    gaps: list[Gap] = []
    end = -np.inf
    for index in sorted(band, key=lambda index: float(boxes.low[index, 0])):
        if boxes.low[index, 0] > end:
            gaps.append((end, float(boxes.low[index, 0])))
        end = max(end, float(boxes.high[index, 0]))
    return [*gaps, (end, np.inf)]


def _shared(first: Sequence[Gap], second: Sequence[Gap], least: float) -> list[Gap]:
    # The intersection of each pair, if it is wide enough.
    both = ((max(a[0], b[0]), min(a[1], b[1])) for a in first for b in second)
    return [gap for gap in both if gap[1] - gap[0] >= least]


def _widest(gaps: Sequence[Gap]) -> Gap:
    inner = [gap for gap in gaps if np.isfinite(gap).all()]
    return max(inner, key=lambda gap: gap[1] - gap[0], default=(0.0, 0.0))


def _columns(boxes: _Boxes, run: Sequence[int], gutter: Gap) -> list[list[int]]:
    """Split a run at its gutter if both sides are columns of running text; else return []."""
    if gutter[1] - gutter[0] < _GUTTER * boxes.line_height:
        return []
    left = [index for index in run if boxes.centers[index, 0] < gutter[0]]
    right = [index for index in run if boxes.centers[index, 0] > gutter[1]]
    if not (_is_text(boxes, left) and _is_text(boxes, right)):
        return []
    tops, ends = zip(
        *((boxes.low[side, 1].min(), boxes.high[side, 1].max()) for side in (left, right)),
        strict=True,
    )
    # Columns are side by side: they overlap by more than half the height of the shorter one.
    shorter = min(ends[0] - tops[0], ends[1] - tops[1])
    return [left, right] if min(ends) - max(tops) > shorter / 2 else []


def _is_text(boxes: _Boxes, side: Sequence[int]) -> bool:
    lines = _lines(boxes, side)
    if len(lines) < _COLUMN_LINES:
        return False
    widths = [boxes.high[line, 0].max() - boxes.low[line, 0].min() for line in lines]
    return bool(np.median(widths) >= _COLUMN_WIDTH * boxes.line_height)


def _lines(boxes: _Boxes, members: Sequence[int]) -> list[list[int]]:
    """Group boxes into lines from the top down, the boxes of each from the left."""
    lines: list[list[int]] = []
    for index in sorted(members, key=lambda index: float(boxes.centers[index, 0])):
        line = _line_of(index, lines, boxes)
        if line is None:
            lines.append([index])
        else:
            line.append(index)
    return sorted(lines, key=lambda line: float(boxes.centers[line, 1].mean()))


def _line_of(index: int, lines: Sequence[list[int]], boxes: _Boxes) -> list[int] | None:
    best, nearest = None, np.inf
    for line in lines:
        last = line[-1]
        distance = boxes.centers[index, 0] - boxes.centers[last, 0]
        # Continue the line along the slope of its last box, limited to 45 degrees.
        expected = boxes.centers[last, 1] + distance * np.clip(boxes.slopes[last], -1, 1)
        off = abs(float(boxes.centers[index, 1] - expected))
        if off < 0.5 * min(boxes.heights[index], boxes.heights[last]) and off < nearest:
            best, nearest = line, off
    return best
