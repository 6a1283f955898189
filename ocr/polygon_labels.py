"""Divide the polygons of labels into the top and the bottom of their text."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .curved_text import Boundary, ends_of, in_reading_direction
from .outlines import Columns, outline_of
from .types import Outlines

_SIMILAR = 1.5
"""The columns of a label may be longer than those of the best division by this factor."""

Floats = npt.NDArray[np.float64]


def outline_of_polygon(polygon: Floats, *, is_clockwise: bool) -> Outlines:
    """Return an outline (P, 2) of the same area as the polygon (K, 2) of a label.

    Labels of curved text usually list the points along the top, then as many along the bottom. If
    the halves of this polygon are no such sides, or their numbers differ, the polygon is divided
    where a band of text would end, and points are added on its sides.

    Args:
        polygon: in order; the first point should be the top left one of the text.
        is_clockwise: otherwise, the text is assumed to run to the right.
    """
    points = polygon if is_clockwise else polygon[::-1]
    boundary = Boundary(points)
    if boundary.length == 0:  # all points are equal
        return np.repeat(points[:1], 4, axis=0).astype(np.float32)
    ends, height = ends_of(boundary)
    half = len(points) // 2
    columns: Columns = np.stack([points[:half], points[-half:][::-1]], axis=1)
    lengths = np.linalg.norm(columns[:, 1] - columns[:, 0], axis=1)
    if len(points) % 2 or np.sqrt((lengths**2).mean()) > _SIMILAR * height:
        columns = _divided(points, [boundary.side_at(end) for end in ends])
        begins_at_end = (columns[-1, 1] == points[0]).all()
        if begins_at_end:  # text that runs to the left: from there, the top is the bottom
            columns = columns[::-1, ::-1]
        elif (columns[0, 0] != points[0]).any():  # the first point is no corner of the text
            columns = in_reading_direction(columns)
    if not is_clockwise:
        columns = in_reading_direction(columns)
    return outline_of(columns.astype(np.float32))


def _divided(points: Floats, sides: list[int]) -> Columns:
    """Return columns (M, 2, 2) of a polygon (K, 2) whose text ends at two of its sides.

    Side i joins the points i and i + 1.
    """
    first, second = sides
    if first == second:  # of a polygon such as a thin triangle
        second = (first + len(points) // 2) % len(points)
    # Clockwise from the first end to the second one, and from there back.
    one = np.roll(points, -first - 1, axis=0)[: (second - first) % len(points)]
    two = np.roll(points, -second - 1, axis=0)[: (first - second) % len(points)]
    count = max(len(one), len(two), 2)
    return np.stack([_with_points(one, count), _with_points(two, count)[::-1]], axis=1)


def _with_points(line: Floats, count: int) -> Floats:
    """Return a line (K, 2) with ``count`` points or more, divided in the middle of its longest
    parts.
    """
    while len(line) < count:
        if len(line) == 1:
            return np.repeat(line, count, axis=0)
        longest = int(np.linalg.norm(np.diff(line, axis=0), axis=1).argmax())
        line = np.insert(line, longest + 1, line[longest : longest + 2].mean(0), axis=0)
    return line
