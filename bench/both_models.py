"""Compare pairs of a detector and a recognizer: both the place and the text of a line count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import compress

import numpy as np

from ..common.progress import Reporter
from ..engines.engine import Engine
from ..measure.detector_result import DetectorResult
from ..measure.end_to_end_result import EndToEndResult
from ..measure.pipeline_speed import Pipeline, PipelineSpeed, pipeline_speeds
from ..measure.result import Result
from ..ocr.dataset import Dataset
from ..pipeline.reader import read_boxes
from ..pipeline.text_lines import boxes_of_lines
from .results import Kind, ModelReport, SystemRow
from .score import scored
from .systems import System


@dataclass(frozen=True, kw_only=True)
class ComparedModel:
    """One model and its systems; ``results``: on the samples, by index in ``systems``."""

    report: ModelReport
    systems: tuple[System, ...]
    results: dict[int, Result]


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """A detector, the boxes that it returned, and the recognizer that reads them."""

    label: str
    kind: Kind
    detected: DetectorResult
    detector: System
    recognizer: System

    @property
    def run_by(self) -> str:
        return " + ".join(dict.fromkeys((self.detector.run_by, self.recognizer.run_by)))


def end_to_end(
    measured: Sequence[ComparedModel],
    dataset: Dataset,
    duration_s: float,
    reporter: Reporter,
    notes: list[str],
) -> ModelReport | None:
    """Compare pairs of a detector and a recognizer; None unless there is one model of each.

    Engines of the same target and precision are paired. If each model has only one engine, these
    two are paired in any case. Each pair that can run here is timed for at least ``duration_s``.
    ``notes`` receives the reason if the images have no texts to compare with.

    Raises:
        InputFileError: an image cannot be read.
    """
    detectors = [each for each in measured if each.report.role == "detector"]
    recognizers = [each for each in measured if each.report.role == "recognizer"]
    if len(detectors) != 1 or len(recognizers) != 1:
        return None
    detector, recognizer = detectors[0], recognizers[0]
    pairs = list(_pairs(detector, recognizer))
    if all(pair.kind != "engine" for pair in pairs):
        return None
    words = (each for s in dataset.scenes for each in zip(s.texts, s.ignore, strict=True))
    if dataset.labeled and not any(text and not is_ignored for text, is_ignored in words):
        notes.append(
            f"end to end was not measured: no image in {dataset.folder} has a box with text"
        )
        return None
    # Without labels, the baseline's lines are the truth, so there must be a baseline.
    if not dataset.labeled and pairs[0].kind != "baseline":
        return None
    results = [_read(pair, reporter) for pair in pairs]
    if not dataset.labeled:
        results = [result.judged_by(results[0]) for result in results]
    baseline = results[0] if pairs[0].kind == "baseline" else None
    speeds = _speeds(pairs, dataset, duration_s, reporter)
    return ModelReport(
        name=f"{detector.report.name} + {recognizer.report.name}",
        role="end-to-end",
        input_shape=detector.report.input_shape,
        systems=tuple(
            scored(
                SystemRow(label=pair.label, kind=pair.kind, pipeline=speed),
                result,
                baseline,
                run_by=pair.run_by,
                labeled=dataset.labeled,
            )
            for pair, result, speed in zip(pairs, results, speeds, strict=True)
        ),
        accuracy_against="labels" if dataset.labeled else "model",
    )


def _pairs(detector: ComparedModel, recognizer: ComparedModel) -> Iterator[_Pair]:
    """Yield the pair of baselines, then pairs of engines. Detectors without results have none."""
    for kind in ("baseline", "engine"):
        finders = [i for i in detector.results if detector.systems[i].kind == kind]
        readers = [s for s in recognizer.systems if s.kind == kind]
        is_alone = len(finders) == len(readers) == 1
        for index in finders:
            finder, detected = detector.systems[index], detector.results[index]
            assert isinstance(detected, DetectorResult)
            for reader in readers:
                # Both labels are "target precision"; equal labels become one key.
                labels = dict.fromkeys((finder.short_label, reader.short_label))
                if is_alone or len(labels) == 1 or _are_alike(finder, reader):
                    yield _Pair(
                        label=" + ".join(labels),
                        kind="baseline" if kind == "baseline" else "engine",
                        detected=detected,
                        detector=finder,
                        recognizer=reader,
                    )


def _are_alike(one: System, other: System) -> bool:
    """Whether two bundles were built for the same target and precision.

    ``best`` may choose int8 for one of them and fp32 for the other, so their labels may differ.
    """
    if one.bundle is None or other.bundle is None:
        return False
    mine, theirs = one.bundle.manifest, other.bundle.manifest
    return (mine.target, mine.precision) == (theirs.target, theirs.precision)


def _speeds(
    pairs: Sequence[_Pair], dataset: Dataset, duration_s: float, reporter: Reporter
) -> list[tuple[PipelineSpeed, ...]]:
    """Time the pairs whose systems run here; the others get no speeds."""
    timed = [pair.detector.timed and pair.recognizer.timed for pair in pairs]
    with ExitStack() as stack:
        pipelines, opened = [], dict[int, Engine]()

        def engine_of(system: System) -> Engine:
            # Engines were closed after their own measurement. Several pairs may have the same one.
            key = id(system.engine)  # the baselines of both models have the same label
            if key not in opened:
                opened[key] = stack.enter_context(system.engine.reopened())
            return opened[key]

        for pair in compress(pairs, timed):
            finder, reader = pair.detector, pair.recognizer
            # Only engines have bundles, which can be opened again with several streams.
            bundles = (finder.bundle, reader.bundle) if finder.bundle and reader.bundle else None
            pipelines.append(
                Pipeline(detector=engine_of(finder), recognizer=engine_of(reader), bundles=bundles)
            )
        files = [scene.image for scene in dataset.scenes]
        speeds = iter(pipeline_speeds(pipelines, files, duration_s, reporter) if pipelines else ())
    # Back in the order of ``pairs``.
    return [next(speeds) if is_timed else () for is_timed in timed]


def _read(pair: _Pair, reporter: Reporter) -> EndToEndResult:
    """Read the text in the boxes that the detector has already returned."""
    scenes, boxes, texts = pair.detected.scenes, [], []
    with (
        reporter.step(f"read the boxes of {pair.label}", len(scenes)) as advance,
        pair.recognizer.engine.reopened() as recognizer,
    ):
        for number, (scene, quads) in enumerate(zip(scenes, pair.detected.boxes, strict=True), 1):
            scores = np.ones(len(quads), np.float32)  # (K,): only places and texts are compared
            lines = read_boxes(recognizer, scene.image.read(), quads, scores)
            boxes.append(boxes_of_lines(lines))
            texts.append(tuple(line.text for line in lines))
            advance(number)
    return EndToEndResult.matched(scenes, tuple(boxes), tuple(texts))
