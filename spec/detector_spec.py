"""The spec of a text detector: its output, and how boxes are found in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, model_validator

from ..common.frozen_model import StrictModel
from ..common.input_size import InputSize, by_area, listed
from .common_spec import AccuracyBudget, CommonSpec


class BoxSettings(StrictModel):
    """The settings for finding boxes in a detector's maps; see ``ocr.boxes``.

    ``dilate``, ``score_mode``, ``unclip_ratio`` and ``shrink_ratio`` are for the family "map".
    """

    shape: Literal["quad", "polygon"] = "quad"
    """quad: each box is a quadrilateral. polygon: a box around curved text is a polygon, and the
    line is straightened before it is read; the score of a region that does not fill its rectangle
    is the mean in the region. Not for EAST."""
    threshold: float = Field(0.3, gt=0, lt=1)
    """A pixel above this is text."""
    box_threshold: float = Field(0.5, ge=0, lt=1)
    """A region whose mean probability is below this is dropped. EAST: the mean score in a box;
    CRAFT: the largest region score of a word."""
    min_side: float = Field(2.0, ge=0)
    """Shrunk regions thinner than this many map pixels are dropped."""
    max_boxes: int = Field(1000, ge=1, le=100_000)
    """The boxes with the best scores are kept, at most this many."""
    max_candidates: int | None = Field(None, ge=1)
    """The largest regions are scored, at most this many; None: all. Limits the time for noise.
    EAST: the number of text pixels whose boxes are merged; None: 20 000."""
    overlap: float = Field(0.2, gt=0, lt=1)
    """EAST: boxes with a larger intersection over union are one box."""
    link_threshold: float = Field(0.4, gt=0, lt=1)
    """CRAFT: a pixel whose affinity is above this joins characters to a word."""
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

    family: Literal["map"] = "map"
    name: str
    channel: int = Field(0, ge=0)
    activation: Literal["none", "sigmoid"] = "none"
    """The function that turns a value of the map into a probability."""


class EastOutput(StrictModel):
    """The output of EAST: a score map and the geometry of a box at each pixel; see ``ocr.east``.

    All channels are in one tensor (N, H, W, C) or (N, C, H, W).
    """

    family: Literal["east"]
    name: str
    """Of one tensor, or of two that are joined: "score + geometry"."""
    geometry: Literal["rbox", "quad"] = "rbox"
    """rbox: 4 distances and an angle; quad: the offsets of 4 corners."""
    score: int = Field(0, ge=0)
    """The channel of the score."""
    first: int = Field(1, ge=0)
    """The first channel of the geometry."""
    activation: Literal["none", "sigmoid"] = "none"
    """The function that turns the score into a probability."""
    geometry_scale: float = Field(1.0, gt=0)
    """Pixels of the input per unit of the distances or offsets; 512 for outputs from 0 to 1."""

    @property
    def channels(self) -> int:
        """The number of channels of the geometry."""
        return 5 if self.geometry == "rbox" else 8

    @property
    def lengths(self) -> int:
        """How many of them are lengths; the last one of "rbox" is an angle in radians."""
        return 4 if self.geometry == "rbox" else 8


class CraftOutput(StrictModel):
    """The output of CRAFT: maps of characters and of the gaps between them; see ``ocr.craft``.

    Both are in one tensor (N, H, W, C) or (N, C, H, W).
    """

    family: Literal["craft"]
    name: str
    """Of one tensor, or of two that are joined: "region + affinity"."""
    region: int = Field(0, ge=0)
    """The channel of the characters."""
    affinity: int = Field(1, ge=0)
    """The channel of the gaps."""
    activation: Literal["none", "sigmoid"] = "none"
    """The function that turns both into probabilities."""


DetectorOutput: TypeAlias = MapOutput | EastOutput | CraftOutput
OUTPUTS: Mapping[str, type[StrictModel]] = {
    "map": MapOutput,
    "east": EastOutput,
    "craft": CraftOutput,
}
"""The outputs of detectors by family."""


class DetectorSpec(CommonSpec):
    """A text detector."""

    role: Literal["detector"]
    output: Annotated[DetectorOutput, Field(discriminator="family")]
    """Without ``family``: a map of probabilities."""
    boxes: BoxSettings = BoxSettings()
    accuracy: AccuracyBudget = AccuracyBudget()
    sizes: tuple[InputSize, ...] = ()
    """Additional input sizes, each [height, width], to build engines for. Each image is searched in
    the smallest input that does not shrink it, or else in the one that shrinks it least."""
    limit_side: int | None = Field(None, ge=1, le=16384)
    """Pixels of a side of the image; see ``limit_type``. (PaddleOCR's det_limit_side_len.)
    None: images are searched at their own size where an input is large enough."""
    limit_type: Literal["min", "max"] = "max"
    """min: images whose shorter side is below ``limit_side`` are enlarged to it, if an input is
    large enough. max: those whose longer side is above it are shrunk to it."""
    min_text_height: float = Field(10.0, ge=1, le=1000)
    """Height in pixels of the input below which the detector misses most text; ``bench`` shows
    recall by height. Results contain a warning if an image was shrunk so much that its text may be
    lower. 10 was measured for the reference model and for PP-OCRv6 (docs/decisions/0021)."""

    @model_validator(mode="before")
    @classmethod
    def _of_some_family(cls, data: Any) -> Any:
        output = data.get("output") if isinstance(data, dict) else None
        if isinstance(output, dict) and "family" not in output:
            return {**data, "output": {"family": "map", **output}}
        return data

    @model_validator(mode="after")
    def _has_regions(self) -> DetectorSpec:
        if self.boxes.shape == "polygon" and self.output.family == "east":
            raise ValueError(
                "boxes.shape is polygon, but output.family is east, whose pixels state "
                "quadrilaterals; set boxes.shape to quad"
            )
        return self

    @property
    def input_sizes(self) -> tuple[InputSize, ...]:
        """The input sizes that engines are built for, those with the fewest pixels first."""
        return tuple(sorted({*self.sizes, self.input.size}, key=by_area))

    @model_validator(mode="after")
    def _sizes_in_range(self) -> DetectorSpec:
        wrong = [size for size in self.sizes if not all(1 <= side <= 16384 for side in size)]
        if wrong:
            raise ValueError(f"sizes must be numbers from 1 to 16384, got {listed(wrong)}")
        return self


def has_polygon_boxes(spec: CommonSpec) -> bool:
    """Whether a model is a detector that returns polygons."""
    return isinstance(spec, DetectorSpec) and spec.boxes.shape == "polygon"
