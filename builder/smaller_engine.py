"""Build an engine of a compressed network, and keep it if it is faster and within budget."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from ..common.input_size import by_area
from ..common.scratch import scratch_folder
from ..compression.dead_channels import composed
from ..engines.bundle import tree_sha256
from ..engines.manifest import Compression, Latency
from ..errors import BudgetError, ConversionError, EngineBuildError
from ..measure.latency import EQUAL
from .build_engine import build_engine
from .calibrate import Calibrators
from .compression_reason import too_few, why_accepted, why_over_budget
from .compression_report import compression_report
from .compression_search import CompressionSearch
from .compression_trials import graphs_of
from .job import TargetJob
from .judge import compare_latency
from .path_bisection import CompressionStop
from .write import BuiltEngine

_ATTEMPTS = 4
"""Engines that are built before the search gives up."""


@dataclass(frozen=True, kw_only=True)
class _Attempt:
    """An engine of a compressed network. ``failure``: why it is not kept."""

    built: BuiltEngine | None = None
    uncompressed: Latency | None = None
    failure: str = ""
    is_final: bool = False
    """Whether networks with fewer decisions would fail for the same reason."""


def with_compression(
    job: TargetJob, plain: BuiltEngine, calibrators: Calibrators, folder: Path
) -> BuiltEngine:
    """Compress a network, and return its engine, or the uncompressed one if nothing is won.

    Args:
        job: the target; its graphs are not compressed.
        plain: the engine of these graphs.
        calibrators: of these graphs.
        folder: the plans of ``plain``, which those of the engine that is returned replace.

    Raises:
        OutputError: the measurements of the search cannot be written.
        InputFileError: a calibration image cannot be read.
    """
    calibrator = calibrators.lowered_by(lambda graph: graph)
    images = tree_sha256(calibrator.images.dataset.folder)
    if calibrators.own_ranges:
        reason = (
            f"the model is already quantized: it states {calibrators.own_ranges} ranges, which its "
            "layers were trained with; compression would change the layers"
        )
        return _unchanged(plain, Compression(reason=_none(reason), images=0, data_sha256=images))
    result = job.baseline.result
    if result is not None and (few := too_few(len(result.labels))):
        job.reporter.note(
            f"{few}: compressed networks are judged by their agreement with the model on them; "
            "give more labeled samples with --data"
        )
    # Deconvolutions are neither fitted nor pruned; the convolutions that replace them are.
    lowered = {size: job.target.lower(graph) for size, graph in job.graphs.items()}
    search = CompressionSearch(replace(job, graphs=lowered), calibrator)
    kept, stop, why = _attempts(search, plain, calibrators, folder)
    if kept.built is None or stop is None:
        reason = _none(why)
        compression = Compression(reason=reason, images=search.images, data_sha256=images)
        verdict = plain.verdict
        if kept.uncompressed is not None:  # timed after the first measurement of ``plain``
            verdict = verdict.model_copy(update={"latency": kept.uncompressed})
        report = compression_report(search, None, reason)
        own = replace(plain, verdict=verdict, compression_report=report)
        return _unchanged(
            own if own.calibrator else replace(own, calibrator=calibrator), compression
        )
    reason = _why_kept(search, stop, kept)
    compression = _description(search, stop, kept, reason, images)
    report = compression_report(search, stop, reason)
    return replace(kept.built, compression=compression, compression_report=report)


def _none(reason: str) -> str:
    return f"nothing won: {reason}"


def _unchanged(plain: BuiltEngine, compression: Compression) -> BuiltEngine:
    return replace(plain, compression=compression)


def _attempts(
    search: CompressionSearch, plain: BuiltEngine, calibrators: Calibrators, folder: Path
) -> tuple[_Attempt, CompressionStop | None, str]:
    """Build engines along the path, the most compressed network within budget first.

    Returns the last attempt, its network if it is kept, and else why nothing is won.
    """
    job, attempt = search.job, _Attempt()
    if not search.has_options:
        return attempt, None, "no layer or group of channels can be made smaller"
    if not search.has_stops:
        target = job.target.name
        return attempt, None, f"no smaller network is predicted to be faster on {target}"
    failure = ""
    for _ in range(_ATTEMPTS):
        stop = search.bisection.best()
        if stop is None:
            return attempt, None, failure or _over_budget(search)
        attempt = _attempt(search, stop, plain, calibrators, folder)
        if not attempt.failure:
            return attempt, stop, ""
        failure = attempt.failure
        job.reporter.note(f"compressed to {100 * stop.trial.kept_flops:.0f} %: {failure}")
        search.bisection.refuse(stop, failure)
        if attempt.is_final:
            break
    return attempt, None, failure


def _over_budget(search: CompressionSearch) -> str:
    first = search.bisection.measured[0]
    return why_over_budget(first.trial, search.job.spec.accuracy.max_loss)


def _attempt(
    search: CompressionSearch,
    stop: CompressionStop,
    plain: BuiltEngine,
    calibrators: Calibrators,
    folder: Path,
) -> _Attempt:
    """Build the engine of a network; if it is kept, its plans replace those in ``folder``."""
    job, graphs = search.job, graphs_of(search.graphs(stop))
    small, own = replace(job, graphs=graphs, is_compressed=True), calibrators.of_graphs(graphs)
    with scratch_folder(folder.parent) as other:
        try:
            built = build_engine(small, own, other, timed=False)
        except (BudgetError, ConversionError, EngineBuildError) as error:
            return _Attempt(failure=str(error))
        if built.calibrator is None:  # of fp32; the report of the layers needs it
            built = replace(built, calibrator=own.lowered_by(job.lower))
        before = None
        if job.compiler.can_run:
            after, before = _timed(job, (built, other), (plain, folder))
            built = replace(built, verdict=built.verdict.model_copy(update={"latency": after}))
            if after.engine > before.engine * (1 - EQUAL):
                failure = (
                    f"the compressed engine takes {after.engine:.2f} ms, the uncompressed one "
                    f"{before.engine:.2f} ms in the same run"
                )
                # With fewer decisions, more layers may run in int8.
                is_final = built.choice.chosen.precision == plain.choice.chosen.precision
                return _Attempt(uncompressed=before, failure=failure, is_final=is_final)
        _replace(folder, other)
    return _Attempt(built=built, uncompressed=before)


def _timed(job: TargetJob, *engines: tuple[BuiltEngine, Path]) -> list[Latency]:
    """Time engines and the baseline in one run."""
    precision = job.request.precision
    with ExitStack() as stack:
        opened = [
            stack.enter_context(job.compiler.open_plans(where, built.entries, precision))
            for built, where in engines
        ]
        return compare_latency(opened, job)


def _replace(folder: Path, other: Path) -> None:
    """Replace the files of a folder with those of another one."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    shutil.copytree(other, folder, dirs_exist_ok=True)


