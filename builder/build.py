"""Build: source -> converted graphs -> quantized graphs -> plans -> verdict -> bundles."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from ..common.files import check_destination, remove_folder, whole_folder
from ..common.progress import Reporter, SilentReporter
from ..convert.sources import open_source
from ..engines.base import Backend
from ..engines.build_options import check_options
from ..engines.bundle import Bundle, file_entries, own_files, tree_sha256, write_manifest
from ..engines.engine import Engine
from ..engines.manifest import Calibration, Manifest, Verdict
from ..engines.targets import backend
from ..errors import (
    BudgetError,
    ConversionError,
    InputFileError,
    OcrTrtError,
    TargetMissingError,
    UserError,
)
from ..measure.accuracy import has_samples
from ..measure.machine import versions
from ..spec import dump_spec, spec_beside
from .cached_builds import SPEC, CachedBuilds
from .calibrators import Calibrators, check_ranges_request
from .candidate import Candidate
from .choose import Job, choose
from .compile import compile_plans, quantized_engine
from .convert_widths import convert_all
from .layer_precisions import precision_report
from .precision_page import write_precision
from .proof import proof_of
from .request import BuildRequest, BuildResult
from .verdict import check_budget, check_parity, compare_latency


def build(request: BuildRequest, reporter: Reporter | None = None) -> list[BuildResult]:
    """Build engines for several targets from one spec.

    A target that fails does not keep the others from being built; its error is in its result. If
    the new engine was built and found wanting, an older one in its place is removed: it must not
    pass for the new one. Any other failure leaves it.

    With ``request.cache`` a bundle that was built before from the same inputs is put in its place
    at once; ``measured`` of its result says when that was.

    Raises:
        UserError: the request itself is wrong: an unknown or absent target, no such precision.
        InputFileError: model or images cannot be used.
        SpecError: the spec contradicts the model, or the model finds nothing in the samples.
        ConversionError: the model cannot be converted, or converts to something else.
    """
    reporter = reporter or SilentReporter()
    targets = _checked_targets(request, reporter)
    cached = CachedBuilds(request, targets, reporter)
    taken = {target.name: cached.take(target, _folder(request, target)) for target in targets}
    missing = [target for target in targets if taken[target.name] is None]
    built = _build_targets(request, missing, reporter) if missing else []
    cached.keep(built)
    done = {result.target: result for result in (*taken.values(), *built) if result}
    return [done[target.name] for target in targets]


def _build_targets(
    request: BuildRequest, targets: Sequence[Backend], reporter: Reporter
) -> list[BuildResult]:
    spec = request.spec
    with reporter.step(f"load {spec.source.path.name}"):
        source = open_source(spec.source)
    converted = convert_all(source, spec, reporter)
    graphs = {width: result.model for width, result in converted.items()}
    own = converted[max(converted)].ranges
    if own:
        reporter.note(f"the model was quantized before: {len(own)} ranges are its own")
    with ExitStack() as stack:
        baseline = stack.enter_context(Engine.from_source(source, spec))
        fp32 = Engine.from_graphs(graphs.__getitem__, spec=spec, label="fp32 graph")
        reference = stack.enter_context(fp32)
        with reporter.step("compare with the model"):
            difference = check_parity(reference, baseline, rounds=bool(own))
        proof = proof_of(request, baseline, difference, reporter)
        calibrators = Calibrators(request, graphs, own, reporter)
        return [
            _build_target(
                Job(
                    request=request,
                    target=target,
                    graphs=graphs,
                    calibrators=calibrators,
                    proof=proof,
                    folder=_folder(request, target),
                    reporter=reporter,
                )
            )
            for target in targets
        ]


def _checked_targets(request: BuildRequest, reporter: Reporter) -> list[Backend]:
    """Find everything that is wrong with a request before any work is done."""
    targets = [backend(name) for name in request.targets]
    for target in targets:
        availability = target.availability()
        if not availability.can_build:
            raise TargetMissingError(
                f"target {target.name}: {availability.reason}; {availability.hint}"
            )
        target.check_precision(request.precision)
    if request.precision != "fp32" and request.calibration is None:
        raise UserError(
            f"precision {request.precision} needs images to take ranges from: "
            "give --calibration DIR, or --precision fp32"
        )
    for note in check_options(targets, request.settings.options):
        reporter.note(note)
    if request.samples is not None and not has_samples(request.samples, request.spec):
        folder, role = request.samples.folder, request.spec.role
        raise InputFileError(f"{folder}: holds nothing a {role} can be measured on")
    check_ranges_request(request)
    for target in targets:
        check_destination(_folder(request, target), own_files(_folder(request, target)))
    return targets


def _folder(request: BuildRequest, target: Backend) -> Path:
    return request.output / f"{request.spec.name}-{target.name}-{request.precision}"


def _build_target(job: Job) -> BuildResult:
    folder, target = job.folder, job.target
    try:
        with whole_folder(folder, own_files(folder)) as scratch:
            manifest = _make(job, scratch)
            write_manifest(scratch, manifest)
    except (BudgetError, ConversionError) as error:
        if folder.exists():  # an older engine must not pass for this one
            remove_folder(folder)
            error = type(error)(f"{error}; the older engine in {folder} was removed")
        return BuildResult(target=target.name, folder=folder, bundle=None, error=error)
    except OcrTrtError as error:
        return BuildResult(target=target.name, folder=folder, bundle=None, error=error)
    bundle = Bundle(folder=folder, manifest=manifest)
    return BuildResult(target=target.name, folder=folder, bundle=bundle)


def _make(job: Job, scratch: Path) -> Manifest:
    """Fill a folder with a bundle, but for its manifest, which is returned."""
    request, target = job.request, job.target
    found = choose(job)
    chosen, spec = found.chosen, request.spec
    engines = compile_plans(
        target, chosen.quantized.graphs, scratch, request.settings, job.reporter
    )
    if target.can_run(request.settings):
        label = f"{target.name} {request.precision}"
        opened = Engine.from_plans(target, scratch, engines, spec=spec, label=label)
    else:
        opened = quantized_engine(chosen.quantized.graphs, spec, chosen.label)
    with opened as engine:
        verdict = _judge(job, chosen, engine)
    spec = spec_beside(spec, job.folder)
    (scratch / SPEC).write_text(dump_spec(spec), "utf-8")
    if request.precision != "fp32":
        with job.reporter.step("look at every layer"):
            write_precision(precision_report(job, found), scratch)
    return Manifest(
        spec=spec,
        target=target.name,
        precision=request.precision,
        source_sha256=tree_sha256(request.spec.source.path),
        versions={**versions(), target.name: target.availability().version},
        settings=target.built_with(request.settings),
        largest_weight=job.needs.style.largest_weight,
        engines=engines,
        int8_share=chosen.int8_share if request.precision in ("int8", "best") else None,
        node_precisions=chosen.quantized.exceptions,
        calibration=_calibration(job, chosen),
        verdict=verdict,
        files=file_entries(scratch),
    )


def _calibration(job: Job, chosen: Candidate) -> Calibration | None:
    if chosen.quantization is None:
        return None
    calibrator, quantization = job.calibrator, chosen.quantization
    return Calibration(
        method=quantization.method if chosen.precision == "int8" else "minmax",
        corrections=quantization.corrections,
        images=len(calibrator.images) - len(calibrator.skipped),
        skipped=tuple(calibrator.skipped),
        data_sha256=tree_sha256(calibrator.images.dataset.folder),
        own_ranges=len(calibrator.own.keys() & chosen.quantized.ranges.keys()),
        ranges=chosen.quantized.ranges,
    )


def _judge(job: Job, chosen: Candidate, engine: Engine) -> Verdict:
    request, target, proof = job.request, job.target, job.proof
    found = proof.metric(engine, job.reporter)
    if found is not None:
        check_budget(found, request.spec, f"{request.spec.name} for {target.name}")
    latency, difference = None, proof.max_difference
    if target.can_run(request.settings):
        if chosen.precision == "fp32":
            rounds = bool(job.calibrators.own)
            difference = max(difference, check_parity(engine, proof.baseline, rounds=rounds))
        with job.reporter.step(f"time {target.name} against {proof.baseline.label}"):
            latency = compare_latency(engine, proof.baseline, request.latency)
    return Verdict(
        baseline=proof.baseline.label,
        max_difference=difference,
        metric=found,
        latency=latency,
    )
