"""QuantizedGraphs graphs to plans, and plans to engines that can be asked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..calibration.calibrator import Graphs
from ..common.onnx_files import write_onnx
from ..common.progress import Reporter
from ..engines.base import Backend, BuildSettings
from ..engines.engine import Engine
from ..engines.manifest import EngineEntry
from ..spec import DetectorSpec, RecognizerSpec


def compile_plans(
    target: Backend, graphs: Graphs, folder: Path, settings: BuildSettings, reporter: Reporter
) -> tuple[EngineEntry, ...]:
    """Build a plan for each width into ``folder``, with its quantized graph beside it.

    Raises:
        EngineBuildError: the target refuses a graph.
    """
    entries = []
    with reporter.step(f"build for {target.name}", len(graphs)) as advance:
        for number, (width, graph) in enumerate(sorted(graphs.items()), 1):
            entry = EngineEntry(
                width=width, model=f"model_{width}.onnx", plan=f"plan_{width}{target.suffix}"
            )
            write_onnx(graph, folder / entry.model)
            target.build(graph, folder / entry.plan, settings)
            entries.append(entry)
            advance(number)
    return tuple(entries)


def quantized_engine(graphs: Graphs, spec: DetectorSpec | RecognizerSpec, what: str) -> Engine:
    """Return quantized graphs in onnxruntime as an engine, for a target that cannot run here."""
    label = f"onnxruntime on the quantized graph ({what})"
    return Engine.from_graphs(graphs.__getitem__, spec=spec, label=label)


@contextmanager
def tried(
    target: Backend,
    graphs: Graphs,
    spec: DetectorSpec | RecognizerSpec,
    what: str,
    settings: BuildSettings,
    reporter: Reporter,
) -> Iterator[Engine]:
    """Give an engine of quantized graphs for the length of a block: on the target, if it can run.

    ``what``: the precision, for its label.
    """
    if not target.can_run(settings):
        with quantized_engine(graphs, spec, what) as engine:
            yield engine
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        entries = compile_plans(target, graphs, folder, settings, reporter)
        label = f"{target.name} {what}"
        with Engine.from_plans(target, folder, entries, spec=spec, label=label) as engine:
            yield engine
