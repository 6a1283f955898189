"""Compare bundles with the models they came from: interleaved latency, accuracy, worst samples."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from ..engines.bundle import Bundle, tree_sha256
from ..ocr.dataset import Dataset
from ..reporter import Reporter
from ..spec import DetectorSpec, RecognizerSpec
from .accuracy import Result, has_samples, judged, run_samples
from .breakdown import breakdowns
from .end_to_end import Measured, end_to_end
from .latency import Contender, LatencySettings, LatencyStats, measure
from .layers import with_rooflines
from .machine import machine, versions
from .results import ModelReport, Report, Sample, SystemRow
from .score import scored
from .systems import System, systems_of
from .worst import worst_samples

_RECOGNIZER_BATCHES = (1, 16)


def compare(
    bundles: Sequence[Bundle],
    dataset: Dataset | None,
    settings: LatencySettings,
    reporter: Reporter,
    *,
    has_rooflines: bool = False,
) -> Report:
    """Compare bundles, grouped by model and input size, each group with its baseline.

    A detector and a recognizer are compared together, too.

    Args:
        bundles: what to compare.
        dataset: what accuracy is measured on.
        settings: how long to time each system.
        reporter: is told of the steps.
        has_rooflines: measure also what this machine can do, and how near each layer comes to it.

    Raises:
        InputFileError: a sample cannot be read.
    """
    groups: dict[tuple[object, ...], list[Bundle]] = {}
    for bundle in bundles:
        spec = bundle.spec
        alike = (spec.name, bundle.manifest.source_sha256, spec.input, spec.widths)
        groups.setdefault(alike, []).append(bundle)
    notes: list[str] = []
    measured = [_measured(group, dataset, settings, reporter, notes) for group in groups.values()]
    report = Report(
        machine=machine(),
        versions=versions(),
        settings=settings,
        data=str(dataset.folder) if dataset else None,
        data_sha256=tree_sha256(dataset.folder) if dataset else None,
        models=tuple(each.report for each in measured),
        end_to_end=end_to_end(measured, dataset, reporter, notes) if dataset else None,
        notes=tuple(notes),
    )
    return with_rooflines(report, [*groups.values()], reporter) if has_rooflines else report


def _measured(
    bundles: list[Bundle],
    dataset: Dataset | None,
    settings: LatencySettings,
    reporter: Reporter,
    notes: list[str],
) -> Measured:
    spec = bundles[0].spec
    with ExitStack() as stack:
        with reporter.step(f"load and convert {spec.name}"):
            systems = systems_of(bundles, notes)
        for system in systems:
            stack.enter_context(system.engine)
        latencies = _latencies(systems, spec, settings, reporter)
        results = _results(systems, spec, dataset, reporter)
    if dataset is not None and not results:
        notes.append(f"{spec.name}: {_why_not_measured(systems, dataset)}")
    report = ModelReport(
        name=spec.name,
        role=spec.role,
        input_shape=(spec.input.channels, spec.input.height, spec.input.width),
        systems=tuple(
            SystemRow(label=s.engine.label, kind=s.kind, latencies=latencies[i], note=s.note)
            for i, s in enumerate(systems)
        ),
        allowed_loss=spec.accuracy.max_loss,
    )
    if dataset is not None and results:
        with reporter.step(f"compare what {spec.name} found"):
            report = _with_accuracy(report, systems, results, labelled=dataset.labelled)
    return Measured(report=report, systems=tuple(systems), results=results)


def _latencies(
    systems: list[System],
    spec: DetectorSpec | RecognizerSpec,
    settings: LatencySettings,
    reporter: Reporter,
) -> list[tuple[LatencyStats, ...]]:
    timed = [index for index, system in enumerate(systems) if system.timed]
    found: list[tuple[LatencyStats, ...]] = [() for _ in systems]
    if not timed:
        return found
    most = spec.input.max_batch
    for batch in sorted({min(most, b) for b in _RECOGNIZER_BATCHES}):
        runners = [systems[index].engine.runner() for index in timed]
        contenders = [Contender(runner=r, shape=(batch, *r.shape)) for r in runners]
        with reporter.step(f"time {spec.name} at batch {batch}", 100) as advance:
            measured = measure(contenders, settings, lambda share: advance(round(100 * share)))
        for index, stats in zip(timed, measured, strict=True):
            found[index] = (*found[index], stats)
    return found


def _results(
    systems: list[System],
    spec: DetectorSpec | RecognizerSpec,
    dataset: Dataset | None,
    reporter: Reporter,
) -> dict[int, Result]:
    """Run the samples; the fp32 reference is left out, its graph equals the baseline's."""
    if dataset is None or not has_samples(dataset, spec):
        return {}
    if not dataset.labelled and systems[0].kind != "baseline":
        return {}
    return {
        index: run_samples(system.engine, dataset, reporter)
        for index, system in enumerate(systems)
        if system.kind != "reference"
    }


def _why_not_measured(systems: list[System], dataset: Dataset) -> str:
    if not dataset.labelled and systems[0].kind != "baseline":
        return f"{dataset.folder} has no labels, and there is no model to agree with"
    return f"{dataset.folder} holds nothing to measure accuracy on"


def _with_accuracy(
    report: ModelReport, systems: list[System], results: dict[int, Result], *, labelled: bool
) -> ModelReport:
    """Add what the results say: against the labels, or else against the baseline's results."""
    if not labelled:
        results = {index: judged(result, results[0]) for index, result in results.items()}
    baseline = results[0] if systems[0].kind == "baseline" else None
    rows = list(report.systems)
    for index, result in results.items():
        run_by = systems[index].run_by
        rows[index] = scored(rows[index], result, baseline, run_by=run_by, labelled=labelled)
    worst_of, worst = _worst(systems, results) if labelled else ("", ())
    named = {systems[index].short_label: result for index, result in results.items()}
    return report.model_copy(
        update={
            "systems": tuple(rows),
            "accuracy_against": "labels" if labelled else "model",
            "breakdowns": breakdowns(named, systems[0].engine.spec),
            "worst_of": worst_of,
            "worst": worst,
        }
    )


def _worst(systems: list[System], results: dict[int, Result]) -> tuple[str, tuple[Sample, ...]]:
    """The worst samples of the first engine, beside what the baseline made of them."""
    engines = [i for i, system in enumerate(systems) if system.kind == "engine" and i in results]
    if not engines:
        return "", ()
    chosen = engines[0]
    baseline = results[0] if systems[0].kind == "baseline" else None
    return systems[chosen].engine.label, worst_samples(results[chosen], baseline)
