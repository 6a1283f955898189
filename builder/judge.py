"""Judge a finished engine: its OCR metric, its difference from the model in fp32, its speed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..convert.sources.pixels import pixel_noise
from ..engines.engine import Engine
from ..engines.manifest import EngineEntry, Latency, OcrMetric, Verdict
from ..engines.points_text import loss_text
from ..errors import BudgetError, EngineBuildError
from ..measure.latency import Contender, measure
from ..ocr.metrics.metric import METRICS
from ..spec import ModelSpec
from .compare import check_parity, is_within_budget
from .compare_widths import compared_sizes
from .job import TargetJob
from .time_limits import run_once
from .tolerance import Difference
from .trials import Candidate

_SMALL_BATCH = 3


def judge(
    job: TargetJob,
    chosen: Candidate,
    folder: Path,
    entries: Sequence[EngineEntry],
    *,
    timed: bool = True,
) -> Verdict:
    """Measure the plans in ``folder``, or the quantized graphs where the target cannot run.

    ``timed``: whether to time the engine, too; engines of several targets are timed together later.

    Raises:
        BudgetError: the engine loses more accuracy than the spec allows.
        ConversionError: an fp32 engine differs from the model.
        EngineBuildError: the engine cannot run a batch of several images.
    """
    compiler, baseline = job.compiler, job.baseline
    if compiler.can_run:
        opened = compiler.open_plans(folder, entries, job.request.precision)
    else:
        opened = compiler.open_graphs(chosen.quantized.graphs, chosen.label)
    latency, difference = None, baseline.difference
    with opened as engine:
        if job.target.runs_on_cpu:
            run_once(engine)
        # Accuracy first: an engine over its budget is not worth timing.
        metric = baseline.metric(engine, job.reporter)
        if metric is not None:
            label = f"{job.spec.name} for {job.target.name}"
            try:
                check_budget(metric, job.spec, label, precision=chosen.precision)
            except BudgetError as error:
                # The likely cause comes last, where it is not overlooked.
                lacking = "; ".join(job.shortcomings)
                reason = f". The calibration images may be the cause: {lacking}" if lacking else ""
                raise BudgetError(f"{error}{reason}") from None
        if compiler.can_run:
            with job.reporter.step(f"run batches on {engine.label}"):
                check_batches(engine)
            # Only fp32 must equal the model; other precisions are judged by the metric.
            if chosen.precision == "fp32" and job.is_compressed:
                with job.reporter.step(f"compare {engine.label} with the compressed graph"):
                    _check_compressed(engine, job)
            elif chosen.precision == "fp32":
                with job.reporter.step(f"compare {engine.label} with the model"):
                    own = _check_exact(engine, job)
                difference = max(difference, own, key=lambda each: each.largest)
            if timed:
                (latency,) = compare_latency([engine], job)
    return Verdict(
        baseline=baseline.engine.label,
        max_difference=difference.largest,
        allowed_difference=difference.allowed,
        float_type=baseline.tolerance.float_type,
        metric=metric,
        latency=latency,
    )


def _check_exact(engine: Engine, job: TargetJob) -> Difference:
    """Compare an fp32 engine with the model.

    Raises:
        ConversionError: it differs more than ``accuracy.max_difference`` allows.
    """
    baseline = job.baseline
    # The rounding of a 16-bit model is known at the sizes of its graphs only.
    spec = None if baseline.tolerance.roundings else job.spec
    return check_parity(
        engine,
        baseline.engine,
        baseline.tolerance,
        ties=baseline.difference.ties,
        sizes=compared_sizes(engine, job.graphs, spec),
    )


def _check_compressed(engine: Engine, job: TargetJob) -> None:
    """Compare an fp32 engine with its compressed graph, because both differ from the model.

    Raises:
        ConversionError: it differs more than ``accuracy.max_difference`` allows.
    """
    label = "compressed fp32 graph"
    graph = Engine.from_graphs(job.graphs.__getitem__, spec=job.spec, label=label)
    with graph:
        sizes = [size for size in engine.sizes if size in job.graphs]
        check_parity(engine, graph, ties=job.baseline.difference.ties, sizes=sizes)


def check_batches(engine: Engine) -> None:
    """Run a small batch at each input size: accuracy and speed are measured on single images.

    Raises:
        EngineBuildError: the target fails, or returns another shape.
    """
    spec, rng = engine.spec, np.random.default_rng(0)
    count = min(_SMALL_BATCH, spec.input.max_batch)
    if count == 1:
        return
    for size in engine.sizes:
        runner = engine.runner(size)
        images = pixel_noise(spec.input, count, size, rng)
        advice = "; set input.max_batch: 1 in the spec"
        try:
            one, several = runner.run(images[:1]), runner.run(images)
        except EngineBuildError as error:
            raise EngineBuildError(f"{error}{advice}") from error
        if several.shape != (count, *one.shape[1:]):
            raise EngineBuildError(
                f"{engine.label} returns {several.shape} for {count} images and {one.shape} for "
                f"one, expected {(count, *one.shape[1:])}{advice}"
            )


def check_budget(
    metric: OcrMetric,
    spec: ModelSpec,
    label: str,
    *,
    precision: str = "int8",
) -> None:
    """Refuse an engine that loses too much.

    Raises:
        BudgetError: contains the loss, the budget, and what to try.
    """
    if not is_within_budget(metric.loss, spec):
        loss = loss_text(metric.loss, of=METRICS[metric.name].title)
        raise BudgetError(
            f"{label} {loss} ({100 * metric.engine:.2f} "
            f"against {100 * metric.baseline:.2f} of the baseline), more than accuracy.max_loss "
            f"{spec.accuracy.max_loss:g}; nothing was written. {_advice(precision)}"
        )


def _advice(precision: str) -> str:
    """Return what may reduce the loss; only int8 uses a method and ranges of images."""
    if precision == "int8":
        return "Try another --precision, another --method or more --calibration images"
    if precision == "fp32":
        return (
            "An fp32 engine should differ from the model by rounding only: measure on more images "
            "with --data, or raise accuracy.max_loss"
        )
    return "Try --precision best or --precision fp32"


def compare_latency(engines: Sequence[Engine], job: TargetJob) -> list[Latency]:
    """Time engines and the baseline in turns, with batch 1 and the input of the spec."""
    baseline = job.baseline.engine
    runners = [each.runner() for each in (*engines, baseline)]
    contenders = [Contender(runner=r, shape=(1, *r.shape)) for r in runners]
    names = ", ".join(each.label for each in engines)
    with job.reporter.step(f"time {names} against {baseline.label}", 100) as advance:
        *own, other = measure(
            contenders, job.request.latency, lambda share: advance(round(100 * share))
        )
    return [Latency(engine=each.p50, baseline=other.p50) for each in own]
