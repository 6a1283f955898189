"""Find text of every size in large images: run the detector at several scales, and in tiles.

A detector is trained for a range of text heights in its input's pixels. If an image is scaled down
to the input, small text is lost; at full size, large text breaks into pieces. Therefore the image
is searched at full size, at half the size, at a quarter .. and as a whole. Tiles of one scale are
merged as probability maps (``ocr.tiles``). Scales are merged as boxes: in merged maps, the blurred
map of the coarser scale would join words that the finer scale separates.
``docs/decisions/0017-large-images.md`` has the figures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from ..common.input_size import InputSize
from ..engines.engine import Engine
from ..ocr.detector import within_image
from ..ocr.detector_maps import Maps, boxes_from_maps, maps_from_output
from ..ocr.detector_size import wanted_scale
from ..ocr.merge import merge_boxes
from ..ocr.preprocess import image_to_tensor, pad_to, resize
from ..ocr.tiles import MergedMap, TileGrid, tile_grid
from ..ocr.types import Image, ScoredBoxes
from ..spec import DetectorSpec
from .clock import Clock, untimed
from .image_search import LARGE_SHRINK, ImageSearch
from .stages import detect_whole, spec_of

MAX_TILES = 256
"""Approximate limit of tiles at the finest scale; larger images are scaled down to it."""
_OVERLAP = 0.1
_STEP = 32
"""Tiles start at multiples of this: networks halve their input up to five times, and 2**5 = 32."""
_THIN_STRIP = 0.1
"""An image whose shorter side would shrink to less than this share of the input is a thin strip."""
_THINNEST = 16.0
"""Boxes of a scale that are thinner than this many pixels are left to the next finer scale."""


def detect_at_scales(
    engine: Engine,
    image: Image,
    *,
    max_shrink: float = LARGE_SHRINK,
    clock: Clock = untimed,
) -> tuple[ScoredBoxes, ImageSearch]:
    """Find text in one RGB image (H, W, 3); return boxes (K, P, 2) and scores (K,), best first.

    The image is searched as a whole in the input that suits it best (``ocr.detector_size``).

    An image that would shrink by more than ``max_shrink`` is also searched in tiles, and so is a
    thin strip that would shrink at all, unless ``max_shrink`` is infinite. That requires
    5 bytes of memory for each pixel of the finest scale (map and mask; CRAFT has two maps, and EAST
    6 or 9 of a 16th of the pixels), and one run of the detector for each tile: 64 runs for 4000 x
    3000 pixels and an input of 640.
    """
    whole = detect_whole(engine, image, clock)
    shrunk, size = min(whole.fit.scales), whole.fit.size
    spec = spec_of(engine, DetectorSpec)
    wanted = min(1.0, wanted_scale((image.shape[0], image.shape[1]), spec))
    thin = _THIN_STRIP * min(size)
    if min(image.shape[:2]) * shrunk < thin and max_shrink < math.inf:
        # A strip has room for one or two lines only, which even a small factor makes too small.
        max_shrink = 1.0
    if shrunk * max_shrink >= wanted:  # the whole image shrinks by no more than allowed
        return whole.boxes, ImageSearch(size=size, scale=shrunk, tiles=0)
    # From the finest scale to the coarsest, each adds the text that the finer ones missed.
    merged: ScoredBoxes | None = None
    scales, tiles = list(_scales(image, spec, shrunk, wanted)), 0
    for scale in scales:
        boxes, count = _detect_in_tiles(engine, image, scale, whole.stride, clock)
        tiles += count
        with clock("boxes"):
            merged = boxes if merged is None else merge_boxes(merged, boxes, _THINNEST / scale)
    assert merged is not None
    with clock("boxes"):
        quads, scores = merge_boxes(merged, whole.boxes, _THINNEST / shrunk)
    order = np.argsort(-scores, kind="stable")
    return (quads[order], scores[order]), ImageSearch(size=size, scale=scales[0], tiles=tiles)


def _scales(image: Image, spec: DetectorSpec, whole: float, wanted: float) -> Iterator[float]:
    """Yield the scales to search in tiles, finest first.

    ``whole``: scale of the whole image. ``wanted``: the finest scale that makes sense.
    """
    # Pixels of the image per tile, without the overlap.
    size = (1 - _OVERLAP) ** 2 * spec.input.size.area
    scale = min(wanted, math.sqrt(MAX_TILES * size / (image.shape[0] * image.shape[1])))
    yield scale
    # A scale within a factor of sqrt(2) of the whole image would find the same text again.
    while scale / 2 > math.sqrt(2) * whole:
        scale /= 2
        yield scale


def _detect_in_tiles(
    engine: Engine, image: Image, scale: float, stride: int, clock: Clock
) -> tuple[ScoredBoxes, int]:
    """Search an image at one scale in tiles; also return the number of tiles."""
    spec = spec_of(engine, DetectorSpec)
    rows, columns = image.shape[:2]
    size = (max(1, round(rows * scale)), max(1, round(columns * scale)))
    with clock("prepare"):
        scaled = image if size == (rows, columns) else resize(image, *size)
    grid = _cheapest_grid(size, spec, math.lcm(_STEP, stride))
    tile = InputSize(grid.height, grid.width)
    runner = engine.runner(tile)
    merged: MergedMap | None = None  # created when the number of maps is known
    corners, batch = list(grid.corners()), runner.max_batch
    for start in range(0, len(corners), batch):
        chosen = corners[start : start + batch]
        with clock("prepare"):
            # (tiles of this batch, C, H, W)
            feed = np.stack([_tile_tensor(scaled, grid, corner, spec) for corner in chosen])
        with clock("detect"):
            output = runner.run(feed)
        with clock("boxes"):
            maps = maps_from_output(output, spec.output)
            merged = merged or MergedMap(grid, size, stride, maps.shape[1])
            for corner, own in zip(chosen, maps, strict=True):
                merged.add(corner, _resized(own, tile, stride))
    assert merged is not None, "a grid has at least one tile"
    # max_boxes is a limit per input, and the merged map replaces one input per tile.
    max_boxes = spec.boxes.max_boxes * len(grid)
    with clock("boxes"):
        settings = spec.boxes.model_copy(update={"max_boxes": max_boxes})
        quads, scores = boxes_from_maps(merged.maps, spec.output, settings, (stride, stride))
    # Map pixels times stride are pixels of the scaled image, times factors those of the image.
    factors = np.array([columns, rows], np.float32) / np.array([size[1], size[0]], np.float32)
    placed = (quads * stride * factors).astype(np.float32)
    return within_image((placed, scores), (rows, columns)), len(grid)


def _cheapest_grid(image: tuple[int, int], spec: DetectorSpec, step: int) -> TileGrid:
    """Return the tiles of one input size that cover (height, width) pixels at the least cost."""
    grids = [tile_grid(image, size, _OVERLAP, step) for size in spec.input_sizes]
    return min(grids, key=lambda grid: (len(grid) * grid.height * grid.width, len(grid)))


def _resized(maps: Maps, tile: tuple[int, int], stride: int) -> Maps:
    """Return the maps (M, h, w) of a tile with one pixel per stride; most models return them so."""
    rows, columns = (side // stride for side in tile)
    if maps.shape[1:] == (rows, columns):
        return maps
    resized = [cv2.resize(m, (columns, rows), interpolation=cv2.INTER_AREA) for m in maps]
    return np.stack(resized)


def _tile_tensor(
    image: Image, grid: TileGrid, corner: tuple[int, int], spec: DetectorSpec
) -> npt.NDArray[np.float32]:
    tile = pad_to(grid.cut(image, corner), grid.height, grid.width, spec.input.pad)
    return image_to_tensor(tile, spec.input)
