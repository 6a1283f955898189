"""The spec of a text line recognizer: its output, its charset and its widths."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..common.frozen_model import StrictModel
from ..common.input_size import InputSize
from .common_spec import AccuracyBudget, CommonSpec

PRINTABLE_ASCII = "".join(map(chr, range(32, 127)))


class SequenceOutput(StrictModel):
    """A recognizer's output: one score per time step and class."""

    name: str
    layout: Literal["NTC", "TNC"] = "NTC"
    kind: Literal["logits", "probabilities"] = "logits"


class RecognizerSpec(CommonSpec):
    """A text line recognizer with CTC output."""

    role: Literal["recognizer"]
    output: SequenceOutput
    charset: str = Field(PRINTABLE_ASCII, min_length=1, max_length=100_000)
    """The characters of the classes, in order, without the blank."""
    blank: int = Field(0, ge=0)
    """Class index of the CTC blank."""
    buckets: tuple[int, ...] = ()
    """Additional, narrower input widths to build engines for."""
    max_squeeze: float = Field(1.1, ge=1, le=100)
    """A line wider than the widest input by at most this factor is squeezed into it. A wider line
    is read in overlapping windows."""
    accuracy: AccuracyBudget = AccuracyBudget(max_loss=0.3)

    @property
    def widths(self) -> tuple[int, ...]:
        """The input widths that engines are built for, ascending."""
        return tuple(sorted({*self.buckets, self.input.width}))

    @property
    def input_sizes(self) -> tuple[InputSize, ...]:
        """The input sizes that engines are built for: one height, and the widths ascending."""
        return tuple(InputSize(self.input.height, width) for width in self.widths)

    @model_validator(mode="after")
    def _consistent(self) -> RecognizerSpec:
        if self.blank > len(self.charset):
            raise ValueError(
                f"blank is {self.blank}, expected a class from 0 to {len(self.charset)}"
            )
        if len(set(self.charset)) != len(self.charset):
            twice = next(each for each in self.charset if self.charset.count(each) > 1)
            raise ValueError(f"charset contains {twice!r} more than once")
        wrong = [width for width in self.buckets if not 0 < width <= self.input.width]
        if wrong:
            raise ValueError(f"buckets {wrong} must be from 1 to the width {self.input.width}")
        return self
