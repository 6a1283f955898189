"""``manifest.json``: the content and the origin of an engine bundle."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ..common.frozen_model import StrictModel
from ..common.input_size import InputSize
from ..common.json_files import checked, read_json
from ..common.limits import LARGEST_MANIFEST_VALUES
from ..compression.decisions import Decision
from ..errors import InputFileError
from ..ocr.metrics.metric import METRICS, RoleMetric
from ..spec import ModelSpec

NAME = "manifest.json"
LARGEST = 16 << 20
"""Largest size of a manifest in bytes; larger files are refused."""

Precision = Literal["fp32", "bf16", "fp16", "int8", "best"]
"""``best``: the fastest mixture of precisions that stays within the accuracy budget."""


class FileEntry(StrictModel):
    """One file of a bundle: size in bytes and SHA-256."""

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class EngineEntry(StrictModel):
    """The engine for one input size. Paths are relative to the bundle."""

    height: int = Field(ge=1)
    width: int = Field(ge=1)
    model: str
    """The quantized ONNX that the plan was compiled from."""
    plan: str
    """The file that the target loads."""

    @property
    def size(self) -> InputSize:
        """Height and width of the input."""
        return InputSize(self.height, self.width)


class Calibration(StrictModel):
    """Origin of the ranges of an int8 or 16-bit graph."""

    method: str
    corrections: tuple[str, ...] = ()
    """Weight corrections of the float graph: "equalize", "bias"."""
    images: int
    skipped: tuple[str, ...] = ()
    """Images that could not be read, with the reasons."""
    data_sha256: str
    own_ranges: int = Field(0, ge=0)
    """Number of ranges from the model itself, trained or saved with fake quantization."""
    ranges: dict[str, Annotated[float, Field(ge=0)]] = Field(repr=False)


class OcrMetric(StrictModel):
    """An OCR measure on one set of samples; values are shares, 0..1."""

    name: RoleMetric
    engine: float
    baseline: float
    samples: int
    labeled: bool
    """False: the output of the baseline was the ground truth."""
    engine_run_by: str
    """The target, or onnxruntime on the quantized ONNX where the target cannot run."""
    details: dict[str, float] = {}

    @property
    def loss(self) -> float:
        """Points (1/100) lost against the baseline; negative if the engine is better."""
        return 100 * METRICS[self.name].sign * (self.baseline - self.engine)


class Latency(StrictModel):
    """Medians in milliseconds at batch 1 and the input of the spec, timed alternately."""

    engine: float = Field(gt=0)
    baseline: float = Field(gt=0)

    @property
    def speedup(self) -> float:
        """How many times faster the engine is."""
        return self.baseline / self.engine


class Verdict(StrictModel):
    """The measurements at the end of a build."""

    baseline: str
    """The model and framework it was compared with, such as "tensorflow 2.21.0"."""
    max_difference: float
    """Largest absolute difference of the fp32 graph, and of an fp32 engine, from the baseline. Of a
    compressed model: before compression, because the OCR metric judges what compression changes."""
    allowed_difference: float | None = None
    """What was allowed: ``accuracy.max_difference`` of the spec, and the rounding of a baseline
    that computes in 16 bits. None: the bundle is from an older version."""
    float_type: Literal["float16", "bfloat16"] | None = None
    """The 16-bit type in which the baseline computes, if any."""
    metric: OcrMetric | None = None
    """None: there were no images."""
    latency: Latency | None = None
    """None: the target cannot run on the machine that built the bundle."""


class ChosenPrecision(StrictModel):
    """The result of a search for the precision or the calibration method."""

    precision: Precision
    """The fastest type in the engine: ``int8``, ``bf16``, ``fp16`` or ``fp32``."""
    label: str
    """The candidate that was chosen, such as "int8, 3 of 20 layers in float"."""
    reason: str
    """Why it was chosen."""


class PointsInterval(StrictModel):
    """The 95 % confidence interval of the points lost, resampled over the samples."""

    low: float
    high: float


class Compression(StrictModel):
    """How the network was made smaller before it was quantized, or why it was not."""

    decisions: tuple[Decision, ...] = ()
    """Factored layers and pruned groups of channels, of the network without dead channels."""
    reason: str
    """Why these decisions were taken, or why none was."""
    dead_channels: int = Field(0, ge=0)
    """Outputs of layers that did nothing, and were removed before all decisions. This is exact."""
    sparse_layers: int = Field(0, ge=0)
    """Layers of whose weights at least two in each four are 0, for the option ``sparse``."""
    kept_flops: float = Field(1.0, gt=0)
    """FLOPs of the network relative to those of the whole network."""
    images: int = Field(ge=0)
    """Number of calibration images that the weights were fitted to."""
    data_sha256: str
    distance: float = 0.0
    """Distance of the output from that of the whole network in fp32; it only ranks networks."""
    agreement: float | None = None
    """The OCR metric of the compressed network in fp32 with the output of the model as the truth,
    as a share: 1 for equal results. None: not measured."""
    metric: OcrMetric | None = None
    """The OCR metric of the compressed network in fp32. None: there were no images."""
    interval: PointsInterval | None = None
    """Of the points that ``metric`` lost; None: fewer than 8 samples."""
    can_tell: bool = True
    """Whether the interval is within the budget. If not, the samples are too few to be sure, and
    the agreement with the model was checked, too."""
    uncompressed: Latency | None = None
    """Latency of the engine without compression, measured in one run with that of the bundle."""
    channels: dict[str, tuple[Annotated[int, Field(ge=0)], ...]] = Field({}, repr=False)
    """Tensors that lost channels, with the channels of the original tensor that remain."""

    @property
    def is_applied(self) -> bool:
        """Whether the engine is compressed."""
        return bool(self.decisions) or self.dead_channels > 0 or self.sparse_layers > 0


class TargetTrial(StrictModel):
    """One of the targets that ``--target auto`` compared."""

    target: str
    chosen: bool = False
    """Whether the bundle is of this target."""
    label: str = ""
    """The precision of its engine; "" if there is none."""
    metric: OcrMetric | None = None
    """None: there were no images, or no engine."""
    latency: Latency | None = None
    """Measured in one run with all other targets; None if there is no engine to time."""
    seconds: float = Field(ge=0)
    """How long its engine took to build and its accuracy to measure; that of the first target
    contains the calibration, which targets share."""
    error: str = ""
    """Why it has no engine within budget."""


class Manifest(StrictModel):
    """All data about a bundle."""

    schema_version: Literal[2] = 2
    """2: entries of engines have a height."""
    spec: ModelSpec
    target: str
    precision: Precision
    source_sha256: str
    versions: dict[str, str]
    settings: dict[str, Any] = {}
    """Target-specific build settings, such as compute capabilities."""
    largest_weight: int = Field(127, ge=1, le=127)
    """Largest int8 weight allowed: 63 for processors that add two products in 16 bits."""
    engines: tuple[EngineEntry, ...] = Field(min_length=1)
    int8_share: float | None = Field(None, ge=0, le=1)
    """Share in int8 of the FLOPs of all convolutions, matrix products and recurrent layers (LSTM,
    GRU, RNN); None: not an int8 build."""
    precision_exceptions: dict[str, str] = Field({}, repr=False)
    """Ops that do not run in the requested precision, with the reason."""
    choice: ChosenPrecision | None = None
    """The result of the search for ``best`` or for a calibration method; None: no search."""
    compared_targets: tuple[TargetTrial, ...] = ()
    """The targets that ``auto`` compared, the fastest first; (): the target was named."""
    batch_limit: str = ""
    """Why the engine accepts single images only, although the user's spec allowed larger batches;
    ``spec.input.max_batch`` is 1 then."""
    calibration: Calibration | None = None
    compression: Compression | None = None
    """None: compression was not requested."""
    verdict: Verdict | None = None
    files: dict[str, FileEntry]


def _why_not(folder: Path) -> str:
    """Return why a path is not a bundle, and what to name instead."""
    if not folder.exists():
        return "there is no such folder; `ocr-trt build` creates bundles"
    if not folder.is_dir():
        kind = "a spec" if folder.suffix.lower() in (".yaml", ".yml") else "a file"
        return f"it is {kind}; name the folder that `ocr-trt build` created"
    inside = sorted(path.parent.name for path in folder.glob(f"*/{NAME}"))
    if inside:
        return f"it contains bundles; name one of them, such as {folder / inside[0]}"
    return f"it contains no {NAME}; name a folder that `ocr-trt build` created"


def read_manifest(folder: Path) -> Manifest:
    """Read and check a bundle's manifest, without its other files.

    Raises:
        InputFileError: not a bundle, or its manifest is damaged or from another version.
    """
    path = folder / NAME
    with contextlib.suppress(OSError):  # such as a name that is too long: read_json reports it
        if not path.is_file():
            raise InputFileError(f"{folder}: not an engine bundle: {_why_not(folder)}")
    # The version first: a manifest of another version would fail with an unrelated field.
    data = read_json(path, limit=LARGEST, values=LARGEST_MANIFEST_VALUES)
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != 2:
        raise InputFileError(
            f"{path}: schema_version is {version!r}, expected 2; build the bundle again with this "
            "version of ocr-trt, into a new folder"
        )
    return checked(data, Manifest, path)
