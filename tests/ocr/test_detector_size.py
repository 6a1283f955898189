"""The input size of a detector is chosen by an image's proportions and limits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocr_trt.common.input_size import by_area
from ocr_trt.errors import SpecError
from ocr_trt.ocr.detector_size import scale_in, size_for, wanted_scale
from ocr_trt.spec import DetectorSpec, spec_from_dict


def detector(**change: Any) -> DetectorSpec:
    spec = spec_from_dict(
        {
            "name": "d", "role": "detector", "source": {"path": "m"}, "output": {"name": "y"},
            "input": {"name": "x", "shape": [1, 640, 640, 3]},
            "sizes": [[736, 1280], [1280, 736], [960, 960]], **change,
        }
    )  # fmt: skip
    assert isinstance(spec, DetectorSpec)
    return spec


@pytest.mark.parametrize(
    ("image", "size"),
    [
        ((640, 640), (640, 640)),
        ((300, 200), (640, 640)),
        ((720, 1280), (736, 1280)),
        ((736, 1312), (736, 1280)),  # shrunk by 2.5 %, which is allowed
        ((1280, 720), (1280, 736)),
        ((900, 900), (960, 960)),
        ((3000, 4000), (960, 960)),  # shrinks it by 2 % more than 736x1280, with fewer pixels
        ((2000, 2000), (960, 960)),
        ((30, 1280), (736, 1280)),
        ((1, 1), (640, 640)),
    ],
)
def test_smallest_input_that_shrinks_least_is_chosen(
    image: tuple[int, int], size: tuple[int, int]
) -> None:
    assert size_for(image, detector()) == size


def test_limits_are_those_of_paddleocr() -> None:
    enlarged = detector(limit_side=960, limit_type="min")
    assert wanted_scale((480, 600), enlarged) == 2
    assert wanted_scale((1000, 1200), enlarged) == 1
    assert size_for((480, 480), detector()) == (640, 640)
    assert size_for((480, 480), enlarged) == (960, 960)
    shrunk = detector(limit_side=640, limit_type="max")
    assert wanted_scale((720, 1280), shrunk) == 0.5
    assert wanted_scale((300, 600), shrunk) == 1
    assert size_for((720, 1280), shrunk) == (640, 640)


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_no_smaller_input_is_as_good(rows: int, columns: int) -> None:
    spec, image = detector(), (rows, columns)
    chosen = size_for(image, spec)
    best = min(1.0, max(scale_in(image, size) for size in spec.input_sizes))
    assert scale_in(image, chosen) >= 0.95 * best
    for size in spec.input_sizes:
        if by_area(size) < by_area(chosen):
            assert scale_in(image, size) < 0.95 * best


def test_sizes_are_sorted_by_area_without_duplicates() -> None:
    spec = detector(sizes=[[960, 960], [640, 640], [320, 320], [960, 960]])
    assert spec.input_sizes == ((320, 320), (640, 640), (960, 960))
    assert [str(size) for size in spec.input_sizes] == ["320x320", "640x640", "960x960"]


@pytest.mark.parametrize("sizes", [[[0, 640]], [[640, 20000]], [[640]], [640], [[640.5, 640]]])
def test_wrong_sizes_are_refused(sizes: Any) -> None:
    with pytest.raises(SpecError, match="sizes"):
        detector(sizes=sizes)
