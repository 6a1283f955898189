"""What a comparison found, as data: this is ``report.json``; the other reports show it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from .latency import LatencySettings, LatencyStats

Kind = Literal["baseline", "reference", "engine"]
"""The model itself; its fp32 graph in onnxruntime; an engine built from it."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class AccuracyRow(_Part):
    """OCR measures of one system; shares, 0..1. Those of the other role are None."""

    precision: float | None = None
    recall: float | None = None
    hmean: float | None = None
    word_accuracy: float | None = None
    loose_word_accuracy: float | None = None
    cer: float | None = None
    samples: int
    run_by: str
    """What ran the engine: its target, or onnxruntime where the target cannot run."""


class SystemRow(_Part):
    """One system: the baseline, onnxruntime on the fp32 graph, or an engine."""

    label: str
    kind: Kind
    latencies: tuple[LatencyStats, ...] = ()
    accuracy: AccuracyRow | None = None
    note: str = ""

    def latency(self, batch: int) -> LatencyStats | None:
        """Return the latencies at one batch size, if they were measured."""
        return next((stats for stats in self.latencies if stats.batch == batch), None)


class WorstSample(_Part):
    """A sample that the engine did badly on. ``picture`` is a PNG or JPEG data URI."""

    picture: str
    caption: str
    truth: str
    baseline: str
    engine: str


class ModelReport(_Part):
    """All systems of one model."""

    name: str
    role: Literal["detector", "recognizer"]
    input_shape: tuple[int, int, int]
    """(C, H, W) that latencies were measured at."""
    systems: tuple[SystemRow, ...]
    accuracy_against: Literal["labels", "model"] = "labels"
    """What the accuracies are measured against: without labels, the model's own output."""
    worst_of: str = ""
    worst: tuple[WorstSample, ...] = ()

    @property
    def batches(self) -> tuple[int, ...]:
        """Batch sizes at which anything was measured, ascending."""
        return tuple(sorted({s.batch for row in self.systems for s in row.latencies}))

    def speedup(self, row: SystemRow, batch: int) -> float | None:
        """Return the ratio of the baseline's median latency to this system's."""
        base = next((r.latency(batch) for r in self.systems if r.kind == "baseline"), None)
        own = row.latency(batch)
        return base.p50 / own.p50 if base and own else None


class Report(_Part):
    """A whole comparison."""

    schema_version: Literal[1] = 1
    machine: dict[str, str]
    versions: dict[str, str]
    settings: LatencySettings
    data: str | None
    """The folder accuracy was measured on."""
    data_sha256: str | None = None
    """Of that folder's files."""
    models: tuple[ModelReport, ...]
    notes: tuple[str, ...] = ()
