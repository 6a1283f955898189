"""The recognizer role: text lines to input tensors, class scores to text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..common.input_size import InputSize
from ..errors import SpecError
from ..spec import InputSpec, RecognizerSpec
from .ctc import Reading, decode_greedy, log_probabilities
from .dataset import CropLabel, Dataset, Label, crop_images
from .line_windows import cut_line, windows_of_size
from .preprocess import fit_line, image_to_tensor, line_width
from .role import ModelInput, OcrRole, check_rank
from .types import Image, Output, Tensor


def recognizer_input(lines: Sequence[Image], settings: InputSpec, width: int) -> Tensor:
    """Scale RGB text lines to the input height and pad them to ``width``: (N, C, H, width)."""
    fitted = (fit_line(line, settings.height, width, settings.pad) for line in lines)
    return np.stack([image_to_tensor(line, settings) for line in fitted])


def bucket_of(line: Image, spec: RecognizerSpec) -> int:
    """Return the narrowest input width that a line (h, w, 3) fits into, or the widest."""
    needed = line_width(line, spec.input.height)
    return next((width for width in spec.widths if width >= needed), spec.widths[-1])


def texts_from_output(output: Output, spec: RecognizerSpec) -> list[Reading]:
    """Turn a recognizer's output (N, T, C) into text.

    Raises:
        ValueError: C is not the number of characters plus the blank.
    """
    are_probabilities = spec.output.kind == "probabilities"
    return decode_greedy(output, spec.charset, spec.blank, are_probabilities=are_probabilities)


@dataclass(frozen=True)
class RecognizerRole(OcrRole):
    """A recognizer reads text lines and is judged by its character error rate."""

    spec: RecognizerSpec
    metric = "cer"
    unit = "words"
    inputs_vary = True

    def labels_of(self, dataset: Dataset) -> tuple[Label, ...]:
        """Return the lines of the folder; without any, each image is one line without a text."""
        if dataset.labeled or dataset.crops:
            return dataset.crops
        return tuple(CropLabel(image=scene.image, text="") for scene in dataset.scenes)

    def images_of(self, labels: Sequence[Label]) -> Iterator[Image]:
        """Yield each text line, cut out of its image."""
        return crop_images([label for label in labels if isinstance(label, CropLabel)])

    def parts_of(self, image: Image) -> list[Image]:
        """Return one text line, or the windows of a line that is too wide for the widest input."""
        windows = windows_of_size(image.shape[:2], self.spec)
        return cut_line(image, windows, self.spec.input.height)

    def input_of(self, image: Image) -> ModelInput:
        """Fit one text line into the narrowest input width that holds it.

        Of a line that is too wide for the widest input, the first window is used.
        """
        part = self.parts_of(image)[0]
        width = bucket_of(part, self.spec)
        return ModelInput(tensor=recognizer_input([part], self.spec.input, width))

    def output_axes(self, rank: int) -> tuple[int, ...]:
        """Put the batch of (T, N, C) first."""
        return (1, 0, 2) if self.spec.output.layout == "TNC" else tuple(range(rank))

    def check_output_shape(self, shape: Sequence[int], size: InputSize) -> None:
        """Check for (N, T, C), with one class for each character and one for the blank."""
        check_rank(shape, (3,), self.spec)
        characters = len(self.spec.charset)
        if shape[-1] != characters + 1:
            raise SpecError(
                f"{self.spec.name}: the output has {shape[-1]} classes, but the spec's charset has "
                f"{characters} characters, which with the blank are {characters + 1} classes; "
                "correct charset"
            )

    def output_distance(self, reference: Sequence[Output], other: Sequence[Output]) -> float:
        """Return KL(reference || other) of the classes, averaged over time steps, in nats."""
        are_probabilities = self.spec.output.kind == "probabilities"
        total, steps = 0.0, 0
        for one, two in zip(reference, other, strict=True):
            p, q = (
                log_probabilities(np.nan_to_num(each), are_probabilities=are_probabilities)
                for each in (one, two)
            )
            # KL divergence: the sum of p * log(p / q) over classes, added up over all time steps.
            total += float((np.exp(p) * (p - q)).sum())
            steps += p.shape[0] * p.shape[1]
        return total / steps if steps else 0.0

    def describe(self, output: Output, prepared: ModelInput, image: Image, label: Label) -> str:
        """Return the text in quotes."""
        return repr(texts_from_output(np.nan_to_num(output), self.spec)[0].text)
