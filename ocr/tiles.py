"""Cut large images into overlapping tiles, and merge the tiles' probability maps.

A convolutional detector lacks context near the edges of its input. Therefore tiles overlap, and
their maps are blended there: weights fall linearly toward the edges of a tile and add up to one in
every pixel. A word across a seam is one region of the merged map.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .types import Image, Map


@dataclass(frozen=True, kw_only=True)
class TileGrid:
    """Positions of tiles: each of ``tops`` with each of ``lefts``, ``height`` x ``width`` pixels.

    The last tiles may extend beyond the image.
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
        """Return a view of an image (H, W, 3) in one tile; smaller where the image ends."""
        top, left = corner
        return image[top : top + self.height, left : left + self.width]


def tile_starts(length: int, size: int, overlap: int, step: int) -> tuple[int, ...]:
    """Spread tiles of ``size`` pixels evenly over ``length``; neighbors share ``overlap`` pixels.

    Starts are multiples of ``step``. Then the pooling windows of neighboring tiles coincide, which
    gives equal values away from the edges, and maps of ``1 / step`` of the size start at whole
    pixels. As a result, the overlap can be up to ``step`` pixels smaller than requested.
    """
    if length <= size:
        return (0,)
    # The last tile must reach the end, and starts at a multiple of the step.
    last = step * math.ceil((length - size) / step)
    # As many tiles as the overlap requires, spread evenly.
    count = 1 + math.ceil(last / (size - overlap))
    return tuple(step * round(last * i / (count - 1) / step) for i in range(count))


def tile_grid(image: tuple[int, int], tile: tuple[int, int], overlap: float, step: int) -> TileGrid:
    """Cover an image with tiles; sizes are (height, width), ``overlap`` is a share of a tile."""
    tops, lefts = (
        tile_starts(length, size, round(overlap * size), step)
        for length, size in zip(image, tile, strict=True)
    )
    return TileGrid(tops=tops, lefts=lefts, height=tile[0], width=tile[1])


def blend_weights(starts: Sequence[int], size: int) -> Map:
    """Return weights (K, size) of K tiles along one axis; they add up to one in every pixel.

    Before normalization, a weight is the distance from the nearer edge of the tile.
    """
    ramp = np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5
    total = np.zeros(starts[-1] + size)
    for start in starts:
        total[start : start + size] += ramp
    return np.stack([ramp / total[start : start + size] for start in starts]).astype(np.float32)


class MergedMap:
    """Maps that tiles are added to, one by one.

    ``maps`` (M, rows, columns) are complete after every tile was added; each of their pixels
    requires four bytes. ``stride``: the side in pixels of one map pixel; ``count``: M.
    """

    def __init__(self, grid: TileGrid, size: tuple[int, int], stride: int, count: int = 1) -> None:
        self._stride = stride
        rows, columns = (math.ceil(side / stride) for side in size)
        self.maps = np.zeros((count, rows, columns), np.float32)

        def weights(starts: Sequence[int], size: int) -> dict[int, Map]:
            blended = blend_weights([start // stride for start in starts], size // stride)
            return dict(zip(starts, blended, strict=True))

        # By the start of the tile in pixels: (h,) for rows and (w,) for columns of its map.
        self._rows = weights(grid.tops, grid.height)
        self._columns = weights(grid.lefts, grid.width)

    def add(self, corner: tuple[int, int], maps: npt.NDArray[np.float32]) -> None:
        """Add the maps (M, h, w) of the tile at ``corner`` (top, left), weighted."""
        top, left = (place // self._stride for place in corner)
        # (M, h, w) * (h, 1) * (w,)
        weighted = maps * self._rows[corner[0]][:, None] * self._columns[corner[1]]
        height, width = weighted.shape[1:]
        under = self.maps[:, top : top + height, left : left + width]
        # The last tiles extend beyond the map: only their upper left part is added.
        under += weighted[:, : under.shape[1], : under.shape[2]]