def _why_kept(search: CompressionSearch, stop: CompressionStop, kept: _Attempt) -> str:
    parts = why_accepted(stop.trial, stop.judgement, search.job.spec.accuracy.max_loss)
    if search.is_measured_on_fitted:
        parts.append(
            "measured on the images that the weights were fitted to; to be sure, give other "
            "labeled images with --data"
        )
    built, before = kept.built, kept.uncompressed
    after = built.verdict.latency if built is not None else None
    if after is not None and before is not None:
        parts.append(f"{after.engine:.2f} ms in place of {before.engine:.2f} ms in the same run")
    else:
        parts.append(f"not timed: {search.job.target.name} cannot run here")
    if search.plan.unit == "FLOPs":
        why = "reports no times" if search.job.compiler.can_run else "cannot run here"
        parts.append(f"the layers were chosen by FLOPs: {search.job.target.name} {why}")
    return "; ".join(parts)


def _description(
    search: CompressionSearch, stop: CompressionStop, kept: _Attempt, reason: str, images: str
) -> Compression:
    trial, smaller = stop.trial, search.graphs(stop)
    return Compression(
        decisions=search.decisions(stop),
        reason=reason,
        kept_flops=trial.kept_flops,
        images=search.images,
        data_sha256=images,
        distance=trial.distance,
        agreement=trial.agreement,
        metric=trial.metric,
        interval=trial.interval,
        can_tell=stop.judgement.can_tell,
        uncompressed=kept.uncompressed,
        dead_channels=search.dead_channels,
        sparse_layers=search.sparse_layers(stop),
        channels=composed(search.dead, smaller[max(smaller, key=by_area)].channels),
    )
