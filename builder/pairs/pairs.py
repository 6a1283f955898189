"""Pairs of a detector and a recognizer, and the time per image that is predicted for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .fronts import pareto_front
from .model_trials import ModelTrial
from .open_variants import OpenVariant

VariantPair = tuple[OpenVariant, OpenVariant]
"""A variant of the detector and one of the recognizer, which need not be timed."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A variant of the detector and one of the recognizer."""

    detector: ModelTrial
    recognizer: ModelTrial

    @property
    def label(self) -> str:
        """The names of both variants."""
        return f"{self.detector.label} + {self.recognizer.label}"

    @property
    def predicted(self) -> float:
        """Milliseconds per image, from the times of both models."""
        finder = self.detector
        return predicted_time(
            finder.milliseconds, finder.rest, finder.lines, self.recognizer.milliseconds
        )

    @property
    def variants(self) -> VariantPair:
        """Both open variants."""
        return self.detector.open, self.recognizer.open

    @property
    def is_default(self) -> bool:
        """Whether both are what ``ocr-trt build`` builds without options."""
        return all(each.variant.is_default for each in self.variants)


def predicted_time(detector: float, rest: float, lines: float, per_line: float) -> float:
    """Return the predicted milliseconds per image.

    Args:
        detector: milliseconds per image of the detector.
        rest: milliseconds per image of decoding the file and cutting out lines.
        lines: lines per image that the detector finds.
        per_line: milliseconds per line of the recognizer.
    """
    return detector + rest + lines * per_line


def model_front(trials: Sequence[ModelTrial]) -> list[ModelTrial]:
    """Return the variants on the Pareto front of time, loss and agreement, and the exact one.

    The exact variant remains even if another one is faster and loses no more by chance: it is what
    remains if no other variant is within the budget.
    """
    front = pareto_front(trials, lambda each: each.costs)
    return [each for each in trials if each in front or each.open.variant.is_exact]


def default_pair(detectors: Sequence[ModelTrial], recognizers: Sequence[ModelTrial]) -> Pair | None:
    """Return the pair that ``ocr-trt build`` builds without options; None if it cannot be built."""
    pairs = (Pair(detector=one, recognizer=other) for one in detectors for other in recognizers)
    return next((pair for pair in pairs if pair.is_default), None)


def left_out_pairs(
    trials: tuple[Sequence[ModelTrial], Sequence[ModelTrial]],
    kept: tuple[Sequence[OpenVariant], Sequence[OpenVariant]],
) -> list[Pair]:
    """Return the pairs for which the screen left out a variant: it, and the exact one of the other.

    Args:
        trials: of both models.
        kept: the variants of both models that passed the screen.
    """
    detectors, recognizers = (
        [each for each in own if each.open not in remaining]
        for own, remaining in zip(trials, kept, strict=True)
    )
    finder, recognizer = (
        next(each for each in own if each.open.variant.is_exact) for own in trials
    )
    return [
        *(Pair(detector=each, recognizer=recognizer) for each in detectors),
        *(Pair(detector=finder, recognizer=each) for each in recognizers),
    ]
