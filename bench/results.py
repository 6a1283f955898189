"""What a comparison found, as data: this is ``report.json``; the other reports show it."""

from __future__ import annotations

from typing import Literal

from ..common.frozen_model import FrozenModel
from ..measure.latency import LatencySettings, LatencyStats
from ..measure.load import Load
from ..measure.peaks import Peaks
from ..measure.report_data import AccuracyRow, Changes, MetricDifference, SampleView
from .roofline import Roofline

Kind = Literal["baseline", "reference", "competitor", "engine"]
"""The model itself; its fp32 graph in onnxruntime; another way to run the model as it is; an engine
built from it."""


class StratumRow(FrozenModel):
    """Samples of one kind. ``shares``: one per system of the breakdown and measure, 0..1."""

    name: str
    samples: int
    shares: tuple[float, ...]


class Breakdown(FrozenModel):
    """Measures by kind of sample."""

    by: str
    unit: str
    columns: tuple[str, ...]
    """What the shares are: a system and a measure."""
    strata: tuple[StratumRow, ...]


class PipelineSpeed(FrozenModel):
    """How fast whole images are read, by so many workers at a time."""

    workers: int
    images: int
    passes: int
    throughput: float
    """Images per second."""
    stages: dict[str, float] = {}
    """Milliseconds per image, of one worker."""


class SystemRow(FrozenModel):
    """One system: the baseline, onnxruntime on the fp32 graph, or an engine."""

    label: str
    kind: Kind
    latencies: tuple[LatencyStats, ...] = ()
    difference: float | None = None
    """Of a competitor's output from the baseline's on noise, the largest."""
    load: Load | None = None
    accuracy: AccuracyRow | None = None
    differences: tuple[MetricDifference, ...] = ()
    """To the baseline; the first is of the measure that decides."""
    changes: Changes | None = None
    pipeline: tuple[PipelineSpeed, ...] = ()
    """Of a detector and a recognizer together."""
    rooflines: tuple[Roofline, ...] = ()
    """By batch size, where they were asked for."""
    note: str = ""

    def latency(self, batch: int) -> LatencyStats | None:
        """Return the latencies at one batch size, if they were measured."""
        return next((stats for stats in self.latencies if stats.batch == batch), None)


class ModelReport(FrozenModel):
    """All systems of one model, or of a detector and a recognizer together."""

    name: str
    role: Literal["detector", "recognizer", "end-to-end"]
    input_shape: tuple[int, int, int]
    """(C, H, W) that latencies were measured at."""
    systems: tuple[SystemRow, ...]
    accuracy_against: Literal["labels", "model"] = "labels"
    """What the accuracies are measured against: without labels, the model's own output."""
    allowed_loss: float | None = None
    """Points of hmean or CER that the spec allows."""
    breakdowns: tuple[Breakdown, ...] = ()
    worst_of: str = ""
    worst: tuple[SampleView, ...] = ()

    @property
    def title(self) -> str:
        """The name as a heading."""
        return f"{self.name}, end to end" if self.role == "end-to-end" else self.name

    @property
    def batches(self) -> tuple[int, ...]:
        """Batch sizes at which anything was measured, ascending."""
        return tuple(sorted({s.batch for row in self.systems for s in row.latencies}))

    @property
    def engines(self) -> tuple[SystemRow, ...]:
        """The rows of engines."""
        return tuple(row for row in self.systems if row.kind == "engine")

    @property
    def unit(self) -> str:
        """What is counted as one sample."""
        return "words" if self.role == "recognizer" else "images"

    def short_label(self, row: SystemRow) -> str:
        """Return the label of a system without the model's name."""
        return row.label.removeprefix(f"{self.name} ")

    def speedup(self, row: SystemRow, batch: int) -> float | None:
        """Return the ratio of the baseline's median latency to this system's."""
        base = next((r.latency(batch) for r in self.systems if r.kind == "baseline"), None)
        own = row.latency(batch)
        return base.p50 / own.p50 if base and own else None


class Report(FrozenModel):
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
    peaks: Peaks | None = None
    """What the machine can do at best, where rooflines were asked for."""
    end_to_end: ModelReport | None = None
    """The detector and the recognizer together, if there was one of each."""
    notes: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[ModelReport, ...]:
        """All that was compared: the models, and both together."""
        return self.models if self.end_to_end is None else (*self.models, self.end_to_end)
