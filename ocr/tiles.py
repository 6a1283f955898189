"""Large images in overlapping tiles, and one probability map from the tiles' maps.

A convolutional detector knows less near the edges of its input, and nothing of what lies beyond.
So tiles overlap, and where they do the maps are blended: weights fall linearly toward a tile's
edges and add up to one in every pixel. A word across a seam is one region of the merged map.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .types import Image, Map


@dataclass(frozen=True, kw_only=True)
class TileGrid:
    """Where tiles lie: each of ``tops`` with each of ``lefts``, ``height`` x ``width`` pixels.

    The last tiles may reach over the image's end.
    """

    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    height: int
    width: int

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    def corners(self) -> Iterator[tuple[int, int]]:
        """Yield the (top, left) of each tile, row by row."""
        return ((top, left) for top in self.tops for left in self.lefts)

    def cut(self, image: Image, corner: tuple[int, int]) -> Image:
        """Return the part of an image (H, W, 3) under one tile; a view, smaller at the ends."""
        top, left = corner
        return image[top : top + self.height, left : left + self.width]


def tile_starts(length: int, size: int, overlap: int, step: int) -> tuple[int, ...]:
    """Spread tiles of ``size`` pixels evenly over ``length``; neighbors share ``overlap`` or more.

    Starts are multiples of ``step``: tiles whose grids of pooling windows coincide give the same
    numbers away from their edges, and maps of ``1 / step`` of the size fall on whole pixels. So the
    overlap can be up to ``step`` pixels smaller than asked.
    """
    if length <= size:
        return (0,)
    last = step * math.ceil((length - size) / step)
    count = 1 + math.ceil(last / (size - overlap))
    return tuple(step * round(last * i / (count - 1) / step) for i in range(count))


def tile_grid(image: tuple[int, int], tile: tuple[int, int], overlap: float, step: int) -> TileGrid:
    """Lay tiles over an image; both sizes are (height, width), ``overlap`` a share of a tile."""
    tops, lefts = (
        tile_starts(length, size, round(overlap * size), step)
        for length, size in zip(image, tile, strict=True)
    )
    return TileGrid(tops=tops, lefts=lefts, height=tile[0], width=tile[1])


def blend_weights(starts: tuple[int, ...], size: int) -> Map:
    """Return weights (K, size) of K tiles along one axis, which add up to one in every pixel.

    Before that they are the distance from the tile's nearer edge.
    """
    ramp = np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5
    total = np.zeros(starts[-1] + size)
    for start in starts:
        total[start : start + size] += ramp
    return np.stack([ramp / total[start : start + size] for start in starts]).astype(np.float32)


class MergedMap:
    """One probability map from the maps of tiles, added tile by tile.

    ``stride`` is the side in pixels of one map pixel. Takes four bytes for each map pixel.
    """

    def __init__(self, grid: TileGrid, size: tuple[int, int], stride: int) -> None:
        self._grid, self._stride = grid, stride
        rows, columns = (math.ceil(side / stride) for side in size)
        self._map = np.zeros((rows, columns), np.float32)
        axes = ((grid.tops, grid.height), (grid.lefts, grid.width))
        self._rows, self._columns = (
            dict(zip(starts, blend_weights(_strided(starts, stride), size // stride), strict=True))
            for starts, size in axes
        )

    def add(self, corner: tuple[int, int], probability: Map) -> None:
        """Blend in the map (h, w) of the tile at ``corner`` (top, left)."""
        top, left = (place // self._stride for place in corner)
        weighted = probability * self._rows[corner[0]][:, None] * self._columns[corner[1]]
        under = self._map[top : top + len(weighted), left : left + weighted.shape[1]]
        under += weighted[: under.shape[0], : under.shape[1]]

    @property
    def map(self) -> Map:
        """The map (rows, columns) so far; complete once every tile was added."""
        return self._map


def _strided(starts: tuple[int, ...], stride: int) -> tuple[int, ...]:
    return tuple(start // stride for start in starts)
