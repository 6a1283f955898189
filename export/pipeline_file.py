"""``pipeline.json``: which models of a Triton server the pipeline calls, and how to use them.

It is beside the pipeline's ``model.py``. The specs in it state how to prepare images and how to
decode the outputs of the models.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..common.frozen_model import StrictModel
from ..common.input_size import InputSize
from ..errors import InputFileError
from ..pipeline.reader import ReadSettings, Tiles
from ..spec import ModelSpec
from .ports import Port

NAME = "pipeline.json"
WARM_UP = "warmup/image"
"""The image of the warm-up, relative to the folder of the pipeline."""
LARGEST = 16 << 20
"""Largest size of the file in bytes; a charset may have 100,000 characters."""


class RemoteModel(StrictModel):
    """A model of the server: the plan of an engine for one input size, or for all of them."""

    name: str
    """The name of the model on the server."""
    input: Port
    """(N, C, H, W)."""
    output: Port
    max_batch: int = Field(ge=1)
    """The largest batch of one request."""
    is_batched: bool
    """Whether Triton merges requests into batches."""


class RemoteEngine(StrictModel):
    """An engine whose plans run as models of the server."""

    label: str
    """The label of the bundle."""
    spec: ModelSpec
    models: tuple[RemoteModel, ...] = Field(min_length=1)

    def model_for(self, size: InputSize) -> RemoteModel:
        """Return the model that runs an input size.

        Raises:
            InputFileError: no model accepts the size.
        """
        for model in self.models:
            if model.input.fits(size):
                return model
        raise InputFileError(
            f"{NAME}: no model of {self.label} accepts images of {size}, but its spec states this "
            "input size; export the bundles again"
        )


class PipelineFile(StrictModel):
    """What the pipeline needs besides the image."""

    schema_version: Literal[1] = 1
    ocr_trt: str
    """The version of ocr-trt that wrote the file."""
    detector: RemoteEngine | None = None
    """None: each image is one line of text."""
    recognizer: RemoteEngine
    classifier: RemoteEngine | None = None
    """Finds lines that are turned; None: lines are read as they are."""


class PipelineParameters(StrictModel):
    """The ``parameters`` in the pipeline's config.pbtxt, which users may change."""

    workers: int = Field(4, ge=1, le=256)
    """How many images an instance reads at the same time."""
    wait_seconds: float = Field(60, ge=0, le=3600)
    """How long the first request waits until the other models are ready."""
    tiles: Tiles = "auto"
    min_box_score: float = Field(0, ge=0, le=1)
    min_text_score: float = Field(0, ge=0, le=1)
    both_ways: bool = False
    dpi: int = Field(200, ge=10, le=2400)

    def read_settings(self) -> ReadSettings:
        """Return how images are read."""
        return ReadSettings(
            tiles=self.tiles,
            min_box_score=self.min_box_score,
            min_text_score=self.min_text_score,
            both_ways=self.both_ways,
            dpi=self.dpi,
        )
