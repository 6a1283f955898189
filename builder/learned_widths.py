"""Choose the input widths of a recognizer from the widths of real lines and from measured times.

With few widths, lines waste time on padding; every additional width is another engine. The model is
timed at a few widths, and ``ocr.width_buckets`` finds the widths with the least time per line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..calibration.images import CalibrationSet
from ..common.input_size import InputSize
from ..common.progress import Reporter
from ..convert.sources import open_source
from ..engines.base import Backend, BuildSettings
from ..measure.latency import Contender, LatencySettings, measure
from ..ocr.line_windows import LineWindows, windows_of_size
from ..ocr.roles import role_of
from ..ocr.width_buckets import best_buckets, mean_cost, padded_share
from ..spec import RecognizerSpec
from .compile import PlanCompiler
from .convert import convert_sizes

_MEASURED = 4
"""Widths that are timed; times of the widths between them are interpolated."""
_TIMED = LatencySettings(duration_s=1.0)
MIN_SAVING = 0.03
"""An additional width must save this share of the time that the widest input alone takes."""


@dataclass(frozen=True, kw_only=True)
class WidthSettings:
    """Which sets of input widths are considered."""

    max_widths: int = 6
    """Largest number of widths."""
    step: int = 16
    """Widths are multiples of this, except the spec's input width."""


@dataclass(frozen=True, kw_only=True)
class Buckets:
    """One set of input widths."""

    widths: tuple[int, ...]
    milliseconds: float
    """Mean time of a line, in full batches."""
    saved: float
    """Time saved, as a share of the time with the widest input alone, 0..1."""
    padding: float
    """Share of padding in all input pixels, 0..1."""


@dataclass(frozen=True, kw_only=True)
class BucketChoice:
    """The best set of widths for each number of widths, and the recommended one."""

    line_widths: tuple[int, ...]
    """Widths of all lines, in pixels at the input's height."""
    cut: int
    """The number of lines that are too wide for the widest input, and read in windows."""
    costs: dict[int, float]
    """Milliseconds of a line at the widths that were timed."""
    choices: tuple[Buckets, ...]
    current: Buckets
    """The widths of the spec; with ``width_step``, those of its plan of any width."""
    best: Buckets


def choose_buckets(
    spec: RecognizerSpec,
    lines: CalibrationSet,
    target: Backend,
    settings: WidthSettings,
    reporter: Reporter,
) -> BucketChoice:
    """Find the input widths with which a recognizer takes the least time.

    Args:
        spec: the recognizer's spec; its input width remains the widest.
        lines: line images like those to be read.
        target: runs the fp32 engine that is timed.
        settings: which widths are considered.
        reporter: shows the progress.

    Raises:
        InputFileError: an image cannot be read.
        ConversionError: the model cannot be converted at a width.
    """
    sizes = line_sizes(spec, lines, reporter)
    windows = [windows_of_size(size, spec) for size in sizes]
    # A line that is cut is as many lines as it has windows.
    parts = [each for own in windows for each in _part_widths(own)]
    costs = _costs(spec, target, settings.step, reporter)
    widest = spec.input.width

    # Only a few widths are timed; between them the time is interpolated.
    def cost(width: int) -> float:
        return float(np.interp(width, list(costs), list(costs.values())))

    def described(buckets: Sequence[int]) -> Buckets:
        milliseconds = mean_cost(parts, buckets, cost)
        return Buckets(
            widths=tuple(buckets),
            milliseconds=milliseconds * len(parts) / len(windows),
            saved=1 - milliseconds / mean_cost(parts, [widest], cost),
            padding=padded_share(parts, buckets),
        )

    candidates = [*range(settings.step, widest, settings.step), widest]
    choices = tuple(map(described, best_buckets(parts, candidates, settings.max_widths, cost)))
    return BucketChoice(
        line_widths=tuple(own.total for own in windows),
        cut=sum(len(own) > 1 for own in windows),
        costs=costs,
        choices=choices,
        current=described(spec.free_widths or spec.widths),
        best=_recommended(choices),
    )


def _recommended(choices: Sequence[Buckets]) -> Buckets:
    """Return the first choice after which one more width saves too little.

    Each width is another engine to build and to load.
    """
    for choice, wider in pairwise(choices):
        if choice.milliseconds - wider.milliseconds < MIN_SAVING * choices[0].milliseconds:
            return choice
    return choices[-1]


def line_sizes(
    spec: RecognizerSpec, lines: CalibrationSet, reporter: Reporter
) -> list[tuple[int, int]]:
    """Return the (height, width) of each line, in pixels of its image."""
    sizes = []
    with reporter.step("measure the widths of lines", len(lines.labels)) as advance:
        for done, line in enumerate(role_of(spec).images_of(lines.labels), 1):
            sizes.append((line.shape[0], line.shape[1]))
            advance(done)
    return sizes


def _part_widths(windows: LineWindows) -> list[int]:
    """Return the columns of each window; of a line that is read whole, its own width."""
    return [end - start for start, end in windows.spans] if len(windows) > 1 else [windows.total]


def _costs(
    spec: RecognizerSpec, target: Backend, step: int, reporter: Reporter
) -> dict[int, float]:
    """Return milliseconds of a line in full batches, at a few widths from narrow to wide."""
    narrowest, batch = min(step, spec.input.width), spec.input.max_batch
    # Evenly spaced and rounded down to multiples of the step, always including both ends.
    spaced = np.linspace(narrowest, spec.input.width, _MEASURED) // step * step
    timed = sorted({max(narrowest, int(width)) for width in spaced[:-1]} | {spec.input.width})
    spec = spec.model_copy(update={"buckets": tuple(timed), "width_step": None})
    graphs = convert_sizes(open_source(spec.source), spec, reporter).graphs
    compiler = PlanCompiler(
        target=target,
        spec=spec,
        settings=BuildSettings(max_batch=batch),
        reporter=reporter,
    )
    # In fp32, which needs no calibration images.
    with compiler.open_candidate(graphs, "fp32") as engine:
        runners = [engine.runner(InputSize(spec.input.height, width)) for width in timed]
        contenders = [Contender(runner=r, shape=(batch, *r.shape)) for r in runners]
        with reporter.step(f"time {len(timed)} widths in turns", 100) as advance:
            measured = measure(contenders, _TIMED, lambda share: advance(round(100 * share)))
    return {width: stats.p50 / batch for width, stats in zip(timed, measured, strict=True)}
