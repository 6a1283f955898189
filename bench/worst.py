"""The samples an engine did worst on, as images for the report."""

from __future__ import annotations

from ..measure.accuracy import DetectorResult, RecognizerResult, Result
from ..measure.results import Sample
from ..measure.sample_images import samples_of
from ..ocr.metrics.detection import detection_score

_SCENES, _CROPS = 4, 12


def _worst_scenes(engine: DetectorResult) -> list[int]:
    scores = [detection_score([counts]).hmean for counts in engine.counts]
    order = sorted(range(len(scores)), key=lambda i: scores[i])
    return [index for index in order if scores[index] < 1][:_SCENES]


def _worst_crops(engine: RecognizerResult) -> list[int]:
    def loss(index: int) -> tuple[int, float]:
        return -engine.edits(index), engine.text_scores[index]

    wrong = [i for i, crop in enumerate(engine.crops) if engine.texts[i] != crop.text]
    return sorted(wrong, key=loss)[:_CROPS]


def worst_samples(engine: Result, baseline: Result | None) -> tuple[Sample, ...]:
    """Return the worst samples of an engine, worst first, beside what the baseline made of them."""
    chosen = _worst_scenes(engine) if isinstance(engine, DetectorResult) else _worst_crops(engine)
    return tuple(samples_of(engine, baseline, chosen))
