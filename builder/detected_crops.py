"""Lines for a recognizer's calibration, as its detector will cut them."""

from __future__ import annotations

from ..calibration.strata import spread
from ..common.progress import Reporter
from ..engines.engine import Engine
from ..errors import InputFileError
from ..ocr.dataset import CropLabel, Dataset
from ..ocr.image import load_image
from ..pipeline.stages import detect

_MOST_SCENES = 200


def detected_crops(dataset: Dataset, detector: Engine, reporter: Reporter) -> list[CropLabel]:
    """Find text in the images of a folder, evenly spread over it; texts are empty.

    Images that cannot be read are told and left out.

    Raises:
        InputFileError: the detector finds nothing at all.
    """
    found: list[CropLabel] = []
    indices = spread(len(dataset.scenes), _MOST_SCENES)
    with reporter.step(f"find lines with {detector.label}", len(indices)) as advance:
        for done, index in enumerate(indices, 1):
            path = dataset.scenes[index].path
            try:
                quads, _ = detect(detector, load_image(path))
            except InputFileError as error:
                reporter.note(f"left out of the calibration: {error}")
                continue
            found += [CropLabel(path=path, text="", quad=quad) for quad in quads]
            advance(done)
    if not found:
        raise InputFileError(f"{dataset.folder}: {detector.label} finds no text in its images")
    return found
