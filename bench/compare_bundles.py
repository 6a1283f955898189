"""Compare bundles with the models they were built from: latency, accuracy and worst samples."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from ..common.path_text import path_text
from ..common.progress import Reporter, StepProgress, chosen_reporter
from ..engines.bundle import Bundle, tree_sha256
from ..measure.accuracy import has_samples, run_samples
from ..measure.latency import LatencySettings
from ..measure.load import LoadSettings
from ..measure.machine import machine, versions
from ..measure.report_data import SampleView
from ..measure.result import Result
from ..ocr.dataset import Dataset
from ..spec import ModelSpec
from .both_models import ComparedModel, end_to_end
from .breakdown import breakdowns
from .layer_rooflines import with_rooflines
from .results import ModelReport, Report, SystemRow
from .score import scored
from .systems import System, grouped, systems_of
from .timings import measured_latencies, measured_loads

_MAX_SHOWN = {"images": 4, "words": 12, "crops": 12}
"""Limit of the worst samples that are shown, by unit."""


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What to measure in addition to latency and accuracy.

    Attributes:
        competitors: whether to time other runtimes on the model without conversion.
        load: the load to put on the engines and the model; None: no load.
        rooflines: whether to measure the peaks of this machine and time the engines' layers.
    """

    competitors: bool = False
    load: LoadSettings | None = None
    rooflines: bool = False


NO_EXTRAS = Extras()


_log = logging.getLogger(__name__)


def compare(
    bundles: Sequence[Bundle],
    dataset: Dataset | None = None,
    settings: LatencySettings | None = None,
    reporter: Reporter | None = None,
    extras: Extras = NO_EXTRAS,
    *,
    progress: StepProgress | None = None,
) -> Report:
    """Compare bundles with the models that they were built from, as ``ocr-trt bench`` does.

    Bundles are grouped by model and spec, and each group is compared with its model. A detector and
    a recognizer are also compared as a pair, end to end. Each engine is judged by the budget in its
    own spec.

    >>> import ocr_trt
    >>> bundles = [ocr_trt.load_bundle("bundles/detector")]
    >>> report = ocr_trt.compare(bundles, ocr_trt.load_dataset("images"), progress=print)
    load and convert detector 0 None
    ...
    >>> (model,) = report.models
    >>> for row in model.engines:
    ...     print(row.label, model.speedup(row, 1))
    detector openvino fp32 ...

    Args:
        bundles: the bundles to compare.
        dataset: the samples that accuracy is measured on; None: accuracy is not measured.
        settings: how long to time each system; by default 3 seconds.
        reporter: receives the steps; by default they are logged.
        extras: what to measure in addition: competitors, load and rooflines.
        progress: called when a step begins and when it advances; in place of a reporter.

    Raises:
        InputFileError: a sample cannot be read.
    """
    settings = settings or LatencySettings()
    reporter = chosen_reporter(reporter, progress, _log)
    notes: list[str] = []
    measured = [
        _measured(group, dataset, settings, extras, reporter, notes) for group in grouped(bundles)
    ]
    pairs = end_to_end(measured, dataset, settings.duration_s, reporter, notes) if dataset else None
    report = Report(
        machine=machine(),
        versions=versions(),
        settings=settings,
        data=path_text(dataset.folder) if dataset else None,
        data_sha256=tree_sha256(dataset.folder) if dataset else None,
        models=tuple(each.report for each in measured),
        end_to_end=pairs,
        notes=tuple(notes),
    )
    # Last, because a roofline contains the latency of its engine.
    return with_rooflines(report, grouped(bundles), reporter) if extras.rooflines else report


