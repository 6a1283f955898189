"""The OCR metrics by name, and which direction is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

MetricName = Literal["hmean", "cer", "accuracy", "word_accuracy", "e2e_hmean"]
RoleMetric = Literal["hmean", "cer", "accuracy"]
"""The metrics of one model that decide: of detectors, recognizers and classifiers."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric, a share from 0 to 1; the CER can exceed 1."""

    title: str
    """Its name in reports."""
    sign: Literal[1, -1]
    """1 if higher is better, -1 if lower is better."""


METRICS: Mapping[MetricName, Metric] = {
    "hmean": Metric(title="hmean", sign=1),
    "cer": Metric(title="CER", sign=-1),
    "accuracy": Metric(title="accuracy", sign=1),
    "word_accuracy": Metric(title="word accuracy", sign=1),
    "e2e_hmean": Metric(title="end-to-end hmean", sign=1),
}
