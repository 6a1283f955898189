"""One target of a build: the data that all steps after the comparison share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import onnx

from ..calibration.calibrator import QuantizationSettings
from ..calibration.methods import METHODS
from ..common.progress import Reporter
from ..convert.graph import Graphs
from ..engines.base import Backend, GraphNeeds
from ..spec import ModelSpec
from .compare import Baseline
from .compile import PlanCompiler
from .request import BuildRequest

LogName = Literal["trials", "compression"]
"""The searches that keep their measurements."""
LOGS: tuple[LogName, ...] = get_args(LogName)


@dataclass(frozen=True, kw_only=True)
class TargetJob:
    """One target to build. ``graphs``: clean float graphs, not yet rewritten for the target."""

    request: BuildRequest
    requested: str
    """The target as it was requested: its name or ``auto``. The bundle has this name."""
    target: Backend
    graphs: Graphs
    baseline: Baseline
    reporter: Reporter
    batch_limit: str = ""
    """See ``ConvertedModel``."""
    shortcomings: tuple[str, ...] = ()
    """What the calibration images lack; see ``calibration.suitability``."""

    is_compressed: bool = False
    """Whether the graphs were compressed, so that they differ from the baseline."""

    @property
    def spec(self) -> ModelSpec:
        """The spec of the model."""
        return self.request.spec

    @property
    def folder(self) -> Path:
        """The folder of the bundle."""
        return self.request.bundle_folder(self.requested)

    def log_path(self, of: LogName) -> Path:
        """Return the file with the measurements of a search.

        It is beside the bundle, whose folder appears only when the build has succeeded. It belongs
        to one target: ``auto`` searches for several targets, which share a folder.
        """
        folder = self.request.bundle_folder(self.target.name)
        return folder.with_name(f"{folder.name}.{of}.jsonl")

    def remove_logs(self) -> None:
        """Remove the measurements of all searches, after the bundle is written."""
        for of in LOGS:
            self.log_path(of).unlink(missing_ok=True)

    @property
    def compiler(self) -> PlanCompiler:
        """Compiles graphs for the target."""
        return PlanCompiler(
            target=self.target,
            spec=self.spec,
            settings=self.request.settings,
            reporter=self.reporter,
        )

    @property
    def has_int8(self) -> bool:
        """Whether layers may be quantized to int8."""
        return self.request.precision in ("int8", "best")

    @property
    def needs(self) -> GraphNeeds:
        """The target's requirements on graphs; they concern int8 only."""
        return self.target.needs() if self.has_int8 else GraphNeeds()

    def lower(self, graph: onnx.ModelProto) -> onnx.ModelProto:
        """Rewrite a float graph for the target's int8 kernels, if int8 is requested."""
        return self.target.lower(graph) if self.has_int8 else graph

    @property
    def quantization(self) -> QuantizationSettings:
        """How to quantize to int8 for the target, before a search keeps layers in float."""
        request, needs = self.request, self.needs
        # --everywhere overrides the target's preference for float matrix products as well.
        products = needs.style.products or request.everywhere
        return QuantizationSettings(
            precision="int8",
            fallback=needs.fallback,
            style=replace(needs.style, everywhere=request.everywhere, products=products),
            method=request.method,
            corrections=request.corrections,
        )

    @property
    def methods(self) -> tuple[str, ...]:
        """The calibration methods to choose from."""
        return tuple(METHODS) if self.request.method == "auto" else (self.request.method,)
