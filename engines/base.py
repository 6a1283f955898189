"""The interface of all targets: availability, building a plan, running a plan."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from ..calibration.int8_style import FallbackPrecision, Int8Style
from ..common.error_text import cause
from ..errors import EngineBuildError, OcrTrtError, TargetMissingError, UserError
from .fair_semaphore import FairSemaphore
from .layer_time import LayerTime
from .manifest import Precision

Batch = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """How to build a plan."""

    max_batch: int = 1
    options: Mapping[str, str] = field(default_factory=dict)
    """Options as text, such as {"workspace": "2048"}; each target parses those that it has."""


@dataclass(frozen=True, kw_only=True)
class GraphNeeds:
    """How to quantize a graph for a target."""

    style: Int8Style = field(default_factory=Int8Style)
    fallback: FallbackPrecision = "fp32"
    """The fastest precision for ops that do not run in int8."""


@dataclass(frozen=True, kw_only=True)
class Availability:
    """Whether a target can be used here. ``reason`` states why not, ``hint`` what to do."""

    can_build: bool
    can_run: bool
    version: str = ""
    reason: str = ""
    hint: str = ""


@dataclass(frozen=True, kw_only=True)
class BuiltWith:
    """How a plan was built: the target's version, and what :meth:`Backend.built_with` returned."""

    version: str
    settings: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How to run an engine.

    Attributes:
        threads: CPU threads of all streams together; 0: the target's default.
        built: how the plan was built; None: it was built in this process.
        model: the plan's quantized ONNX, for plans that were built without weights.
        streams: how many batches may run at once; 0: the target's default.
        use_graphs: let a GPU repeat recorded work (CUDA graphs).
        is_trusted: allow host code in a plan; version-compatible plans of TensorRT contain some.
    """

    threads: int = 0
    built: BuiltWith | None = None
    model: Path | None = None
    streams: int = 0
    use_graphs: bool = True
    is_trusted: bool = False


class Runner(ABC):
    """A loaded plan or model: images (N, C, H, W) float32 in, one float32 array out.

    A context manager. Call :meth:`close` where ``with`` is not used.
    """

    streams = 1
    """How many batches run at once. If more threads call :meth:`run`, they wait."""
    check_output: Callable[[npt.NDArray[np.float32], int], None] | None = None
    """Checks each output of :meth:`run` for a number of images; for plans of unknown origin."""
    note = ""
    """A sentence that reports must contain, such as why a baseline does not run in TensorFlow."""

    def __init__(self, *, label: str, shape: tuple[int, int, int], max_batch: int) -> None:
        self.label = label
        self.shape = shape
        """(C, H, W) of one image."""
        self.max_batch = max_batch
        self._pool: ThreadPoolExecutor | None = None
        # ``submit`` creates the pool, because most callers never use it; ``_starting`` guards it.
        self._free, self._starting = FairSemaphore(1), Lock()

    def run(self, images: Batch) -> npt.NDArray[np.float32]:
        """Run a batch (N, C, H, W) float32; return the output in the converted graph's layout.

        Raises:
            ValueError: wrong dtype, shape or batch size.
            EngineBuildError: the runtime fails.
        """
        if images.dtype != np.float32 or images.shape[1:] != self.shape:
            raise ValueError(
                f"{self.label} accepts float32 (N, {', '.join(map(str, self.shape))}), "
                f"got {images.dtype} {images.shape}"
            )
        if not 1 <= len(images) <= self.max_batch:
            raise ValueError(
                f"{self.label} accepts 1 to {self.max_batch} images, got {len(images)}"
            )
        try:
            output = self.execute(self.prepare(images))
        except (OcrTrtError, AssertionError, ValueError, MemoryError):
            raise
        except Exception as error:  # the runtimes have no common base class of their errors
            raise EngineBuildError(
                f"{self.label} fails on images of shape {list(images.shape)}: {cause(str(error))}"
            ) from error
        if self.check_output is not None:
            self.check_output(output, len(images))
        return output

    def submit(self, images: Batch) -> Future[npt.NDArray[np.float32]]:
        """Run a batch in one of the runner's own threads; the future holds its result or error.

        Waits while two batches per stream are unfinished. Callers are served in order of arrival.
        """
        with self._starting:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.streams, thread_name_prefix=self.label)
                # Two per stream: one runs, and one is ready when that ends.
                self._free = FairSemaphore(2 * self.streams)
            pool, free = self._pool, self._free
        # Outside the lock, so that waiting here does not block ``close``.
        free.acquire()
        try:
            future = pool.submit(self.run, images)
        except RuntimeError:  # ``close`` shut the pool down in the meantime
            free.release()
            raise
        future.add_done_callback(lambda _: free.release())
        return future

    def prepare(self, images: Batch) -> Any:
        """Convert images to the input of :meth:`execute`; this is not part of a latency."""
        return np.ascontiguousarray(images)

    @abstractmethod
    def execute(self, feed: Any) -> npt.NDArray[np.float32]:
        """Run one prepared feed and wait for the result. Benchmarks time this method."""

    def close(self) -> None:
        """Wait for submitted batches, and free the engine's memory."""
        with self._starting:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Backend(ABC):
    """One target: builds plans and opens them."""

    name: str
    precisions: tuple[Precision, ...]
    """The precisions that it can run, the most exact first."""
    suffix: str
    """The suffix of its plan files."""
    runs_on_cpu: bool = False
    """Whether ``RunSettings.threads`` has an effect."""
    option_names: tuple[str, ...] = ()
    """The names in ``BuildSettings.options`` that it accepts."""
    refused_options: Mapping[str, str] = {}
    """Options of a related target that this one does not have, with the reasons."""
    times_kernels: bool = False
    """Whether its builder chooses kernels by timing them, so that two builds may differ."""

    @abstractmethod
    def availability(self) -> Availability:
        """Return whether the target can be used here."""

    def can_run(self, settings: BuildSettings) -> bool:
        """Whether plans that are built with these settings can be run here."""
        return self.can_run_built(self.built_with(settings))

    def can_run_built(self, settings: Mapping[str, Any]) -> bool:
        """Whether plans can be run here whose manifest states these ``settings``."""
        return self.availability().can_run

    def check_options(self, options: Mapping[str, str]) -> None:  # noqa: B027  # few have options
        """Check the values of those options that the target accepts; all others are ignored.

        ``build_options.check_options`` checks a request, whose options may be for several targets.

        Raises:
            UserError: a value is wrong.
            TargetMissingError: an option needs something that is not installed.
        """

    def built_with(self, settings: BuildSettings) -> dict[str, Any]:
        """Return the settings of a build for the manifest, as JSON data."""
        return {}

    def needs(self) -> GraphNeeds:
        """Return how to quantize a graph for this target."""
        return GraphNeeds()

    def lower(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """Rewrite ops without int8 kernels on this target into ops that have them.

        Called with a float graph before int8 calibration. Returns the same object if nothing
        changes, so that targets can share a calibration.
        """
        return model

    @abstractmethod
    def build(self, model: onnx.ModelProto, plan: Path, settings: BuildSettings) -> None:
        """Compile a quantized graph to the file ``plan`` (and files of the same stem beside it).

        Raises:
            EngineBuildError: the target refuses the graph.
        """

    @abstractmethod
    def refusals(self, model: onnx.ModelProto) -> dict[str, str]:
        """Return the nodes of a quantized graph that the target refuses, with the reasons.

        The key is "" if the target refuses the graph without naming a node.
        """

    @abstractmethod
    def open(self, plan: Path, *, label: str, settings: RunSettings, max_batch: int) -> Runner:
        """Load a plan.

        Raises:
            TargetMissingError: the target cannot run here.
        """

    def look_inside(self, plan: Path, names: Sequence[str], images: Batch) -> dict[str, Batch]:
        """Run a plan on images (N, C, H, W); return inner tensors and the output by name.

        Tensors that the plan does not have any more are left out; most targets return nothing.
        Exposing a tensor may change which ops around it are fused, and therefore the numbers.

        Raises:
            TargetMissingError: the target cannot run here.
        """
        return {}

    def layer_times(
        self, plan: Path, images: Batch, settings: RunSettings
    ) -> tuple[LayerTime, ...]:
        """Run a plan on images (N, C, H, W); return the cost of each layer.

        The last item is the time between layers. Most targets return nothing.
        """
        return ()

    def peaks(self, progress: Callable[[float], None]) -> dict[Precision, float]:
        """Measure the highest FLOP/s of each precision; ``progress`` gets the share done."""
        return {}

    def check_can_build(self) -> None:
        """Check that the target can build here.

        Raises:
            TargetMissingError: it cannot; the message has the reason and the hint.
        """
        found = self.availability()
        if not found.can_build:
            raise TargetMissingError(f"target {self.name}: {found.reason}; {found.hint}")

    def check_precision(self, precision: Precision) -> None:
        """Refuse a precision that the target would silently run as another.

        Raises:
            UserError: the message lists the available precisions.
        """
        if precision not in self.precisions and precision != "best":
            raise UserError(
                f"target {self.name} cannot compute in {precision} on this machine; available: "
                f"{', '.join(self.precisions)}"
            )
