"""The spec of a model: its role, its file, its input and output, and its accuracy budget.

A spec is a YAML file. ``load_spec`` reads it, ``dump_spec`` writes it, ``ocr-trt init`` drafts it.
Paths in it are relative to the file.
"""

from __future__ import annotations

import os
import reprlib
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, TypeAdapter, ValidationError, model_validator

from .common.frozen_model import StrictModel
from .common.read_file import read_limited
from .common.safe_yaml import dump_yaml, load_yaml
from .common.validation_text import explained
from .errors import InputFileError, SpecError

LARGEST_SPEC = 1 << 18  # bytes

Role = Literal["detector", "recognizer"]
PRINTABLE_ASCII = "".join(map(chr, range(32, 127)))


class SourceSpec(StrictModel):
    """The file of the model, and which part of it to use."""

    path: Path
    format: Literal["saved_model", "keras", "graph_def", "checkpoint", "tflite", "onnx"] | None = (
        None
    )
    """None: derived from the file name."""
    signature: str = "serving_default"
    tags: tuple[str, ...] = ()
    """Tags such as "serve" that select one graph of a SavedModel that contains several."""
    allow_lambda: bool = False
    """Run the Python code inside Lambda layers. Only for files you trust."""
    custom: tuple[Annotated[str, Field(pattern=r"^[\w.]+:\w+$")], ...] = ()
    """Custom layers of a Keras file, as "module:Class"; the modules are imported."""
    constants: dict[str, float | Path] = {}
    """Values of further inputs by name: a number for the whole input, or a .npy file."""


class InputSpec(StrictModel):
    """The model's image input, whose values are ``(pixel - mean) * scale``."""

    name: str
    shape: tuple[int, int, int, int]
    """In ``layout``; the width of a recognizer is that of its widest bucket. The batch size is 1,
    unless the model accepts another one only."""
    layout: Literal["NHWC", "NCHW"] = "NHWC"
    color: Literal["RGB", "BGR", "GRAY"] = "RGB"
    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1 / 255,)
    pad: int = Field(127, ge=0, le=255)
    """Pixel value around an image that does not fill the input."""
    max_batch: int = Field(1, ge=1, le=1024)
    """Above 1 the engine accepts every batch size from 1 to this one, if the model allows it."""

    @property
    def height(self) -> int:
        """Rows of the input."""
        return self.shape[1 if self.layout == "NHWC" else 2]

    @property
    def width(self) -> int:
        """Columns of the input."""
        return self.shape[2 if self.layout == "NHWC" else 3]

    @property
    def channels(self) -> int:
        """Color channels of the input."""
        return self.shape[3 if self.layout == "NHWC" else 1]

    def shape_at(self, batch: int, width: int) -> tuple[int, int, int, int]:
        """The input's shape, in the model's own layout, for another batch size and width."""
        if self.layout == "NHWC":
            return batch, self.height, width, self.channels
        return batch, self.channels, self.height, width

    @model_validator(mode="after")
    def _consistent(self) -> InputSpec:
        if min(self.shape) < 1 or max(self.shape) > 16384:
            raise ValueError(f"shape must be four numbers from 1 to 16384, got {list(self.shape)}")
        expected = 1 if self.color == "GRAY" else 3
        if self.channels != expected:
            raise ValueError(
                f"color {self.color} means {expected} channels, but shape {list(self.shape)} "
                f"in layout {self.layout} has {self.channels}"
            )
        for name, values in (("mean", self.mean), ("scale", self.scale)):
            if len(values) not in (1, expected):
                raise ValueError(f"{name} must hold 1 or {expected} numbers, got {len(values)}")
        return self


class BoxSettings(StrictModel):
    """The settings for finding boxes in a detector's probability map; see ``ocr.boxes``."""

    threshold: float = Field(0.3, gt=0, lt=1)
    """A pixel above this is text."""
    box_threshold: float = Field(0.5, ge=0, lt=1)
    """A region whose mean probability is below this is dropped."""
    min_side: float = Field(2.0, ge=0)
    """Shrunk regions thinner than this many map pixels are dropped."""
    max_boxes: int = Field(1000, ge=1, le=100_000)
    """The boxes with the best scores are kept, at most this many."""
    max_candidates: int | None = Field(None, ge=1)
    """The largest regions are scored, at most this many; None: all. Limits the time for noise."""
    dilate: bool = False
    """Grow the mask of text pixels by one pixel to the right and one downwards, so that regions
    with a thin gap become one region (PaddleOCR's ``use_dilation``)."""
    score_mode: Literal["slow", "fast"] = "slow"
    """Where the mean probability is taken: in the region (slow), or in the rectangle around it
    (fast). The names are PaddleOCR's."""
    unclip_ratio: float = Field(1.5, ge=0, le=10)
    """Growth of a region, as in differentiable binarization (Liao et al., 2020)."""
    shrink_ratio: float | None = Field(None, gt=0, lt=1)
    """The ratio by which regions were shrunk in training; if given, growth is its exact inverse."""


class MapOutput(StrictModel):
    """A detector's output: a map of text probabilities (N, H, W, C) or (N, C, H, W)."""

    name: str
    channel: int = Field(0, ge=0)
    activation: Literal["none", "sigmoid"] = "none"
    """The function that turns a value of the map into a probability."""


class SequenceOutput(StrictModel):
    """A recognizer's output: one score per time step and class."""

    name: str
    layout: Literal["NTC", "TNC"] = "NTC"
    kind: Literal["logits", "probabilities"] = "logits"


class AccuracyBudget(StrictModel):
    """How much less accurate an engine may be than the model that it was built from."""

    max_loss: float = Field(0.5, ge=0, le=100)
    """Points (1/100) of hmean for a detector, of CER for a recognizer."""
    max_difference: float = Field(1e-3, gt=0)
    """Largest absolute difference of an output, for fp32 engines."""


