"""Reading many images: shared batches, order, back-pressure, order of exceptions."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest

from ocr_trt.engines.runner import Batch
from ocr_trt.pipeline.reader import OcrReader
from ocr_trt.pipeline.shared_batches import read_all
from tests.pipeline.functions import (
    Function,
    bright_is_text,
    brightness_as_letter,
    detector_spec,
    engine,
    recognizer_spec,
)


def reader(
    find: Function = bright_is_text, read: Function = brightness_as_letter, max_batch: int = 4
) -> tuple[OcrReader, dict]:
    detector, _ = engine(detector_spec(), find)
    recognizer, runners = engine(recognizer_spec(max_batch), read)
    return OcrReader(detector, recognizer), runners


def page(lines: int, shade: int = 255) -> np.ndarray:
    image = np.zeros((64, 64, 3), np.uint8)
    for line in range(lines):
        image[4 + 12 * line : 12 + 12 * line, 4:20] = shade
    return image


def wide_page(width: int) -> np.ndarray:
    """Return a page with a narrow line, and one line that is ``width`` columns wide."""
    image = np.zeros((512, 512, 3), np.uint8)
    image[40:80, 8 : 8 + width] = 255
    image[200:240, 8:160] = 200
    return image


PAGES = [page(n % 5, shade) for n, shade in enumerate([255, 200, 150, 255, 140, 200, 255] * 3)]


@pytest.mark.parametrize("readers", [1, 2, 3])
@pytest.mark.parametrize("max_batch", [1, 3, 16])
def test_lines_are_those_of_one_image_at_a_time(readers: int, max_batch: int) -> None:
    together = [reader(max_batch=max_batch)[0] for _ in range(readers)]
    alone, _ = reader()
    result = list(read_all(together, PAGES))
    expected = [alone.read(image) for image in PAGES]
    assert [[line.to_dict() for line in lines] for lines in result] == [
        [line.to_dict() for line in lines] for lines in expected
    ]
    assert [len(lines) for lines in result] == [n % 5 for n in range(21)]


def test_windows_of_wide_lines_share_batches() -> None:
    one, runners = reader(max_batch=4)
    pages = [wide_page(width) for width in (100, 480, 496, 488)]
    result = list(one.read_all(pages))
    alone, _ = reader()
    assert result == [alone.read(image) for image in pages]
    assert [len(lines) for lines in result] == [2] * 4
    # Two windows of each wide line.
    assert sum(shape[0] for shape in runners[8, 64].fed) == 6


def test_batches_are_filled_from_several_images() -> None:
    one, runners = reader(max_batch=4)
    list(one.read_all([page(3)] * 8))
    assert [shape[0] for shape in runners[8, 16].fed] == [4] * 6


def test_no_images_no_lines() -> None:
    assert list(read_all([reader()[0]], [])) == []


def test_slow_consumer_slows_the_readers_down() -> None:
    started = []

    def images() -> Iterator[np.ndarray]:
        for number in range(40):
            started.append(number)
            yield page(2)

    results = read_all([reader()[0]], images())
    for expected in range(10):
        next(results)
        time.sleep(0.002)
        assert len(started) <= expected + 5
    results.close()
    assert len(started) <= 14


def fails_on_gray(feed: Batch) -> np.ndarray:
    if feed.max() < 0.9:
        raise ValueError("a gray image")
    return bright_is_text(feed)


@pytest.mark.parametrize("place", [0, 1, 4, 8])
def test_exception_of_an_image_is_raised_in_its_place(place: int) -> None:
    pages = [page(2) for _ in range(9)]
    pages[place] = page(2, 200)
    results = reader(find=fails_on_gray)[0].read_all(pages)
    assert [len(next(results)) for _ in range(place)] == [2] * place
    with pytest.raises(ValueError, match="a gray image"):
        next(results)
    assert list(results) == []


def test_exception_of_a_batch_is_raised_with_its_image() -> None:
    def fails_on_the_third_batch(feed: Batch) -> np.ndarray:
        calls.append(len(feed))
        if len(calls) == 3:
            raise ValueError("the third batch")
        return brightness_as_letter(feed)

    calls: list[int] = []
    results = reader(read=fails_on_the_third_batch)[0].read_all([page(2)] * 9)
    assert [len(next(results)) for _ in range(4)] == [2] * 4
    with pytest.raises(ValueError, match="the third batch"):
        next(results)


def test_exception_of_the_iterable_is_raised_after_the_images_before_it() -> None:
    def images() -> Iterator[np.ndarray]:
        yield from [page(1)] * 3
        raise OSError("the disk is gone")

    results = reader()[0].read_all(images())
    assert [len(next(results)) for _ in range(3)] == [1, 1, 1]
    with pytest.raises(OSError, match="the disk is gone"):
        next(results)
