"""A model that is ready to run, with one runner per input size, opened at its first use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from ..common.input_size import InputSize
from ..common.open_state import OpenState
from ..errors import InputFileError
from ..spec import ModelSpec
from .base import Backend, BuiltWith, RunSettings
from .bundle import Bundle, check_plan
from .manifest import EngineEntry
from .plan_interface import check_result
from .plans import Plans
from .refusal import refusal_error
from .runner import Runner
from .targets import backend
from .tuned import Choice, Mode, choice_for

if TYPE_CHECKING:
    import onnx

    from ..convert.sources import Source

OpenRunner = Callable[[InputSize], Runner]
Spec = ModelSpec


class Engine:
    """A model that the pipeline can run: its spec, and a runner for each input size.

    The ``from_`` methods create it from a bundle, plans, graphs in memory or the baseline model.
    ``open_runner`` returns the runner for a size. An engine is a context manager. Any number of
    threads may use it, and close it.
    """

    def __init__(self, *, label: str, spec: Spec, open_runner: OpenRunner) -> None:
        self.label, self.spec = label, spec
        self.note = ""
        """See :attr:`.runner.Runner.note`."""
        self._open_runner, self._open = open_runner, OpenState(label)
        self._runners, self._lock = dict[InputSize, Runner](), Lock()

    @classmethod
    def from_bundle(
        cls,
        bundle: Bundle,
        *,
        mode: Mode = "latency",
        threads: int = 0,
        streams: int = 0,
        label: str = "",
        use_graphs: bool = True,
    ) -> Engine:
        """Open a bundle.

        Args:
            bundle: from :func:`load_bundle`.
            mode: ``latency``: one batch at a time, in the shortest time; ``throughput``: several
                batches at once, for callers in several threads. Streams and threads are those that
                ``ocr-trt optimize`` measured as best for the mode, if it was run.
            threads: CPU threads of all streams together, in place of the mode's.
            streams: how many batches run at once, in place of the mode's.
            label: the name in reports, in place of ``bundle.label``.
            use_graphs: let a GPU repeat recorded work (CUDA graphs).

        Raises:
            InputFileError: its int8 weights are too large for this processor.
            ValueError: ``threads`` or ``streams`` are negative.
        Raises (when a runner is opened):
            TargetMissingError: its target cannot run here.
            InputFileError: the target cannot load the plan, or the plan does not match the spec.
        """
        manifest = bundle.manifest
        target = backend(manifest.target)
        _check_weights(bundle, target)
        # Explicit numbers replace those that were measured, even if only one is given.
        is_chosen = bool(streams or threads)
        choice = Choice(streams=streams, threads=threads) if is_chosen else choice_for(bundle, mode)
        version = manifest.versions.get(target.name, "")
        settings = RunSettings(
            threads=choice.threads,
            built=BuiltWith(version=version, settings=manifest.settings),
            streams=choice.streams,
            use_graphs=use_graphs,
            is_trusted=bundle.is_trusted,
        )
        label = label or bundle.label
        plans = Plans(target, bundle.folder, manifest.engines, settings)

        def open_runner(size: InputSize) -> Runner:
            # Another build may have replaced the bundle since it was loaded.
            if not plans.is_open(size):
                check_plan(bundle, plans.name(size))
            return plans.checked(bundle.spec, label, size)

        return cls(label=label, spec=bundle.spec, open_runner=open_runner)

    @classmethod
    def from_plans(
        cls,
        target: Backend,
        folder: Path,
        entries: Sequence[EngineEntry],
        *,
        spec: Spec,
        label: str,
    ) -> Engine:
        """Open plans in ``folder`` that this process built and that are not in a bundle yet."""
        plans = Plans(target, folder, entries, RunSettings(is_trusted=True))
        return cls(label=label, spec=spec, open_runner=partial(plans.built, spec, label))

    @classmethod
    def from_graphs(
        cls, graph_of: Callable[[InputSize], onnx.ModelProto], *, spec: Spec, label: str
    ) -> Engine:
        """Run graphs in onnxruntime.

        Args:
            graph_of: returns the graph for an input size. Ops in fp16 and bf16 run in float32
                and round as they would in 16 bits, so that results do not depend on the processor.
            spec: of the model.
            label: the name in reports.
        """

        def open_runner(size: InputSize) -> Runner:
            # Imported here because both are slow to import, and bundles need neither.
            from ..calibration.emulate import emulated
            from .onnxruntime.backend import runner_from_model

            graph = emulated(graph_of(size))
            try:
                runner = runner_from_model(graph, label=label, max_batch=spec.input.max_batch)
            except Exception as error:  # onnxruntime has no common base class of its errors
                refused = backend("onnxruntime").refusals(graph)
                raise refusal_error("onnxruntime", graph, refused) from error
            runner.check_output = partial(check_result, name=label, spec=spec, size=size)
            return runner

        return cls(label=label, spec=spec, open_runner=open_runner)

    @classmethod
    def from_source(cls, source: Source, spec: Spec) -> Engine:
        """Run the source model itself in its own framework; this is the baseline.

        Raises:
            InputFileError: the source has no such input or output.
        """
        from .tensorflow.baseline import baseline_runner  # slow to import, and rarely needed

        first = baseline_runner(source, spec)
        open_runner = partial(baseline_runner, source, spec)
        engine = cls(label=first.label, spec=spec, open_runner=open_runner)
        engine.note = first.note
        engine._runners[spec.input.size] = first  # so that it is not opened again
        return engine

    @property
    def sizes(self) -> tuple[InputSize, ...]:
        """Heights and widths of the input, those with the fewest pixels first."""
        return self.spec.input_sizes

    def runner(self, size: InputSize | None = None) -> Runner:
        """Return the runner for one input size, by default that of the spec's ``input.shape``.

        Raises:
            ClosedError: the engine is closed.
        """
        size = size or self.spec.input.size
        with self._open.in_use(), self._lock:  # two threads must not open the same plan
            if size not in self._runners:
                self._runners[size] = self._open_runner(size)
            return self._runners[size]

    def reopened(self) -> Engine:
        """Return an engine that opens the runners of this one again; it may be closed."""
        return Engine(label=self.label, spec=self.spec, open_runner=self._open_runner)

    def close(self) -> None:
        """Wait for batches in progress, and close all runners.

        Later batches raise ClosedError. A second call does nothing.
        """
        self._open.close(self._close_runners)

    def _close_runners(self) -> None:
        runners, self._runners = self._runners, {}
        for runner in runners.values():
            runner.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _check_weights(bundle: Bundle, target: Backend) -> None:
    """Refuse int8 weights that are too large for a processor that adds products in 16 bits."""
    manifest = bundle.manifest
    largest, allowed = manifest.largest_weight, target.needs().style.largest_weight
    if manifest.precision in ("int8", "best") and largest > allowed:
        raise InputFileError(
            f"{bundle.folder}: its int8 weights reach {largest}, for a processor that sums int8 "
            f"products in 32 bits; this processor sums them in 16 bits and clips, so weights may "
            f"reach {allowed} at most; build the bundle again here"
        )
