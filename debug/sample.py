"""One sample of a dataset: its image, its model input, and outputs for it as text and image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..engines.engine import Engine
from ..errors import InputFileError
from ..measure.result import Result
from ..ocr.dataset import CropLabel, Label
from ..ocr.detector import boxes_from_output
from ..ocr.role import ModelInput
from ..ocr.roles import role_of
from ..ocr.types import Image, Output
from ..spec import ClassifierSpec, ModelSpec, RecognizerSpec
from .heat import Boxes, class_bars, difference_map, line_strip


@dataclass(frozen=True, kw_only=True)
class DebugSample:
    """An RGB image (h, w, 3), the model input prepared from it, and its label."""

    name: str
    image: Image
    prepared: ModelInput
    label: Label


def samples_of(result: Result, index: int, spec: ModelSpec, name: str) -> list[DebugSample]:
    """Return the sample at an index of a result; of a line that is cut, each of its windows.

    Raises:
        InputFileError: its image cannot be read.
    """
    role, label = role_of(spec), result.labels[index]
    parts = role.parts_of(next(role.images_of([label])))
    return [
        DebugSample(
            name=name if len(parts) == 1 else f"{name}, window {number} of {len(parts)}",
            image=image,
            prepared=role.input_of(image),
            label=label,
        )
        for number, image in enumerate(parts, 1)
    ]


def output_of(engine: Engine, sample: DebugSample) -> Output:
    """Return an engine's output for a sample."""
    return engine.runner(sample.prepared.size).run(sample.prepared.tensor)


def check_same_shape(sample: DebugSample, engines: Sequence[Engine]) -> None:
    """Check that engines return outputs of one shape; a bundle may contain a plan of another model.

    Raises:
        InputFileError: the shapes differ.
    """
    shapes = {engine.label: output_of(engine, sample).shape for engine in engines}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{list(shape)} of {label}" for label, shape in shapes.items())
        raise InputFileError(
            f"the outputs for {sample.name} cannot be compared, because their shapes differ: "
            f"{listed}; build the bundle again"
        )


def most_different(samples: list[DebugSample], engine: Engine, baseline: Engine) -> DebugSample:
    """Return the part of a sample whose output differs most from the baseline's."""
    if len(samples) == 1:
        return samples[0]
    role = role_of(engine.spec)

    def distance(sample: DebugSample) -> float:
        return role.output_distance([output_of(baseline, sample)], [output_of(engine, sample)])

    return max(samples, key=distance)


def described(output: Output, sample: DebugSample, spec: ModelSpec) -> str:
    """Describe an output: the text, or the number of boxes."""
    return role_of(spec).describe(output, sample.prepared, sample.image, sample.label)


def truth_of(sample: DebugSample) -> str:
    """Describe the label; "" if there is none."""
    if isinstance(sample.label, CropLabel) and sample.label.turn is not None:
        return f"{sample.label.turn} degrees"
    if isinstance(sample.label, CropLabel):
        return repr(sample.label.text) if sample.label.text else ""
    return f"{len(sample.label.quads)} words" if len(sample.label.quads) else ""


def image_of(sample: DebugSample, engine: Output, baseline: Output, spec: ModelSpec) -> str:
    """Draw where in a sample two outputs differ, as HTML."""
    if isinstance(spec, RecognizerSpec):
        return line_strip(sample.image, engine, baseline, spec)
    if isinstance(spec, ClassifierSpec):
        return class_bars(sample.image, engine, baseline, spec)
    size, fit = sample.image.shape[:2], sample.prepared.fit
    assert fit is not None, "prepared by a detector"
    # An fp16 graph that overflows may output NaN.
    one, two = (
        boxes_from_output(np.nan_to_num(each), spec, fit, size)[0] for each in (engine, baseline)
    )
    return difference_map(
        sample.image, (engine, baseline), fit, spec, Boxes(engine=one, baseline=two)
    )
