"""Tiles of large images: they cover every pixel, and the merged map has no seams."""

from __future__ import annotations

import numpy as np
import pytest

from ocr_trt.ocr.tiles import MergedMap, blend_weights, tile_grid, tile_starts


@pytest.mark.parametrize("length", [1, 63, 64, 65, 96, 97, 128, 300, 1000])
@pytest.mark.parametrize(("overlap", "step"), [(0, 1), (8, 1), (16, 8), (30, 32)])
def test_tiles_cover_everything_and_overlap(length: int, overlap: int, step: int) -> None:
    starts = tile_starts(length, 64, overlap, step)
    assert starts[0] == 0
    assert length <= starts[-1] + 64 < max(64, length) + step
    assert all(start % step == 0 for start in starts)
    gaps = np.diff(starts)
    assert (gaps > 0).all()
    assert (64 - gaps > overlap - step).all(), "neighbors share what was asked, but for the step"
    assert (64 - gaps >= 0).all()


@pytest.mark.parametrize("starts", [(0,), (0, 32), (0, 48, 96), (0, 16, 32, 48), (0, 64)])
def test_weights_add_up_to_one_and_are_least_at_the_edges(starts: tuple[int, ...]) -> None:
    weights = blend_weights(starts, 64)
    total = np.zeros(starts[-1] + 64)
    for start, row in zip(starts, weights, strict=True):
        total[start : start + 64] += row
    np.testing.assert_allclose(total, 1, atol=1e-6)
    for row, start in zip(weights[1:], starts[1:], strict=True):
        assert start == 64 or row[0] < 0.05


@pytest.mark.parametrize("size", [(64, 64), (100, 250), (30, 200), (129, 65)])
@pytest.mark.parametrize("stride", [1, 4])
def test_merged_tiles_equal_the_whole_map(
    size: tuple[int, int], stride: int, rng: np.random.Generator
) -> None:
    rows, columns = (-(-side // stride) for side in size)
    whole = rng.random((rows, columns), dtype=np.float32)
    grid = tile_grid(size, (64, 64), 0.2, 16)
    merged = MergedMap(grid, size, stride)
    side = 64 // stride
    for top, left in grid.corners():
        y, x = top // stride, left // stride
        part = whole[y : y + side, x : x + side]
        tile = np.ones((side, side), np.float32)  # the part outside the image is dropped
        tile[: part.shape[0], : part.shape[1]] = part
        merged.add((top, left), tile[None])
    np.testing.assert_allclose(merged.maps[0], whole, atol=1e-6)


def test_cut_returns_the_pixels_of_the_tile() -> None:
    image = np.arange(100 * 150 * 3).reshape(100, 150, 3).astype(np.uint8)
    grid = tile_grid((100, 150), (64, 64), 0.1, 32)
    assert len(grid) == len(list(grid.corners())) == 3 * 3
    assert grid.cut(image, (64, 96)).shape == (36, 54, 3)
    assert (grid.cut(image, (64, 96)) == image[64:, 96:]).all()
