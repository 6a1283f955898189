"""Accuracy of a system and its changes from the baseline, as data of reports."""

from __future__ import annotations

from typing import Literal

from ..common.frozen_model import FrozenModel
from ..ocr.metrics.metric import MetricName

Change = Literal["worse", "better", "neither"]


class Interval(FrozenModel):
    """The 95 % confidence interval of a metric, in the unit of the metric."""

    low: float
    high: float


class AccuracyRow(FrozenModel):
    """OCR metrics of one system; shares, 0..1. Metrics of other roles are None."""

    precision: float | None = None
    recall: float | None = None
    hmean: float | None = None
    accuracy: float | None = None
    word_accuracy: float | None = None
    loose_word_accuracy: float | None = None
    cer: float | None = None
    e2e_precision: float | None = None
    e2e_recall: float | None = None
    e2e_hmean: float | None = None
    intervals: dict[str, Interval] = {}
    """By metric: hmean, cer, accuracy, word_accuracy or e2e_hmean."""
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
    """Whether the engine's result is worse or better than the baseline's."""


class MetricDifference(FrozenModel):
    """A metric of an engine minus that of the baseline, on the same samples; a share."""

    measure: MetricName
    value: float
    interval: Interval | None = None


class Changes(FrozenModel):
    """Numbers of samples whose results differ from the baseline's."""

    unit: Literal["words", "images", "crops"]
    samples: int
    worse: int
    better: int
    neither: int
    """Samples with other errors, but as many as before."""
    p_value: float | None = None
    """p-value of a two-sided exact sign test on worse and better; None without labels."""
    shown: tuple[SampleView, ...] = ()

    @property
    def changed(self) -> int:
        """The number of samples with different results."""
        return self.worse + self.better + self.neither