def _measured(
    bundles: list[Bundle],
    dataset: Dataset | None,
    settings: LatencySettings,
    extras: Extras,
    reporter: Reporter,
    notes: list[str],
) -> ComparedModel:
    spec = bundles[0].spec
    with ExitStack() as stack:
        with reporter.step(f"load and convert {spec.name}"):
            systems = systems_of(bundles, notes, with_competitors=extras.competitors)
        for system in systems:
            stack.enter_context(system.engine)
        # All systems stay open, because they take turns: a slow moment of the machine hits all.
        latencies = measured_latencies(systems, settings, reporter)
        duration = settings.duration_s
        loads = measured_loads(systems, extras.load, duration, reporter) if extras.load else {}
        results = _results(systems, spec, dataset, reporter)
    if dataset is not None and not results:
        notes.append(f"{spec.name}: {_why_not_measured(systems, dataset)}")
    report = ModelReport(
        name=spec.name,
        role=spec.role,
        input_shape=(spec.input.channels, *spec.input.size),
        systems=tuple(
            SystemRow(
                label=system.engine.label,
                kind=system.kind,
                latencies=latencies[index],
                difference=system.difference,
                load=loads.get(index),
                note=system.note,
                **_bundle_fields(system.bundle),
            )
            for index, system in enumerate(systems)
        ),
        allowed_loss=spec.accuracy.max_loss,
    )
    if dataset is not None and results:
        with reporter.step(f"compare the results of {spec.name}"):
            # The systems are closed by now; results hold all their outputs.
            report = _with_accuracy(report, systems, results, labeled=dataset.labeled)
    return ComparedModel(report=report, systems=tuple(systems), results=results)


def _bundle_fields(bundle: Bundle | None) -> dict[str, Any]:
    """Return the fields of a row that an engine's bundle states."""
    if bundle is None:
        return {}
    return {
        "bundle": path_text(bundle.folder),
        "target": bundle.manifest.target,
        "allowed_loss": bundle.spec.accuracy.max_loss,
    }


def _results(
    systems: list[System],
    spec: ModelSpec,
    dataset: Dataset | None,
    reporter: Reporter,
) -> dict[int, Result]:
    """Run the baseline and the engines on the samples; return results by index in ``systems``."""
    if dataset is None or not has_samples(dataset, spec):
        return {}
    # Without labels, the baseline's results are the truth. If there is a baseline, it is first.
    if not dataset.labeled and systems[0].kind != "baseline":
        return {}
    return {
        index: run_samples(system.engine, dataset, reporter)
        for index, system in enumerate(systems)
        if system.kind in ("baseline", "engine")
    }


def _why_not_measured(systems: list[System], dataset: Dataset) -> str:
    if not dataset.labeled and systems[0].kind != "baseline":
        return f"{dataset.folder} has no labels, and the model is not available for a comparison"
    return f"{dataset.folder} contains no samples to measure accuracy on"


def _with_accuracy(
    report: ModelReport, systems: list[System], results: dict[int, Result], *, labeled: bool
) -> ModelReport:
    """Add accuracies: against the labels or, without labels, against the baseline's results."""
    if not labeled:
        results = {index: result.judged_by(results[0]) for index, result in results.items()}
    baseline = results[0] if systems[0].kind == "baseline" else None
    rows = list(report.systems)
    for index, result in results.items():
        run_by = systems[index].run_by
        rows[index] = scored(rows[index], result, baseline, run_by=run_by, labeled=labeled)
    worst_of, worst = _worst(systems, results) if labeled else ("", ())
    # Labels without the model's name keep the columns of the breakdowns narrow.
    named = {systems[index].short_label: result for index, result in results.items()}
    return report.model_copy(
        update={
            "systems": tuple(rows),
            "accuracy_against": "labels" if labeled else "model",
            "breakdowns": breakdowns(named, systems[0].engine.spec),
            "worst_of": worst_of,
            "worst": worst,
        }
    )


def _worst(systems: list[System], results: dict[int, Result]) -> tuple[str, tuple[SampleView, ...]]:
    """Return the label of the first engine, and its worst samples next to the baseline's."""
    engines = [i for i, system in enumerate(systems) if system.kind == "engine" and i in results]
    if not engines:
        return "", ()
    system, result = systems[engines[0]], results[engines[0]]
    baseline = results[0] if systems[0].kind == "baseline" else None
    worst = result.worst(_MAX_SHOWN[result.unit])
    return system.engine.label, tuple(result.views(baseline, worst))
