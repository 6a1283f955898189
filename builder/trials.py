"""Candidates for the precision of an engine, and trials that measure them.

A candidate is judged by its OCR metric, measured on the target itself if it can run here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from typing import Literal

import onnx_ir as ir

from ..calibration.calibrator import Calibrator, QuantizationSettings, QuantizedGraphs
from ..calibration.noise import Outputs, run_all
from ..calibration.observe import Batch
from ..calibration.ranges import graphs_sha256
from ..common.input_size import by_area
from ..common.spread import spread
from ..convert.audit import COUNTED, node_flops
from ..convert.graph import Graphs, result_name
from ..engines.bundle import tree_sha256
from ..engines.engine import Engine
from ..engines.manifest import OcrMetric, Precision
from ..measure.latency import Contender, LatencySettings, measure
from ..ocr.roles import role_of
from .compare import is_within_budget
from .job import TargetJob
from .trial_log import LogRecord, TrialLog

_TIMED = LatencySettings(duration_s=1.0)
FEEDS = {"detector": 4, "recognizer": 24, "classifier": 24}
"""Number of calibration images for distances; a line crop is far smaller than a scene."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Quantized graphs that may become the engine. ``quantization`` is None for fp32."""

    label: str
    precision: Precision
    quantization: QuantizationSettings | None
    quantized: QuantizedGraphs
    int8_share: float = 0.0
    """Share in int8 of the FLOPs of all ops of ``audit.COUNTED``, 0..1."""

    @property
    def excluded(self) -> tuple[str, ...]:
        """Ops that were returned to float, by their first output."""
        return tuple(self.quantization.excluded) if self.quantization else ()


def fp32_candidate(graphs: Graphs) -> Candidate:
    """Return the float graphs as a candidate."""
    return Candidate(
        label="fp32", precision="fp32", quantization=None, quantized=QuantizedGraphs(graphs=graphs)
    )


def half_candidate(calibrator: Calibrator, precision: Literal["fp16", "bf16"]) -> Candidate:
    """Return a candidate in which all ops that are accurate in 16 bits run in 16 bits."""
    quantization = QuantizationSettings(precision=precision)
    return Candidate(
        label=precision,
        precision=precision,
        quantization=quantization,
        quantized=calibrator.quantized(quantization),
    )


def int8_candidate(
    calibrator: Calibrator, quantization: QuantizationSettings, label: str
) -> Candidate:
    """Return a candidate in which all ops that int8 supports run in int8, except excluded ones."""
    quantized = calibrator.quantized(quantization)
    return Candidate(
        label=label,
        precision="int8",
        quantization=quantization,
        quantized=quantized,
        int8_share=_int8_share(calibrator.graphs, quantized),
    )


def _int8_share(graphs: Graphs, quantized: QuantizedGraphs) -> float:
    graph = ir.from_proto(graphs[max(graphs, key=by_area)]).graph
    flops = {result_name(node): node_flops(node) for node in graph if node.op_type in COUNTED}
    # ``exceptions`` are the ops that do not run in the precision of the candidate.
    in_int8 = sum(count for name, count in flops.items() if name not in quantized.exceptions)
    total = sum(flops.values())
    return in_int8 / total if total else 0.0


@dataclass(frozen=True, kw_only=True)
class PrecisionTrial:
    """A candidate with its measurements."""

    candidate: Candidate
    metric: OcrMetric | None
    """None without samples."""
    distance: float
    """Distance of the outputs from those of the float graph; see ``OcrRole.output_distance``."""
    latency: float | None = None
    """Median in milliseconds; None if it was not timed."""

    @property
    def loss(self) -> float:
        """Points lost against the baseline; 0 without samples."""
        return self.metric.loss if self.metric else 0.0


class TrialRecord(LogRecord):
    """The measurements of a candidate on disk."""

    metric: OcrMetric | None
    distance: float


