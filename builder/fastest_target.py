"""``--target auto``: build for several targets, time all engines together, keep the fastest.

Load, conversion, comparison and calibration are shared with any other build. Each further target
costs its compilation, its run on the samples, and its share of the timing.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from ..common.files import output_errors, whole_folder
from ..common.scratch import scratch_folder
from ..engines.bundle import Bundle, own_files
from ..engines.manifest import Latency, Manifest, TargetTrial
from ..errors import BudgetError, OcrTrtError
from ..measure.latency import EQUAL, TimingError
from .build_engine import build_engine
from .calibrate import Calibrators
from .job import TargetJob
from .judge import compare_latency
from .request import BuildResult
from .smaller_engine import with_compression
from .target_build import with_older_engine
from .write import BuiltEngine, write_bundle


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """One target of the comparison."""

    job: TargetJob
    folder: Path
    """A scratch folder with its plans."""
    seconds: float
    built: BuiltEngine | None = None
    """None if there is an error."""
    error: OcrTrtError | None = None

    @property
    def latency(self) -> Latency | None:
        return self.built.verdict.latency if self.built else None

    @property
    def milliseconds(self) -> float:
        return self.latency.engine if self.latency else float("inf")

    @property
    def loss(self) -> float:
        metric = self.built.verdict.metric if self.built else None
        return metric.loss if metric else 0.0


def build_fastest(jobs: Sequence[TargetJob], calibrators: Calibrators) -> BuildResult:
    """Build the targets of several jobs, and write the bundle of the fastest within budget.

    Engines within 2 % of the fastest count as equal, and of these the one that loses least is kept.
    The targets are compared without compression. If it is requested, the engine of the fastest
    target is then compressed.
    """
    first = jobs[0]
    folder, reporter = first.folder, first.reporter
    targets = ", ".join(job.target.name for job in jobs)
    reporter.note(
        f"auto builds for {targets} and keeps the fastest engine; --target NAME builds for one"
    )
    try:
        with output_errors(folder), ExitStack() as stack:
            entries = _timed([_build(job, calibrators, stack) for job in jobs])
            chosen = _fastest(entries)
            if chosen is None or chosen.built is None:
                raise _joined(entries)
            ordered = sorted(entries, key=lambda each: (each is not chosen, each.milliseconds))
            trials = tuple(_trial(each, is_chosen=each is chosen) for each in ordered)
            built = chosen.built
            # Only for the fastest target: another search would take minutes for each of the others.
            if chosen.job.request.compress:
                built = with_compression(chosen.job, built, calibrators, chosen.folder)
            manifest = _write(chosen, replace(built, compared_targets=trials))
    except OcrTrtError as error:
        own = with_older_engine(error, folder)
        return BuildResult(target=first.requested, folder=folder, bundle=None, error=own)
    for job in jobs:
        job.remove_logs()
    bundle = Bundle(folder=folder, manifest=manifest)
    return BuildResult(target=manifest.target, folder=folder, bundle=bundle)


def _build(job: TargetJob, calibrators: Calibrators, stack: ExitStack) -> _Entry:
    """Build and judge one target in a scratch folder, which ``stack`` removes."""
    folder = stack.enter_context(scratch_folder(job.folder.parent))
    start, built, failure = time.monotonic(), None, None
    try:
        built = build_engine(job, calibrators, folder, timed=False)
    except OcrTrtError as error:
        failure = error
        job.reporter.note(f"{job.target.name} has no engine: {error}")
    seconds = time.monotonic() - start
    return _Entry(job=job, folder=folder, seconds=seconds, built=built, error=failure)


def _timed(entries: Sequence[_Entry]) -> list[_Entry]:
    """Time all engines and the baseline in one run, so that a slow moment affects all of them.

    If an engine fails, it is left out, and the others are timed again.
    """
    timed = list(entries)
    # The place of an engine among those that are timed -> its place among all.
    able = [place for place, entry in enumerate(entries) if entry.built is not None]
    while able:
        try:
            latencies = _latencies([timed[place] for place in able])
        except TimingError as error:
            if error.number == len(able):  # the baseline, which comes last
                raise
            failed = timed[able[error.number]]
            failed.job.reporter.note(f"{failed.job.target.name} has no engine: {error}")
            timed[able.pop(error.number)] = replace(failed, built=None, error=error)
            continue
        for place, latency in zip(able, latencies, strict=True):
            built = timed[place].built
            assert built is not None
            verdict = built.verdict.model_copy(update={"latency": latency})
            timed[place] = replace(timed[place], built=replace(built, verdict=verdict))
        break
    return timed


def _latencies(entries: Sequence[_Entry]) -> list[Latency]:
    """Open the engines of several targets, and time them.

    Raises:
        TimingError: an engine or the baseline fails.
    """
    with ExitStack() as stack:
        engines = [
            stack.enter_context(
                entry.job.compiler.open_plans(
                    entry.folder, entry.built.entries, entry.job.request.precision
                )
            )
            for entry in entries
            if entry.built is not None
        ]
        return compare_latency(engines, entries[0].job)


def _fastest(entries: Sequence[_Entry]) -> _Entry | None:
    """Return the fastest engine, or of those equally fast the one that loses least."""
    able = [entry for entry in entries if entry.built is not None]
    least = min((entry.milliseconds for entry in able), default=0.0)
    equal = [entry for entry in able if entry.milliseconds <= least * (1 + EQUAL)]
    return min(equal, key=lambda each: (each.loss, each.milliseconds), default=None)


def _trial(entry: _Entry, *, is_chosen: bool) -> TargetTrial:
    verdict = entry.built.verdict if entry.built else None
    return TargetTrial(
        target=entry.job.target.name,
        chosen=is_chosen,
        label=entry.built.choice.chosen.label if entry.built else "",
        metric=verdict.metric if verdict else None,
        latency=entry.latency,
        seconds=round(entry.seconds, 1),
        error=str(entry.error or ""),
    )


def _write(entry: _Entry, built: BuiltEngine) -> Manifest:
    """Write the bundle of the target that was chosen."""
    with whole_folder(entry.job.folder, own_files) as scratch:
        shutil.copytree(entry.folder, scratch, dirs_exist_ok=True)
        return write_bundle(entry.job, built, scratch)


def _joined(entries: Sequence[_Entry]) -> OcrTrtError:
    """Return one error for several targets that all failed."""
    errors = [(entry.job, entry.error) for entry in entries if entry.error is not None]
    # A verdict on the accuracy names the next step, so its exit code takes precedence.
    first = next((e for _, e in errors if isinstance(e, BudgetError)), errors[0][1])
    texts = dict.fromkeys(str(error) for _, error in errors)
    if len(texts) == 1:  # such as an image that cannot be read
        return first
    reasons = "; ".join(f"{job.target.name}: {error}" for job, error in errors)
    return type(first)(f"no target has an engine within budget: {reasons}")
