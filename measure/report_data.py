"""Accuracy of a system and how it changed from the baseline, as data that reports show."""

from __future__ import annotations

from typing import Literal

from ..common.frozen_model import FrozenModel
from ..ocr.metrics.metric import MetricName

Change = Literal["worse", "better", "neither"]


class Interval(FrozenModel):
    """What a measure lies in with 95 % confidence, in the measure's own unit."""

    low: float
    high: float


class AccuracyRow(FrozenModel):
    """OCR measures of one system; shares, 0..1. Those of other roles are None."""

    precision: float | None = None
    recall: float | None = None
    hmean: float | None = None
    word_accuracy: float | None = None
    loose_word_accuracy: float | None = None
    cer: float | None = None
    e2e_precision: float | None = None
    e2e_recall: float | None = None
    e2e_hmean: float | None = None
    intervals: dict[str, Interval] = {}
    """By measure: of hmean, cer, word_accuracy and e2e_hmean."""
    samples: int
    run_by: str
    """What ran the engine: its target, or onnxruntime where the target cannot run."""


class SampleView(FrozenModel):
    """A sample as the report shows it. ``image`` is a PNG or JPEG data URI."""

    image: str
    caption: str
    truth: str
    baseline: str
    engine: str
    change: Change = "neither"
    """From the baseline to the engine."""


class MetricDifference(FrozenModel):
    """A measure of an engine minus that of the baseline, on the same samples; a share."""

    measure: MetricName
    value: float
    interval: Interval | None = None


class Changes(FrozenModel):
    """Which samples came out other than with the baseline."""

    unit: Literal["words", "images"]
    samples: int
    worse: int
    better: int
    neither: int
    """Changed, and neither worse nor better: wrong in another way."""
    p_value: float | None = None
    """Of a two-sided exact sign test on worse and better; None without labels."""
    shown: tuple[SampleView, ...] = ()

    @property
    def changed(self) -> int:
        """How many came out differently."""
        return self.worse + self.better + self.neither
