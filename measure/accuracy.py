"""The OCR measures of one engine on a set of samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from rapidfuzz.distance import Levenshtein

from ..common.progress import Reporter
from ..engines.engine import Engine
from ..engines.manifest import OcrMetric
from ..ocr.dataset import CropLabel, Dataset, SceneLabel, crop_images
from ..ocr.image import load_image
from ..ocr.metrics.detection import Counts, DetectionScore, Matching, detection_score, match_image
from ..ocr.metrics.recognition import RecognitionScore, loose, recognition_score
from ..ocr.types import Image, Quads
from ..pipeline.stages import detect, recognize
from ..spec import DetectorSpec, RecognizerSpec

Progress = Callable[[int], None]
_CHUNK = 64


def _silent(done: int) -> None:
    """Report nothing."""


@dataclass(frozen=True, kw_only=True)
class DetectorResult:
    """Boxes found in each scene, and how they match the labels."""

    scenes: tuple[SceneLabel, ...]
    found: tuple[Quads, ...]
    matchings: tuple[Matching, ...]

    @property
    def counts(self) -> tuple[Counts, ...]:
        """The numbers of each scene."""
        return tuple(matching.counts for matching in self.matchings)

    @property
    def score(self) -> DetectionScore:
        """Precision, recall and hmean over all scenes."""
        return detection_score(self.counts)


@dataclass(frozen=True, kw_only=True)
class EndToEndResult(DetectorResult):
    """Lines read in each scene; they match a label by place and text."""

    texts: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class RecognizerResult:
    """What was read in each crop."""

    crops: tuple[CropLabel, ...]
    texts: tuple[str, ...]
    text_scores: tuple[float, ...]

    @property
    def score(self) -> RecognitionScore:
        """Word accuracy and CER, case and punctuation counted."""
        return recognition_score(self.texts, [crop.text for crop in self.crops])

    @property
    def loose_word_accuracy(self) -> float:
        """Word accuracy on letters and digits alone, whatever their case."""
        read = [loose(text) for text in self.texts]
        return recognition_score(read, [loose(crop.text) for crop in self.crops]).word_accuracy

    def edits(self, index: int) -> int:
        """Edit distance between reading and truth of one crop."""
        return int(Levenshtein.distance(self.texts[index], self.crops[index].text))


def run_detector(
    engine: Engine, scenes: Sequence[SceneLabel], progress: Progress = _silent
) -> DetectorResult:
    """Find text in every scene."""
    found, matchings = [], []
    for done, scene in enumerate(scenes, 1):
        quads, _ = detect(engine, load_image(scene.path))
        found.append(quads)
        matchings.append(match_image(quads, scene.quads, scene.ignore))
        progress(done)
    return DetectorResult(scenes=tuple(scenes), found=tuple(found), matchings=tuple(matchings))


def run_recognizer(
    engine: Engine, crops: Sequence[CropLabel], progress: Progress = _silent
) -> RecognizerResult:
    """Read every crop."""
    texts: list[str] = []
    scores: list[float] = []
    waiting: list[Image] = []
    for number, line in enumerate(crop_images(tuple(crops)), 1):
        waiting.append(line)
        if len(waiting) == _CHUNK or number == len(crops):
            readings = recognize(engine, waiting)
            texts += [reading.text for reading in readings]
            scores += [reading.score for reading in readings]
            waiting = []
            progress(number)
    return RecognizerResult(crops=tuple(crops), texts=tuple(texts), text_scores=tuple(scores))


Result = DetectorResult | RecognizerResult


def run_samples(engine: Engine, dataset: Dataset, reporter: Reporter) -> Result:
    """Run an engine on all samples of its role.

    Raises:
        InputFileError: an image cannot be read, or there is none for the role.
    """
    title = f"measure the accuracy of {engine.label}"
    crops = crops_of(dataset)
    if isinstance(engine.spec, DetectorSpec):
        with reporter.step(title, len(dataset.scenes)) as advance:
            return run_detector(engine, dataset.scenes, advance)
    with reporter.step(title, len(crops)) as advance:
        return run_recognizer(engine, crops, advance)


def has_samples(dataset: Dataset, spec: DetectorSpec | RecognizerSpec) -> bool:
    """Whether a folder holds anything that a model of this role can be measured on."""
    return bool(dataset.scenes if isinstance(spec, DetectorSpec) else crops_of(dataset))


def judged_by_boxes(engine: DetectorResult, truth: DetectorResult) -> DetectorResult:
    """Return the engine's result with the other's boxes as the truth."""
    scenes = tuple(
        replace(scene, quads=quads, texts=(None,) * len(quads), ignore=(False,) * len(quads))
        for scene, quads in zip(truth.scenes, truth.found, strict=True)
    )
    matchings = tuple(
        match_image(mine, scene.quads, scene.ignore)
        for mine, scene in zip(engine.found, scenes, strict=True)
    )
    return DetectorResult(scenes=scenes, found=engine.found, matchings=matchings)


def judged_by_texts(engine: RecognizerResult, truth: RecognizerResult) -> RecognizerResult:
    """Return the engine's result with the other's readings as the truth."""
    crops = tuple(
        replace(crop, text=text) for crop, text in zip(truth.crops, truth.texts, strict=True)
    )
    return replace(engine, crops=crops)


def judged(engine: Result, truth: Result) -> Result:
    """Return the engine's result with the other's, of the same role, as the truth."""
    if isinstance(engine, RecognizerResult):
        assert isinstance(truth, RecognizerResult)
        return judged_by_texts(engine, truth)
    assert isinstance(truth, DetectorResult)
    return judged_by_boxes(engine, truth)


def detector_metric(
    engine: DetectorResult, baseline: DetectorResult, *, labeled: bool, run_by: str
) -> OcrMetric:
    """Compare hmean. Without labels the baseline's boxes are taken for the truth."""
    own = engine.score if labeled else judged_by_boxes(engine, baseline).score
    other = baseline.score if labeled else judged_by_boxes(baseline, baseline).score
    return OcrMetric(
        name="hmean",
        engine=own.hmean,
        baseline=other.hmean,
        samples=len(baseline.scenes),
        labeled=labeled,
        engine_run_by=run_by,
        details={
            "precision": own.precision,
            "recall": own.recall,
            "baseline_precision": other.precision,
            "baseline_recall": other.recall,
        },
    )


def recognizer_metric(
    engine: RecognizerResult, baseline: RecognizerResult, *, labeled: bool, run_by: str
) -> OcrMetric:
    """Compare CER. Without labels the baseline's readings are taken for the truth."""
    own = engine.score if labeled else judged_by_texts(engine, baseline).score
    other = baseline.score if labeled else judged_by_texts(baseline, baseline).score
    return OcrMetric(
        name="cer",
        engine=own.cer,
        baseline=other.cer,
        samples=own.count,
        labeled=labeled,
        engine_run_by=run_by,
        details={
            "word_accuracy": own.word_accuracy,
            "baseline_word_accuracy": other.word_accuracy,
            "changed": float(
                np.mean([a != b for a, b in zip(engine.texts, baseline.texts, strict=True)])
            )
            if own.count
            else 0.0,
        },
    )


def crops_of(dataset: Dataset) -> tuple[CropLabel, ...]:
    """Return the crops of a folder: labeled ones, or each image as one line without a text."""
    if dataset.labeled:
        return dataset.crops
    return tuple(CropLabel(path=scene.path, text="") for scene in dataset.scenes)
