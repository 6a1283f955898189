"""The classifier role: line crops to input tensors, class scores to the direction of the text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..common.input_size import InputSize
from ..errors import SpecError
from ..spec import Angle, ClassifierSpec
from .ctc import log_probabilities
from .dataset import CropLabel, Dataset, Label, crop_images
from .preprocess import fit_line, image_to_tensor, resize
from .role import ModelInput, OcrRole, check_rank
from .types import Image, Output, Tensor


@dataclass(frozen=True, kw_only=True)
class Direction:
    """How far the text of a crop is turned, and the probability of it, 0..1."""

    angle: Angle
    score: float

    def __str__(self) -> str:
        return f"{self.angle} degrees ({self.score:.2f})"


def classifier_input(lines: Sequence[Image], spec: ClassifierSpec) -> Tensor:
    """Fit RGB line crops (h, w, 3) into the input: (N, C, H, W)."""
    settings = spec.input
    size = settings.height, settings.width
    fitted = (
        resize(line, *size) if spec.fit == "stretch" else fit_line(line, *size, settings.pad)
        for line in lines
    )
    return np.stack([image_to_tensor(line, settings) for line in fitted])


def class_probabilities(output: Output, spec: ClassifierSpec) -> Output:
    """Return the probability of each angle, (N, angles), from an output (N, C); NaN counts as 0.

    C is the number of angles, or 1 for a model with one sigmoid.
    """
    known = spec.output.kind == "probabilities"
    scores = np.nan_to_num(output.astype(np.float32), nan=0.0)
    if scores.shape[1] > 1:
        return np.exp(log_probabilities(scores, are_probabilities=known))
    # Clipped because exp overflows above 88.7 in float32.
    second = scores if known else 1 / (1 + np.exp(-np.clip(scores, -80, 80)))
    # (N, 1) -> (N, 2): the model returns the probability of the second class only.
    return np.concatenate([1 - second, second], axis=1)


def directions_from_output(output: Output, spec: ClassifierSpec) -> list[Direction]:
    """Return the most probable direction of each crop, from an output (N, C)."""
    probabilities = class_probabilities(output, spec)
    best = probabilities.argmax(1)
    return [
        Direction(angle=spec.angles[index], score=float(row[index]))
        for index, row in zip(best, probabilities, strict=True)
    ]


@dataclass(frozen=True)
class ClassifierRole(OcrRole):
    """A classifier states how line crops are turned; it is judged by the share that is right.

    Labeled lines are upright. Each of them is one sample per angle: turned by that angle.
    """

    spec: ClassifierSpec
    metric = "accuracy"
    unit = "crops"
    inputs_vary = False

    def labels_of(self, dataset: Dataset) -> tuple[Label, ...]:
        """Return the labeled lines, turned by each angle; without labels, each image is one line.

        All lines of one angle come before those of the next one, so that an evenly spread
        selection contains every angle.
        """
        if any(crop.turn is not None for crop in dataset.crops):  # a selection of these samples
            return dataset.crops
        lines: Sequence[CropLabel] = dataset.crops
        if not dataset.labeled:
            lines = [CropLabel(image=scene.image, text="") for scene in dataset.scenes]
        return tuple(replace(line, turn=angle) for angle in self.spec.angles for line in lines)

    def images_of(self, labels: Sequence[Label]) -> Iterator[Image]:
        """Yield each line, cut out of its image and turned."""
        return crop_images([label for label in labels if isinstance(label, CropLabel)])

    def input_of(self, image: Image) -> ModelInput:
        """Fit one crop into the input."""
        return ModelInput(tensor=classifier_input([image], self.spec))

    def output_axes(self, rank: int) -> tuple[int, ...]:
        """Keep (N, C)."""
        return tuple(range(rank))

    def check_output_shape(self, shape: Sequence[int], size: InputSize) -> None:
        """Check for (N, C), with one class for each angle, or (N, 1) for two angles."""
        check_rank(shape, (2,), self.spec)
        angles = len(self.spec.angles)
        if shape[1] != angles and (shape[1], angles) != (1, 2):
            raise SpecError(
                f"{self.spec.name}: the output has {shape[1]} class(es), but the spec has "
                f"{angles} angles, {list(self.spec.angles)}; list one angle per class in angles"
            )

    def output_distance(self, reference: Sequence[Output], other: Sequence[Output]) -> float:
        """Return KL(reference || other) of the classes, averaged over crops, in nats."""
        total, crops = 0.0, 0
        for one, two in zip(reference, other, strict=True):
            # Clipped, because the logarithm of 0 would be minus infinity.
            p, q = (
                np.clip(class_probabilities(each, self.spec), 1e-30, None) for each in (one, two)
            )
            total += float((p * (np.log(p) - np.log(q))).sum())
            crops += len(p)
        return total / crops if crops else 0.0

    def describe(self, output: Output, prepared: ModelInput, image: Image, label: Label) -> str:
        """Return the angle and its probability."""
        (direction,) = directions_from_output(output, self.spec)
        return str(direction)
