"""What a build is asked for, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from ..calibration.calibrator import WeightCorrection
from ..calibration.images import CalibrationSet
from ..engines.base import BuildSettings
from ..engines.build_cache import BuildCache
from ..engines.bundle import Bundle
from ..engines.manifest import Precision
from ..errors import OcrTrtError
from ..measure.latency import LatencySettings
from ..ocr.dataset import Dataset
from ..spec import DetectorSpec, RecognizerSpec


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """What to build.

    ``samples`` are what the verdict is measured on; without them the calibration images are used.
    ``output`` is the folder that gets one bundle per target, ``<name>-<target>-<precision>``.
    """

    spec: DetectorSpec | RecognizerSpec
    targets: tuple[str, ...]
    precision: Precision
    output: Path
    calibration: CalibrationSet | None = None
    samples: Dataset | None = None
    method: str = "mse"
    """How ranges are chosen; "auto" tries all, and takes what the OCR metric says."""
    corrections: tuple[WeightCorrection, ...] = ()
    ranges: Path | None = None
    """A file of ranges: used if it is there and is of this model, data and method, else written."""
    everywhere: bool = False
    """Put all layers in int8, also those that rather stay in float."""
    settings: BuildSettings = field(default_factory=BuildSettings)
    latency: LatencySettings = field(default_factory=LatencySettings)
    cache: BuildCache | None = None
    """Where finished bundles are kept and taken from; None: build anew."""


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """One target of a build: its bundle, or why there is none."""

    target: str
    folder: Path
    bundle: Bundle | None
    error: OcrTrtError | None = None
    measured: datetime | None = None
    """When its verdict was measured, if it comes from the build cache; else it was just now."""
