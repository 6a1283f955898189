"""QuantizedGraphs graphs to plans, and plans to engines that can be asked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..calibration.calibrator import Graphs
from ..calibration.emulate import emulated
from ..common.onnx_files import write_onnx
from ..common.progress import Reporter
from ..engines.base import Backend, BuildSettings, Runner, RunSettings
from ..engines.engine import Engine
from ..engines.manifest import EngineEntry
from ..spec import DetectorSpec, RecognizerSpec
from .verdict import graph_engine


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


def plans_engine(
    target: Backend,
    folder: Path,
    entries: Sequence[EngineEntry],
    spec: DetectorSpec | RecognizerSpec,
    label: str,
) -> Engine:
    """Return an engine of plans in ``folder`` that are in no bundle yet."""
    of_width = {entry.width: entry for entry in entries}

    def open_runner(width: int) -> Runner:
        entry, most = of_width[width], spec.input.max_batch
        settings = RunSettings(model=folder / entry.model, is_trusted=True)  # made here
        return target.open(folder / entry.plan, label=label, settings=settings, max_batch=most)

    return Engine(label=label, spec=spec, open_runner=open_runner)


def quantized_engine(graphs: Graphs, spec: DetectorSpec | RecognizerSpec, what: str) -> Engine:
    """Return quantized graphs in onnxruntime as an engine, for a target that cannot run here."""
    label = f"onnxruntime on the quantized graph ({what})"
    return graph_engine({width: emulated(graph) for width, graph in graphs.items()}, spec, label)


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
        with plans_engine(target, folder, entries, spec, f"{target.name} {what}") as engine:
            yield engine