class TrialRunner:
    """Measures the candidates for one target. ``feeds``: a few batches to measure distances on."""

    def __init__(self, job: TargetJob, calibrator: Calibrator, log: TrialLog[TrialRecord]) -> None:
        self.target, self.spec, self.reporter = job.target, job.spec, job.reporter
        self._kept = calibrator.kept
        self._compiler, self._baseline, self._log = job.compiler, job.baseline, log
        samples = job.baseline.samples
        self._samples_sha256 = tree_sha256(samples.folder) if samples else ""
        count = FEEDS[job.spec.role]
        self.feeds = self._kept(("feeds", count), lambda: spread_batches(calibrator, count))
        self._reference: Outputs = self._kept(
            ("float outputs", count), lambda: run_all(calibrator.graphs, self.feeds)
        )

    def measure(self, candidate: Candidate) -> PrecisionTrial:
        """Measure metric and distance of a candidate, or read them from the log."""
        key = self._key(candidate.quantized.graphs)
        record = self._log.get(key)
        if record is None:
            own = graphs_sha256(candidate.quantized.graphs)
            # Another target with an equal graph has the same distance. If neither target can run
            # here, onnxruntime runs the graph for both, so the metric is the same, too.
            runtime = self.target.name if self.can_time else "onnxruntime on the quantized graph"
            metric = self._kept(("metric", runtime, own), lambda: self._metric(candidate))
            distance = self._kept(("distance", own), lambda: self._distance(candidate))
            record = TrialRecord(key=key, metric=metric, distance=distance)
            self._log.add(record)
        return PrecisionTrial(candidate=candidate, metric=record.metric, distance=record.distance)

    def _metric(self, candidate: Candidate) -> OcrMetric | None:
        with self._open(candidate) as engine:
            return self._baseline.metric(engine, self.reporter)

    def _distance(self, candidate: Candidate) -> float:
        # On the quantized graph, not on the target, so that it is the same on every machine.
        with self.reporter.step(f"measure the distance of {candidate.label}"):
            outputs = run_all(candidate.quantized.graphs, self.feeds)
        return role_of(self.spec).output_distance(self._reference, outputs)

    def is_within(self, trial: PrecisionTrial) -> bool:
        """Whether a candidate loses no more than the spec allows."""
        return is_within_budget(trial.loss, self.spec)

    @property
    def can_time(self) -> bool:
        """Whether the target can run here."""
        return self._compiler.can_run

    def timed(self, trials: Sequence[PrecisionTrial]) -> list[PrecisionTrial]:
        """Return the trials with latencies if the target can run here.

        All candidates are timed in turns, so that a change in the machine's speed affects all.
        """
        if not self.can_time:
            return list(trials)
        with ExitStack() as stack:
            engines = [stack.enter_context(self._open(trial.candidate)) for trial in trials]
            # All engines stay open together, since they run in turns.
            runners = [engine.runner() for engine in engines]
            contenders = [Contender(runner=r, shape=(1, *r.shape)) for r in runners]
            with self.reporter.step(f"time {len(trials)} candidates in turns", 100) as advance:
                measured = measure(contenders, _TIMED, lambda share: advance(round(100 * share)))
        return [
            replace(trial, latency=stats.p50) for trial, stats in zip(trials, measured, strict=True)
        ]

    def _open(self, candidate: Candidate) -> AbstractContextManager[Engine]:
        return self._compiler.open_candidate(candidate.quantized.graphs, candidate.label)

    def _key(self, graphs: Graphs) -> str:
        # Everything that a metric depends on: graph, samples, runtime, and the spec's thresholds.
        target = f"{self.target.name} {self.target.availability().version}"
        parts = (graphs_sha256(graphs), self._samples_sha256, target, self.spec.model_dump_json())
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def spread_batches(calibrator: Calibrator, limit: int) -> list[Batch]:
    """Return at most ``limit`` calibration batches (N, C, H, W), evenly spread."""
    chosen = set(spread(len(calibrator.images), limit))
    return [batch for number, batch in enumerate(calibrator.batches()) if number in chosen]
