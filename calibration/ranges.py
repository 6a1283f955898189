"""Save and load ranges, with fingerprints of the model and the images that they belong to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import onnx
from pydantic import Field

from ..common.files import write_whole
from ..common.frozen_model import StrictModel
from ..common.input_size import InputSize, by_area
from ..common.json_files import read_model
from ..errors import InputFileError, UserError

LARGEST = 16 << 20
"""Bytes."""

Limit = Annotated[float, Field(ge=0)]


class Ranges(StrictModel):
    """The largest |x| to represent of each tensor, and fingerprints of the model and the images."""

    schema_version: Literal[1] = 1
    model_sha256: str
    data_sha256: str
    method: str
    images: int = Field(ge=1)
    skipped: tuple[str, ...] = ()
    """Images that could not be read."""
    ranges: dict[str, Limit] = Field(repr=False)
    """Of int8, chosen by ``method``."""
    peaks: dict[str, Limit] = Field(repr=False)
    """The largest |x| observed, for fp16 and bf16."""


def graphs_sha256(graphs: Mapping[InputSize, onnx.ModelProto]) -> str:
    """Return one SHA-256 over the graphs of all input sizes, including weights."""
    digest = hashlib.sha256()
    for size in sorted(graphs, key=by_area):
        graph = graphs[size]
        digest.update(f"{size}:".encode())
        # Piece by piece: a whole graph can be larger than one protobuf message may be.
        for tensor in graph.graph.initializer:
            digest.update(tensor.SerializeToString(deterministic=True))
        for node in graph.graph.node:
            digest.update(node.SerializeToString(deterministic=True))
    return digest.hexdigest()


def save_ranges(ranges: Ranges, path: Path) -> None:
    """Write ranges as JSON.

    Raises:
        OutputError: the file cannot be written.
    """
    write_whole(path, ranges.model_dump_json(indent=2) + "\n")


def load_ranges(path: Path) -> Ranges:
    """Read a file of ranges.

    Raises:
        InputFileError: the file is missing, too large, no JSON, or a field is wrong.
    """
    return read_model(path, Ranges, limit=LARGEST)


def is_ranges(path: Path) -> bool:
    """Whether a file contains ranges, so that it may be replaced by others."""
    try:
        load_ranges(path)
    except InputFileError:
        return False
    return True


def check_ranges(ranges: Ranges, path: Path, **expected: str) -> None:
    """Refuse ranges of another model, other images or another method.

    ``expected``: fields of :class:`Ranges`, and their expected values.

    Raises:
        UserError: a field differs; the message names it.
    """
    words = {"model_sha256": "model", "data_sha256": "calibration folder", "method": "method"}
    for name, value in expected.items():
        if (found := getattr(ranges, name)) != value:
            raise UserError(
                f"{path}: contains ranges of another {words[name]} ({found:.12}, expected "
                f"{value:.12}); remove it, or name another file, to calibrate again"
            )
