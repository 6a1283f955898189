"""Build engines: load, convert, compare, calibrate, choose, compile, judge, write."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from ..calibration.suitability import shortcomings
from ..common.files import whole_folder
from ..common.progress import LogReporter, Reporter
from ..convert.sources import open_source
from ..engines.base import Backend
from ..engines.bundle import Bundle, own_files
from ..engines.bundle_source import remember_source
from ..engines.engine import Engine
from ..engines.manifest import Manifest
from ..errors import BudgetError, ConversionError, OcrTrtError, OutputError
from .cached_builds import CachedBuilds
from .calibrate import Calibrators
from .choose import choose
from .compare import compare
from .convert import convert_widths
from .job import TargetJob
from .judge import judge
from .request import BuildRequest, BuildResult, check_request, for_single_images
from .write import BuiltEngine, write_bundle

_log = logging.getLogger(__name__)


def build(request: BuildRequest, reporter: Reporter | None = None) -> list[BuildResult]:
    """Build engines for several targets from one spec.

    A target that fails does not stop the others; its error is in its result. If the new engine
    fails its verdict, an older bundle in the same folder is removed, so that it cannot be mistaken
    for the new one. After any other failure the older bundle stays.

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

    Args:
        request: what to build.
        reporter: receives the steps of the build; by default they are logged.

    Raises:
        UserError: the request is wrong, such as an unknown target or precision.
        InputFileError: model or images cannot be used.
        SpecError: the spec contradicts the model, or the model finds nothing in the samples.
        ConversionError: the model cannot be converted, or its converted graph differs from it.
    """
    reporter = reporter or LogReporter(_log)
    # Every check comes first: a mistake in the request must not show up after minutes of work.
    targets = check_request(request, reporter)
    cache = CachedBuilds(request, targets, reporter)
    cached = {target.name: cache.take(target) for target in targets}
    missing = [target for target in targets if cached[target.name] is None]
    built = _build_targets(request, missing, reporter) if missing else []
    cache.keep(built)
    _remember_source(request, [*filter(None, cached.values()), *built], reporter)
    # In the order of the request, whether cached or built.
    results = {result.target: result for result in (*cached.values(), *built) if result}
    return [results[target.name] for target in targets]


def _remember_source(
    request: BuildRequest, results: Sequence[BuildResult], reporter: Reporter
) -> None:
    """Record the model, so that ``bench`` and ``debug`` may run it."""
    for sha256 in {each.bundle.manifest.source_sha256 for each in results if each.bundle}:
        try:
            remember_source(request.spec.source.path, sha256)
        except (OSError, OutputError) as error:  # the bundles are in their folders already
            reporter.note(f"bench and debug will require --trust-source: {error}")


def _build_targets(
    request: BuildRequest, targets: Sequence[Backend], reporter: Reporter
) -> list[BuildResult]:
    """Do the work that all targets share (load, convert, compare), then build each target."""
    lacking = _report_shortcomings(request, reporter)
    with reporter.step(f"load {request.spec.source.path.name}"):
        source = open_source(request.spec.source)
    model = convert_widths(source, request.spec, reporter)
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
        if engine.note:
            reporter.note(engine.note)
        # Before calibration, which would be wasted on a graph that differs from the model.
        baseline = compare(request, model, engine, reporter)
        calibrators = Calibrators(request, model, reporter)
        results = []
        for target in targets:
            job = TargetJob(
                request=request,
                target=target,
                graphs=model.graphs,
                baseline=baseline,
                reporter=reporter,
                batch_limit=model.batch_limit,
                shortcomings=lacking,
            )
            results.append(_build_target(job, calibrators))
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


def _build_target(job: TargetJob, calibrators: Calibrators) -> BuildResult:
    """Build one target; the bundle appears whole or not at all."""
    folder, target = job.folder, job.target
    try:
        with whole_folder(folder, own_files) as scratch:
            manifest = _build_bundle(job, calibrators, scratch)
    except (BudgetError, ConversionError) as error:
        # These errors are verdicts on the new engine, and an older one must not pass for it.
        if folder.exists():
            error = type(error)(f"{error}; {folder} still contains the older engine")
        return BuildResult(target=target.name, folder=folder, bundle=None, error=error)
    except OcrTrtError as error:
        return BuildResult(target=target.name, folder=folder, bundle=None, error=error)
    bundle = Bundle(folder=folder, manifest=manifest)
    return BuildResult(target=target.name, folder=folder, bundle=bundle)


def _build_bundle(job: TargetJob, calibrators: Calibrators, scratch: Path) -> Manifest:
    """Calibrate, choose, compile, judge, write: the steps of one target."""
    # fp32 needs no ranges, and may be built without any images.
    is_fp32 = job.request.precision == "fp32"
    calibrator = None if is_fp32 else calibrators.lowered_by(job.lower)
    choice = choose(job, calibrator)
    entries = job.compiler.compile(choice.chosen.quantized.graphs, scratch)
    verdict = judge(job, choice.chosen, scratch, entries)
    built = BuiltEngine(calibrator=calibrator, choice=choice, entries=entries, verdict=verdict)
    return write_bundle(job, built, scratch)
