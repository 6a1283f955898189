"""Measure compressed networks: distance, OCR metric with its interval, agreement with the model.

``measure/points_lost.py`` has the verdicts. The disagreement with the model may be 2.5 times the
budget, because a few samples cannot tell a loss of half a point from none, and few differences are
errors. docs/compression.md has the measurements that led to this limit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..calibration.noise import Outputs, run_all
from ..common.frozen_model import StrictModel
from ..common.input_size import by_area
from ..compression.decisions import Decision
from ..compression.op_shares import op_work, total_flops
from ..compression.shrinker import Shrinker, Smaller
from ..compression.sparsify import sparsify
from ..convert.graph import Graphs
from ..engines.engine import Engine
from ..engines.manifest import OcrMetric, PointsInterval
from ..measure.accuracy import run_samples
from ..measure.points_lost import points_interval, verdict_of
from ..ocr.roles import role_of
from .job import TargetJob
from .trial_log import LogRecord, TrialLog

DISAGREEMENT = 2.5
"""Points of disagreement with the model that are allowed for each point of the budget, where the
samples cannot tell whether a loss is within it."""


class CompressionTrial(StrictModel):
    """The measurements of one compressed network in fp32."""

    kept_flops: float
    """Relative to the whole network."""
    distance: float
    metric: OcrMetric
    interval: PointsInterval | None = None
    """Of the points lost."""
    agreement: float
    """See ``Compression``."""


class CompressionRecord(LogRecord):
    """A measurement of the search on disk; each record has one of these."""

    distance: float | None = None
    times: dict[str, float] | None = None
    trial: CompressionTrial | None = None


CompressionLog = TrialLog[CompressionRecord]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Whether a compressed network is within budget."""

    is_within: bool
    can_tell: bool
    """Whether the samples suffice to be sure of it."""


def certain_loss(trial: CompressionTrial) -> float:
    """Return the points that a network loses at least, as far as the samples can tell.

    The estimated loss would not do: on 20 images, it differs by a point between networks that are
    equally good. The engine is measured again, and must keep the budget by its estimate.
    """
    if trial.interval is None or not trial.metric.labeled:
        return trial.metric.loss
    return trial.interval.low


def judged(trial: CompressionTrial, budget: float, *, is_final: bool = False) -> Judgement:
    """Judge a network by its points lost and by its agreement with the model.

    ``is_final``: the engine will compute in fp32 as the network does, so that it would be refused
    for an estimated loss over the budget.
    """
    verdict = verdict_of(
        trial.metric.loss if is_final else certain_loss(trial),
        trial.interval,
        100 * (1 - trial.agreement),
        budget=budget,
        allowed_disagreement=DISAGREEMENT * budget,
    )
    return Judgement(is_within=verdict in ("shown", "agrees"), can_tell=verdict == "shown")


class CompressionRunner:
    """Measures networks on a few images and on the samples. Measurements are kept in a log.

    Args:
        job: the target; its graphs are not compressed.
        shrinker: makes them smaller.
        feeds: batches (N, C, H, W) on which distances are measured.
        log: measurements of an interrupted search.
        facts: what all measurements depend on, besides the decisions.
    """

    def __init__(
        self,
        job: TargetJob,
        shrinker: Shrinker,
        feeds: Sequence[npt.NDArray[np.float32]],
        log: CompressionLog,
        facts: Sequence[str],
    ) -> None:
        self.job, self.shrinker, self.log = job, shrinker, log
        self._feeds, self._facts = feeds, tuple(facts)
        self._reference: Outputs | None = None
        self._fitted: tuple[tuple[Decision, ...], Smaller] | None = None

    def key(self, kind: str, decisions: Sequence[Decision]) -> str:
        """Return the key of a measurement."""
        parts = [*self._facts, kind, *(each.model_dump_json() for each in decisions)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def error(self, decision: Decision, smaller: Smaller) -> float:
        """Return the distance that one decision causes alone, which leads to ``smaller``."""
        key = self.key("alone", [decision])
        record = self.log.get(key)
        if record is None or record.distance is None:
            distance = self._distance(graphs_of(self.shrinker.alone(decision, smaller)))
            record = CompressionRecord(key=key, distance=distance)
            self.log.add(record)
        assert record.distance is not None
        return record.distance

    def times(self, decisions: Sequence[Decision]) -> dict[str, float] | None:
        """Return the times of ops after decisions that are in the log; None if there are none."""
        record = self.log.get(self.key("times", decisions))
        return record.times if record is not None else None

    def keep_times(self, decisions: Sequence[Decision], times: dict[str, float]) -> None:
        """Write the times of ops after decisions into the log."""
        self.log.add(CompressionRecord(key=self.key("times", decisions), times=times))

    def fitted(self, decisions: Sequence[Decision]) -> Smaller:
        """Return the graphs after decisions, with fitted weights; the last ones are kept."""
        wanted = tuple(decisions)
        if self._fitted is None or self._fitted[0] != wanted:
            with self.job.reporter.step(f"fit the weights after {len(wanted)} decisions"):
                smaller = self.shrinker.fitted(wanted)
                self._fitted = wanted, self._sparse(smaller) if self.is_sparse else smaller
        return self._fitted[1]

    @property
    def is_sparse(self) -> bool:
        """Whether weights become 2:4 sparse after all decisions."""
        return self.job.target.wants_sparse_weights(self.job.request.settings.options)

    def _sparse(self, smaller: Smaller) -> Smaller:
        graphs = sparsify(graphs_of(smaller), self.shrinker.batches)
        return {size: replace(each, model=graphs[size]) for size, each in smaller.items()}

    def measure(self, decisions: Sequence[Decision]) -> CompressionTrial:
        """Return the measurements of the network after decisions."""
        key = self.key("trial", decisions)
        record = self.log.get(key)
        if record is None or record.trial is None:
            record = CompressionRecord(key=key, trial=self._measured(self.fitted(decisions)))
            self.log.add(record)
        assert record.trial is not None
        return record.trial

    def _measured(self, smaller: Smaller) -> CompressionTrial:
        job, graphs = self.job, graphs_of(smaller)
        baseline, samples = job.baseline.result, job.baseline.samples
        assert baseline is not None and samples is not None, "there are calibration images at least"
        largest = max(smaller, key=by_area)
        whole = total_flops(op_work(job.graphs[largest]))
        flops = total_flops(op_work(smaller[largest].model)) / whole
        label = f"{job.spec.name} with {100 * flops:.0f} % of its FLOPs"
        with Engine.from_graphs(graphs.__getitem__, spec=job.spec, label=label) as engine:
            result = run_samples(engine, samples, job.reporter)
        return CompressionTrial(
            kept_flops=flops,
            distance=self._distance(graphs),
            metric=result.compare(baseline, labeled=samples.labeled, run_by="onnxruntime"),
            interval=points_interval(result, baseline, labeled=samples.labeled),
            agreement=1 - result.compare(baseline, labeled=False, run_by="").loss / 100,
        )

    def _distance(self, graphs: Graphs) -> float:
        if self._reference is None:
            self._reference = run_all(self.shrinker.graphs, self._feeds)
        outputs = run_all(graphs, self._feeds)
        return role_of(self.job.spec).output_distance(self._reference, outputs)


def graphs_of(smaller: Mapping) -> Graphs:
    """Return the graphs themselves, by input size."""
    return {size: each.model for size, each in smaller.items()}
