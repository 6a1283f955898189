"""Merge the boxes that were found in one image at two scales."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .crop import quad_size
from .outlines import is_curved
from .types import Outlines, ScoredBoxes

_MOSTLY = 0.5
"""Share of a box that other boxes must cover for it to count as covered."""


def covered_share(boxes: Outlines, by: Outlines) -> npt.NDArray[np.float64]:
    """Return the share of each box (K, P, 2) that the boxes ``by`` (L, P, 2) cover together: (K,).

    An area that two of them cover counts twice. A box without area counts as covered.
    """
    import shapely

    if not len(boxes) or not len(by):
        return np.zeros(len(boxes))
    mine, theirs = _valid_polygons(boxes), _valid_polygons(by)
    # Pairs that intersect, from a spatial index: indices of ``boxes``, and of ``by``.
    first, second = shapely.STRtree(theirs).query(mine, predicate="intersects")
    shared = shapely.area(shapely.intersection(mine[first], theirs[second]))
    areas = shapely.area(mine)
    # The shared areas added up for each box.
    sums = np.bincount(first, shared, len(boxes))
    return np.divide(sums, areas, out=np.ones(len(boxes)), where=areas > 0)


def _valid_polygons(boxes: Outlines) -> npt.NDArray[np.object_]:
    """Return shapely's polygons (K,) of boxes (K, P, 2)."""
    import shapely

    polygons = shapely.polygons(boxes.astype(np.float64))
    # Clipping to the image can make the sides of a box cross; its hull is a valid polygon.
    hulls = shapely.convex_hull(polygons)
    if boxes.shape[1] == 4:
        return np.asarray(hulls)
    curved = np.array([is_curved(box) for box in boxes])
    return np.where(curved, shapely.buffer(polygons, 0), hulls)


def merge_boxes(fine: ScoredBoxes, coarse: ScoredBoxes, thinnest: float) -> ScoredBoxes:
    """Return the boxes of the finer scale and those of the coarser scale that it missed.

    A coarse box is dropped if it is thinner than ``thinnest`` pixels, or if finer boxes cover half
    of it: the finer scale detects the same text more exactly. If they cover less than half, they
    are pieces of text that is too large for the finer scale: those whose area is at least half
    inside the coarse box are dropped.

    Args:
        fine: boxes (K, P, 2) and scores (K,).
        coarse: boxes (L, P, 2) in the same pixels, and scores (L,).
        thinnest: limit of the shorter side length of a box, in pixels.
    """
    sides = np.array([min(quad_size(quad)) for quad in coarse[0]])
    new = (sides >= thinnest) & (covered_share(coarse[0], fine[0]) < _MOSTLY)
    quads, scores = coarse[0][new], coarse[1][new]
    remaining = covered_share(fine[0], quads) < _MOSTLY
    return np.concatenate([fine[0][remaining], quads]), np.concatenate([fine[1][remaining], scores])
