"""ONNX models on disk. One that is too large for one protobuf message has its weights beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import onnx_ir as ir

from .errors import InputFileError

LARGEST_MESSAGE = (1 << 31) - (1 << 20)
"""Bytes: protobuf ends at 2 GB; a megabyte is left for the graph itself."""


def is_too_large(model: onnx.ModelProto) -> bool:
    """Whether a model cannot be one message."""
    return sum(tensor.ByteSize() for tensor in model.graph.initializer) > LARGEST_MESSAGE


def write_onnx(model: onnx.ModelProto, path: Path) -> None:
    """Write a model, the same bytes each time; ``<name>.data`` beside it if it is too large.

    Raises:
        OSError: it cannot be written.
    """
    if is_too_large(model):
        ir.save(ir.from_proto(model), path, external_data=f"{path.name}.data")
    else:
        path.write_bytes(model.SerializeToString(deterministic=True))


def read_onnx(path: Path) -> ir.Model:
    """Read a model from anywhere, as it is.

    Raises:
        InputFileError: it is no valid model.
    """
    try:
        model = onnx.load(path)
        onnx.checker.check_model(path)
    except Exception as error:  # protobuf and onnx have no common base class
        raise InputFileError(
            f"{path}: not a valid ONNX model: {str(error).splitlines()[0][:300]}"
        ) from None
    return ir.from_proto(model)


@contextmanager
def as_file(model: onnx.ModelProto) -> Iterator[Path]:
    """Write a model to a temporary file for the length of a block."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.onnx"
        write_onnx(model, path)
        yield path
