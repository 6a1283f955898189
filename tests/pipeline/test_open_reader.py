"""The reader that programs use: forms of images, threads, asyncio, closing, pickling, results."""

from __future__ import annotations

import asyncio
import gc
import json
import pickle
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ocr_trt import Reader, ReadResult, TextLine, open_reader
from ocr_trt.engines.runner import Batch
from ocr_trt.errors import ClosedError, InputFileError, OcrTrtError, SpecError, UserError
from tests.pipeline.functions import (
    bright_is_text,
    brightness_as_letter,
    detector_spec,
    engine,
    recognizer_spec,
)


def page(number: int) -> np.ndarray:
    """An image with up to five lines; the first line is in one of three shades."""
    image = np.zeros((64, 64, 3), np.uint8)
    for line in range(1 + number % 5):
        image[2 + 12 * line : 10 + 12 * line, 4 : 20 + 2 * line] = 130 + 60 * (number % 3)
    return image


PAGES = [page(number) for number in range(12)]


@pytest.fixture
def reader() -> Reader:
    detector, _ = engine(detector_spec(), bright_is_text)
    recognizer, _ = engine(recognizer_spec(), brightness_as_letter)
    return Reader(detector, recognizer)


class Gate:
    """A detector that waits in its first run until the test opens the gate."""

    def __init__(self) -> None:
        self.begun, self.open, self.runs = threading.Event(), threading.Event(), 0

    def __call__(self, feed: Batch) -> np.ndarray:
        self.runs += 1
        self.begun.set()
        assert self.open.wait(30)
        return bright_is_text(feed)

    def reader(self) -> Reader:
        detector, _ = engine(detector_spec(), self)
        recognizer, _ = engine(recognizer_spec(), brightness_as_letter)
        return Reader(detector, recognizer)


def test_result_has_lines_size_and_times(reader: Reader) -> None:
    result = reader.read(PAGES[4])
    assert (result.width, result.height, result.file) == (64, 64, None)
    assert len(result.lines) == 5
    assert result.text == "\n".join(line.text for line in result.lines)
    # Without a classifier, nothing is done in the stage "direction".
    assert {stage for stage, seconds in result.seconds.items() if seconds <= 0} == {"direction"}
    data = result.to_dict()
    assert json.loads(result.to_json()) == data
    assert data["lines"][0].keys() == {"quad", "text", "box_score", "text_score"}
    assert list(data) == [
        "file",
        "page",
        "pages",
        "width",
        "height",
        "lines",
        "search",
        "warnings",
        "seconds",
    ]


def test_results_and_lines_are_values(reader: Reader) -> None:
    one, two, other = reader.read(PAGES[1]), reader.read(PAGES[1]), reader.read(PAGES[2])
    assert one == two != other
    assert len({one, two, other}) == 2
    assert pickle.loads(pickle.dumps(one)) == one
    line = one.lines[0]
    again = pickle.loads(pickle.dumps(line))
    assert again == line and hash(again) == hash(line)
    assert line != replace(line, text="x") and line != replace(line, quad=line.quad + 1)
    assert line != "text"
    for each in (line, again):
        with pytest.raises(ValueError, match="read-only"):
            each.quad[0, 0] = 1


def test_line_keeps_its_corners_if_the_array_changes() -> None:
    quad = np.zeros((4, 2), np.float32)
    line = TextLine(quad=quad, text="a", box_score=1.0, text_score=1.0)
    quad[:] = 1
    assert (line.quad == 0).all()


def test_sixteen_threads_get_the_results_of_one(reader: Reader) -> None:
    expected = [reader.read(image) for image in PAGES]
    with ThreadPoolExecutor(16) as threads:
        results = list(threads.map(reader.read, PAGES * 16))
    assert results == expected * 16


def test_read_all_is_lazy_ordered_and_reports_progress(reader: Reader) -> None:
    taken: list[int] = []

    def images() -> Any:
        for number, image in enumerate(PAGES):
            taken.append(number)
            yield image

    expected = [reader.read(image) for image in PAGES]
    calls: list[tuple[int, int | None]] = []
    results = reader.read_all(images(), progress=lambda *call: calls.append(call))
    assert next(results) == expected[0]
    assert len(taken) == 2
    assert list(results) == expected[1:]
    assert calls == [(number, None) for number in range(1, 13)]
    calls.clear()
    assert len(list(reader.read_all(PAGES, progress=lambda *call: calls.append(call)))) == 12
    assert calls[-1] == (12, 12)


