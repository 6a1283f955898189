"""The image input of a model: shape, layout, color, normalization, batch size."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..common.frozen_model import StrictModel
from ..common.input_size import InputSize


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
    def size(self) -> InputSize:
        """Height and width of the input."""
        return InputSize(self.height, self.width)

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

    def shape_at(self, batch: int, size: InputSize) -> tuple[int, int, int, int]:
        """Return the input's shape, in the model's own layout, at another batch size and size."""
        if self.layout == "NHWC":
            return batch, *size, self.channels
        return batch, self.channels, *size

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
