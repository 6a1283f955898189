"""Boxes of one image that were found at two scales, made one set."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .crop import quad_size
from .types import Quads, ScoredQuads

_MOSTLY = 0.5


def covered_share(quads: Quads, by: Quads) -> npt.NDArray[np.float64]:
    """Return which share of each box (K, 4, 2) the boxes ``by`` (L, 4, 2) cover together: (K,).

    What two of them cover counts twice. A box without area is covered wholly.
    """
    import shapely

    if not len(quads) or not len(by):
        return np.zeros(len(quads))
    # The hull mends corners that cross over, which clipping to an image can bring about.
    mine, theirs = (
        shapely.convex_hull(shapely.polygons(boxes.astype(np.float64))) for boxes in (quads, by)
    )
    first, second = shapely.STRtree(theirs).query(mine, predicate="intersects")
    shared = shapely.area(shapely.intersection(mine[first], theirs[second]))
    areas = shapely.area(mine)
    sums = np.bincount(first, shared, len(quads))
    return np.divide(sums, areas, out=np.ones(len(quads)), where=areas > 0)


def merge_boxes(fine: ScoredQuads, coarse: ScoredQuads, thinnest: float) -> ScoredQuads:
    """Return the boxes of the finer scale, and of the coarser one what the finer one did not see.

    A coarse box is left out if it is thinner than ``thinnest`` pixels, or if finer boxes cover half
    of it: the finer scale sees the same text better. Where they cover less, they are pieces of text
    that was too large for it: those that lie in the coarse box by half of their area go.

    Args:
        fine: quads (K, 4, 2) and scores (K,).
        coarse: quads (L, 4, 2) in the same pixels, and scores (L,).
        thinnest: of the two side lengths of a box the shorter one, in pixels.
    """
    sides = np.array([min(quad_size(quad)) for quad in coarse[0]])
    new = (sides >= thinnest) & (covered_share(coarse[0], fine[0]) < _MOSTLY)
    quads, scores = coarse[0][new], coarse[1][new]
    left = covered_share(fine[0], quads) < _MOSTLY
    return np.concatenate([fine[0][left], quads]), np.concatenate([fine[1][left], scores])
