"""Outlines of lines of text: quadrilaterals, and polygons around curved text.

An outline (P, 2) runs clockwise from the text's top left corner: P / 2 points along the top of the
text, then P / 2 points along its bottom, back. Point i of the top and point P - 1 - i are a
*column*: the text begins at the first column and ends at the last one. With P = 4, the outline is a
quadrilateral, and its columns are its left and its right side.

All boxes of a detector have the same P, so that they fit into one array. An outline with fewer
columns repeats its first one: a straight line in such an array has two different columns.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from .types import Outlines, Quads

Columns = npt.NDArray[np.floating[Any]]
"""(M, 2, 2): the top and the bottom (x, y) of M columns, from the beginning of the text on."""


def columns_of(outline: Outlines) -> Columns:
    """Return the columns (M, 2, 2) of an outline (P, 2) without repetitions, at least one."""
    half = len(outline) // 2
    columns = np.stack([outline[:half], outline[half:][::-1]], axis=1)
    changes = (columns[1:] != columns[:-1]).any((1, 2))
    return columns[np.concatenate([[True], changes])]


def outline_of(columns: Columns) -> Outlines:
    """Return the outline (2 M, 2) of columns (M, 2, 2)."""
    return np.concatenate([columns[:, 0], columns[::-1, 1]])


def without_repetitions(outline: Outlines) -> Outlines:
    """Return an outline (P, 2) with each column once, and with 4 points or more."""
    columns = columns_of(outline)
    # Clipping to the image can make all columns equal.
    return outline_of(columns if len(columns) > 1 else np.repeat(columns, 2, axis=0))


def padded(outline: Outlines, points: int) -> Outlines:
    """Return an outline of up to ``points`` points with exactly as many: (points, 2)."""
    columns = columns_of(outline)
    repeated = np.repeat(columns[:1], points // 2 - len(columns), axis=0)
    return outline_of(np.concatenate([repeated, columns]))


def corners_of(outlines: Outlines) -> Quads:
    """Return the corners (..., 4, 2) of outlines (..., P, 2): their first and last columns."""
    half = outlines.shape[-2] // 2
    return outlines[..., [0, half - 1, half, -1], :]


def is_curved(outline: Outlines) -> bool:
    """Whether an outline (P, 2) has more than the two columns of a quadrilateral."""
    return len(outline) > 4 and len(columns_of(outline)) > 2


def center_line(columns: Columns) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the middles (M, 2) of columns, and the distances (M,) along them from the first."""
    middles = columns.astype(np.float64).mean(1)
    steps = np.linalg.norm(np.diff(middles, axis=0), axis=1)
    return middles, np.concatenate([[0.0], np.cumsum(steps)])


def curved_size(outline: Outlines) -> tuple[float, float]:
    """Return the (width, height) in pixels of the text in an outline (P, 2).

    The width is the mean length of top and bottom, the height the mean length of the columns.
    """
    columns = columns_of(outline).astype(np.float64)
    lengths = np.linalg.norm(np.diff(columns, axis=0), axis=2).sum(0)  # of the top, of the bottom
    heights = np.linalg.norm(columns[:, 1] - columns[:, 0], axis=1)
    return float(lengths.mean()), float(heights.mean())


def rectangle_around(outline: Outlines) -> Quads:
    """Return the corners (4, 2) of the rectangle of least area around an outline (P, 2).

    They begin at the corner that is the top left one if the text runs from the first column of the
    outline to the last one.
    """
    # OpenCV returns the corners clockwise, as y points down.
    quad = cv2.boxPoints(cv2.minAreaRect(outline.astype(np.float32)))
    first, *_, last = columns_of(outline).mean(1)
    sides = np.roll(quad, -1, axis=0) - quad
    sides /= np.maximum(np.linalg.norm(sides, axis=1, keepdims=True), 1e-6)
    # The side that points most in the direction of the text is the upper one.
    return np.roll(quad, -int((sides @ (last - first)).argmax()), axis=0)


def level_quads(outlines: Outlines) -> Quads:
    """Return one quadrilateral (4, 2) for each outline (K, P, 2) that has its place in a page.

    For a curved line it is a rectangle with the line's center, chord and text height.
    """
    quads = corners_of(outlines)
    for index, outline in enumerate(outlines):
        if not is_curved(outline):
            continue
        middles, _ = center_line(columns_of(outline))
        chord = middles[-1] - middles[0]
        length = max(float(np.linalg.norm(chord)), 1e-6)
        # ``down`` is the direction of the text turned clockwise by 90 degrees.
        along, down = chord / 2, np.array([-chord[1], chord[0]]) / length
        down *= curved_size(outline)[1] / 2
        center = middles.mean(0)
        sides = (-along - down, along - down, along + down, down - along)
        quads[index] = center + np.stack(sides)
    return quads
