"""Readers that are closed while threads, tasks and signal handlers use them."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocr_trt import Reader, ReadResult, open_reader
from ocr_trt.engines.engine import Engine
from ocr_trt.engines.runner import Batch
from ocr_trt.errors import ClosedError
from ocr_trt.pipeline.clock import untimed
from ocr_trt.pipeline.dynamic_batches import DynamicBatches
from tests.pipeline.functions import (
    bright_is_text,
    brightness_as_letter,
    detector_spec,
    engine,
    recognizer_spec,
)

PAGE = np.zeros((64, 64, 3), np.uint8)
PAGE[2:10, 4:20] = 130


def small_reader(function: Callable[[Batch], np.ndarray] = bright_is_text) -> Reader:
    detector, _ = engine(detector_spec(), function)
    recognizer, _ = engine(recognizer_spec(), brightness_as_letter)
    return Reader(detector, recognizer)


def read_once(reader: Reader) -> ReadResult:
    return reader.read(PAGE)


def read_several(reader: Reader) -> ReadResult:
    first, _ = reader.read_all([PAGE, PAGE])
    return first


def read_all_with_errors(reader: Reader) -> ReadResult:
    """An error of an image may take the place of its result, but not that of a closed reader."""
    first, _ = reader.read_all([PAGE, "missing.png"], return_exceptions=True)
    assert isinstance(first, ReadResult)
    return first


def read_in_a_task(reader: Reader) -> ReadResult:
    return asyncio.run(reader.aread(PAGE))


def read_in_tasks(reader: Reader) -> ReadResult:
    async def main() -> Any:
        reads = [reader.aread(PAGE) for _ in range(5)]
        first, *others = await asyncio.gather(*reads, return_exceptions=True)
        for outcome in (first, *others):
            if not isinstance(outcome, ReadResult):
                raise outcome
        return first

    return asyncio.run(main())


WAYS = (read_once, read_several, read_all_with_errors, read_in_a_task, read_in_tasks)


def results_until_closed(read: Callable[[Reader], ReadResult], reader: Reader) -> int:
    count = 0
    while True:
        try:
            assert read(reader).width == 64
        except ClosedError:
            return count
        count += 1


def check_closing(opened: Callable[[], Reader], read: Callable, times: int) -> None:
    results = 0
    with ThreadPoolExecutor(4) as threads:
        for number in range(times):
            reader = opened()
            reading = [threads.submit(results_until_closed, read, reader) for _ in range(3)]
            time.sleep(0.02 * (number % 4))  # from before the first read to after it
            closing = [threads.submit(reader.close) for _ in range(2)]
            for each in closing:
                each.result(60)
            results += sum(each.result(60) for each in reading)
            with pytest.raises(ClosedError, match="open_reader"):
                read(reader)
    assert results, "threads were using it"


@pytest.mark.parametrize("read", WAYS)
def test_reader_is_closed_while_threads_read(read: Callable) -> None:
    check_closing(small_reader, read, times=24)


def test_reader_of_bundles_is_closed_while_threads_read(
    detector_bundle: Path, recognizer_bundle: Path
) -> None:
    def opened() -> Reader:
        return open_reader(detector_bundle, recognizer_bundle, streams=2, threads=1)

    for read in (read_once, read_in_tasks):
        check_closing(opened, read, times=4)


def test_signal_handler_may_close_the_reader_of_the_interrupted_thread() -> None:
    """The read ends, and then the engines are freed."""

    def interrupted(feed: Batch) -> np.ndarray:
        signal.raise_signal(signal.SIGUSR1)
        return bright_is_text(feed)

    detector, runners = engine(detector_spec(), interrupted)
    recognizer, _ = engine(recognizer_spec(), brightness_as_letter)
    reader, is_freed = Reader(detector, recognizer), list[bool]()

    def close(*_: object) -> None:
        reader.close()
        is_freed.append(any(runner.closed for runner in runners.values()))

    previous = signal.signal(signal.SIGUSR1, close)
    try:
        assert reader.read(PAGE).lines
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert is_freed == [False]
    assert all(runner.closed for runner in runners.values())
    with pytest.raises(ClosedError):
        reader.read(PAGE)


def test_progress_may_close_the_reader() -> None:
    reader = small_reader()
    results = reader.read_all([PAGE] * 40, progress=lambda *_: reader.close())
    assert next(results).lines
    with pytest.raises(ClosedError):
        list(results)


def test_read_in_a_task_may_close_the_reader() -> None:
    """The thread that closes it is one of the reader's own."""
    readers: list[Reader] = []

    def closing(feed: Batch) -> np.ndarray:
        readers[0].close()
        return bright_is_text(feed)

    readers.append(small_reader(closing))
    assert asyncio.run(readers[0].aread(PAGE)).lines


def test_engines_that_are_closed_before_their_reader() -> None:
    detector, _ = engine(detector_spec(), bright_is_text)
    recognizer, _ = engine(recognizer_spec(), brightness_as_letter)
    with Reader(detector, recognizer) as reader:
        recognizer.close()
        with pytest.raises(ClosedError, match="r is closed"):
            reader.read(PAGE)


def test_batches_are_closed_while_threads_add_lines() -> None:
    line = np.full((8, 16, 3), 130, np.uint8)

    def lines_until_closed(batches: DynamicBatches, recognizer: Engine) -> int:
        count = 0
        while True:
            try:
                with batches.page():
                    readings = batches.recognize(recognizer, [line] * 3, untimed)
            except ClosedError:
                return count
            count += len(readings)

    with ThreadPoolExecutor(3) as threads:
        for number in range(24):
            recognizer, _ = engine(recognizer_spec(), brightness_as_letter)
            batches = DynamicBatches(recognizer, 0.001)
            adding = [threads.submit(lines_until_closed, batches, recognizer) for _ in range(3)]
            time.sleep(0.001 * (number % 4))
            batches.close()
            batches.close()
            assert all(each.result(60) % 3 == 0 for each in adding)


EXIT = """
import sys, threading, time
import numpy as np
import ocr_trt
reader, begun = ocr_trt.open_reader(sys.argv[1], sys.argv[2], mode=sys.argv[3]), threading.Event()

def read():
    while True:
        reader.read(np.zeros((64, 64, 3), np.uint8))
        begun.set()

for _ in range(3):
    threading.Thread(target=read, daemon=True).start()
assert begun.wait(60)
print("end")
"""


@pytest.mark.parametrize("mode", ["latency", "throughput"])
def test_interpreter_ends_while_daemon_threads_read(
    mode: str, detector_bundle: Path, recognizer_bundle: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EXIT, detector_bundle, recognizer_bundle, mode],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr
