"""The accuracy of pruned models against the whole model, kept on disk; for competing_pruners.py."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from ocr_trt.builder.trial_log import LogRecord, TrialLog
from ocr_trt.builder.trials import FEEDS
from ocr_trt.calibration.images import load_calibration
from ocr_trt.calibration.noise import Outputs, run_all
from ocr_trt.calibration.observe import Batch
from ocr_trt.calibration.ranges import graphs_sha256
from ocr_trt.common.progress import Reporter
from ocr_trt.convert.graph import Graphs
from ocr_trt.engines.bundle import tree_sha256
from ocr_trt.engines.engine import Engine
from ocr_trt.engines.manifest import PointsInterval
from ocr_trt.measure.accuracy import run_samples
from ocr_trt.measure.points_lost import points_interval
from ocr_trt.measure.result import Result
from ocr_trt.ocr.dataset import Dataset
from ocr_trt.ocr.metrics.metric import METRICS
from ocr_trt.ocr.roles import role_of
from ocr_trt.spec import ModelSpec

_FEEDS_FACTOR = 4
"""Distances are measured on so many times the images that the search uses for one option."""


class Accuracy(LogRecord):
    """What was measured of one pruned model on one dataset."""

    value: float
    """The metric, percent."""
    lost: float
    interval: PointsInterval | None
    agreement: float
    """Percent: the metric with the output of the whole model as the truth, or 100 - CER."""
    distance: float
    """``OcrRole.output_distance`` from the whole model."""

    @property
    def points(self) -> str:
        """The points lost, with their interval."""
        if self.interval is None:
            return f"{self.lost:+.2f}"
        return f"{self.lost:+.2f} ({self.interval.low:+.2f} to {self.interval.high:+.2f})"


class AccuracyJudge:
    """Measures pruned models on datasets.

    Args:
        spec: of the model.
        whole: the graphs of the whole model.
        data: datasets by the name that they have in the table.
        log: file with the accuracies of an earlier run.
        reporter: shows progress.
    """

    def __init__(
        self,
        spec: ModelSpec,
        whole: Graphs,
        data: Mapping[str, Dataset],
        log: Path,
        reporter: Reporter,
    ) -> None:
        self.spec, self.whole, self.data = spec, whole, data
        self._log, self._reporter = TrialLog(log, Accuracy), reporter
        self._feeds = {name: self._feeds_of(each) for name, each in data.items()}

    @property
    def title(self) -> str:
        """The name of the metric."""
        return METRICS[next(iter(self._baselines.values())).metric].title

    def baseline(self, name: str) -> float:
        """Return the metric of the whole model on a dataset, percent."""
        return 100 * self._baselines[name].value

    def measured(self, label: str, graphs: Graphs, name: str) -> Accuracy:
        """Return the accuracy of a pruned model on a dataset."""
        data = self.data[name]
        facts = [graphs_sha256(self.whole), graphs_sha256(graphs), tree_sha256(data.folder)]
        key = hashlib.sha256("\n".join(facts).encode()).hexdigest()
        found = self._log.get(key)
        if found is None:
            result, baseline = self._result(label, graphs, data), self._baselines[name]
            found = Accuracy(
                key=key,
                value=100 * result.value,
                lost=result.compare(baseline, labeled=data.labeled, run_by="").loss,
                interval=points_interval(result, baseline, labeled=data.labeled),
                agreement=100 - result.compare(baseline, labeled=False, run_by="").loss,
                distance=self._distance(graphs, name),
            )
            self._log.add(found)
        return found

    @cached_property
    def _baselines(self) -> dict[str, Result]:
        return {
            name: self._result("the whole model", self.whole, each)
            for name, each in self.data.items()
        }

    def _result(self, label: str, graphs: Graphs, data: Dataset) -> Result:
        with Engine.from_graphs(graphs.__getitem__, spec=self.spec, label=label) as engine:
            return run_samples(engine, data, self._reporter)

    def _feeds_of(self, data: Dataset) -> list[Batch]:
        limit = _FEEDS_FACTOR * FEEDS[self.spec.role]
        return list(load_calibration(data.folder, self.spec, limit).batches())

    @cached_property
    def _references(self) -> dict[str, Outputs]:
        return {name: run_all(self.whole, feeds) for name, feeds in self._feeds.items()}

    def _distance(self, graphs: Graphs, name: str) -> float:
        outputs = run_all(graphs, self._feeds[name])
        return role_of(self.spec).output_distance(self._references[name], outputs)
