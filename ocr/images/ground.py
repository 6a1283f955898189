"""The ground for an image with transparency: a gray that contrasts with what is drawn on it.

Letters on transparency may have any color. On a white ground, white letters would disappear.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import numpy.typing as npt

from ..types import Image

_ALPHA_BINS = 16
_NEIGHBORS = np.ones((5, 5), np.uint8)
"""A pixel within two pixels of a much more transparent one is on an edge."""
_ENOUGH = 96
"""Difference in brightness, of 255, at which letters are readable."""
_SMOOTH_SHARE, _HARD_SHARE = 0.03, 0.3
"""Share of the edge pixels that may contrast less with the ground.

If alpha is smooth, edge pixels have the colors of the letters. If it is 0 or 255 only, letters were
smoothed against the former ground, so many edge pixels are similar to it.
"""
_WHITE, _BLACK = 255, 0


def ground_for(strips: Iterable[tuple[Image, Image]]) -> int | None:
    """Return the gray, 0..255, on which an image is readable; None if its alpha is meaningless.

    White if the pixels next to transparent ones contrast with it, else black if they contrast with
    that, else the gray that contrasts most. Alpha is meaningless if it hides every pixel.

    Args:
        strips: parts of the image: colors (h, w, 3) and alpha (h, w), both uint8.
    """
    # By the alpha of a pixel, 16 bins, and its brightness.
    edges = np.zeros((_ALPHA_BINS, 256), np.int64)
    visible = False
    for colors, alpha in strips:
        visible = visible or bool(alpha.any())
        least = cv2.erode(alpha, _NEIGHBORS)
        on_edge = least < alpha // 2
        gray = cv2.cvtColor(colors, cv2.COLOR_RGB2GRAY)[on_edge]
        cell = (alpha[on_edge] // (256 // _ALPHA_BINS)).astype(np.int64) * 256 + gray
        edges += np.bincount(cell, minlength=edges.size).reshape(edges.shape)
    if not visible:
        return None
    return _contrasting(*_solid(edges))


def _solid(edges: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], float]:
    """Return the histogram (256,) of the most opaque edge pixels, and the share to ignore.

    The others are the smooth outlines of letters, whose color may be that of the former ground.
    """
    by_alpha = edges.sum(axis=1)
    used = np.flatnonzero(by_alpha)
    if not used.size:
        return edges[0], 0.0
    is_smooth = by_alpha[:-1].sum() > 0.05 * by_alpha.sum()
    return edges[used[-1] // 2 :].sum(axis=0), _SMOOTH_SHARE if is_smooth else _HARD_SHARE


def _contrasting(histogram: npt.NDArray[np.int64], share: float) -> int:
    grays = (*range(0, 256, 16), _WHITE)
    contrast = {gray: _contrast(histogram, gray, share) for gray in grays}
    for gray in (_WHITE, _BLACK):
        if contrast[gray] >= _ENOUGH:
            return gray
    # White wins a tie: most letters are dark.
    return max(contrast, key=lambda gray: (contrast[gray], gray))


def _contrast(histogram: npt.NDArray[np.int64], ground: int, share: float) -> int:
    """Return the difference in brightness to the ground that all but a share of pixels exceed."""
    total = int(histogram.sum())
    if not total:
        return 255
    differences = np.bincount(np.abs(np.arange(256) - ground), weights=histogram, minlength=256)
    return int(np.searchsorted(differences.cumsum(), share * total, side="right"))
