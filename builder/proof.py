"""What all engines of a build are compared with: the model itself, on the same samples."""

from __future__ import annotations

from dataclasses import dataclass

from ..common.progress import Reporter
from ..engines.engine import Engine
from ..engines.manifest import OcrMetric
from ..measure.accuracy import run_samples
from ..measure.result import Result
from ..ocr.dataset import Dataset
from .request import BuildRequest
from .verdict import check_baseline


@dataclass(frozen=True, kw_only=True)
class Proof:
    """The baseline, and what it makes of the samples; without images there are none.

    ``max_difference``: of the converted float graph to it.
    """

    baseline: Engine
    max_difference: float
    result: Result | None = None
    samples: Dataset | None = None

    def metric(self, engine: Engine, reporter: Reporter) -> OcrMetric | None:
        """Run an engine on the samples and compare it with the baseline; None without samples."""
        if self.samples is None or self.result is None:
            return None
        own = run_samples(engine, self.samples, reporter)
        labeled = self.samples.labeled
        return own.compare(self.result, labeled=labeled, run_by=engine.label)


def proof_of(
    request: BuildRequest, baseline: Engine, difference: float, reporter: Reporter
) -> Proof:
    """Run the baseline on the samples, or on the calibration images if there are none.

    Raises:
        SpecError: it finds nothing in them.
    """
    samples = request.samples
    if samples is None and request.calibration is not None:
        samples = request.calibration.dataset
        reporter.note("no --data given: the metric is measured on the calibration images")
    if samples is None:
        return Proof(baseline=baseline, max_difference=difference)
    result = run_samples(baseline, samples, reporter)
    check_baseline(result, samples, request.spec)
    return Proof(baseline=baseline, max_difference=difference, result=result, samples=samples)
