"""Run an engine on the samples of its role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..common.progress import Reporter
from ..engines.engine import Engine
from ..ocr.dataset import Dataset, Label
from ..ocr.roles import role_of
from ..spec import ModelSpec, Role
from .classifier_result import ClassifierResult
from .detector_result import DetectorResult
from .recognizer_result import RecognizerResult
from .result import Progress, Result

_RESULTS: Mapping[Role, type[Result]] = {
    "detector": DetectorResult,
    "recognizer": RecognizerResult,
    "classifier": ClassifierResult,
}


def run_labels(
    engine: Engine, labels: Sequence[Label], progress: Progress = lambda done: None
) -> Result:
    """Run an engine on samples of its role; ``progress`` receives the number of samples done.

    Raises:
        InputFileError: an image cannot be read.
    """
    return _RESULTS[engine.spec.role].measured(engine, labels, progress)


def run_samples(engine: Engine, dataset: Dataset, reporter: Reporter) -> Result:
    """Run an engine on all samples of its role.

    Raises:
        InputFileError: an image cannot be read.
    """
    labels = role_of(engine.spec).labels_of(dataset)
    with reporter.step(f"measure the accuracy of {engine.label}", len(labels)) as advance:
        return run_labels(engine, labels, advance)


def has_samples(dataset: Dataset, spec: ModelSpec) -> bool:
    """Whether a dataset has samples for the role of this model."""
    return bool(role_of(spec).labels_of(dataset))
