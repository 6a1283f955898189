"""The interface that all roles have in common: detectors, recognizers and classifiers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from ..common.input_size import InputSize
from ..errors import SpecError
from ..spec import ModelSpec
from .dataset import Dataset, Label
from .metrics.metric import RoleMetric
from .preprocess import Fit
from .types import Image, Output, Tensor


@dataclass(frozen=True, kw_only=True)
class ModelInput:
    """The input tensor of one image."""

    tensor: Tensor
    """(1, C, H, W)."""
    fit: Fit | None = None
    """How the image was scaled, which a detector needs to place boxes; None: of a recognizer."""

    @property
    def size(self) -> InputSize:
        """Height and width of the input."""
        return InputSize(*self.tensor.shape[2:])


class OcrRole(ABC):
    """Defines a role: its samples, its input, its output and its metric."""

    metric: ClassVar[RoleMetric]
    """The metric that decides whether an engine is accurate enough."""
    unit: ClassVar[Literal["images", "words", "crops"]]
    """What one sample is called in reports."""

    @property
    @abstractmethod
    def inputs_vary(self) -> bool:
        """Whether samples have different input sizes; a selection should then contain every one."""

    @abstractmethod
    def labels_of(self, dataset: Dataset) -> tuple[Label, ...]:
        """Return the samples of a dataset that the model can run on."""

    @abstractmethod
    def images_of(self, labels: Sequence[Label]) -> Iterator[Image]:
        """Yield the RGB image (h, w, 3) of each sample.

        Raises:
            InputFileError: an image cannot be read.
        """

    def parts_of(self, image: Image) -> list[Image]:
        """Return the images (h, w, 3) that the model reads separately for one sample."""
        return [image]

    @abstractmethod
    def input_of(self, image: Image) -> ModelInput:
        """Prepare one RGB image (h, w, 3)."""

    @abstractmethod
    def output_axes(self, rank: int) -> tuple[int, ...]:
        """Return the source's output axes in the order that converted graphs have."""

    @abstractmethod
    def check_output_shape(self, shape: Sequence[int], size: InputSize) -> None:
        """Check the output shape of a graph for one input size; 0 is a free dimension.

        Raises:
            SpecError: the shape contradicts the spec.
        """

    @abstractmethod
    def output_distance(self, reference: Sequence[Output], other: Sequence[Output]) -> float:
        """Return how far outputs are from reference outputs, summed over all samples; 0 is equal.

        The distance ranks candidates. It does not decide whether one is accurate enough.
        """

    @abstractmethod
    def describe(self, output: Output, prepared: ModelInput, image: Image, label: Label) -> str:
        """Return what the output (1, ...) for one image means, in words."""


def check_rank(shape: Sequence[int], ranks: Sequence[int], spec: ModelSpec) -> None:
    """Check that an output shape has one of ``ranks`` and starts with the batch.

    Raises:
        SpecError: the shape has another rank or a fixed batch.
    """
    if len(shape) not in ranks or shape[0] not in (0, 1):
        listed = [size or "batch" for size in shape]
        raise SpecError(
            f"{spec.name}: the output shape is {listed}, which is not that of a {spec.role}; "
            "correct output.name, output.layout or input.layout"
        )
