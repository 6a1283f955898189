"""Build: source -> converted graphs -> typed graphs -> plans -> verdict -> bundles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..bench.accuracy import Result, has_samples, run_samples
from ..bench.machine import versions
from ..convert.sources import open_source
from ..engines.backends import backend
from ..engines.backends.base import Backend, Runner, RunSettings
from ..engines.baseline import baseline_runner
from ..engines.bundle import (
    Bundle,
    file_entries,
    own_files,
    tree_sha256,
    write_manifest,
)
from ..engines.manifest import EngineEntry, Manifest, OcrMetric, Verdict
from ..errors import (
    BudgetError,
    ConversionError,
    InputFileError,
    OcrTrtError,
    TargetMissingError,
    UserError,
)
from ..ocr.dataset import Dataset
from ..onnx_file import write_onnx
from ..output import check_destination, remove_folder, whole_folder
from ..pipeline.engine import Engine
from ..reporter import Reporter, SilentReporter
from ..spec import dump_spec, spec_beside
from .graphs import TypedGraphs, convert_all
from .precision import needs_of, typed_for
from .request import BuildRequest, BuildResult
from .verdict import (
    check_baseline,
    check_budget,
    check_parity,
    compare_latency,
    graph_engine,
    metric,
)


@dataclass(frozen=True, kw_only=True)
class _Proof:
    """What all targets of a build are compared with."""

    baseline: Engine
    baseline_result: Result | None
    samples: Dataset | None
    max_difference: float


def build(request: BuildRequest, reporter: Reporter | None = None) -> list[BuildResult]:
    """Build engines for several targets from one spec.

    A target that fails does not keep the others from being built; its error is in its result. If
    the new engine was built and found wanting, an older one in its place is removed: it must not
    pass for the new one. Any other failure leaves it.

    Raises:
        UserError: the request itself is wrong: an unknown or absent target, no such precision.
        InputFileError: model or pictures cannot be used.
        SpecError: the spec contradicts the model, or the model finds nothing in the samples.
        ConversionError: the model cannot be converted, or converts to something else.
    """
    reporter = reporter or SilentReporter()
    targets = _checked_targets(request)
    spec = request.spec
    with reporter.step(f"load {spec.source.path.name}"):
        source = open_source(spec.source)
    converted = convert_all(source, spec, reporter)
    graphs = {width: result.model for width, result in converted.items()}
    with ExitStack() as stack:
        open_baseline = partial(baseline_runner, source, spec)
        label = open_baseline(spec.widths[-1]).label
        baseline = stack.enter_context(Engine(label=label, spec=spec, open_runner=open_baseline))
        reference = stack.enter_context(graph_engine(graphs, spec, "fp32 graph"))
        with reporter.step("compare with the model"):
            difference = check_parity(reference, baseline)
        typed = typed_for(request, targets, graphs, reporter)
        proof = _proof(request, baseline, difference, reporter)
        return [
            _build_target(request, target, typed[needs_of(request, target)], proof, reporter)
            for target in targets
        ]


def _checked_targets(request: BuildRequest) -> list[Backend]:
    """Find everything that is wrong with a request before any work is done."""
    targets = [backend(name) for name in request.targets]
    for target in targets:
        presence = target.presence()
        if not presence.can_build:
            raise TargetMissingError(f"target {target.name}: {presence.reason}; {presence.remedy}")
        target.check_precision(request.precision)
    if request.precision != "fp32" and request.calibration is None:
        raise UserError(
            f"precision {request.precision} needs pictures to take ranges from: "
            "give --calibration DIR, or --precision fp32"
        )
    if request.settings.compute_capabilities and not any(t.for_named_gpus for t in targets):
        names = ", ".join(request.targets)
        raise UserError(f"--compute-capability means nothing to {names}; add --target tensorrt-rtx")
    if request.samples is not None and not has_samples(request.samples, request.spec):
        folder, role = request.samples.folder, request.spec.role
        raise InputFileError(f"{folder}: holds nothing a {role} can be measured on")
    for target in targets:
        check_destination(_folder(request, target), own_files(_folder(request, target)))
    return targets


def _folder(request: BuildRequest, target: Backend) -> Path:
    return request.output / f"{request.spec.name}-{target.name}-{request.precision}"


def _proof(
    request: BuildRequest, baseline: Engine, difference: float, reporter: Reporter
) -> _Proof:
    samples = request.samples
    if samples is None and request.calibration is not None:
        samples = request.calibration.dataset
        reporter.note("no --data given: the metric is measured on the calibration pictures")
    result = run_samples(baseline, samples, reporter) if samples else None
    if samples is not None and result is not None:
        check_baseline(result, samples, request.spec)
    return _Proof(
        baseline=baseline, baseline_result=result, samples=samples, max_difference=difference
    )


def _build_target(
    request: BuildRequest, target: Backend, typed: TypedGraphs, proof: _Proof, reporter: Reporter
) -> BuildResult:
    folder = _folder(request, target)
    try:
        with whole_folder(folder, own_files(folder)) as scratch:
            engines = _compile(request, target, typed, scratch, reporter)
            with _runnable(request, target, typed, engines, scratch) as engine:
                verdict = _judge(request, target, engine, proof, reporter)
            spec = spec_beside(request.spec, folder)
            (scratch / "spec.yaml").write_text(dump_spec(spec), "utf-8")
            manifest = Manifest(
                spec=spec,
                target=target.name,
                precision=typed.precision,
                source_sha256=tree_sha256(request.spec.source.path),
                versions={**versions(), target.name: target.presence().version},
                settings={"compute_capabilities": list(request.settings.compute_capabilities)},
                largest_weight=needs_of(request, target).largest_weight,
                engines=engines,
                node_precisions=typed.exceptions,
                calibration=typed.calibration,
                verdict=verdict,
                files=file_entries(scratch),
            )
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


def _compile(
    request: BuildRequest, target: Backend, typed: TypedGraphs, scratch: Path, reporter: Reporter
) -> tuple[EngineEntry, ...]:
    entries = []
    settings = request.settings
    with reporter.step(f"build for {target.name}", len(typed.graphs)) as advance:
        for number, (width, graph) in enumerate(sorted(typed.graphs.items()), 1):
            entry = EngineEntry(
                width=width, model=f"model_{width}.onnx", plan=f"plan_{width}{target.suffix}"
            )
            write_onnx(graph, scratch / entry.model)
            target.build(graph, scratch / entry.plan, settings)
            entries.append(entry)
            advance(number)
    return tuple(entries)


@contextmanager
def _runnable(
    request: BuildRequest,
    target: Backend,
    typed: TypedGraphs,
    entries: tuple[EngineEntry, ...],
    scratch: Path,
) -> Iterator[Engine]:
    """Give the new engine; where its target cannot run, its typed graph in onnxruntime."""
    label = f"{target.name} {typed.precision}"
    if not target.presence().can_run:
        label = f"onnxruntime on the typed graph ({typed.precision})"
        with graph_engine(typed.graphs, request.spec, label) as engine:
            yield engine
        return
    plans = {entry.width: scratch / entry.plan for entry in entries}
    max_batch = request.spec.input.max_batch

    def open_runner(width: int) -> Runner:
        return target.open(plans[width], label=label, settings=RunSettings(), max_batch=max_batch)

    with Engine(label=label, spec=request.spec, open_runner=open_runner) as engine:
        yield engine


def _judge(
    request: BuildRequest, target: Backend, engine: Engine, proof: _Proof, reporter: Reporter
) -> Verdict:
    found: OcrMetric | None = None
    if proof.samples is not None and proof.baseline_result is not None:
        result = run_samples(engine, proof.samples, reporter)
        found = metric(result, proof.baseline_result, proof.samples, engine.label)
        check_budget(found, request.spec, f"{request.spec.name} for {target.name}")
    latency, difference = None, proof.max_difference
    if target.presence().can_run:
        if request.precision == "fp32":
            difference = max(difference, check_parity(engine, proof.baseline))
        with reporter.step(f"time {target.name} against {proof.baseline.label}"):
            latency = compare_latency(engine, proof.baseline, request.latency)
    return Verdict(
        baseline=proof.baseline.label,
        max_difference=difference,
        metric=found,
        latency=latency,
    )
