"""The results of a comparison as data: ``report.json``, from which the other reports are made."""

from __future__ import annotations

from typing import Literal

from ..common.frozen_model import FrozenModel
from ..measure.latency import LatencySettings, LatencyStats
from ..measure.load import Load
from ..measure.peaks import Peaks
from ..measure.pipeline_speed import PipelineSpeed
from ..measure.report_data import AccuracyRow, Changes, MetricDifference, SampleView
from .roofline import Roofline

Kind = Literal["baseline", "reference", "competitor", "engine"]
"""In this order: the model; its fp32 graph in onnxruntime; the model without conversion in another
runtime; an engine built from it."""


class StratumRow(FrozenModel):
    """Samples of one kind. ``shares``: the cells of the breakdown's columns, 0..1."""

    name: str
    samples: int
    shares: tuple[float, ...]


class Breakdown(FrozenModel):
    """Measures by kind of sample."""

    by: str
    unit: str
    columns: tuple[str, ...]
    """The measure and the system of each share."""
    strata: tuple[StratumRow, ...]


class SystemRow(FrozenModel):
    """One system: the baseline, onnxruntime on the fp32 graph, or an engine."""

    label: str
    kind: Kind
    latencies: tuple[LatencyStats, ...] = ()
    difference: float | None = None
    """The largest difference of a competitor's output from the baseline's, on noise."""
    load: Load | None = None
    accuracy: AccuracyRow | None = None
    differences: tuple[MetricDifference, ...] = ()
    """Differences from the baseline; the first is that of the measure that decides."""
    changes: Changes | None = None
    pipeline: tuple[PipelineSpeed, ...] = ()
    """Speeds of whole images; only for a detector and a recognizer together."""
    rooflines: tuple[Roofline, ...] = ()
    """One per batch size, if rooflines were requested."""
    note: str = ""
    bundle: str = ""
    """The folder of an engine's bundle."""
    target: str = ""
    """The target of an engine."""
    allowed_loss: float | None = None
    """The loss of hmean or CER that the spec of an engine's bundle allows, in points."""

    def latency(self, batch: int) -> LatencyStats | None:
        """Return the latencies at one batch size, if they were measured."""
        return next((stats for stats in self.latencies if stats.batch == batch), None)


class ModelReport(FrozenModel):
    """All systems of one model, or all pairs of a detector and a recognizer."""

    name: str
    role: Literal["detector", "recognizer", "classifier", "end-to-end"]
    input_shape: tuple[int, int, int]
    """(C, H, W) of the input at which latencies were measured."""
    systems: tuple[SystemRow, ...]
    accuracy_against: Literal["labels", "model"] = "labels"
    """What accuracies are measured against: the labels or, without labels, the model's output."""
    allowed_loss: float | None = None
    """The loss of hmean or CER in points that the spec of the first bundle allows."""
    breakdowns: tuple[Breakdown, ...] = ()
    worst_of: str = ""
    worst: tuple[SampleView, ...] = ()

    @property
    def title(self) -> str:
        """The name as a heading."""
        return f"{self.name}, end to end" if self.role == "end-to-end" else self.name

    @property
    def batches(self) -> tuple[int, ...]:
        """The batch sizes of all latencies, ascending."""
        return tuple(sorted({s.batch for row in self.systems for s in row.latencies}))

    @property
    def engines(self) -> tuple[SystemRow, ...]:
        """The rows of engines."""
        return tuple(row for row in self.systems if row.kind == "engine")

    def allowed(self, row: SystemRow) -> float | None:
        """Return the loss in points that an engine's own spec allows; None: no limit is known."""
        return self.allowed_loss if row.allowed_loss is None else row.allowed_loss

    @property
    def unit(self) -> str:
        """What is counted as one sample."""
        return {"recognizer": "words", "classifier": "crops"}.get(self.role, "images")

    def short_label(self, row: SystemRow) -> str:
        """Return the label of a system without the model's name."""
        return row.label.removeprefix(f"{self.name} ")

    def speedup(self, row: SystemRow, batch: int) -> float | None:
        """Return the ratio of the baseline's median latency to this system's."""
        base = next((r.latency(batch) for r in self.systems if r.kind == "baseline"), None)
        own = row.latency(batch)
        return base.p50 / own.p50 if base and own else None


class Report(FrozenModel):
    """A whole comparison of engines with the models that they were built from."""

    schema_version: Literal[1] = 1
    """The version of this format."""
    machine: dict[str, str]
    """The processor, the number of cores and the operating system."""
    versions: dict[str, str]
    """The versions of the libraries."""
    settings: LatencySettings
    """How long each system was timed."""
    data: str | None
    """The folder of the samples that accuracy was measured on."""
    data_sha256: str | None = None
    """The SHA-256 of the files in that folder."""
    models: tuple[ModelReport, ...]
    """The systems of each model: the model itself, its fp32 graph in onnxruntime, its engines."""
    peaks: Peaks | None = None
    """The peaks of the machine, if rooflines were requested."""
    end_to_end: ModelReport | None = None
    """The detector and the recognizer together, if there is one model of each."""
    notes: tuple[str, ...] = ()
    """What was not measured, with the reasons."""

    @property
    def parts(self) -> tuple[ModelReport, ...]:
        """The models, and then the pairs of a detector and a recognizer."""
        return self.models if self.end_to_end is None else (*self.models, self.end_to_end)
