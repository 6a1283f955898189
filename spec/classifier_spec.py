"""The spec of a direction classifier: how far the text of a line crop is turned."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..common.frozen_model import StrictModel
from ..common.input_size import InputSize
from .common_spec import AccuracyBudget, CommonSpec

Angle = Literal[0, 90, 180, 270]
"""Degrees by which the text in a crop is turned clockwise. At 90, it runs down."""


class DirectionOutput(StrictModel):
    """A classifier's output: one score per class, (N, C).

    With two angles, C may be 1: the score of the second angle.
    """

    name: str
    kind: Literal["logits", "probabilities"] = "probabilities"


class ClassifierSpec(CommonSpec):
    """A classifier of the direction of text, which runs on line crops before the recognizer."""

    role: Literal["classifier"]
    output: DirectionOutput
    angles: tuple[Angle, ...] = Field((0, 180), min_length=2)
    """The angle of each class, in the order of the classes."""
    threshold: float = Field(0.9, ge=0, le=1)
    """A crop is turned if the probability of its angle is at least this. Otherwise the recognizer
    reads it in each direction that the classifier knows, and the best text score decides."""
    fit: Literal["pad", "stretch"] = "pad"
    """How a crop is fitted into the input: scaled to its height and padded on the right (a crop
    that is too wide is squeezed), or stretched to its size."""
    accuracy: AccuracyBudget = AccuracyBudget()

    @property
    def input_sizes(self) -> tuple[InputSize, ...]:
        """The input sizes that engines are built for."""
        return (self.input.size,)

    @model_validator(mode="after")
    def _consistent(self) -> ClassifierSpec:
        if len(set(self.angles)) != len(self.angles) or 0 not in self.angles:
            raise ValueError(
                f"angles must contain 0 and each angle once, got {list(self.angles)}; expected "
                "[0, 180], or 0, 90, 180 and 270 in the order of the classes"
            )
        return self
