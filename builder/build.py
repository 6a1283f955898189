"""Build engines: load, convert, compare, calibrate, choose, compile, judge, write."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ..calibration.suitability import shortcomings
from ..common.progress import Reporter, StepProgress, chosen_reporter
from ..convert.sources import open_source
from ..engines.bundle_source import remember_source
from ..engines.engine import Engine
from ..engines.target_groups import TargetGroup
from ..errors import OutputError
from ..spec import RecognizerSpec
from .cached_builds import CachedBuilds
from .calibrate import Calibrators
from .compare import compare
from .compare_widths import check_free_widths
from .convert import convert_sizes
from .fastest_target import build_fastest
from .job import TargetJob
from .request import BuildRequest, BuildResult, check_request, for_single_images
from .target_build import build_target
from .time_limits import run_once

_log = logging.getLogger(__name__)


def build(
    request: BuildRequest,
    reporter: Reporter | None = None,
    *,
    progress: StepProgress | None = None,
) -> list[BuildResult]:
    """Build engines from one spec, for the targets of the request.

    Target ``auto`` builds an engine for every runtime that can run on this machine, times all of
    them together, and writes the bundle of the fastest one within budget. Its manifest contains the
    figures of the others (``compared_targets``).

    A target that fails does not stop the others; its error is in its result. An older bundle in
    the same folder stays then, and the error states so.

    If ``request.cache`` has a bundle that was built from the same inputs, it is copied; its result
    states in ``measured`` when its verdict was measured.

    >>> import ocr_trt
    >>> spec = ocr_trt.load_spec("detector.yaml")
    >>> request = ocr_trt.BuildRequest(
    ...     spec=spec,
    ...     targets=("openvino",),
    ...     precision="fp32",  # int8: calibration=ocr_trt.load_calibration("images", spec)
    ...     samples=ocr_trt.load_dataset("images"),
    ...     output="built",
    ... )
    >>> for result in ocr_trt.build(request):
    ...     print(result.folder, result.error)
    built/detector-openvino-fp32 None

    Progress, as the title of a step, the number of its units that are done, and of all units:

    >>> import ocr_trt
    >>> spec = ocr_trt.load_spec("detector.yaml")
    >>> request = ocr_trt.BuildRequest(spec=spec, precision="fp32", output="built")
    >>> results = ocr_trt.build(request, progress=print)
    load detector.onnx 0 None
    ...

    Args:
        request: what to build.
        reporter: receives the steps and notes of the build; by default they are logged.
        progress: called when a step begins and when it advances; in place of a reporter.

    Raises:
        UserError: the request is wrong, such as an unknown target or precision.
        InputFileError: model or images cannot be used.
        SpecError: the spec contradicts the model, or the model finds nothing in the samples.
        ConversionError: the model cannot be converted, or its converted graph differs from it.
    """
    reporter = chosen_reporter(reporter, progress, _log)
    # Every check comes first: a mistake in the request must not show up after minutes of work.
    groups = check_request(request, reporter)
    cache = CachedBuilds(request, groups, reporter)
    cached = {group.name: result for group in groups if (result := cache.take(group))}
    missing = [group for group in groups if group.name not in cached]
    built = _build_groups(request, missing, reporter) if missing else {}
    cache.keep(built)
    # In the order of the request, whether cached or built.
    done = {**cached, **built}
    results = [done[group.name] for group in groups]
    _remember_source(request, results, reporter)
    return results


def _remember_source(
    request: BuildRequest, results: Sequence[BuildResult], reporter: Reporter
) -> None:
    """Record the model, so that ``bench`` and ``debug`` may run it."""
    for sha256 in {each.bundle.manifest.source_sha256 for each in results if each.bundle}:
        try:
            remember_source(request.spec.source.path, sha256)
        except (OSError, OutputError) as error:  # the bundles are in their folders already
            reporter.note(f"bench and debug will require --trust-source: {error}")


def _build_groups(
    request: BuildRequest, groups: Sequence[TargetGroup], reporter: Reporter
) -> dict[str, BuildResult]:
    """Do the work that all targets share (load, convert, compare), then build each group.

    The results are by the name of the group.
    """
    lacking = _report_shortcomings(request, reporter)
    with reporter.step(f"load {request.spec.source.path.name}"):
        source = open_source(request.spec.source)
    model = convert_sizes(source, request.spec, reporter)
    if model.own_ranges:
        reporter.note(
            f"the model is already quantized: it states {len(model.own_ranges)} ranges. int8 "
            "engines use them; engines in fp32 and 16 bits do not round activations to these "
            "levels, and differ from the model by that rounding"
        )
    for note in model.float_types.notes():
        reporter.note(note)
    if model.batch_limit:
        reporter.note(f"the engine accepts one image at a time: {model.batch_limit}")
        request = for_single_images(request)
    with Engine.from_source(source, request.spec) as engine:
        with reporter.step(f"run {request.spec.source.path.name} once"):
            run_once(engine)
        if engine.note:
            reporter.note(engine.note)
        # Before calibration, which would be wasted on a graph that differs from the model.
        baseline = compare(request, model, engine, reporter)
        has_free_sizes = any(target.has_free_sizes for group in groups for target in group.members)
        if has_free_sizes and isinstance(request.spec, RecognizerSpec):
            check_free_widths(model, request.spec, engine, reporter)
        calibrators = Calibrators(request, model, reporter)
        results = {}
        for group in groups:
            jobs = [
                TargetJob(
                    request=request,
                    requested=group.name,
                    target=target,
                    graphs=model.graphs,
                    baseline=baseline,
                    reporter=reporter,
                    batch_limit=model.batch_limit,
                    shortcomings=lacking,
                )
                for target in group.members
            ]
            if group.is_compared:
                results[group.name] = build_fastest(jobs, calibrators)
            else:
                results[group.name] = build_target(jobs[0], calibrators)
    return results


def _report_shortcomings(request: BuildRequest, reporter: Reporter) -> tuple[str, ...]:
    """Report what the calibration images lack, before any slow work; return it, too."""
    if request.calibration is None or request.precision == "fp32":
        return ()
    with reporter.step("look at the calibration images"):
        found = shortcomings(request.calibration)
    for text in found:
        reporter.note(f"calibration images in {request.calibration.dataset.folder}: {text}")
    return found
