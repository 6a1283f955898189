"""Measure the variants of each model on the images: time, and the model's own metric.

The times are those of the pipeline: a detector is timed on whole images, and a recognizer on the
lines that the exact detector finds in these images, with their widths and their number per image.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ...common.progress import Reporter
from ...engines.engine import Engine
from ...engines.manifest import OcrMetric
from ...measure.accuracy import run_samples
from ...measure.image_timer import ImageTimer, take_turns
from ...ocr.dataset import Dataset, ImagePage
from ...ocr.types import Image
from ...pipeline.clock import Stage, StageClock
from ...pipeline.parallel_lines import recognize_in_parallel
from ...pipeline.reader import OcrReader
from .open_variants import OpenVariant

_DURATION_S = 1.0
"""Seconds for which the fastest variant is timed; the order of the variants needs no more."""
_DETECTION: tuple[Stage, ...] = ("prepare", "detect", "boxes")
_RECOGNITION: tuple[Stage, ...] = ("fit", "recognize", "text")
_REST: tuple[Stage, ...] = ("load", "crop")


@dataclass(frozen=True, kw_only=True)
class OwnAccuracy:
    """The model's own metric against the model itself, at the input sizes of its spec."""

    metric: OcrMetric
    """On the labels; without labels, the same as ``agreement``."""
    agreement: OcrMetric
    """With the model's own output as the ground truth. Its loss ranks variants better: of a few
    points, the labels of some images show little but chance."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelTrial:
    """The measurements of a variant. Two trials are never equal, so that pairs can be keys."""

    open: OpenVariant
    accuracy: OwnAccuracy
    milliseconds: float
    """Of a detector: per image, without what is in ``rest``. Of a recognizer: per line."""
    rest: float = 0.0
    """Of a detector: milliseconds per image to decode the file and to cut the lines out."""
    lines: float = 0.0
    """Of a detector: the lines that it finds per image."""

    @property
    def label(self) -> str:
        """The name of the variant, without that of its model."""
        return self.open.label

    @property
    def costs(self) -> tuple[float, float, float]:
        """Milliseconds, points lost, and points of difference from the model's own output."""
        return self.milliseconds, self.accuracy.metric.loss, self.accuracy.agreement.loss


def own_accuracies(
    variants: Sequence[OpenVariant], baseline: Engine, samples: Dataset, reporter: Reporter
) -> list[OwnAccuracy]:
    """Measure each variant and the model itself on the samples of its role.

    The baseline of a build runs at the variant's own input sizes. Here all variants are compared
    with the model at the input sizes of its spec.
    """
    truth, accuracies = run_samples(baseline, samples, reporter), []
    for each in variants:
        own, run_by = run_samples(each.engine, samples, reporter), each.engine.label
        metric = own.compare(truth, labeled=samples.labeled, run_by=run_by)
        agreement = own.compare(truth, labeled=False, run_by=run_by)
        accuracies.append(OwnAccuracy(metric=metric, agreement=agreement))
    return accuracies


def detector_trials(
    variants: Sequence[OpenVariant],
    accuracies: Sequence[OwnAccuracy],
    recognizer: Engine,
    files: Sequence[ImagePage],
    reporter: Reporter,
) -> list[ModelTrial]:
    """Time detectors on images. ``recognizer``: any one; its times are not measured here."""
    found: list[dict[ImagePage, int]] = [{} for _ in variants]

    def finder(engine: Engine, lines: dict[ImagePage, int]) -> Callable[..., None]:
        reader = OcrReader(engine, recognizer)

        def find(file: ImagePage, clock: StageClock) -> None:
            with clock("load"):
                image = file.read()
            lines[file] = len(reader.timed(clock).find(image).crops)

        return find

    timers = [
        ImageTimer(finder(each.engine, own)) for each, own in zip(variants, found, strict=True)
    ]
    take_turns(timers, files, _DURATION_S, "time the variants of the detector", reporter)
    return [
        ModelTrial(
            open=variant,
            accuracy=accuracy,
            milliseconds=sum(timer.stages()[stage] for stage in _DETECTION),
            rest=sum(timer.stages()[stage] for stage in _REST),
            lines=statistics.fmean(own.values()),
        )
        for variant, accuracy, timer, own in zip(variants, accuracies, timers, found, strict=True)
    ]


def recognizer_trials(
    variants: Sequence[OpenVariant],
    accuracies: Sequence[OwnAccuracy],
    lines: Mapping[ImagePage, Sequence[Image]],
    reporter: Reporter,
) -> list[ModelTrial]:
    """Time recognizers on the line crops (h, w, 3) of each image.

    The lines of an image are read together, as in the pipeline, so that batches are as full.
    """
    count = sum(map(len, lines.values()))

    def reader_of(engine: Engine) -> Callable[..., None]:
        def read(file: ImagePage, clock: StageClock) -> None:
            recognize_in_parallel(engine, lines[file], clock)

        return read

    timers = [ImageTimer(reader_of(each.engine)) for each in variants]
    if count:
        take_turns(
            timers, list(lines), _DURATION_S, "time the variants of the recognizer", reporter
        )
    return [
        ModelTrial(
            open=variant,
            accuracy=accuracy,
            milliseconds=per_line(timer, len(lines), count) if count else 0.0,
        )
        for variant, accuracy, timer in zip(variants, accuracies, timers, strict=True)
    ]


def per_line(timer: ImageTimer, images: int, lines: int) -> float:
    """Return the milliseconds of one line, from those of all lines of each image."""
    return sum(timer.stages()[stage] for stage in _RECOGNITION) * images / lines


def lines_of(
    detector: Engine, recognizer: Engine, files: Sequence[ImagePage], reporter: Reporter
) -> dict[ImagePage, list[Image]]:
    """Return the line crops (h, w, 3) that a detector finds in each image.

    ``recognizer``: any one; it does not run.
    """
    reader, lines = OcrReader(detector, recognizer), dict[ImagePage, list[Image]]()
    with reporter.step("find the lines of the images", len(files)) as advance:
        for done, file in enumerate(files, 1):
            lines[file] = list(reader.find(file.read()).crops)
            advance(done)
    return lines
