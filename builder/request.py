"""The input of a build, the checks on it, and the result for each target."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import get_args

from ..calibration.calibrator import WEIGHT_CORRECTIONS, WeightCorrection
from ..calibration.images import CalibrationSet
from ..calibration.methods import METHODS
from ..common.files import check_destination
from ..common.progress import Reporter
from ..engines.base import BuildSettings
from ..engines.build_cache import BuildCache
from ..engines.build_options import check_options
from ..engines.bundle import Bundle, own_files
from ..engines.manifest import Precision
from ..engines.target_groups import AUTO, TargetGroup, target_groups
from ..errors import InputFileError, OcrTrtError, UserError, unknown
from ..measure.accuracy import has_samples
from ..measure.latency import LatencySettings
from ..ocr.dataset import Dataset
from ..spec import ModelSpec, with_max_batch


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """What to build."""

    spec: ModelSpec
    """The model, from :func:`ocr_trt.load_spec`."""
    precision: Precision
    """``fp32``, ``bf16``, ``fp16``, ``int8``, or ``best``: a search for the fastest mix."""
    output: Path
    """The folder that gets one bundle per target, ``<name>-<target>-<precision>``, followed by
    ``-compressed`` if compression is requested."""
    targets: tuple[str, ...] = (AUTO,)
    """Runtimes: ``openvino``, ``onnxruntime``, ``tensorrt``, ``tensorrt-rtx``. ``auto`` builds for
    every one that can run on this machine, and keeps the fastest engine within the budget."""
    calibration: CalibrationSet | None = None
    """Images from :func:`ocr_trt.load_calibration`; all precisions but fp32 need them."""
    samples: Dataset | None = None
    """Images from :func:`ocr_trt.load_dataset`, on which the verdict is measured; None: on the
    calibration images.
    """
    method: str = "mse"
    """How ranges are chosen; "auto" tries all methods and keeps the best by the OCR metric."""
    corrections: tuple[WeightCorrection, ...] = ()
    ranges: Path | None = None
    """A file of ranges. If it exists it is used, and must be of this model, data and method;
    otherwise it is written."""
    everywhere: bool = False
    """Quantize all layers to int8, including those that normally keep a float precision."""
    compress: bool = False
    """Make the network smaller first: factor layers and prune channels, as far as the accuracy
    budget allows. Needs calibration images in every precision."""
    settings: BuildSettings = field(default_factory=BuildSettings)
    """Largest batch, and options of the targets' builders."""
    latency: LatencySettings = field(default_factory=LatencySettings)
    """How long the engines are timed."""
    cache: BuildCache | None = None
    """Where finished bundles are kept and reused from; None: always build."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "output", Path(self.output))  # a program may pass a str
        if isinstance(self.targets, str):
            raise UserError(f"targets is {self.targets!r}; expected a tuple: ({self.targets!r},)")

    def bundle_folder(self, target: str) -> Path:
        """Return the folder of a bundle, by the name of its target or ``auto``."""
        suffix = "-compressed" if self.compress else ""
        return self.output / f"{self.spec.name}-{target}-{self.precision}{suffix}"


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """The bundle of one target, or the error that prevented it."""

    target: str
    """The runtime; ``auto`` if none of several could be chosen."""
    folder: Path
    """The folder of the bundle."""
    bundle: Bundle | None
    """None if there is an error."""
    error: OcrTrtError | None = None
    """Why there is no bundle."""
    measured: datetime | None = None
    """When a bundle from the build cache was measured; None: in this build."""


def for_single_images(request: BuildRequest) -> BuildRequest:
    """Return a request for engines that accept one image at a time."""
    spec, settings = with_max_batch(request.spec, 1), replace(request.settings, max_batch=1)
    return replace(request, spec=spec, settings=settings)


def check_request(request: BuildRequest, reporter: Reporter) -> list[TargetGroup]:
    """Check a request and return its targets. Every check runs before any slow work.

    Raises:
        UserError: options contradict each other, or a target does not support one.
        TargetMissingError: a target cannot build on this machine.
        InputFileError: the samples do not fit the role of the model.
        OutputError: a bundle's folder cannot be written.
    """
    _check_names(request)
    groups = target_groups(request.targets, request.precision, request.settings)
    targets = [target for group in groups for target in group.members]
    _check_calibration(request)
    for note in check_options(targets, request.settings.options):
        reporter.note(note)
    if request.samples is not None and not has_samples(request.samples, request.spec):
        folder, role = request.samples.folder, request.spec.role
        raise InputFileError(
            f"{folder}: contains no samples that a {role} can be measured on; name another folder"
        )
    _check_ranges(request)
    # Last: this check creates the output folder, which a wrong request must not leave behind.
    for group in groups:
        check_destination(request.bundle_folder(group.name), own_files)
    return groups


def _check_calibration(request: BuildRequest) -> None:
    """Refuse a request without the images that its precision or compression needs."""
    if request.calibration is not None:
        return
    if request.precision != "fp32":
        raise UserError(
            f"precision {request.precision} needs calibration images: "
            "give --calibration DIR, or --precision fp32"
        )
    if request.compress:
        raise UserError(
            "compression needs calibration images in every precision, because the smaller weights "
            "are fitted to them: give --calibration DIR, or leave out --compress"
        )


def _check_names(request: BuildRequest) -> None:
    """Refuse names that do not exist, which a program may pass."""
    named = (
        ("precision", (request.precision,), get_args(Precision)),
        ("calibration method", (request.method,), ("auto", *METHODS)),
        ("weight correction", request.corrections, WEIGHT_CORRECTIONS),
    )
    for kind, names, known in named:
        for name in names:
            if name not in known:
                raise UserError(unknown(kind, name, known))


def _check_ranges(request: BuildRequest) -> None:
    """Refuse a file of ranges in a build that computes several kinds of ranges."""
    if request.ranges is None:
        return
    if request.compress:
        raise UserError(
            "a file of ranges belongs to the graph of the whole model, and --compress changes the "
            "graph: give --ranges or --compress, not both"
        )
    if request.method == "auto" or request.corrections or request.precision == "best":
        raise UserError(
            "a file of ranges contains those of one method: give --method NAME with it, and no "
            "--weight-correction, --method auto or --precision best"
        )
