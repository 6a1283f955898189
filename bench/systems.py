"""The systems under comparison: a model, its fp32 graph in onnxruntime, and its engines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx

from ..common.input_size import InputSize
from ..convert.pipeline import convert
from ..convert.sources.pixels import pixel_noise
from ..engines.bundle import Bundle
from ..engines.bundle_source import source_of
from ..engines.engine import Engine
from ..engines.runner import Runner
from ..engines.targets import backend
from ..engines.tensorflow.competitors import Competitor, competitors_of
from ..errors import OcrTrtError
from ..spec import ModelSpec
from .results import Kind

_RECOGNIZER_BATCHES = (1, 16)


@dataclass(frozen=True, kw_only=True)
class System:
    """A system under comparison.

    ``bundle``: of an engine. ``timed``: whether its latency is measured, for which its target must
    run here. ``difference``: the largest difference of a competitor's output from the baseline's.
    """

    engine: Engine
    kind: Kind
    bundle: Bundle | None = None
    timed: bool = True
    note: str = ""
    difference: float | None = None

    @property
    def run_by(self) -> str:
        """The runtime in which its accuracy is measured."""
        return self.engine.label if self.timed else "onnxruntime on the quantized graph"

    @property
    def short_label(self) -> str:
        """Its label without the model's name."""
        return self.engine.label.removeprefix(f"{self.engine.spec.name} ")


def grouped(bundles: Sequence[Bundle]) -> list[list[Bundle]]:
    """Group bundles by model and spec; the bundles of a group are compared.

    Bundles whose specs have other settings of input or output, such as the threshold of boxes, get
    a baseline of their own. Budgets may differ within a group.
    """
    groups: dict[tuple[str, ...], list[Bundle]] = {}
    for bundle in bundles:
        # The path of the model depends on where the bundle is; the hash stands for it.
        settings = bundle.spec.model_dump_json(exclude={"accuracy", "source"})
        groups.setdefault((bundle.manifest.source_sha256, settings), []).append(bundle)
    return list(groups.values())


def timed_batches(spec: ModelSpec) -> tuple[int, ...]:
    """Return the batch sizes at which a model is timed, ascending."""
    return tuple(sorted({min(spec.input.max_batch, batch) for batch in _RECOGNIZER_BATCHES}))


def systems_of(
    bundles: Sequence[Bundle], notes: list[str], *, with_competitors: bool = False
) -> list[System]:
    """Return the systems to compare for bundles of one model.

    In this order: the baseline and its fp32 graph in onnxruntime, if the model is available; the
    competitors, if requested; the bundles. ``notes`` receives the reason for each system that is
    left out.
    """
    engines = map(engine_system, bundles, labels_of(bundles))
    return [*_sources(bundles[0], notes, with_competitors), *engines]


def _sources(bundle: Bundle, notes: list[str], with_competitors: bool) -> list[System]:
    """Return the baseline, its fp32 graph and the competitors; nothing without the model."""
    spec = bundle.spec
    try:
        source = source_of(bundle)
        graph = convert(source, spec).model
        engine = Engine.from_source(source, spec)
    except OcrTrtError as error:
        notes.append(f"{spec.name}: no baseline: {error}")
        return []
    baseline = System(engine=engine, kind="baseline", note=engine.note)
    engine = Engine.from_graphs(lambda _: graph, spec=spec, label="onnxruntime fp32")
    reference = System(engine=engine, kind="reference")
    if not with_competitors:
        return [baseline, reference]
    competitors = (
        _competitor_system(competitor, baseline, notes)
        for competitor in competitors_of(source, spec)
    )
    return [baseline, reference, *filter(None, competitors)]


def _competitor_system(competitor: Competitor, baseline: System, notes: list[str]) -> System | None:
    """Open a competitor and run every batch size; if that fails, note the reason, return None."""
    spec, allowed = baseline.engine.spec, baseline.engine.spec.accuracy.max_difference
    runner: Runner | None = None
    # Opened here, before anything is timed, because some frameworks fail only when they run.
    try:
        runner = competitor.open()
        difference = _difference(runner, baseline.engine.runner(), spec)
    except Exception as error:  # every framework has its own classes of errors
        if runner is not None:
            runner.close()
        text = re.sub(r"\[_Xla[^]]*\]", "", " ".join(str(error).split()))  # XLA's settings
        reason = text[:200].rstrip() or type(error).__name__
        notes.append(f"{spec.name}: {competitor.label} cannot run the model: {reason}")
        return None
    # A competitor that computes other numbers is timed, too, but its label states so.
    is_other = difference > allowed
    label = f"{runner.label}, different output" if is_other else runner.label
    than = f"; an fp32 engine may differ by {allowed:g}" if is_other else ""
    return System(
        engine=Engine(label=label, spec=spec, open_runner=partial(_opened, runner)),
        kind="competitor",
        note=f"its output differs from the model's by at most {difference:.1e}{than}",
        difference=difference,
    )


def _opened(runner: Runner, size: InputSize) -> Runner:
    """Return the runner of a competitor, which is open already."""
    return runner


def _difference(runner: Runner, baseline: Runner, spec: ModelSpec) -> float:
    """Return the largest difference of two runners' outputs, on the same noise at all batch sizes.

    Raises:
        ValueError: the outputs have different shapes, or are not finite.
    """
    largest = 0.0
    for batch in timed_batches(spec):
        noise = pixel_noise(spec.input, batch, spec.input.size, np.random.default_rng(0))
        own, expected = runner.run(noise), baseline.run(noise)
        if own.shape != expected.shape:
            raise ValueError(
                f"its output is {list(own.shape)} at batch {batch}, expected {list(expected.shape)}"
            )
        difference = float(np.abs(own - expected).max())
        if not np.isfinite(difference):
            raise ValueError(f"its output or the model's is not finite at batch {batch}")
        largest = max(largest, difference)
    return largest


def labels_of(bundles: Sequence[Bundle]) -> list[str]:
    """Return a label for each bundle of one model; equal labels get the path of the folder."""
    counts = Counter(bundle.label for bundle in bundles)
    return [b.label if counts[b.label] == 1 else f"{b.label} ({b.folder})" for b in bundles]


def engine_system(bundle: Bundle, label: str) -> System:
    """Open a bundle, or its quantized graph in onnxruntime if its target cannot run here."""
    target = backend(bundle.manifest.target)
    availability = target.availability()
    is_known = bundle.manifest.precision in (*target.precisions, "best")
    if is_known and target.can_run_built(bundle.manifest.settings):
        engine = Engine.from_bundle(bundle, label=label)
        return System(engine=engine, kind="engine", bundle=bundle)
    paths = {entry.size: bundle.path(entry.model) for entry in bundle.manifest.engines}
    # The build's verdict was measured in the same way.
    engine = Engine.from_graphs(lambda size: onnx.load(paths[size]), spec=bundle.spec, label=label)
    note = (
        f"not run on this machine ({availability.reason}); accuracy is that of its quantized graph "
        "in onnxruntime"
    )
    return System(engine=engine, kind="engine", bundle=bundle, timed=False, note=note)
