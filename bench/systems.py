"""What is compared: a model, its fp32 graph in onnxruntime, and the engines made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
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
from ..pipeline.engine import Engine, engine_from_bundle
from ..spec import DetectorSpec, RecognizerSpec
from .results import Kind


@dataclass(frozen=True, kw_only=True)
class System:
    """A system under comparison. ``timed``: whether its latency says anything here.

    ``bundle``: the engine's.
    """

    engine: Engine
    kind: Kind
    bundle: Bundle | None = None
    timed: bool = True
    note: str = ""

    @property
    def run_by(self) -> str:
        """What runs it when its accuracy is measured."""
        return self.engine.label if self.timed else "onnxruntime on the typed graph"

    @property
    def short_label(self) -> str:
        """Its label without the model's name."""
        return self.engine.label.removeprefix(f"{self.engine.spec.name} ")


def systems_of(bundles: Sequence[Bundle], notes: list[str]) -> list[System]:
    """Return what bundles of one model are compared with, and the bundles; adds to ``notes``.

    The model comes first, if it is at hand, and its fp32 graph second.
    """
    return [*_sources(bundles[0], notes), *_engine_systems(bundles)]


def _sources(bundle: Bundle, notes: list[str]) -> list[System]:
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
        System(engine=baseline, kind="baseline"),
        System(engine=reference, kind="reference"),
    ]


def _open_source(source: Source, spec: DetectorSpec | RecognizerSpec, width: int) -> Runner:
    return baseline_runner(source, spec, width)


def _open_graph(graph: onnx.ModelProto, spec: DetectorSpec | RecognizerSpec, width: int) -> Runner:
    assert width == spec.input.width, "converted for the widest input only"
    return runner_from_model(graph, label="onnxruntime fp32", max_batch=spec.input.max_batch)


def _engine_systems(bundles: Sequence[Bundle]) -> list[System]:
    """The bundles; those that would be called alike get their folder's path into the name."""
    labels = Counter(bundle.label for bundle in bundles)
    return [
        engine_system(b, b.label if labels[b.label] == 1 else f"{b.label} ({b.folder})")
        for b in bundles
    ]


def engine_system(bundle: Bundle, label: str) -> System:
    """Return a bundle opened, or its typed graph in onnxruntime where its target cannot run."""
    target = backend(bundle.manifest.target)
    presence = target.presence()
    if target.can_run_built(bundle.manifest.settings):
        engine = engine_from_bundle(bundle, label=label)
        return System(engine=engine, kind="engine", bundle=bundle)
    paths = {entry.width: bundle.path(entry.model) for entry in bundle.manifest.engines}

    def open_typed(width: int) -> Runner:
        graph = emulated(onnx.load(paths[width]))  # as the build's verdict was found
        return runner_from_model(graph, label=label, max_batch=bundle.spec.input.max_batch)

    engine = Engine(label=label, spec=bundle.spec, open_runner=open_typed)
    note = f"not run here ({presence.reason}); accuracy is that of its typed graph in onnxruntime"
    return System(engine=engine, kind="engine", bundle=bundle, timed=False, note=note)
