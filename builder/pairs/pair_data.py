"""The samples and calibration images of both models, from one folder of whole images or two.

Where lines are not labeled, the detector of the user cuts them out of the images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...calibration.images import CalibrationSet, load_calibration
from ...common.progress import Reporter
from ...engines.engine import Engine
from ...ocr.dataset import CropLabel, Dataset, load_dataset
from ..calibrate import detected_crops
from .pair_request import PairRequest


@dataclass(frozen=True, kw_only=True)
class PairData:
    """The images that each part of an optimization uses."""

    scenes: Dataset
    """Whole images: the samples of the detector and of the pairs."""
    words: Dataset
    """The samples of the recognizer: the lines of the same images."""
    lines: CalibrationSet
    """The same lines, whose widths are those of production."""
    detector_calibration: CalibrationSet
    recognizer_calibration: CalibrationSet


def load_pair_data(request: PairRequest, detector: Engine, reporter: Reporter) -> PairData:
    """Load the images of a request. ``detector``: the user's model; it cuts out unlabeled lines.

    Raises:
        InputFileError: a folder cannot be used, or the detector finds no text in it.
    """
    samples = request.samples
    crops = _detected(samples, detector, reporter)
    words = samples if crops is None else replace(samples, scenes=(), crops=tuple(crops))
    lines = load_calibration(samples.folder, request.recognizer, crops=crops)
    if request.calibration is None:
        folder, own = samples.folder, crops
        reporter.note(
            f"no --calibration given: engines are calibrated on the images in {folder}, on which "
            "they are also measured"
        )
    else:
        folder = request.calibration
        own = _detected(load_dataset(folder), detector, reporter)
    return PairData(
        scenes=samples,
        words=words,
        lines=lines,
        detector_calibration=load_calibration(folder, request.detector),
        recognizer_calibration=load_calibration(folder, request.recognizer, crops=own),
    )


def _detected(dataset: Dataset, detector: Engine, reporter: Reporter) -> Sequence[CropLabel] | None:
    """Return the lines that a detector finds in unlabeled images; None if lines are labeled."""
    if dataset.labeled and dataset.crops:
        return None
    return detected_crops(dataset, detector, reporter)
