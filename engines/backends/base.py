"""What every target can be asked: are you here, build this, run this."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from ...calibration.quantize import Int8Style
from ...calibration.typed import Rest
from ...errors import UserError
from ..manifest import Precision

Pictures = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """Settings that only some targets heed."""

    max_batch: int = 1
    compute_capabilities: tuple[str, ...] = ()
    """NVIDIA GPUs to build for, such as "8.9"; empty: the target's default."""
    plugins: bool = False
    """Let TensorRT take the kernels of custom ops in place of their function bodies."""


@dataclass(frozen=True, kw_only=True)
class GraphNeeds:
    """What an int8 graph must be for a target. Graphs for the same needs are the same."""

    lower_deconvolutions: bool = False
    """ConvTranspose has no int8 kernels there, but Conv has: it becomes one."""
    style: Int8Style = field(default_factory=Int8Style)
    rest: Rest = "fp32"
    """What is fastest for ops that do not run in int8."""


@dataclass(frozen=True, kw_only=True)
class Presence:
    """Whether a target can be used here. ``reason`` and ``remedy`` say why not, and what to do."""

    can_build: bool
    can_run: bool
    version: str = ""
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How to run an engine. 0 threads: the target's own choice."""

    threads: int = 0


class Runner(ABC):
    """One engine, ready to run: pictures (N, C, H, W) float32 in, one float32 array out.

    A context manager; outside ``with`` it must be closed.
    """

    def __init__(self, *, label: str, shape: tuple[int, int, int], max_batch: int) -> None:
        self.label = label
        self.shape = shape
        """(C, H, W) of one picture."""
        self.max_batch = max_batch

    def run(self, pictures: Pictures) -> npt.NDArray[np.float32]:
        """Run a batch; return the output in the converted graph's layout.

        Raises:
            ValueError: wrong dtype, shape or batch size.
        """
        if pictures.dtype != np.float32 or pictures.shape[1:] != self.shape:
            raise ValueError(
                f"{self.label} takes float32 (N, {', '.join(map(str, self.shape))}), "
                f"got {pictures.dtype} {pictures.shape}"
            )
        if not 1 <= len(pictures) <= self.max_batch:
            raise ValueError(
                f"{self.label} takes 1 to {self.max_batch} pictures, got {len(pictures)}"
            )
        return self.execute(self.prepare(pictures))

    def prepare(self, pictures: Pictures) -> Any:
        """Turn pictures into what :meth:`execute` takes; not part of a latency."""
        return np.ascontiguousarray(pictures)

    @abstractmethod
    def execute(self, feed: Any) -> npt.NDArray[np.float32]:
        """Run one prepared feed and wait for the result. This is what is timed."""

    def close(self) -> None:  # noqa: B027 (nothing to free is fine)
        """Free what the engine holds."""

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Backend(ABC):
    """One target."""

    name: str
    precisions: tuple[Precision, ...]
    """What it can run, most exact first."""
    suffix: str
    """Of its plan file."""
    for_named_gpus: bool = False
    """Whether ``BuildSettings.compute_capabilities`` means anything to it."""
    takes_plugins: bool = False
    """Whether ``BuildSettings.plugins`` does."""
    times_kernels: bool = False
    """Whether its builder chooses kernels by timing them: no two plans of a graph are the same."""

    @abstractmethod
    def presence(self) -> Presence:
        """Say whether the target can be used here."""

    def check_plugins(self) -> None:
        """Check that ``BuildSettings.plugins`` can be had.

        Raises:
            UserError: the target takes no kernels.
            TargetMissingError: something is not installed.
        """
        if not self.takes_plugins:
            raise UserError(
                f"--plugins: {self.name} takes no kernels, it builds function bodies; leave the "
                "option out, or name --target tensorrt"
            )

    def needs(self) -> GraphNeeds:
        """Say what an int8 graph must be to run here, or where the target's plans run."""
        return GraphNeeds()

    @abstractmethod
    def build(self, model: onnx.ModelProto, plan: Path, settings: BuildSettings) -> None:
        """Compile a typed graph to the file ``plan`` (and files beside it of the same stem).

        Raises:
            EngineBuildError: the target refuses the graph.
        """

    @abstractmethod
    def refusals(self, model: onnx.ModelProto) -> dict[str, str]:
        """Return the nodes of a typed graph that the target refuses, and why.

        Where the target does not name nodes, "" stands for the graph as a whole.
        """

    @abstractmethod
    def open(self, plan: Path, *, label: str, settings: RunSettings, max_batch: int) -> Runner:
        """Load a plan.

        Raises:
            TargetMissingError: the target cannot run here.
        """

    def check_precision(self, precision: Precision) -> None:
        """Refuse a precision that the target would silently run as another.

        Raises:
            UserError: says which precisions there are.
        """
        if precision not in self.precisions and precision != "best":
            raise UserError(
                f"target {self.name} has no {precision} arithmetic here; it runs: "
                f"{', '.join(self.precisions)}"
            )
