"""The time of whole images and of each stage, with one worker and with several."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocr_trt.bench.pipeline_section import pipeline_section
from ocr_trt.bench.results import ModelReport, SystemRow
from ocr_trt.common.progress import SilentReporter
from ocr_trt.engines.engine import Engine
from ocr_trt.measure import pipeline_speed as module
from ocr_trt.measure.pipeline_speed import Pipeline, PipelineSpeed, pipeline_speeds
from ocr_trt.ocr.dataset import ImagePage
from ocr_trt.pipeline.clock import STAGES, StageClock
from ocr_trt.pipeline.reader import OcrReader, ReadSettings
from tests.pipeline.functions import (
    Function,
    bright_is_text,
    brightness_as_letter,
    detector_spec,
    engine,
    recognizer_spec,
)


@pytest.fixture
def files(tmp_path: Path) -> list[ImagePage]:
    paths = []
    for number in range(3):
        image = np.zeros((64, 64, 3), np.uint8)
        image[4:12, 4:20] = 200
        paths.append(tmp_path / f"{number}.png")
        cv2.imwrite(str(paths[-1]), image)
    return [ImagePage(path=path) for path in paths]


def slow(function: Function, seconds: Callable[[int], float]) -> Function:
    """Return the function with a delay of ``seconds(n)`` in its n-th call."""
    calls = iter(range(10**6))

    def call(feed: np.ndarray) -> np.ndarray:
        time.sleep(seconds(next(calls)))
        return function(feed)

    return call


def pair(find: float, read: float, first: float = 0.0) -> tuple[Engine, Engine]:
    """Engines with these seconds per call; ``first``: more in the detector's first three."""
    finder = slow(bright_is_text, lambda call: find + first * (call < 3))
    reader = slow(brightness_as_letter, lambda call: read)
    return engine(detector_spec(), finder)[0], engine(recognizer_spec(), reader)[0]


def test_time_counts_for_its_stage(files: list[ImagePage]) -> None:
    finder, reader = pair(0.03, 0.015, first=0.2)
    quick, ready = pair(0.01, 0.005)
    pipelines = [
        Pipeline(detector=finder, recognizer=reader),
        Pipeline(detector=quick, recognizer=ready),
    ]
    (slower,), (faster,) = pipeline_speeds(pipelines, files, 0.3, SilentReporter())
    assert tuple(slower.stages) == STAGES
    assert 30 <= slower.stages["detect"] < 200, "the first pass, which took 230 ms, does not count"
    assert 15 <= slower.stages["recognize"] < 150
    assert sum(slower.stages.values()) == pytest.approx(1000 / slower.throughput, rel=0.5)
    assert slower.throughput < 1 / 0.045
    assert (slower.workers, slower.images) == (1, 3)
    assert slower.passes == faster.passes >= 2, "they take turns until the faster one is done"
    assert faster.throughput > slower.throughput


def test_several_workers_are_timed_if_an_engine_has_several_streams(
    files: list[ImagePage], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def open_again(bundle: str, mode: str) -> Engine:
        opened.append((bundle, mode))
        again = dict(zip(("finder", "reader"), pair(0.03, 0.015), strict=True))[bundle]
        again.runner().streams = 2
        return again

    monkeypatch.setattr(module.Engine, "from_bundle", open_again)
    monkeypatch.setattr(module, "recognizer_of_lines", lambda bundle: open_again(bundle, "lines"))
    monkeypatch.setattr(module, "reads_lines_in_parallel", lambda bundle: True)
    finder, reader = pair(0.03, 0.015)
    pipeline = Pipeline(detector=finder, recognizer=reader, bundles=("finder", "reader"))
    ((one, four),) = pipeline_speeds([pipeline], files, 0.05, SilentReporter())
    assert opened == [("reader", "lines"), ("finder", "throughput"), ("reader", "throughput")]
    assert (four.workers, four.stages) == (4, {})
    assert four.throughput > 1.2 * one.throughput


def test_time_of_tiles_counts(files: list[ImagePage]) -> None:
    clock = StageClock()
    finder, reader = pair(0.01, 0.0)
    large = np.zeros((200, 200, 3), np.uint8)
    OcrReader(finder, reader, ReadSettings(tiles="on"), clock=clock).read(large)
    assert clock.seconds["detect"] > 0.01 * 4
    assert clock.seconds["prepare"] > 0
    assert clock.seconds["boxes"] > 0


def test_report_shows_times_of_stages() -> None:
    stages = {stage: float(number) for number, stage in enumerate(STAGES)}
    one = PipelineSpeed(workers=1, images=3, passes=2, throughput=2.0, stages=stages)
    two = PipelineSpeed(workers=2, images=3, passes=2, throughput=5.0)
    rows = (
        SystemRow(label="tf", kind="baseline", pipeline=(one,)),
        SystemRow(label="a", kind="engine", pipeline=(one, two)),
    )
    model = ModelReport(name="m", role="end-to-end", input_shape=(3, 8, 8), systems=rows)
    section = pipeline_section(model)
    assert section is not None
    (table,) = section.tables
    assert [row[:5] for row in table.rows] == [
        ("tf", "1", "2.00", "1.00x", "500.0"),
        ("a", "1", "2.00", "1.00x", "500.0"),
        ("a", "2", "5.00", "2.50x", "-"),
    ]
    assert section.plot is not None
    assert "a: decode 0.0 ms, prepare 1.0 ms" in section.plot.words
    assert section.plot.draw().startswith("<svg")


def test_no_images_are_an_error_and_no_endless_loop() -> None:
    finder, reader = pair(0.0, 0.0)
    with pytest.raises(ValueError, match="at least one image"):
        pipeline_speeds([Pipeline(detector=finder, recognizer=reader)], [], 0.01, SilentReporter())
