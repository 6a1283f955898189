"""The order in which people read boxes: line by line from the top, each line from the left."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .types import Quads


def reading_order(quads: Quads) -> npt.NDArray[np.int64]:
    """Return the order (K,) of boxes (K, 4, 2).

    A box belongs to a line when its middle lies less than half its height from the middle of the
    line's nearest box to its left.
    """
    if not len(quads):
        return np.zeros(0, np.int64)
    middles = quads.mean(1)
    heights = (
        np.linalg.norm(quads[:, 3] - quads[:, 0], axis=1)
        + np.linalg.norm(quads[:, 2] - quads[:, 1], axis=1)
    ) / 2
    slopes = _slopes(quads)
    lines: list[list[int]] = []
    for index in np.argsort(middles[:, 0], kind="stable"):
        line = _line_of(int(index), lines, middles, heights, slopes)
        if line is None:
            lines.append([int(index)])
        else:
            line.append(int(index))
    lines.sort(key=lambda line: float(middles[line, 1].mean()))
    return np.array([index for line in lines for index in line], np.int64)


def _slopes(quads: Quads) -> npt.NDArray[np.float32]:
    across = (quads[:, 1] - quads[:, 0]) + (quads[:, 2] - quads[:, 3])
    slopes = across[:, 1] / np.maximum(np.abs(across[:, 0]), 1e-3)
    return slopes.astype(np.float32)


def _line_of(
    index: int,
    lines: list[list[int]],
    middles: npt.NDArray[np.float32],
    heights: npt.NDArray[np.float32],
    slopes: npt.NDArray[np.float32],
) -> list[int] | None:
    best, nearest = None, np.inf
    for line in lines:
        last = line[-1]
        run = middles[index, 0] - middles[last, 0]
        expected = middles[last, 1] + run * np.clip(slopes[last], -1, 1)
        off = abs(float(middles[index, 1] - expected))
        if off < 0.5 * min(heights[index], heights[last]) and off < nearest:
            best, nearest = line, off
    return best
