"""Calibration input: a folder of pictures, prepared exactly as the engine will see them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import InputFileError
from ..ocr.dataset import CropLabel, Dataset, crop_images, load_dataset
from ..ocr.image import load_image
from ..ocr.tensor import bucket_of, detector_input, recognizer_input
from ..spec import DetectorSpec, RecognizerSpec


@dataclass(frozen=True, kw_only=True)
class CalibrationSet:
    """Pictures to take ranges from; every picture is a batch of its own, and each counts."""

    dataset: Dataset
    spec: DetectorSpec | RecognizerSpec
    limit: int

    def __len__(self) -> int:
        if isinstance(self.spec, DetectorSpec):
            return min(self.limit, len(self.dataset.scenes))
        return min(self.limit, len(self._crops()))

    def _crops(self) -> tuple[CropLabel, ...]:
        if self.dataset.labelled:
            return self.dataset.crops
        return tuple(CropLabel(path=scene.path, text="") for scene in self.dataset.scenes)

    def batches(self) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """Yield (input width, (1, C, H, width) float32), evenly spread over the folder.

        Raises:
            InputFileError: a picture cannot be read; it is named.
        """
        if isinstance(self.spec, DetectorSpec):
            for index in _spread(len(self.dataset.scenes), self.limit):
                picture = load_image(self.dataset.scenes[index].path)
                yield self.spec.input.width, detector_input(picture, self.spec.input)[0]
            return
        crops = self._crops()
        chosen = tuple(crops[index] for index in _spread(len(crops), self.limit))
        for line in crop_images(chosen):
            width = bucket_of(line, self.spec)
            yield width, recognizer_input([line], self.spec.input, width)


def _spread(count: int, limit: int) -> list[int]:
    """Return at most ``limit`` indices below ``count``, evenly spread, distinct, ascending."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, limit))})


def load_calibration(
    folder: Path, spec: DetectorSpec | RecognizerSpec, limit: int = 200
) -> CalibrationSet:
    """Open a folder of calibration pictures; at most ``limit`` of them are used.

    A detector takes whole pictures; a recognizer takes labelled crops, or every picture as a line.

    Raises:
        InputFileError: there is nothing to calibrate on.
    """
    found = CalibrationSet(dataset=load_dataset(folder), spec=spec, limit=limit)
    if not len(found):
        raise InputFileError(f"{folder}: holds nothing a {spec.role} can be calibrated on")
    return found