def test_read_all_raises_or_yields_errors_in_their_places(reader: Reader) -> None:
    images = [PAGES[0], "missing.png", PAGES[1] / 2, PAGES[1]]
    results = reader.read_all(images)
    assert isinstance(next(results), ReadResult)
    with pytest.raises(InputFileError, match=r"missing\.png"):
        next(results)
    kinds = [type(each) for each in reader.read_all(images, return_exceptions=True)]
    assert kinds == [ReadResult, InputFileError, UserError, ReadResult]


def test_error_of_the_iterable_follows_the_results_before_it(reader: Reader) -> None:
    def images() -> Any:
        yield from PAGES[:1]
        raise RuntimeError("no more")

    results = reader.read_all(images(), return_exceptions=True)
    assert isinstance(next(results), ReadResult)
    with pytest.raises(RuntimeError, match="no more"):
        next(results)


def test_every_page_of_a_file_is_read(reader: Reader, tmp_path: Path) -> None:
    first, *others = [Image.fromarray(image) for image in PAGES[:3]]
    first.save(tmp_path / "scan.tiff", save_all=True, append_images=others)
    calls: list[tuple[int, int | None]] = []
    images = [PAGES[5], tmp_path / "scan.tiff"]
    results = list(reader.read_all(images, progress=lambda *call: calls.append(call)))
    assert results == [reader.read(image) for image in (PAGES[5], *PAGES[:3])]
    assert [(each.page, each.pages) for each in results] == [(1, 1), (1, 3), (2, 3), (3, 3)]
    assert calls == [(1, 2), (2, 2)]
    assert reader.read(tmp_path / "scan.tiff", page=2) == results[2]
    assert asyncio.run(reader.aread((tmp_path / "scan.tiff").read_bytes(), page=3)) == results[3]
    for source in (tmp_path / "scan.tiff", PAGES[0]):
        with pytest.raises(InputFileError, match="no page 4"):
            reader.read(source, page=4)


@pytest.mark.parametrize("single", ["a.png", b"data", Path("a.png"), PAGES[0]])
def test_read_all_refuses_a_single_image_at_once(reader: Reader, single: Any) -> None:
    with pytest.raises(UserError, match="use read"):
        reader.read_all(single)


def test_aread_gives_the_same_results_and_leaves_the_event_loop_free() -> None:
    gate = Gate()
    reader = gate.reader()

    async def main() -> list[ReadResult]:
        tasks = [asyncio.create_task(reader.aread(image)) for image in PAGES]
        while not gate.begun.is_set():  # reached only if the loop runs while the detector does
            await asyncio.sleep(0.001)
        before = threading.active_count()
        gate.open.set()
        results = await asyncio.gather(*tasks)
        assert threading.active_count() <= before, "no thread per image"
        return results

    results = asyncio.run(main())
    assert results == [reader.read(image) for image in PAGES]
    reader.close()


def test_cancelled_reads_do_not_begin_and_those_that_have_begun_end_early() -> None:
    gate = Gate()

    async def main() -> None:
        async with gate.reader() as reader:
            tasks = [asyncio.create_task(reader.aread(image)) for image in PAGES]
            while not gate.begun.is_set():
                await asyncio.sleep(0.001)
            for task in tasks[:-1]:
                task.cancel()
            results = await asyncio.gather(*tasks[:-1], return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError) for result in results)
            gate.open.set()
            assert (await tasks[-1]).lines
            with pytest.raises(asyncio.TimeoutError):
                gate.open.clear()
                await asyncio.wait_for(reader.aread(PAGES[0]), 0.01)
            gate.open.set()

    asyncio.run(main())
    assert gate.runs <= 3, "the first read, the last one and the one with the timeout"


def test_errors_of_an_image_are_raised_by_aread(reader: Reader) -> None:
    with pytest.raises(InputFileError, match="nothing"):
        asyncio.run(reader.aread("nothing.png"))


