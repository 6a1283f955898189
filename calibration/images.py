"""Calibration input: a folder of images, prepared exactly as the engine will see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import InputFileError
from ..ocr.dataset import CropLabel, Dataset, crop_images, load_dataset
from ..ocr.image import load_image
from ..ocr.tensor import bucket_of, detector_input, recognizer_input
from ..ocr.types import Image
from ..spec import DetectorSpec, RecognizerSpec
from .strata import contrast_level, spread, stratified

Batch = npt.NDArray[np.float32]
OnBad = Callable[[InputFileError], None]
"""Told of an image that cannot be read; if it returns, the image is left out."""

_LOOKED_AT = 4
"""Times as many lines are looked at as are chosen."""


def _stop(error: InputFileError) -> None:
    raise error


@dataclass(frozen=True, kw_only=True)
class CalibrationSet:
    """Images to take ranges from; every image is a batch of its own, and each counts.

    ``crops``: the lines of a recognizer; of a detector there are none.
    """

    dataset: Dataset
    spec: DetectorSpec | RecognizerSpec
    limit: int
    crops: tuple[CropLabel, ...] = ()
    skip_bad: bool = False
    """Leave out images that cannot be read, by name, instead of stopping."""

    def __len__(self) -> int:
        found = self.dataset.scenes if isinstance(self.spec, DetectorSpec) else self.crops
        return min(self.limit, len(found))

    def batches(self, on_bad: OnBad = _stop) -> Iterator[tuple[int, Batch]]:
        """Yield (input width, (1, C, H, width) float32): images evenly spread over the folder,
        lines of every width and contrast.

        Raises:
            InputFileError: an image cannot be read; it is named. Unless ``on_bad`` takes it.
        """
        if isinstance(self.spec, RecognizerSpec):
            yield from self._lines(self.spec, on_bad)
            return
        for index in spread(len(self.dataset.scenes), self.limit):
            try:
                image = load_image(self.dataset.scenes[index].path)
            except InputFileError as error:
                on_bad(error)
                continue
            yield self.spec.input.width, detector_input(image, self.spec.input)[0]

    def _lines(self, spec: RecognizerSpec, on_bad: OnBad) -> Iterator[tuple[int, Batch]]:
        """Yield the chosen lines. To choose, candidates are cut out once more before."""
        crops = self.crops
        if len(crops) > self.limit:
            indices = spread(len(crops), _LOOKED_AT * self.limit)
            candidates = _readable([crops[i] for i in indices], on_bad)
            crops = tuple(crops[indices[i]] for i in _chosen(candidates, spec, self.limit))
        for _, line in _readable(crops, on_bad):
            width = bucket_of(line, spec)
            yield width, recognizer_input([line], spec.input, width)


def _readable(crops: Sequence[CropLabel], on_bad: OnBad) -> Iterator[tuple[int, Image]]:
    """Yield the index and the image (h, w, 3) of each crop whose file can be read."""
    start = 0
    while start < len(crops):
        path = crops[start].path
        end = next((i for i in range(start, len(crops)) if crops[i].path != path), len(crops))
        try:
            yield from enumerate(list(crop_images(tuple(crops[start:end]))), start)
        except InputFileError as error:
            on_bad(error)
        start = end


def _chosen(candidates: Iterable[tuple[int, Image]], spec: RecognizerSpec, limit: int) -> list[int]:
    """Return the indices of lines chosen by the width they are read at and by their contrast."""
    found = {i: (bucket_of(line, spec), contrast_level(line)) for i, line in candidates}
    indices = list(found)
    return [indices[i] for i in stratified(list(found.values()), limit)]


def load_calibration(
    folder: Path,
    spec: DetectorSpec | RecognizerSpec,
    limit: int = 200,
    crops: Sequence[CropLabel] | None = None,
    *,
    skip_bad: bool = False,
) -> CalibrationSet:
    """Open a folder of calibration images; at most ``limit`` of them are used.

    A detector takes whole images. A recognizer takes lines: ``crops`` if they are given, such as
    a detector found them, or labeled ones, or every image as one line. ``skip_bad``: leave out
    images that cannot be read.

    Raises:
        InputFileError: there is nothing to calibrate on.
    """
    dataset = load_dataset(folder)
    if isinstance(spec, RecognizerSpec) and crops is None:
        crops = dataset.crops
        if not dataset.labeled:
            crops = [CropLabel(path=scene.path, text="") for scene in dataset.scenes]
    found = CalibrationSet(
        dataset=dataset, spec=spec, limit=limit, crops=tuple(crops or ()), skip_bad=skip_bad
    )
    if not len(found):
        raise InputFileError(f"{folder}: holds nothing a {spec.role} can be calibrated on")
    return found
