"""Measure how fast whole images are read, from the file to the text, and the time of each stage.

* One worker: each image is read by every system in turn; a recognizer with one plan for all
  widths reads several lines of it at once. Throughput is the number of images
  divided by the sum of their median times. The time of a stage is the mean, over the images, of
  its medians.
* Several workers: the workers read all images in one pass, and the passes of the systems take
  turns. Throughput is that of the median pass.

The first pass is not counted. Passes are repeated until every system has been timed for the
duration.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from ..common.frozen_model import FrozenModel
from ..common.progress import Reporter
from ..engines.bundle import Bundle
from ..engines.engine import Engine
from ..ocr.dataset import ImagePage
from ..pipeline.clock import StageClock
from ..pipeline.parallel_lines import (
    reads_lines_in_parallel,
    recognize_in_parallel,
    recognizer_of_lines,
)
from ..pipeline.reader import OcrReader
from ..pipeline.text_lines import TextLine
from ..pipeline.workers import in_order
from .image_timer import ImageTimer, take_turns

MAX_IMAGES = 20
"""Limit of the images that are timed."""


class PipelineSpeed(FrozenModel):
    """How fast whole images are read by a number of workers."""

    workers: int
    images: int
    passes: int
    throughput: float
    """Images per second."""
    stages: dict[str, float] = {}
    """Milliseconds per image by stage; only for one worker."""


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A detector and a recognizer. ``bundles``: their bundles, if they are engines."""

    detector: Engine
    recognizer: Engine
    bundles: tuple[Bundle, Bundle] | None = None


class _OneWorker(ImageTimer):
    """Reads one image at a time with both models."""

    def __init__(self, pipeline: Pipeline, stack: ExitStack) -> None:
        recognizer = pipeline.recognizer
        if pipeline.bundles is not None and reads_lines_in_parallel(pipeline.bundles[1]):
            # As ``open_reader`` opens it.
            recognizer = stack.enter_context(recognizer_of_lines(pipeline.bundles[1]))
        reader = OcrReader(pipeline.detector, recognizer, recognize=recognize_in_parallel)

        def read(file: ImagePage, clock: StageClock) -> None:
            with clock("load"):
                image = file.read()
            reader.timed(clock).read(image)

        super().__init__(read)

    def speed(self) -> PipelineSpeed:
        """Return the speed over all counted passes."""
        whole = self.seconds()
        return PipelineSpeed(
            workers=1,
            images=len(whole),
            passes=self.passes,
            throughput=len(whole) / sum(whole),
            stages=dict(self.stages()),
        )


class _SeveralWorkers:
    """Reads several images at a time, and records the time of each pass."""

    def __init__(self, reader: OcrReader) -> None:
        self._readers = [reader] * reader.workers  # one reader serves several threads
        self._seconds: list[float] = []
        self._images = 0

    @property
    def timed(self) -> float:
        """Seconds of the counted passes."""
        return sum(self._seconds[1:])

    def run_all(self, files: Sequence[ImagePage]) -> None:
        """Read all images in one pass."""
        start = time.perf_counter()
        list(in_order(_read, self._readers, files))
        self._seconds.append(time.perf_counter() - start)
        self._images = len(files)

    def speed(self) -> PipelineSpeed:
        """Return the speed of the median pass."""
        return PipelineSpeed(
            workers=len(self._readers),
            images=self._images,
            passes=len(self._seconds) - 1,
            throughput=self._images / statistics.median(self._seconds[1:]),
        )


def _read(reader: OcrReader, file: ImagePage) -> list[TextLine]:
    return reader.read(file.read())


def pipeline_speeds(
    pipelines: Sequence[Pipeline],
    files: Sequence[ImagePage],
    duration_s: float,
    reporter: Reporter,
) -> list[tuple[PipelineSpeed, ...]]:
    """Time pipelines on at most ``MAX_IMAGES`` images; return one or two speeds of each.

    The first is that of one worker, the second that of several workers. A pipeline has the second
    if it has bundles whose engines run more than one stream in throughput mode.

    Raises:
        InputFileError: an image cannot be read.
    """
    files = files[:MAX_IMAGES]
    with ExitStack() as stack:
        single = [_OneWorker(each, stack) for each in pipelines]
        several = [_workers(each, stack) for each in pipelines]
        pools = [pool for pool in several if pool is not None]
        take_turns(single, files, duration_s, "time whole images", reporter, pools)
        return [
            (one.speed(),) if pool is None else (one.speed(), pool.speed())
            for one, pool in zip(single, several, strict=True)
        ]


def _workers(pipeline: Pipeline, stack: ExitStack) -> _SeveralWorkers | None:
    if pipeline.bundles is None:  # not an engine: it has one stream
        return None
    detector, recognizer = (
        stack.enter_context(Engine.from_bundle(bundle, mode="throughput"))
        for bundle in pipeline.bundles
    )
    reader = OcrReader(detector, recognizer)
    return _SeveralWorkers(reader) if reader.workers > 1 else None
