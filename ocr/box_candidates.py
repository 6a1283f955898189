"""Turn the text regions that the op BoxCandidates finds on the GPU into boxes.

This is the part of :func:`boxes.boxes_from_map` that the host does if the map stays on the GPU. A
region is given by the first and the last column of each of its rows. These pixels have the same
convex hull as the whole region, and therefore the same rectangle of least area around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..spec import BoxSettings
from .boxes import best_boxes, grown_box
from .types import Quads, ScoredQuads


@dataclass(frozen=True, kw_only=True)
class BoxCandidates:
    """The text regions of one map with holes filled, ordered by their first pixels row by row.

    Attributes:
        count: the number of regions; only the first K of them are described below.
        means: (K,) float32, the mean probability inside each.
        rows: (K, 2) int32, the first and the last row of each, both inclusive.
        extents: (R, 2) int32, the first and the last column in each row, both inclusive, one
            region after the other; R is the sum of their rows.
    """

    count: int
    means: npt.NDArray[np.float32]
    rows: npt.NDArray[np.int32]
    extents: npt.NDArray[np.int32]

    @property
    def missing(self) -> int:
        """The number of regions that did not fit into the outputs; above 0, boxes are missing."""
        return self.count - len(self.means)


def has_plain_regions(settings: BoxSettings) -> bool:
    """Whether :func:`boxes_from_candidates` can return the boxes of these settings.

    The op does not dilate the mask, does not compute the mean probability of a rectangle, and
    returns the first regions in the order of rows, not the largest.
    """
    options = (settings.dilate, settings.score_mode, settings.max_candidates)
    return options == (False, "slow", None)


def candidates_from_outputs(outputs: Sequence[npt.NDArray]) -> list[BoxCandidates]:
    """Return each map's regions from the op's outputs: count, areas, means, rows, extents."""
    candidates = []
    # The outputs have a fixed size; unused regions have area 0 and come last.
    for count, areas, means, rows, extents in zip(*outputs, strict=True):
        kept = int(np.count_nonzero(areas))
        used = int((rows[:kept, 1] - rows[:kept, 0] + 1).sum())
        candidates.append(
            BoxCandidates(
                count=int(count), means=means[:kept], rows=rows[:kept], extents=extents[:used]
            )
        )
    return candidates


def boxes_from_candidates(
    candidates: BoxCandidates, size: tuple[int, int], settings: BoxSettings
) -> ScoredQuads:
    """Score regions and find their rotated rectangles, grown back.

    The quads are the same as from :func:`boxes.boxes_from_map`. The scores differ by rounding: the
    device rounds each probability to a multiple of 2**-24.

    Args:
        candidates: regions found with ``settings.threshold``; some may be missing.
        size: (H, W) of the map.
        settings: limits for which :func:`has_plain_regions` is true.

    Returns:
        quads (K, 4, 2) in the map's pixels, clipped to it, and scores (K,) in [0, 1], best first.
    """
    boxes: list[tuple[float, Quads]] = []
    end = len(candidates.extents)
    # From last to first, the order of findContours: boxes with equal scores keep the same order.
    for mean, (first, last) in zip(candidates.means[::-1], candidates.rows[::-1], strict=True):
        columns = candidates.extents[end - (last - first + 1) : end]
        end -= len(columns)  # also for regions that are skipped below
        if mean < settings.box_threshold:
            continue
        lines = np.arange(first, last + 1, dtype=np.int32)
        # (rows, 2) columns and (rows, 2) rows become (2 * rows, 1, 2) points (x, y).
        points = np.stack([columns, np.stack([lines, lines], axis=1)], axis=2).reshape(-1, 1, 2)
        box = grown_box(points, settings)
        if box is not None:
            boxes.append((float(mean), box))
    return best_boxes(boxes, size, settings)
