from __future__ import annotations

import numpy as np
import pytest

from ocr_trt.ocr.crop import crop_quad, quad_size

IMAGE = np.arange(40 * 60 * 3, dtype=np.uint32).reshape(40, 60, 3).astype(np.uint8)


def test_upright_crop_is_the_slice_itself() -> None:
    quad = np.float32([[10, 5], [30, 5], [30, 17], [10, 17]])
    assert np.array_equal(crop_quad(IMAGE, quad), IMAGE[5:17, 10:30])


def test_rotated_crop_is_the_rotated_slice() -> None:
    quad = np.float32([[30, 5], [30, 17], [10, 17], [10, 5]])  # text runs downwards
    assert np.array_equal(crop_quad(IMAGE, quad), np.rot90(IMAGE[5:17, 10:30]))


def test_outside_repeats_the_border() -> None:
    quad = np.float32([[-4, 0], [4, 0], [4, 4], [-4, 4]])
    crop = crop_quad(IMAGE, quad)
    assert np.array_equal(crop[:, :4], np.repeat(IMAGE[:4, :1], 4, axis=1))


@pytest.mark.parametrize(
    ("quad", "size"),
    [
        ([[0, 0], [30, 0], [30, 10], [0, 10]], (30, 10)),
        ([[0, 0], [3, 4], [-1, 7], [-4, 3]], (5, 5)),
        ([[5, 5], [5, 5], [5, 5], [5, 5]], (0, 0)),
    ],
    ids=["upright", "turned", "zero area"],
)
def test_quad_size(quad: list[list[float]], size: tuple[float, float]) -> None:
    assert quad_size(np.float32(quad)) == pytest.approx(size)


def test_zero_area_crop_is_one_pixel() -> None:
    assert crop_quad(IMAGE, np.full((4, 2), 5, np.float32)).shape == (1, 1, 3)


def test_gray_crop_has_no_channel_axis() -> None:
    quad = np.float32([[10, 5], [30, 5], [30, 17], [10, 17]])
    assert crop_quad(IMAGE[..., 0], quad).shape == (12, 20)
