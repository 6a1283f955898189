"""The results of a model on the samples of a dataset, for any role."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ..engines.engine import Engine
from ..engines.manifest import OcrMetric
from ..ocr.dataset import Label
from ..ocr.metrics.metric import MetricName, RoleMetric
from .bootstrap import Statistic, Sums
from .report_data import Change, SampleView

if TYPE_CHECKING:  # Python 3.10 does not have it
    from typing_extensions import Self

Progress = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A sample for which the result differs from the baseline's."""

    index: int
    loss: int
    """The number of errors minus the baseline's."""

    @property
    def change(self) -> Change:
        """Whether the sample became worse or better."""
        return "worse" if self.loss > 0 else "better" if self.loss < 0 else "neither"


class Result(ABC):
    """The output of one model for each sample.

    Methods that accept another result require that it has the same role and the same samples.
    """

    metric: ClassVar[RoleMetric]
    """The metric that decides."""
    unit: ClassVar[Literal["images", "words", "crops"]]
    """What one sample is called."""
    statistics: ClassVar[Mapping[MetricName, Statistic]]
    """Metrics with confidence intervals, as functions of summed ``rows``; the first one decides."""

    @classmethod
    @abstractmethod
    def measured(cls, engine: Engine, labels: Sequence[Label], progress: Progress) -> Self:
        """Run an engine on samples; ``progress`` receives the number of samples done.

        Raises:
            InputFileError: an image cannot be read.
        """

    @property
    @abstractmethod
    def labels(self) -> tuple[Label, ...]:
        """The samples, with their ground truth."""

    @property
    @abstractmethod
    def value(self) -> float:
        """The metric that decides, over all samples."""

    @abstractmethod
    def sample_value(self, index: int) -> float:
        """Return the metric of one sample."""

    @abstractmethod
    def rows(self) -> Sums:
        """Return the counts that ``statistics`` are computed from, one row per image: (N, K)."""

    @abstractmethod
    def shares(self, *, labeled: bool) -> dict[str, float | None]:
        """Return all metrics, by the names of the fields of ``AccuracyRow``."""

    @abstractmethod
    def judged_by(self, truth: Self) -> Self:
        """Return this result with the other's output as the ground truth."""

    @abstractmethod
    def useless_value(self, *, labeled: bool) -> str | None:
        """Return the measured value as text if the output is useless, else None.

        It is useless if nothing is correct or, without labels, if nothing was detected or read.
        """

    @abstractmethod
    def changed_from(self, baseline: Self) -> list[Changed]:
        """Return the samples whose results differ from the baseline's."""

    @abstractmethod
    def harm(self, baseline: Self, index: int, *, labeled: bool) -> tuple[float, float]:
        """Return the loss of one sample against the baseline, and the change of its output."""

    @abstractmethod
    def worst(self, limit: int) -> list[int]:
        """Return the indices of at most ``limit`` samples with errors, worst first."""

    @abstractmethod
    def views(self, baseline: Self | None, chosen: Sequence[int]) -> Iterator[SampleView]:
        """Yield the chosen samples as a report shows them, next to the baseline's results."""

    @abstractmethod
    def _details(self, baseline: Self) -> dict[str, float]:
        """Return further metrics of this result and the baseline's, for the manifest."""

    def compare(self, baseline: Self, *, labeled: bool, run_by: str) -> OcrMetric:
        """Compare the metric that decides. Without labels, the baseline's output is the truth.

        ``run_by``: the runtime that ran the engine.
        """
        # Judged by itself, a baseline is perfect, but its details are needed.
        own = self if labeled else self.judged_by(baseline)
        other = baseline if labeled else baseline.judged_by(baseline)
        return OcrMetric(
            name=self.metric,
            engine=own.value,
            baseline=other.value,
            samples=len(other.labels),
            labeled=labeled,
            engine_run_by=run_by,
            details=own._details(other),
        )
