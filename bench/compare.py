"""Compare bundles with the models they came from: interleaved latency, accuracy, worst samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import onnx

from ..calibration.emulate import emulated
from ..convert.pipeline import convert
from ..convert.sources import Source, open_source, source_format
from ..engines.backends import backend
from ..engines.backends.base import Runner
from ..engines.backends.onnxruntime import runner_from_model
from ..engines.baseline import baseline_runner
from ..engines.bundle import Bundle, tree_sha256
from ..errors import InputFileError, OcrTrtError
from ..ocr.dataset import Dataset
from ..pipeline.engine import Engine, engine_from_bundle
from ..reporter import Reporter
from ..spec import DetectorSpec, RecognizerSpec
from .accuracy import (
    DetectorResult,
    RecognizerResult,
    Result,
    box_agreement,
    has_samples,
    run_samples,
    text_agreement,
)
from .latency import Contender, LatencySettings, LatencyStats, measure
from .machine import machine, versions
from .results import AccuracyRow, Kind, ModelReport, Report, SystemRow, WorstSample
from .worst import worst_samples

_RECOGNIZER_BATCHES = (1, 16)


@dataclass(frozen=True, kw_only=True)
class _System:
    """A system under comparison. ``timed``: whether its latency says anything here."""

    engine: Engine
    kind: Kind
    timed: bool = True
    note: str = ""


def compare(
    bundles: Sequence[Bundle],
    dataset: Dataset | None,
    settings: LatencySettings,
    reporter: Reporter,
) -> Report:
    """Compare bundles, grouped by model and input size, each group with its baseline.

    Raises:
        InputFileError: a sample cannot be read.
    """
    groups: dict[tuple[object, ...], list[Bundle]] = {}
    for bundle in bundles:
        spec = bundle.spec
        alike = (spec.name, bundle.manifest.source_sha256, spec.input, spec.widths)
        groups.setdefault(alike, []).append(bundle)
    notes: list[str] = []
    models = tuple(
        _compare_model(group, dataset, settings, reporter, notes) for group in groups.values()
    )
    return Report(
        machine=machine(),
        versions=versions(),
        settings=settings,
        data=str(dataset.folder) if dataset else None,
        data_sha256=tree_sha256(dataset.folder) if dataset else None,
        models=models,
        notes=tuple(notes),
    )


def _compare_model(
    bundles: list[Bundle],
    dataset: Dataset | None,
    settings: LatencySettings,
    reporter: Reporter,
    notes: list[str],
) -> ModelReport:
    spec = bundles[0].spec
    with ExitStack() as stack:
        with reporter.step(f"load and convert {spec.name}"):
            systems = [*_sources(bundles[0], notes), *_engine_systems(bundles)]
        for system in systems:
            stack.enter_context(system.engine)
        latencies = _latencies(systems, spec, settings, reporter)
        results = _results(systems, spec, dataset, reporter)
        accuracies = _accuracies(systems, results, dataset)
        if dataset is not None and not accuracies:
            notes.append(f"{spec.name}: {_why_not_measured(systems, dataset)}")
        rows = tuple(
            SystemRow(
                label=system.engine.label,
                kind=system.kind,
                latencies=latencies[index],
                accuracy=accuracies.get(index),
                note=system.note,
            )
            for index, system in enumerate(systems)
        )
        labelled = dataset is not None and dataset.labelled
        worst_of, worst = _worst(systems, results) if labelled else ("", ())
    return ModelReport(
        name=spec.name,
        role=spec.role,
        input_shape=(spec.input.channels, spec.input.height, spec.input.width),
        systems=rows,
        accuracy_against="model" if dataset is not None and not labelled else "labels",
        worst_of=worst_of,
        worst=worst,
    )


def _sources(bundle: Bundle, notes: list[str]) -> list[_System]:
    """The model itself, and its fp32 graph in onnxruntime; nothing if the model is not at hand."""
    spec = bundle.spec
    try:
        path = spec.source.path
        source_format(spec.source)  # a model, not just any folder that a bundle names
        if tree_sha256(path) != bundle.manifest.source_sha256:
            raise InputFileError(f"{path} is not the model the bundle was built from")
        source = open_source(spec.source)
        graph = convert(source, spec).model
        label = baseline_runner(source, spec, spec.input.width).label
    except OcrTrtError as error:
        notes.append(f"{spec.name}: no baseline: {error}")
        return []
    baseline = Engine(label=label, spec=spec, open_runner=partial(_open_source, source, spec))
    reference = Engine(
        label="onnxruntime fp32", spec=spec, open_runner=partial(_open_graph, graph, spec)
    )
    return [
        _System(engine=baseline, kind="baseline"),
        _System(engine=reference, kind="reference"),
    ]


def _open_source(source: Source, spec: DetectorSpec | RecognizerSpec, width: int) -> Runner:
    return baseline_runner(source, spec, width)


def _open_graph(graph: onnx.ModelProto, spec: DetectorSpec | RecognizerSpec, width: int) -> Runner:
    assert width == spec.input.width, "converted for the widest input only"
    return runner_from_model(graph, label="onnxruntime fp32", max_batch=spec.input.max_batch)


def _engine_systems(bundles: list[Bundle]) -> list[_System]:
    """The bundles; those that would be called alike get their folder's path into the name."""
    labels = Counter(bundle.label for bundle in bundles)
    return [
        _engine_system(b, b.label if labels[b.label] == 1 else f"{b.label} ({b.folder})")
        for b in bundles
    ]


