"""Calibration images from a folder, prepared exactly as for the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..common.spread import spread
from ..errors import InputFileError
from ..ocr.dataset import CropLabel, Dataset, Label, load_dataset
from ..ocr.role import OcrRole
from ..ocr.roles import role_of
from ..ocr.types import Image
from ..spec import ModelSpec
from .observe import Batch
from .strata import contrast_level, stratified

OnBad = Callable[[InputFileError], None]
"""Called with the error of an image that cannot be read; if it returns, the image is left out."""

_CANDIDATES = 4
"""Number of candidate lines for each line to choose."""


def _stop(error: InputFileError) -> None:
    raise error


@dataclass(frozen=True, kw_only=True)
class CalibrationSet:
    """The samples that ranges are taken from; every sample is a batch of its own."""

    dataset: Dataset
    spec: ModelSpec
    limit: int
    labels: tuple[Label, ...]
    """All samples of the model's role; at most ``limit`` of them are used."""
    skip_bad: bool = False
    """Leave out images that cannot be read, and report their names, instead of stopping."""

    def __len__(self) -> int:
        return min(self.limit, len(self.labels))

    def batches(self, on_bad: OnBad = _stop) -> Iterator[Batch]:
        """Yield (1, C, H, W) float32: images evenly spread over the folder, or lines of every
        width and contrast.

        Raises:
            InputFileError: an image cannot be read, and ``on_bad`` raises the error it is given.
        """
        role = role_of(self.spec)
        for _, image in _readable(self._chosen(role, on_bad), role, on_bad):
            yield role.input_of(image).tensor

    def _chosen(self, role: OcrRole, on_bad: OnBad) -> list[Label]:
        """Choose samples; lines are read once more here, to measure width and contrast."""
        if not role.inputs_vary or len(self.labels) <= self.limit:
            return [self.labels[i] for i in spread(len(self.labels), self.limit)]
        candidates = [self.labels[i] for i in spread(len(self.labels), _CANDIDATES * self.limit)]
        strata = {
            i: (role.input_of(line).size, contrast_level(line))
            for i, line in _readable(candidates, role, on_bad)
        }
        readable = list(strata)
        return [candidates[readable[i]] for i in stratified(list(strata.values()), self.limit)]


def _readable(labels: Sequence[Label], role: OcrRole, on_bad: OnBad) -> Iterator[tuple[int, Image]]:
    """Yield the index and the image (h, w, 3) of each sample whose file can be read."""
    start = 0
    while start < len(labels):
        # Consecutive lines of one page are cut out together: the page is decoded once.
        page = labels[start].image
        end = next((i for i in range(start, len(labels)) if labels[i].image != page), len(labels))
        try:
            yield from enumerate(list(role.images_of(labels[start:end])), start)
        except InputFileError as error:
            on_bad(error)
        start = end


def load_calibration(
    folder: Path | str,
    spec: ModelSpec,
    limit: int = 200,
    crops: Sequence[CropLabel] | None = None,
    *,
    skip_bad: bool = False,
) -> CalibrationSet:
    """Open a folder of calibration images; at most ``limit`` samples are used.

    A detector is calibrated on whole images. A recognizer is calibrated on lines: ``crops`` if
    they are given (for example from a detector), or the labeled lines, or every image as one line.
    So is a classifier, for which the lines are turned by each of its angles.
    ``skip_bad``: leave out images that cannot be read.

    Raises:
        InputFileError: there is nothing to calibrate on.
    """
    dataset = load_dataset(folder)
    found = dataset if crops is None else replace(dataset, crops=tuple(crops), labeled=True)
    labels = role_of(spec).labels_of(found)
    if not labels:
        raise InputFileError(
            f"{folder}: contains no samples to calibrate a {spec.role} on; name another folder"
        )
    return CalibrationSet(dataset=dataset, spec=spec, limit=limit, labels=labels, skip_bad=skip_bad)
