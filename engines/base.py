"""The interface of all targets: availability, building a plan, running a plan."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx

from ..calibration.int8_style import FallbackPrecision, Int8Style
from ..errors import TargetMissingError, UserError
from .layer_time import LayerTime
from .manifest import Precision
from .runner import Batch, FreePlan, Runner


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
    channel_multiple: int = 8
    """Layers whose channels are multiples of it are fastest; a compressed layer has such a number.
    """


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
    has_free_sizes: bool = False
    """Whether one plan may serve all input sizes of an engine; see :meth:`open_free`."""
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

    def wants_sparse_weights(self, options: Mapping[str, str]) -> bool:
        """Whether options request kernels for weights of which two in four are 0."""
        return False

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

    def open_free(self, plan: Path, *, settings: RunSettings) -> FreePlan:
        """Load a plan whose height and width are free, if the target ``has_free_sizes``.

        Raises:
            TargetMissingError: the target cannot run here.
            InputFileError: the plan is not of this kind.
        """
        raise NotImplementedError(self.name)

    def look_inside(self, plan: Path, names: Sequence[str], images: Batch) -> dict[str, Batch]:
        """Run a plan on images (N, C, H, W); return inner tensors and the output by name.

        Tensors that the plan does not have any more are left out; most targets return nothing.
        Exposing a tensor may change which ops around it are fused, and therefore the numbers.

        Raises:
            TargetMissingError: the target cannot run here.
        """
        return {}

    def layer_times(
        self, plan: Path, images: Batch, settings: RunSettings, seconds: float | None = None
    ) -> tuple[LayerTime, ...]:
        """Run a plan on images (N, C, H, W); return the cost of each layer.

        The last item is the time between layers. Most targets return nothing. ``seconds``: how long
        to run it; None: as long as the target needs for steady times.
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
