"""Which input widths to build a recognizer for: measured on the machine, learned from lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..calibration.images import CalibrationSet
from ..common.progress import Reporter
from ..convert.sources import open_source
from ..engines.base import Backend, BuildSettings
from ..measure.latency import Contender, LatencySettings, measure
from ..ocr.preprocess import line_width
from ..ocr.roles import role_of
from ..ocr.width_buckets import best_buckets, mean_cost, padded_share
from ..spec import RecognizerSpec
from .compile import PlanCompiler
from .convert import convert_widths

_MEASURED = 4
"""Widths that are timed; what lies between is taken to lie on a line between them."""
_TIMED = LatencySettings(duration_s=1.0)
WORTH = 0.03
"""Share of the widest one's time that one bucket more must save."""


@dataclass(frozen=True, kw_only=True)
class Buckets:
    """One choice of input widths. ``milliseconds``: of a line, on average, in full batches."""

    widths: tuple[int, ...]
    milliseconds: float
    saved: float
    """Share of the time of the widest one alone, 0..1."""
    padding: float
    """Share of all input pixels, 0..1."""


@dataclass(frozen=True, kw_only=True)
class BucketChoice:
    """What was found: a choice for each number of buckets, and the one to take."""

    line_widths: tuple[int, ...]
    """Of all lines, in pixels at the input's height."""
    costs: dict[int, float]
    """Milliseconds of a line at the widths that were timed."""
    choices: tuple[Buckets, ...]
    current: Buckets
    """The spec's own."""
    best: Buckets


def choose_buckets(
    spec: RecognizerSpec,
    lines: CalibrationSet,
    target: Backend,
    reporter: Reporter,
    *,
    most: int,
    step: int,
) -> BucketChoice:
    """Find input widths by which a recognizer takes least time.

    Args:
        spec: the recognizer's; its input width stays the widest.
        lines: images of lines.
        target: what the fp32 engine is timed on.
        reporter: told of the steps.
        most: of buckets.
        step: widths are multiples of it.

    Raises:
        InputFileError: an image cannot be read.
        ConversionError: the model cannot be converted at a width.
    """
    widths = _widths(spec, lines, reporter)
    costs = _costs(spec, target, step, reporter)

    def cost(width: int) -> float:
        return float(np.interp(width, list(costs), list(costs.values())))

    widest = spec.input.width
    one = mean_cost(widths, [widest], cost)

    def described(buckets: Sequence[int]) -> Buckets:
        milliseconds = mean_cost(widths, buckets, cost)
        return Buckets(
            widths=tuple(buckets),
            milliseconds=milliseconds,
            saved=1 - milliseconds / one,
            padding=padded_share(widths, buckets),
        )

    candidates = [*range(step, widest, step), widest]
    choices = tuple(map(described, best_buckets(widths, candidates, most, cost)))
    return BucketChoice(
        line_widths=tuple(widths),
        costs=costs,
        choices=choices,
        current=described(spec.widths),
        best=_worth_it(choices),
    )


def _worth_it(choices: Sequence[Buckets]) -> Buckets:
    """Return the first choice after which one bucket more saves too little."""
    for choice, next_one in pairwise(choices):
        if choice.milliseconds - next_one.milliseconds < WORTH * choices[0].milliseconds:
            return choice
    return choices[-1]


def _widths(spec: RecognizerSpec, lines: CalibrationSet, reporter: Reporter) -> list[int]:
    found = []
    with reporter.step("look at lines", len(lines.labels)) as advance:
        for done, line in enumerate(role_of(spec).images_of(lines.labels), 1):
            found.append(line_width(line, spec.input.height))
            advance(done)
    return found


def _costs(
    spec: RecognizerSpec, target: Backend, step: int, reporter: Reporter
) -> dict[int, float]:
    """Return milliseconds of a line in full batches, at a few widths."""
    least = min(step, spec.input.width)
    expected = np.linspace(least, spec.input.width, _MEASURED) // step * step
    timed = sorted({max(least, int(width)) for width in expected[:-1]} | {spec.input.width})
    at = spec.model_copy(update={"buckets": tuple(timed)})
    graphs, batch = (
        convert_widths(open_source(spec.source), at, reporter).graphs,
        spec.input.max_batch,
    )
    settings = BuildSettings(max_batch=batch)
    compiler = PlanCompiler(target=target, spec=at, settings=settings, reporter=reporter)
    with compiler.open_candidate(graphs, "fp32") as engine:
        runners = [engine.runner(width) for width in timed]
        contenders = [Contender(runner=r, shape=(batch, *r.shape)) for r in runners]
        with reporter.step(f"time {len(timed)} widths in turns", 100) as advance:
            found = measure(contenders, _TIMED, lambda share: advance(round(100 * share)))
    return {width: stats.p50 / batch for width, stats in zip(timed, found, strict=True)}
