"""Compile quantized graphs to plans, and open plans as engines before they are in a bundle."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import onnx

from ..common.input_size import InputSize, by_area
from ..common.onnx_files import write_onnx
from ..common.progress import Reporter
from ..convert.free_sizes import joined_sizes
from ..convert.graph import Graphs
from ..engines.base import Backend, BuildSettings
from ..engines.engine import Engine
from ..engines.manifest import EngineEntry
from ..spec import ModelSpec, RecognizerSpec
from .time_limits import limited


@dataclass(frozen=True, kw_only=True)
class PlanCompiler:
    """Compiles the graphs of one model for one target."""

    target: Backend
    spec: ModelSpec
    settings: BuildSettings
    reporter: Reporter

    @property
    def can_run(self) -> bool:
        """Whether the target can run the plans on this machine."""
        return self.target.can_run(self.settings)

    def compile(self, graphs: Graphs, folder: Path) -> tuple[EngineEntry, ...]:
        """Write a plan for each input size into ``folder``, and its quantized graph beside it.

        Raises:
            EngineBuildError: the target refuses a graph.
        """
        if (joined := self._joined(graphs)) is not None:
            return self._compile_joined(joined, folder)
        entries = []
        with self.reporter.step(f"build for {self.target.name}", len(graphs)) as advance:
            for number, size in enumerate(sorted(graphs, key=by_area), 1):
                graph, name = graphs[size], file_stem(size, list(graphs))
                entry = EngineEntry(
                    height=size.height,
                    width=size.width,
                    model=f"model_{name}.onnx",
                    plan=f"plan_{name}{self.target.suffix}",
                )
                # The graph stays in the bundle: it states the precision of every op.
                write_onnx(graph, folder / entry.model)
                self._build(graph, folder / entry.plan)
                entries.append(entry)
                advance(number)
        return tuple(entries)

    def _joined(self, graphs: Graphs) -> onnx.ModelProto | None:
        """Return one graph for any width, if the spec and the target ask for it; else None."""
        if not self.target.has_free_sizes or not isinstance(self.spec, RecognizerSpec):
            return None
        if self.spec.width_step is None:
            return None
        joined = joined_sizes(graphs)
        if joined is None:
            self.reporter.note(
                "width_step has no effect: the graphs of the widths in buckets differ in more than "
                "sizes, or there is only one width"
            )
        return joined

    def _compile_joined(self, graph: onnx.ModelProto, folder: Path) -> tuple[EngineEntry, ...]:
        """Write one plan with a free width, and an entry for each width that it will run at."""
        assert isinstance(self.spec, RecognizerSpec)
        model, plan = "model_any.onnx", f"plan_any{self.target.suffix}"
        with self.reporter.step(f"build for {self.target.name}, any width"):
            write_onnx(graph, folder / model)
            self._build(graph, folder / plan)
        height = self.spec.input.height
        return tuple(
            EngineEntry(height=height, width=width, model=model, plan=plan)
            for width in self.spec.free_widths
        )

    def _build(self, graph: onnx.ModelProto, plan: Path) -> None:
        def build() -> None:
            self.target.build(graph, plan, self.settings)

        if self.target.runs_on_cpu:
            limited(f"the compilation for {self.target.name}", build)
        else:  # TensorRT tries kernels for many minutes, in a child process
            build()

    def open_plans(self, folder: Path, entries: Sequence[EngineEntry], precision: str) -> Engine:
        """Return an engine that runs the plans in ``folder`` on the target."""
        label, spec = f"{self.target.name} {precision}", spec_of_entries(self.spec, entries)
        return Engine.from_plans(self.target, folder, entries, spec=spec, label=label)

    def open_graphs(self, graphs: Graphs, precision: str) -> Engine:
        """Return an engine that runs quantized graphs in onnxruntime.

        It replaces the plans where the target cannot run. Half types are emulated, so the OCR
        metric includes their rounding.
        """
        label = f"onnxruntime on the quantized graph ({precision})"
        return Engine.from_graphs(graphs.__getitem__, spec=self.spec, label=label)

    @contextmanager
    def open_candidate(self, graphs: Graphs, precision: str) -> Iterator[Engine]:
        """Open quantized graphs for the duration of a block, on the target if it can run."""
        if not self.can_run:
            with self.open_graphs(graphs, precision) as engine:
                yield engine
            return
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            entries = self.compile(graphs, folder)
            with self.open_plans(folder, entries, precision) as engine:
                yield engine


def spec_of_entries(spec: ModelSpec, entries: Sequence[EngineEntry]) -> ModelSpec:
    """Return a spec with the input sizes of these engines; a free plan has more of them."""
    widths = [entry.width for entry in entries]
    if not isinstance(spec, RecognizerSpec) or sorted(widths) == list(spec.widths):
        return spec
    return spec.with_widths(widths)


def file_stem(size: InputSize, sizes: Sequence[InputSize]) -> str:
    """Return what distinguishes the files of one size: its width, if all have the same height."""
    return str(size.width) if len({each.height for each in sizes}) == 1 else str(size)