class _Spec(StrictModel):
    version: Literal[1] = 1
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    source: SourceSpec
    input: InputSpec


class DetectorSpec(_Spec):
    """A text detector of the probability-map family."""

    role: Literal["detector"]
    output: MapOutput
    boxes: BoxSettings = BoxSettings()
    accuracy: AccuracyBudget = AccuracyBudget()

    @property
    def widths(self) -> tuple[int, ...]:
        """The input widths that engines are built for."""
        return (self.input.width,)


class RecognizerSpec(_Spec):
    """A text line recognizer with CTC output."""

    role: Literal["recognizer"]
    output: SequenceOutput
    charset: str = Field(PRINTABLE_ASCII, min_length=1, max_length=100_000)
    """The characters of the classes, in order, without the blank."""
    blank: int = Field(0, ge=0)
    """Class index of the CTC blank."""
    buckets: tuple[int, ...] = ()
    """Additional, narrower input widths to build engines for."""
    max_squeeze: float = Field(1.1, ge=1, le=100)
    """A line wider than the widest input by at most this factor is squeezed into it. A wider line
    is read in overlapping windows."""
    accuracy: AccuracyBudget = AccuracyBudget(max_loss=0.3)

    @property
    def widths(self) -> tuple[int, ...]:
        """The input widths that engines are built for, ascending."""
        return tuple(sorted({*self.buckets, self.input.width}))

    @model_validator(mode="after")
    def _consistent(self) -> RecognizerSpec:
        if self.blank > len(self.charset):
            raise ValueError(
                f"blank is {self.blank}, expected a class from 0 to {len(self.charset)}"
            )
        if len(set(self.charset)) != len(self.charset):
            twice = next(each for each in self.charset if self.charset.count(each) > 1)
            raise ValueError(f"charset contains {twice!r} more than once")
        wrong = [width for width in self.buckets if not 0 < width <= self.input.width]
        if wrong:
            raise ValueError(f"buckets {wrong} must be from 1 to the width {self.input.width}")
        return self


_MODELS: dict[str, type[BaseModel]] = {"detector": DetectorSpec, "recognizer": RecognizerSpec}
ModelSpec = Annotated[DetectorSpec | RecognizerSpec, Field(discriminator="role")]
# Created once, because creating it builds the validators of all models.
_ADAPTER: TypeAdapter[DetectorSpec | RecognizerSpec] = TypeAdapter(ModelSpec)


def spec_from_dict(data: Any, origin: str = "spec") -> DetectorSpec | RecognizerSpec:
    """Validate a spec given as plain Python data.

    Raises:
        SpecError: a key is unknown or missing, or a type or value is wrong; names ``origin``.
    """
    role = data.get("role") if isinstance(data, dict) else None
    # Checked before pydantic, which selects the model by the role.
    if role not in get_args(Role):
        known = ", ".join(get_args(Role))
        close = get_close_matches(str(role), get_args(Role), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise SpecError(f"{origin}: role: expected one of {known}, got {reprlib.repr(role)}{hint}")
    try:
        return _ADAPTER.validate_python(data)
    except ValidationError as error:
        raise SpecError(f"{origin}: {explained(error, _MODELS)}") from None


def load_spec(path: Path | str) -> DetectorSpec | RecognizerSpec:
    """Read a spec; a relative ``source.path`` becomes relative to the file's folder.

    Raises:
        InputFileError: the file is missing, unreadable or over 256 KiB.
        SpecError: the file is not a valid spec.
    """
    path = Path(path)
    content = read_limited(path, limit=LARGEST_SPEC, what="a spec (.yaml)")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputFileError(f"{path}: cannot be read as a spec: {error}") from None
    try:
        data = load_yaml(text)
    except ValueError as error:
        raise SpecError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(data, dict):
        raise SpecError(
            f"{path}: expected a mapping with keys like role, source and input, "
            f"got {type(data).__name__}"
        )
    spec = spec_from_dict(data, str(path))
    return spec_seen_from(spec, path.parent)


def spec_seen_from(
    spec: DetectorSpec | RecognizerSpec, folder: Path
) -> DetectorSpec | RecognizerSpec:
    """Return a spec of ``folder`` with its source path relative to the current folder."""
    return _with_files(spec, lambda path: folder / path)


def spec_beside(spec: DetectorSpec | RecognizerSpec, folder: Path) -> DetectorSpec | RecognizerSpec:
    """Return a spec to write into ``folder``, with its source path relative to that folder."""

    # Resolved first: relpath compares names only, and ".." behind a link leads elsewhere.
    def beside(path: Path) -> Path:
        return Path(os.path.relpath(path.resolve(), folder.resolve()))

    return _with_files(spec, beside)


def _with_files(
    spec: DetectorSpec | RecognizerSpec, place: Callable[[Path], Path]
) -> DetectorSpec | RecognizerSpec:
    """Return a spec with another path of each file that its source names."""
    source = spec.source
    constants = {
        name: place(value) if isinstance(value, Path) else value
        for name, value in source.constants.items()
    }
    update = {"path": place(source.path), "constants": constants}
    return spec.model_copy(update={"source": source.model_copy(update=update)})


def with_max_batch(
    spec: DetectorSpec | RecognizerSpec, max_batch: int
) -> DetectorSpec | RecognizerSpec:
    """Return a spec with another ``input.max_batch``."""
    return spec.model_copy(update={"input": spec.input.model_copy(update={"max_batch": max_batch})})


def dump_spec(spec: DetectorSpec | RecognizerSpec) -> str:
    """Return the spec as YAML."""
    return dump_yaml(spec.model_dump(mode="json", exclude_none=True))