def test_close_waits_for_reads_and_refuses_later_ones() -> None:
    gate = Gate()
    reader = gate.reader()
    with ThreadPoolExecutor(2) as threads:
        reading = threads.submit(reader.read, PAGES[0])
        assert gate.begun.wait(30)
        closing = threads.submit(reader.close)
        assert not closing.done()
        gate.open.set()
        assert reading.result().lines
        closing.result()
    reader.close()
    for use in (
        lambda: reader.read(PAGES[0]),
        lambda: reader.read_all(PAGES),
        lambda: asyncio.run(reader.aread(PAGES[0])),
    ):
        with pytest.raises(ClosedError, match="open_reader") as refused:
            use()
        assert isinstance(refused.value, OcrTrtError)


def test_reads_that_wait_when_the_reader_is_closed_raise_an_error() -> None:
    gate = Gate()

    async def main() -> list[Any]:
        reader = gate.reader()
        tasks = [asyncio.create_task(reader.aread(image)) for image in PAGES[:3]]
        while not gate.begun.is_set():
            await asyncio.sleep(0.001)
        closing = asyncio.create_task(asyncio.to_thread(reader.close))
        while not reader.is_closed:
            await asyncio.sleep(0.001)
        gate.open.set()
        await closing
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, *others = asyncio.run(main())
    assert isinstance(first, ReadResult)
    assert all(isinstance(other, ClosedError) for other in others)


def test_engines_are_closed_with_the_reader() -> None:
    detector, detectors = engine(detector_spec(), bright_is_text)
    recognizer, recognizers = engine(recognizer_spec(), brightness_as_letter)
    with Reader(detector, recognizer) as reader:
        reader.read(PAGES[0])
    assert all(runner.closed for runner in (*detectors.values(), *recognizers.values()))
    with pytest.raises(SpecError, match="expected a detector"):
        Reader(recognizer, detector)


def test_reader_of_bundles_reads_files_and_survives_pickling(
    detector_bundle: Path, recognizer_bundle: Path, shared_images: Path
) -> None:
    file = shared_images / "0.png"
    with open_reader(detector_bundle, recognizer_bundle, mode="throughput") as reader:
        result = reader.read(file)
        assert result.file == str(file)
        assert reader.read(file.read_bytes()) == result
        with pickle.loads(pickle.dumps(reader)) as other:
            assert other.read(file) == result
        with ThreadPoolExecutor(16) as threads:
            files = sorted(shared_images.glob("*.png")) * 8
            assert list(threads.map(reader.read, files)) == [reader.read(f) for f in files]
    with pytest.raises(ClosedError):
        pickle.dumps(reader)
    with pytest.raises(SpecError, match="expected a detector"):
        open_reader(recognizer_bundle, detector_bundle)


def test_only_readers_of_bundles_can_be_pickled(reader: Reader) -> None:
    with pytest.raises(TypeError, match="open_reader"):
        pickle.dumps(reader)


FORGOTTEN = """
import asyncio, gc, os, sys
import numpy as np
import ocr_trt
reader = ocr_trt.open_reader(sys.argv[1], sys.argv[2], mode="throughput")
image = np.zeros((64, 64, 3), np.uint8)
asyncio.run(reader.aread(image))
if child := os.fork():
    _, status = os.waitpid(child, 0)
    print("child", os.waitstatus_to_exitcode(status))
else:
    try:
        reader.read(image)
    except ocr_trt.ClosedError as error:
        print(error, flush=True)
        os._exit(7)
del reader
gc.collect()
kept = ocr_trt.open_reader(sys.argv[1], sys.argv[2])  # never closed, alive at exit
kept.read(image)
print("end")
"""


def test_forgotten_and_forked_readers_do_not_hang(
    detector_bundle: Path, recognizer_bundle: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORGOTTEN, detector_bundle, recognizer_bundle],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    message, child, end = done.stdout.splitlines()
    assert "forked" in message
    assert (child, end) == ("child 7", "end")


def test_collected_reader_frees_its_engines() -> None:
    detector, _ = engine(detector_spec(), bright_is_text)
    recognizer, _ = engine(recognizer_spec(), brightness_as_letter)
    reader = Reader(detector, recognizer)
    asyncio.run(reader.aread(PAGES[0]))
    alive = weakref.ref(reader)
    del reader
    gc.collect()
    assert alive() is None
