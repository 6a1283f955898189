"""One sample of a folder: its image, what a model takes of it, and what an output says of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..measure.accuracy import DetectorResult, RecognizerResult, Result
from ..ocr.dataset import CropLabel, SceneLabel, crop_images
from ..ocr.detector import boxes_from_output, detector_input
from ..ocr.image import load_image
from ..ocr.metrics.detection import count_image
from ..ocr.recognizer import bucket_of, recognizer_input, texts_from_output
from ..ocr.types import Image, Quads
from ..spec import DetectorSpec, RecognizerSpec
from .heat import Boxes, difference_map, line_strip

Output = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class DebugSample:
    """An image (h, w, 3), the input made of it, (1, C, H, width), and its labels."""

    name: str
    image: Image
    feed: Output
    width: int
    scales: tuple[float, float]
    label: SceneLabel | CropLabel


def sample_of(
    result: Result, index: int, spec: DetectorSpec | RecognizerSpec, name: str
) -> DebugSample:
    """Return a sample that a model was run on.

    Raises:
        InputFileError: its image cannot be read.
    """
    scales = (1.0, 1.0)
    label: SceneLabel | CropLabel
    if isinstance(spec, DetectorSpec):
        assert isinstance(result, DetectorResult)
        label = result.scenes[index]
        image, width = load_image(label.path), spec.input.width
        feed, scales = detector_input(image, spec.input)
    else:
        assert isinstance(result, RecognizerResult)
        label = result.crops[index]
        image = next(crop_images((label,)))
        width = bucket_of(image, spec)
        feed = recognizer_input([image], spec.input, width)
    return DebugSample(name=name, image=image, feed=feed, width=width, scales=scales, label=label)


def boxes_in(output: Output, sample: DebugSample, spec: DetectorSpec) -> Quads:
    """Return the boxes that a detector's output means, in the image's own pixels."""
    found = np.nan_to_num(output)
    return boxes_from_output(found, spec, sample.scales, sample.image.shape[:2])[0]


def told_by(output: Output, sample: DebugSample, spec: DetectorSpec | RecognizerSpec) -> str:
    """Say in words what an output means."""
    if isinstance(spec, RecognizerSpec):
        return repr(texts_from_output(np.nan_to_num(output), spec)[0].text)
    boxes = boxes_in(output, sample, spec)
    assert isinstance(sample.label, SceneLabel)
    if not len(sample.label.quads):
        return f"{len(boxes)} boxes"
    counts = count_image(boxes, sample.label.quads, sample.label.ignore)
    wrong = counts.detected - counts.matched
    return f"{counts.matched} of {counts.truth} words found, {wrong} wrong"


def truth_of(sample: DebugSample) -> str:
    """Return the label in words; "" if there is none."""
    if isinstance(sample.label, CropLabel):
        return repr(sample.label.text) if sample.label.text else ""
    return f"{len(sample.label.quads)} words" if len(sample.label.quads) else ""


def image_of(
    sample: DebugSample, engine: Output, baseline: Output, spec: DetectorSpec | RecognizerSpec
) -> str:
    """Draw where in a sample two outputs differ, as markup."""
    if isinstance(spec, RecognizerSpec):
        return line_strip(sample.image, engine, baseline, spec)
    one, two = (boxes_in(each, sample, spec) for each in (engine, baseline))
    return difference_map(sample.image, engine, baseline, spec, Boxes(engine=one, baseline=two))
