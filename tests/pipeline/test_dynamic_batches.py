"""Batches that lines of several threads share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier, Event

import numpy as np
import pytest

from ocr_trt.engines.runner import Batch
from ocr_trt.errors import ClosedError
from ocr_trt.pipeline.clock import StageClock, untimed
from ocr_trt.pipeline.dynamic_batches import DynamicBatches
from ocr_trt.pipeline.reader import OcrReader
from ocr_trt.pipeline.stages import recognize
from tests.pipeline.functions import (
    Function,
    bright_is_text,
    brightness_as_letter,
    detector_spec,
    engine,
    recognizer_spec,
)


def batches(
    read: Function = brightness_as_letter, wait: float = 30.0
) -> tuple[DynamicBatches, dict]:
    """Batches of at most 4 lines; a wait that no test reaches unless it wants to."""
    recognizer, runners = engine(recognizer_spec(4), read)
    return DynamicBatches(recognizer, wait), runners


def lines(count: int, shade: int = 200, width: int = 12) -> list[np.ndarray]:
    return [np.full((8, width, 3), shade, np.uint8) for _ in range(count)]


def test_a_single_page_never_waits_and_gets_what_recognize_returns() -> None:
    own, _ = batches()
    shades = [*lines(3, 10), *lines(3, 100, 30), *lines(2, 255, 300), *lines(1, 10)]
    with closing(own), own.page():
        clock = StageClock()
        result = own.recognize(own._engine, shades, clock)
    assert result == recognize(own._engine, shades, untimed)
    assert clock.seconds["recognize"] > 0


def test_no_lines_no_readings() -> None:
    own, _ = batches()
    with closing(own), own.page():
        assert own.recognize(own._engine, [], untimed) == []


def test_lines_of_two_pages_share_a_batch() -> None:
    own, runners = batches()
    both = Barrier(2)

    def read(shade: int) -> list[str]:
        with own.page():
            both.wait()  # both pages are announced: the first to come waits for the other
            return [one.text for one in own.recognize(own._engine, lines(2, shade), untimed)]

    with closing(own), ThreadPoolExecutor(2) as threads:
        assert list(threads.map(read, [10, 255])) == [["a", "a"], ["c", "c"]]
    assert [shape[0] for shape in runners[8, 16].fed] == [4]


def test_a_line_waits_no_longer_than_stated() -> None:
    own, runners = batches(wait=0.05)
    with closing(own), own.page(), own.page():  # the second page never brings its lines
        clock = StageClock()
        assert len(own.recognize(own._engine, lines(1), clock)) == 1
    assert clock.seconds["recognize"] >= 0.04
    assert [shape[0] for shape in runners[8, 16].fed] == [1]


def test_a_page_without_lines_releases_those_that_wait_for_it() -> None:
    own, _ = batches()
    is_announced, is_waiting = Event(), Event()

    def read() -> int:
        with own.page():
            is_announced.wait()
            is_waiting.set()
            return len(own.recognize(own._engine, lines(1), untimed))

    with closing(own), ThreadPoolExecutor(1) as threads:
        with own.page():
            waiting = threads.submit(read)
            is_announced.set()
            is_waiting.wait()
        assert waiting.result() == 1


def test_a_failing_line_fails_its_own_page_only() -> None:
    def fails_on_dark(feed: Batch) -> np.ndarray:
        if feed.min() < 50:
            raise ValueError("a dark line")
        return brightness_as_letter(feed)

    own, _ = batches(fails_on_dark)
    both = Barrier(2)

    def read(shade: int) -> list[str] | str:
        with own.page():
            both.wait()
            try:
                return [one.text for one in own.recognize(own._engine, lines(2, shade), untimed)]
            except ValueError as error:
                return str(error)

    with closing(own), ThreadPoolExecutor(2) as threads:
        assert list(threads.map(read, [10, 255])) == ["a dark line", ["c", "c"]]


def test_lines_of_a_failed_page_are_not_read() -> None:
    def fails(feed: Batch) -> np.ndarray:
        raise ValueError("no")

    own, runners = batches(fails)
    with closing(own), own.page(), pytest.raises(ValueError, match="no"):
        own.recognize(own._engine, [*lines(20), *lines(20, width=60)], untimed)
    # The first batch of one size; that of the other size may have begun before it failed.
    assert sum(len(runner.fed) for runner in runners.values()) <= own._engine.runner().streams
    assert not own._waiting


def test_lines_of_other_pages_stay_if_a_page_fails() -> None:
    def fails_on_dark(feed: Batch) -> np.ndarray:
        if feed.min() < 50:
            raise ValueError("a dark line")
        return brightness_as_letter(feed)

    own, runners = batches(fails_on_dark)
    both = Barrier(2)

    def read(shade: int) -> list[str] | str:
        with own.page():
            both.wait()
            try:
                return [one.text for one in own.recognize(own._engine, lines(9, shade), untimed)]
            except ValueError as error:
                return str(error)

    with closing(own), ThreadPoolExecutor(2) as threads:
        assert list(threads.map(read, [10, 255])) == ["a dark line", ["c"] * 9]
    # 18 lines in batches of 4 would be 5 batches, and those that fail are repeated once.
    assert sum(shape[0] for shape in runners[8, 16].fed) < 18 + 8


def test_many_threads_get_their_own_lines() -> None:
    own, runners = batches(wait=0.002)
    detector, _ = engine(detector_spec(), bright_is_text)
    reader = OcrReader(detector, own._engine, recognize=own.recognize)
    alone = OcrReader(detector, own._engine)
    pages = []
    for number in range(60):
        image = np.zeros((64, 64, 3), np.uint8)
        for line in range(number % 5):
            image[4 + 12 * line : 12 + 12 * line, 4:20] = (140, 200, 255)[number % 3]
        pages.append(image)

    def read(image: np.ndarray) -> list:
        with own.page():
            return reader.read(image)

    with closing(own), ThreadPoolExecutor(6) as threads:
        assert list(threads.map(read, pages)) == [alone.read(image) for image in pages]
    assert max(shape[0] for shape in runners[8, 16].fed) <= 4


def test_closed_batches_read_what_waits_and_refuse_more() -> None:
    own, _ = batches()
    is_announced = Event()

    def read() -> int:
        with own.page():
            is_announced.set()
            return len(own.recognize(own._engine, lines(3), untimed))

    with ThreadPoolExecutor(1) as threads, own.page():
        waiting = threads.submit(read)
        is_announced.wait()
        while not own._waiting:  # its lines wait for those of the other page
            pass
        own.close()
        assert waiting.result() == 3
    with pytest.raises(ClosedError):
        own.recognize(own._engine, lines(1), untimed)
