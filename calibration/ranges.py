"""Ranges on disk: what they were taken from, so that they are used for nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import onnx
from pydantic import Field

from ..common.files import write_whole
from ..common.frozen_model import StrictModel
from ..common.json_files import read_model
from ..errors import UserError

LARGEST = 16 << 20
"""Bytes."""

Limit = Annotated[float, Field(ge=0)]


class Ranges(StrictModel):
    """The largest |x| to represent of each tensor, and the fingerprints of where it comes from.

    ``ranges`` are those of int8, chosen by ``method``; ``peaks`` the largest |x| seen.
    """

    schema_version: Literal[1] = 1
    model_sha256: str
    data_sha256: str
    method: str
    images: int = Field(ge=1)
    skipped: tuple[str, ...] = ()
    """Images that could not be read."""
    ranges: dict[str, Limit] = Field(repr=False)
    peaks: dict[str, Limit] = Field(repr=False)


def graphs_sha256(graphs: Mapping[int, onnx.ModelProto]) -> str:
    """Return one SHA-256 over the graphs of all widths, weights included."""
    digest = hashlib.sha256()
    for width, graph in sorted(graphs.items()):
        digest.update(f"{width}:".encode())
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
    """Read ranges.

    Raises:
        InputFileError: it is no such file.
    """
    return read_model(path, Ranges, limit=LARGEST)


def check_ranges(ranges: Ranges, path: Path, **expected: str) -> None:
    """Refuse ranges of another model, other data or another method.

    ``expected``: fields of :class:`Ranges`, and what they must be.

    Raises:
        UserError: says which differs.
    """
    words = {"model_sha256": "model", "data_sha256": "calibration folder", "method": "method"}
    for name, value in expected.items():
        if (found := getattr(ranges, name)) != value:
            raise UserError(
                f"{path}: its ranges are of another {words[name]} ({found:.12}, expected "
                f"{value:.12}); remove it, or name another file, to calibrate again"
            )
