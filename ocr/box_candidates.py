"""From a map's text regions, as the op BoxCandidates finds them on a device, to boxes.

The host half of :func:`boxes.boxes_from_map` for a map that stays where it was computed. A region
comes as the first and the last column of each of its rows. No pixel of it lies outside them, so
they have its convex hull, and the rectangle of least area around that is the same.
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
    """The text regions of one map, holes filled, by their first pixels in raster order.

    Attributes:
        count: how many there are; of those after the first K nothing is known.
        means: (K,) float32, the mean probability inside each.
        rows: (K, 2) int32, the first and the last row of each, both counted in.
        extents: (R, 2) int32, the first and the last column in each row, both counted in, one
            region after the other; R is the number of all their rows.
    """

    count: int
    means: npt.NDArray[np.float32]
    rows: npt.NDArray[np.int32]
    extents: npt.NDArray[np.int32]

    @property
    def missing(self) -> int:
        """How many regions there was no room for; the boxes are not all there if it is not 0."""
        return self.count - len(self.means)


def candidates_from_outputs(outputs: Sequence[npt.NDArray]) -> list[BoxCandidates]:
    """Return each map's regions from the op's outputs: count, areas, means, rows, extents."""
    found = []
    for count, areas, means, rows, extents in zip(*outputs, strict=True):
        kept = int(np.count_nonzero(areas))
        used = int((rows[:kept, 1] - rows[:kept, 0] + 1).sum())
        found.append(
            BoxCandidates(
                count=int(count), means=means[:kept], rows=rows[:kept], extents=extents[:used]
            )
        )
    return found


def boxes_from_candidates(
    candidates: BoxCandidates, size: tuple[int, int], settings: BoxSettings
) -> ScoredQuads:
    """Score regions and find their rotated rectangles, grown back.

    The scores are those of :func:`boxes.boxes_from_map` but for rounding (a mean of whole 2**-24),
    the quads are the same.

    Args:
        candidates: found with ``settings.threshold``; some may be missing.
        size: (H, W) of the map.
        settings: limits; see :class:`spec.BoxSettings`.

    Returns:
        quads (K, 4, 2) in the map's pixels, clipped to it, and scores (K,) in [0, 1], best first.
    """
    found: list[tuple[float, Quads]] = []
    end = len(candidates.extents)
    # From the last to the first, as findContours has them: of equal scores the same comes first.
    for mean, (first, last) in zip(candidates.means[::-1], candidates.rows[::-1], strict=True):
        columns = candidates.extents[end - (last - first + 1) : end]
        end -= len(columns)
        if mean < settings.box_threshold:
            continue
        lines = np.arange(first, last + 1, dtype=np.int32)
        points = np.stack([columns, np.stack([lines, lines], axis=1)], axis=2).reshape(-1, 1, 2)
        box = grown_box(points, settings)
        if box is not None:
            found.append((float(mean), box))
    return best_boxes(found, size, settings)
