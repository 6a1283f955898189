"""The spec of a text line recognizer: its output, its charset and its widths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from ..common.frozen_model import StrictModel
from ..common.input_size import InputSize
from .common_spec import AccuracyBudget, CommonSpec

_FINE_STEPS = 20
"""From this many steps on, input widths are two steps apart: 5 % more padding at most."""
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
    width_step: int | None = Field(None, ge=1, le=1024)
    """If a runtime accepts any input width, lines are padded to a multiple of this many columns, in
    place of a width in ``buckets``; see :attr:`free_widths`. None: to the widths in ``buckets``."""
    max_squeeze: float = Field(1.1, ge=1, le=100)
    """A line wider than the widest input by at most this factor is squeezed into it. A wider line
    is read in overlapping windows."""
    accuracy: AccuracyBudget = AccuracyBudget(max_loss=0.3)

    @property
    def widths(self) -> tuple[int, ...]:
        """The input widths that engines are built for, ascending."""
        return tuple(sorted({*self.buckets, self.input.width}))

    @property
    def free_widths(self) -> tuple[int, ...]:
        """The input widths of a plan with a free width, ascending; () without ``width_step``.

        They are multiples of the step from the narrowest to the widest of ``widths``. Wide ones are
        spaced more, because each costs memory and saves little padding.
        """
        if self.width_step is None:
            return ()
        found, width = list[int](), self.widths[0]
        while width < self.widths[-1]:
            found.append(width)
            # 20 steps and more: every second multiple; 40 and more: every fourth, and so on.
            step = self.width_step
            while width >= _FINE_STEPS * step:
                step *= 2
            width = (width // step + 1) * step
        return (*found, self.widths[-1])

    def with_widths(self, widths: Sequence[int]) -> RecognizerSpec:
        """Return the spec with other input widths; the widest stays."""
        narrower = tuple(width for width in widths if width != self.input.width)
        return self.model_copy(update={"buckets": narrower})

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