def _engine_system(bundle: Bundle, label: str) -> _System:
    presence = backend(bundle.manifest.target).presence()
    if presence.can_run:
        return _System(engine=engine_from_bundle(bundle, label=label), kind="engine")
    paths = {entry.width: bundle.path(entry.model) for entry in bundle.manifest.engines}

    def open_typed(width: int) -> Runner:
        graph = emulated(onnx.load(paths[width]))  # as the build's verdict was found
        return runner_from_model(graph, label=label, max_batch=bundle.spec.input.max_batch)

    engine = Engine(label=label, spec=bundle.spec, open_runner=open_typed)
    note = f"not run here ({presence.reason}); accuracy is that of its typed graph in onnxruntime"
    return _System(engine=engine, kind="engine", timed=False, note=note)


def _latencies(
    systems: list[_System],
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
    systems: list[_System],
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


def _why_not_measured(systems: list[_System], dataset: Dataset) -> str:
    if not dataset.labelled and systems[0].kind != "baseline":
        return f"{dataset.folder} has no labels, and there is no model to agree with"
    return f"{dataset.folder} holds nothing to measure accuracy on"


def _accuracies(
    systems: list[_System], results: dict[int, Result], dataset: Dataset | None
) -> dict[int, AccuracyRow]:
    """Score results against the labels, or without labels against the baseline's results."""
    labelled = dataset is not None and dataset.labelled
    rows = {}
    for index, result in results.items():
        system = systems[index]
        run_by = system.engine.label if system.timed else "onnxruntime on the typed graph"
        rows[index] = _accuracy_row(result, None if labelled else results[0], run_by)
    return rows


def _accuracy_row(result: Result, truth: Result | None, run_by: str) -> AccuracyRow:
    """``truth``: the results that stand in for labels."""
    if isinstance(result, DetectorResult):
        boxes = box_agreement(result, truth) if isinstance(truth, DetectorResult) else result.score
        return AccuracyRow(
            precision=boxes.precision,
            recall=boxes.recall,
            hmean=boxes.hmean,
            samples=len(result.scenes),
            run_by=run_by,
        )
    if isinstance(truth, RecognizerResult):
        texts, loose_accuracy = text_agreement(result, truth), None
    else:
        texts, loose_accuracy = result.score, result.loose_word_accuracy
    return AccuracyRow(
        word_accuracy=texts.word_accuracy,
        loose_word_accuracy=loose_accuracy,
        cer=texts.cer,
        samples=texts.count,
        run_by=run_by,
    )


def _worst(
    systems: list[_System], results: dict[int, Result]
) -> tuple[str, tuple[WorstSample, ...]]:
    """The worst samples of the first engine, beside what the baseline made of them."""
    engines = [i for i, system in enumerate(systems) if system.kind == "engine" and i in results]
    if not engines:
        return "", ()
    baselines = [i for i, system in enumerate(systems) if system.kind == "baseline"]
    baseline = results.get(baselines[0]) if baselines else None
    chosen = engines[0]
    return systems[chosen].engine.label, worst_samples(results[chosen], baseline)
