"""Merge the boxes that were found in one image at two scales."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .crop import quad_size
from .types import Quads, ScoredQuads

_MOSTLY = 0.5
"""Share of a box that other boxes must cover for it to count as covered."""


def covered_share(quads: Quads, by: Quads) -> npt.NDArray[np.float64]:
    """Return the share of each box (K, 4, 2) that the boxes ``by`` (L, 4, 2) cover together: (K,).

    An area that two of them cover counts twice. A box without area counts as covered.
    """
    import shapely

    if not len(quads) or not len(by):
        return np.zeros(len(quads))
    # Clipping to the image can make the sides of a box cross; its hull is a valid polygon.
    mine, theirs = (
        shapely.convex_hull(shapely.polygons(boxes.astype(np.float64))) for boxes in (quads, by)
    )
    # Pairs that intersect, from a spatial index: indices of ``quads``, and of ``by``.
    first, second = shapely.STRtree(theirs).query(mine, predicate="intersects")
    shared = shapely.area(shapely.intersection(mine[first], theirs[second]))
    areas = shapely.area(mine)
    # The shared areas added up for each box.
    sums = np.bincount(first, shared, len(quads))
    return np.divide(sums, areas, out=np.ones(len(quads)), where=areas > 0)


def merge_boxes(fine: ScoredQuads, coarse: ScoredQuads, thinnest: float) -> ScoredQuads:
    """Return the boxes of the finer scale and those of the coarser scale that it missed.

    A coarse box is dropped if it is thinner than ``thinnest`` pixels, or if finer boxes cover half
    of it: the finer scale detects the same text more exactly. If they cover less than half, they
    are pieces of text that is too large for the finer scale: those whose area is at least half
    inside the coarse box are dropped.

    Args:
        fine: quads (K, 4, 2) and scores (K,).
        coarse: quads (L, 4, 2) in the same pixels, and scores (L,).
        thinnest: limit of the shorter side length of a box, in pixels.
    """
    sides = np.array([min(quad_size(quad)) for quad in coarse[0]])
    new = (sides >= thinnest) & (covered_share(coarse[0], fine[0]) < _MOSTLY)
    quads, scores = coarse[0][new], coarse[1][new]
    remaining = covered_share(fine[0], quads) < _MOSTLY
    return np.concatenate([fine[0][remaining], quads]), np.concatenate([fine[1][remaining], scores])
