"""The result for a pair of models as data: ``pairs.json``, from which the page is made."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ...common.frozen_model import FrozenModel
from ...engines.manifest import PointsInterval
from ...measure.machine import machine, versions
from ...measure.points_lost import Verdict
from ...ocr.metrics.metric import RoleMetric
from .built_variants import FailedVariant
from .choose_pair import PairChoice
from .model_trials import ModelTrial
from .open_variants import OpenVariant
from .pair_reader import PairReader
from .pair_request import PairRequest
from .pairs import Pair


class VariantRow(FrozenModel):
    """A variant of one model."""

    role: Literal["detector", "recognizer"]
    label: str
    target: str = ""
    """The runtime; "" if the variant could not be built."""
    milliseconds: float | None = None
    """Per image for a detector, per line for a recognizer."""
    metric: RoleMetric | None = None
    loss: float | None = None
    """Points of the metric that are lost against the model itself."""
    disagreement: float | None = None
    """Points of the same metric with the model's own output as the ground truth."""
    lines: float | None = None
    """Lines per image that a detector finds."""
    is_on_front: bool = False
    """Whether no other variant is better in time, loss and agreement, or it is the exact one."""
    is_dropped: bool = False
    """Whether it is over the budget even with the exact variant of the other model."""
    error: str = ""


class PairRow(FrozenModel):
    """A pair of variants."""

    detector: str
    recognizer: str
    predicted: float
    """Milliseconds per image, from the times of both models."""
    measured: float | None = None
    """Milliseconds per image of the whole pipeline; None if the pair was not timed."""
    loss: float | None = None
    """Points of end-to-end hmean that are lost; None if the pair was not read."""
    interval: PointsInterval | None = None
    """95 % interval of the loss."""
    agreement: float | None = None
    """End-to-end hmean with the lines of the models themselves as the ground truth, a share."""
    verdict: Verdict | None = None
    images_needed: int | None = None
    """About how many images would show that an ``unsure`` pair is within the budget."""
    is_chosen: bool = False
    is_default: bool = False
    """Whether both engines are what ``build`` builds without options."""

    @property
    def label(self) -> str:
        """The names of both variants."""
        return f"{self.detector} + {self.recognizer}"

    @property
    def milliseconds(self) -> float:
        """The measured time, or else the predicted one."""
        return self.predicted if self.measured is None else self.measured


class PairsReport(FrozenModel):
    """Everything that was measured for a pair of models."""

    detector: str
    """The name of the detector's spec."""
    recognizer: str
    budget: float
    """Points of end-to-end hmean."""
    accepts_unsure: bool
    data: str
    images: int
    labeled: bool
    baseline_hmean: float
    """End-to-end hmean of the models themselves, a share; 1 without labels."""
    baseline: float
    """Milliseconds per image of the models themselves."""
    rest: float
    """Milliseconds per image of decoding the file and cutting out lines, in the chosen pair."""
    line_widths: tuple[int, ...]
    """Quartiles of the widths of the lines, in pixels at the recognizer's input height."""
    variants: tuple[VariantRow, ...]
    pairs: tuple[PairRow, ...]
    """All pairs of the variants on both fronts, the default pair, and those that the screen left
    out: a variant that is over the budget with the exact variant of the other model."""
    bundles: tuple[str, str]
    """Folders of the chosen detector and recognizer, in the output folder."""
    command: str
    machine: dict[str, str]
    versions: dict[str, str]

    @property
    def chosen(self) -> PairRow:
        """The pair that was chosen."""
        return next(row for row in self.pairs if row.is_chosen)

    @property
    def default(self) -> PairRow | None:
        """The pair of default builds; None if one of them could not be built."""
        return next((row for row in self.pairs if row.is_default), None)


def variant_rows(
    trials: Sequence[ModelTrial], kept: Sequence[OpenVariant], front: Sequence[ModelTrial]
) -> list[VariantRow]:
    """Return the rows of one model's variants. ``kept``: those that passed the screen."""
    return [
        VariantRow(
            role="detector" if each.accuracy.metric.name == "hmean" else "recognizer",
            label=each.label,
            target=each.open.built.bundle.manifest.target,
            milliseconds=each.milliseconds,
            metric=each.accuracy.metric.name,
            loss=each.accuracy.metric.loss,
            disagreement=each.accuracy.agreement.loss,
            lines=each.lines if each.accuracy.metric.name == "hmean" else None,
            is_on_front=each in front,
            is_dropped=each.open not in kept,
        )
        for each in trials
    ]


def failed_rows(failed: Sequence[FailedVariant]) -> list[VariantRow]:
    """Return the rows of the variants that could not be built."""
    return [
        VariantRow(
            role="detector" if each.variant.request.spec.role == "detector" else "recognizer",
            label=each.variant.label,
            error=each.error,
        )
        for each in failed
    ]


def pair_rows(choice: PairChoice, reader: PairReader) -> list[PairRow]:
    """Return one row for each pair, the fastest by prediction first."""
    return [_pair_row(pair, choice, reader) for pair in choice.pairs]


def _pair_row(pair: Pair, choice: PairChoice, reader: PairReader) -> PairRow:
    verdict = reader.verdicts.get(pair.variants)
    return PairRow(
        detector=pair.detector.label,
        recognizer=pair.recognizer.label,
        predicted=pair.predicted,
        measured=choice.times.get(pair),
        loss=verdict.loss if verdict else None,
        interval=verdict.interval if verdict else None,
        agreement=verdict.agreement if verdict else None,
        verdict=verdict.verdict if verdict else None,
        images_needed=verdict.images_needed if verdict else None,
        is_chosen=pair == choice.chosen,
        is_default=pair.is_default,
    )


def pairs_report(
    request: PairRequest,
    reader: PairReader,
    choice: PairChoice,
    rows: Sequence[VariantRow],
    line_widths: Sequence[int],
) -> PairsReport:
    """Return the report of a choice. ``rows``: of all variants."""
    chosen, criterion = choice.chosen, reader.criterion
    bundles = tuple(
        each.open.built.bundle.folder.name for each in (chosen.detector, chosen.recognizer)
    )
    return PairsReport(
        detector=request.detector.name,
        recognizer=request.recognizer.name,
        budget=criterion.budget,
        accepts_unsure=criterion.accepts_unsure,
        data=str(request.samples.folder),
        images=len(request.samples.scenes),
        labeled=request.samples.labeled,
        baseline_hmean=reader.verdicts[chosen.variants].baseline,
        baseline=choice.baseline_time,
        rest=chosen.detector.rest,
        line_widths=tuple(line_widths),
        variants=tuple(rows),
        pairs=tuple(pair_rows(choice, reader)),
        bundles=(bundles[0], bundles[1]),
        command=_command(request.output, bundles[0], bundles[1]),
        machine=machine(),
        versions=versions(),
    )


def _command(output: Path, detector: str, recognizer: str) -> str:
    engines = ("--detector", output / detector, "--recognizer", output / recognizer)
    return shlex.join(["ocr-trt", "run", "IMAGE", *map(str, engines)])
