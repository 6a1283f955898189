"""Find out why samples changed: run all graphs on them, compare the tensors, name the step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..common.input_size import InputSize, by_area
from ..common.onnx_session import onnx_session
from ..common.path_text import path_text
from ..common.progress import Reporter
from ..engines.bundle import Bundle
from ..engines.engine import Engine
from ..engines.targets import backend
from ..measure.accuracy import run_samples
from ..ocr.dataset import Dataset
from .divergence import EQUAL_DB, Culprit, StepRow, culprit_of, decibels, step_rows, target_culprit
from .findings import DebugReport, SampleRow, Verdict
from .reference_graphs import (
    Graphs,
    check_same_model,
    float_graphs,
    graph_errors,
    pair_of,
    quantized_graphs,
)
from .repair import repaired
from .sample import (
    DebugSample,
    check_same_shape,
    described,
    image_of,
    most_different,
    output_of,
    samples_of,
    truth_of,
)
from .steps import GraphPair
from .suspects import Suspect, chosen_samples, suspects
from .target_trace import noise_between, target_tensors
from .tracing import TensorNoise, Tracer

MAX_SAMPLES = 3
"""Limit of the samples on which the tensors are compared, the worst first."""
Output = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class _Run:
    """A sample and its outputs: of the reference, of the quantized graph and of the engine.

    A recognizer's outputs are (1, T, C), and a detector's are (1, C, h, w) or (1, h, w).
    """

    sample: DebugSample
    suspect: Suspect
    reference: Output
    quantized: Output
    engine: Output


@dataclass(frozen=True, kw_only=True)
class _Systems:
    """The bundle as it runs here, its quantized graphs, and their reference."""

    bundle: Bundle
    engine: Engine
    quantized: Graphs
    reference: Graphs
    pairs: dict[InputSize, GraphPair] = field(default_factory=dict)

    def pair(self, size: InputSize) -> GraphPair:
        """Return the graphs for one input size. Each pair is created once.

        Raises:
            InputFileError: the graphs have no tensor in common, or one of them is damaged.
        """
        if size not in self.pairs:
            self.pairs[size] = pair_of(self.reference, self.quantized, size, self.bundle.folder)
        return self.pairs[size]


def debug(
    bundle: Bundle,
    dataset: Dataset,
    reporter: Reporter,
    *,
    against: Bundle | None = None,
    sample: str | None = None,
) -> DebugReport:
    """Find the layer that changed the worst samples of a bundle.

    Args:
        bundle: the bundle to examine.
        dataset: samples, with or without labels.
        reporter: shows the progress.
        against: another bundle of the same model as the reference; by default the model's float
            graph.
        sample: the name of a file, or of one word in it; by default the worst samples are examined.

    Raises:
        InputFileError: there is no such sample, an image or a graph is damaged, or ``against`` is
            a bundle of another model.
    """
    chosen, names = chosen_samples(dataset, bundle.spec, sample)
    systems = _systems(bundle, against, reporter)
    with systems.engine, systems.reference.engine(bundle.spec) as baseline:
        mine, theirs = (run_samples(e, chosen, reporter) for e in (systems.engine, baseline))
        order = suspects(mine, theirs, labeled=dataset.labeled)
        samples = []
        for each in order[:MAX_SAMPLES]:
            parts = samples_of(mine, each.index, bundle.spec, names[each.index])
            check_same_shape(parts[0], [systems.engine, baseline])
            samples.append(most_different(parts, systems.engine, baseline))
        with systems.quantized.engine(bundle.spec) as quantized:
            check_same_shape(samples[0], [baseline, quantized])
            runs = [
                _Run(
                    sample=each,
                    suspect=suspect,
                    reference=output_of(baseline, each),
                    quantized=output_of(quantized, each),
                    engine=output_of(systems.engine, each),
                )
                for each, suspect in zip(samples, order, strict=False)
            ]
    # A sample may change without becoming worse.
    worse = sum(each.harm > 0 for each in order)
    report = _report(systems, runs, _judge(systems, runs, reporter), (len(order), worse))
    return report.model_copy(update={"data": path_text(dataset.folder)})


def _can_run(bundle: Bundle) -> bool:
    """Whether the target of a bundle runs on this machine."""
    manifest = bundle.manifest
    return backend(manifest.target).can_run_built(manifest.settings)


def _systems(bundle: Bundle, against: Bundle | None, reporter: Reporter) -> _Systems:
    quantized = quantized_graphs(bundle)
    if against is not None:
        check_same_model(bundle, against)
        reference = quantized_graphs(against)
    else:
        with reporter.step(f"load the model of {bundle.spec.name}"):
            reference = float_graphs(bundle, quantized, reporter)
    engine = Engine.from_bundle(bundle) if _can_run(bundle) else quantized.engine(bundle.spec)
    return _Systems(bundle=bundle, engine=engine, quantized=quantized, reference=reference)


@dataclass(frozen=True, kw_only=True)
class _Judgement:
    """The result of the comparison.

    ``graph`` and ``target``: dB of the quantized graph against the reference, and of the target
    against the quantized graph. ``fixed``: outputs with the culprit repaired, one per sample.
    """

    verdict: Verdict
    graph: float | None
    target: float | None
    rows: tuple[StepRow, ...]
    culprit: Culprit | None
    fixed: tuple[Output, ...] = ()
    notes: tuple[str, ...] = ()


def _judge(systems: _Systems, runs: Sequence[_Run], reporter: Reporter) -> _Judgement:
    # Powers (signal, noise), summed over the samples.
    graph = np.sum([noise_between(each.reference, each.quantized) for each in runs], 0)
    target = np.sum([noise_between(each.quantized, each.engine) for each in runs], 0)
    total_noise = sum(noise_between(each.reference, each.engine)[1] for each in runs)
    level = decibels(float(graph[0]), total_noise)
    verdict: Verdict = "same"
    if level is not None and level < EQUAL_DB:
        # The larger noise is the cause. "not <=" instead of ">": NaN is the target's fault.
        verdict = "target" if not target[1] <= graph[1] else "graph"
    first, inside, notes = runs[0], dict[str, float | None](), list[str]()
    if not _can_run(systems.bundle):
        notes.append(
            f"{systems.bundle.manifest.target} cannot run on this machine, so only the graphs were "
            "compared"
        )
    if verdict == "target":
        with reporter.step(f"read inner tensors of {systems.bundle.manifest.target}"):
            pair, feed = systems.pair(first.sample.prepared.size), first.sample.prepared.tensor
            inside, note = target_tensors(
                systems.bundle, pair, first.sample.prepared.size, feed, first.engine
            )
        notes += [note] if note else []
    rows = _rows(systems, runs, inside, reporter)
    steps = systems.pair(first.sample.prepared.size).steps
    culprit = None
    # If a target does not return inner tensors, there is a verdict, but no culprit.
    if verdict == "target" and inside:
        culprit = target_culprit(steps, rows)
    elif verdict == "graph":
        changed = systems.quantized.decisions != systems.reference.decisions
        culprit = culprit_of(rows, is_compressed=changed)
    fixed = _fixed(systems, runs, culprit) if culprit and verdict == "graph" else ()
    return _Judgement(
        verdict=verdict,
        graph=decibels(float(graph[0]), float(graph[1])),
        target=decibels(float(target[0]), float(target[1])),
        rows=rows,
        culprit=culprit,
        fixed=fixed,
        notes=tuple(notes),
    )


def _rows(
    systems: _Systems,
    runs: Sequence[_Run],
    inside: dict[str, float | None],
    reporter: Reporter,
) -> tuple[StepRow, ...]:
    """Measure all steps on all samples. Each input size has a graph of its own."""
    total: TensorNoise | None = None
    with reporter.step("compare tensor by tensor", len(runs)) as advance:
        done = 0
        for size in sorted({each.sample.prepared.size for each in runs}, key=by_area):
            with graph_errors(f"{systems.bundle.folder}: its graph cannot be compared"):
                # One size at a time, because each tracer holds three graphs.
                tracer = Tracer(systems.pair(size))
                measured = [
                    tracer.measure(each.sample.prepared.tensor)
                    for each in runs
                    if each.sample.prepared.size == size
                ]
            for noise in measured:
                total = noise if total is None else total + noise
            done += len(measured)
            advance(done)
    assert total is not None
    return step_rows(systems.pair(runs[0].sample.prepared.size).steps, total, inside)


def _fixed(systems: _Systems, runs: Sequence[_Run], culprit: Culprit) -> tuple[Output, ...]:
    """Run the quantized graph with the culprit repaired; () if a graph cannot be repaired."""
    outputs = []
    for each in runs:
        pair = systems.pair(each.sample.prepared.size)
        # The graph of another size may lack the step, if an op was lowered differently there.
        step = next((s for s in pair.steps if s.name == culprit.step.name), None)
        model = repaired(pair, step) if step is not None else None
        if model is None:
            return ()
        feeds = {model.graph.input[0].name: each.sample.prepared.tensor}
        outputs.append(onnx_session(model, optimize=False).run(None, feeds)[0])
    return tuple(outputs)


def _report(
    systems: _Systems, runs: Sequence[_Run], judged: _Judgement, counts: tuple[int, int]
) -> DebugReport:
    spec, manifest = systems.bundle.spec, systems.bundle.manifest
    fixed: Sequence[Output | None] = judged.fixed or [None] * len(runs)
    samples = tuple(_sample_row(systems, each, fix) for each, fix in zip(runs, fixed, strict=True))
    notes = (systems.reference.note, *judged.notes)
    first = runs[0]
    repaired_level = None
    if judged.fixed:
        repaired_level = decibels(*noise_between(first.reference, judged.fixed[0]))
    return DebugReport(
        bundle=path_text(systems.bundle.folder),
        name=spec.name,
        role=spec.role,
        target_name=manifest.target,
        precision=manifest.precision,
        reference=systems.reference.label,
        looked_at=counts[0],
        worse=counts[1],
        verdict=judged.verdict,
        graph=judged.graph,
        target=judged.target,
        target_ran=_can_run(systems.bundle),
        first=decibels(*noise_between(first.reference, first.quantized)) if judged.fixed else None,
        repaired=repaired_level,
        culprit=judged.culprit,
        steps=judged.rows,
        samples=samples,
        notes=tuple(note for note in notes if note),
    )


def _sample_row(systems: _Systems, run: _Run, fixed: Output | None) -> SampleRow:
    spec, sample = systems.bundle.spec, run.sample
    return SampleRow(
        name=sample.name,
        lost=run.suspect.harm,
        baseline=described(run.reference, sample, spec),
        engine=described(run.engine, sample, spec),
        truth=truth_of(sample),
        repaired="" if fixed is None else described(fixed, sample, spec),
        image=image_of(sample, run.engine, run.reference, spec),
    )
