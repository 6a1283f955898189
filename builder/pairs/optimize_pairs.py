"""``ocr-trt optimize DETECTOR RECOGNIZER``: the fastest pair within one budget for both models."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from ...common.progress import Reporter, StepProgress, chosen_reporter
from ...common.spread import spread
from ...convert.sources import open_source
from ...engines.engine import Engine
from ...measure.pipeline_speed import MAX_IMAGES
from ...ocr.dataset import ImagePage, SceneLabel
from ...ocr.line_windows import windows_of_size
from ...ocr.types import Image
from ...spec import ModelSpec, RecognizerSpec
from ..time_limits import run_once
from .choose_pair import choose_pair, pair_timer
from .model_trials import detector_trials, lines_of, own_accuracies, recognizer_trials
from .notes_once import NotesOnce
from .open_variants import OpenVariant, exact_of
from .pair_builds import PairBuilds
from .pair_data import PairData, load_pair_data
from .pair_reader import Criterion, PairReader, screened
from .pair_request import PairRequest, check_pair_request
from .pairs import default_pair, left_out_pairs, model_front
from .pairs_report import PairsReport, failed_rows, pairs_report, variant_rows
from .read_pairs import EnginePair
from .write_pair import write_pair

_log = logging.getLogger(__name__)


def optimize_pair(
    request: PairRequest,
    reporter: Reporter | None = None,
    *,
    progress: StepProgress | None = None,
) -> PairsReport:
    """Find the fastest pair of engines whose end-to-end loss is within the budget, and write it.

    ``request.output`` gets both bundles, ``pairs.json`` and ``pairs.html``; an older output is
    replaced as a whole. docs/pairs.md describes the method.

    Args:
        request: what to optimize.
        reporter: receives the steps and notes; by default they are logged.
        progress: called when a step begins and when it advances; in place of a reporter.

    Raises:
        UserError: the request is wrong.
        BudgetError: no pair is within the budget; names the nearest one. Nothing is written.
        ConversionError, EngineBuildError: a model cannot be built in fp32.
    """
    reporter = NotesOnce(chosen_reporter(reporter, progress, _log))
    check_pair_request(request)
    with ExitStack() as stack:
        models = (
            _open_model(request.detector, stack, reporter),
            _open_model(request.recognizer, stack, reporter),
        )
        data = load_pair_data(request, models[0], reporter)
        criterion = Criterion(budget=request.budget, accepts_unsure=request.accepts_unsure)
        # Before the builds, because models that read nothing right are refused.
        reader = PairReader(models, data.scenes, criterion, reporter)
        builds = PairBuilds(request, data, stack, reporter)
        builds.build_ways()
        kept = screened(builds.detectors, builds.recognizers, reader)
        builds.build_inputs(*kept)
        kept = screened(builds.detectors, builds.recognizers, reader)
        return _choose(
            request, data, models, _Candidates(builds=builds, kept=kept), reader, reporter
        )


def _open_model(spec: ModelSpec, stack: ExitStack, reporter: Reporter) -> Engine:
    """Open a model in its own framework."""
    with reporter.step(f"load {spec.source.path.name}"):
        engine = stack.enter_context(Engine.from_source(open_source(spec.source), spec))
        run_once(engine)
    return engine


@dataclass(frozen=True, kw_only=True)
class _Candidates:
    """All variants of both models, and those that passed the screen."""

    builds: PairBuilds
    kept: tuple[Sequence[OpenVariant], Sequence[OpenVariant]]


def _choose(
    request: PairRequest,
    data: PairData,
    models: EnginePair,
    candidates: _Candidates,
    reader: PairReader,
    reporter: Reporter,
) -> PairsReport:
    """Measure the variants, choose a pair, and write it."""
    builds, kept = candidates.builds, candidates.kept
    files = timed_files(data.scenes.scenes)
    finder, recognizer = exact_of(builds.detectors).engine, exact_of(builds.recognizers).engine
    lines = lines_of(finder, recognizer, files, reporter)
    found = own_accuracies(builds.detectors, models[0], data.scenes, reporter)
    read = own_accuracies(builds.recognizers, models[1], data.words, reporter)
    trials = (
        detector_trials(builds.detectors, found, recognizer, files, reporter),
        recognizer_trials(builds.recognizers, read, lines, reporter),
    )
    fronts = (
        model_front([each for each in trials[0] if each.open in kept[0]]),
        model_front([each for each in trials[1] if each.open in kept[1]]),
    )
    timer = pair_timer(models, files, request.duration_s, reporter)
    choice = choose_pair(fronts, default_pair(*trials), reader, timer, left_out_pairs(trials, kept))
    rows = [row for each in zip(trials, kept, fronts, strict=True) for row in variant_rows(*each)]
    widths = width_quartiles(lines, request.recognizer)
    report = pairs_report(request, reader, choice, [*rows, *failed_rows(builds.failed)], widths)
    write_pair(request, choice.chosen, report)
    return report


def timed_files(scenes: Sequence[SceneLabel]) -> list[ImagePage]:
    """Return the images that are timed: at most ``MAX_IMAGES``, evenly spread."""
    files = list(dict.fromkeys(scene.image for scene in scenes))
    return [files[index] for index in spread(len(files), MAX_IMAGES)]


def width_quartiles(
    lines: Mapping[ImagePage, Sequence[Image]], spec: RecognizerSpec
) -> tuple[int, ...]:
    """Return the quartiles of the widths of lines, in pixels at the input's height; () if none."""
    widths = [windows_of_size(line.shape[:2], spec).total for own in lines.values() for line in own]
    return tuple(round(q) for q in np.quantile(widths, (0.25, 0.5, 0.75))) if widths else ()
