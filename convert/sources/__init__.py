"""Reading models in the forms users have them; one file per form.

Every form answers the same two questions: what are its inputs and outputs, and what is it as an
ONNX model with one input of a fixed shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from ...errors import InputFileError
from ...spec import SourceSpec
from .large_weights import Exported


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """Name, shape (None: any size; whole shape None: any rank) and dtype of an input or output."""

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str

    @classmethod
    def of_tensorflow(cls, name: str, tensor: Any) -> TensorInfo:
        """Describe a TensorFlow tensor or ``TensorSpec``, under a name of the caller."""
        shape = None if tensor.shape.rank is None else tuple(tensor.shape.as_list())
        return cls(name=name, shape=shape, dtype=tensor.dtype.name)


@dataclass(frozen=True, kw_only=True)
class Signature:
    """What a model takes and gives."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


@dataclass(frozen=True, kw_only=True)
class Cut:
    """The two tensors between which a graph is a network, if its own ends are something else."""

    input: TensorInfo
    output: TensorInfo
    layout: str
    """NTC or TNC, of an output of three axes."""
    is_probability: bool
    blank: int | None
    """Class of the blank, if a CTC decoder tells it."""
    in_front: tuple[str, ...]
    """Kinds of ops left out before the input."""
    behind: tuple[str, ...]
    """Kinds of ops left out behind the output."""


class Source(Protocol):
    """A model as its user brought it."""

    def signature(self) -> Signature:
        """Return the model's inputs and outputs."""

    def cut(self, rank: int) -> Cut | None:
        """Find a network whose output has ``rank`` axes inside the model; None: it has none."""

    def to_onnx(self, input_name: str, shape: tuple[int, ...], output_name: str) -> Exported:
        """Return the model from the named input of ``shape``, as float32, to the named output.

        Either may be any tensor of the model: it is cut off there. The image is its first input;
        large weights may be further ones.
        """

    def function(self, input_name: str, output_name: str) -> Any:
        """Return the same as a function from one float32 tensor to one; None without TensorFlow."""


def source_format(source: SourceSpec) -> str:
    """Return the format of a source: as its spec says, or as its path tells.

    Raises:
        InputFileError: there is nothing at the path, or nothing that is known.
    """
    path = source.path
    if not path.exists():
        raise InputFileError(f"{path}: no such file or folder; source.path must name the model")
    if source.format is not None:
        return source.format
    if path.is_dir() and (path / "saved_model.pb").is_file():
        return "saved_model"
    formats = dict.fromkeys((".keras", ".h5", ".hdf5"), "keras")
    formats |= {".pb": "graph_def", ".meta": "checkpoint", ".tflite": "tflite", ".onnx": "onnx"}
    if path.is_file() and path.suffix in formats:
        return formats[path.suffix]
    raise InputFileError(
        f"{path}: not a SavedModel folder (with saved_model.pb), nor a .keras, .h5, .pb, .meta, "
        ".tflite or .onnx file"
    )


def open_source(source: SourceSpec) -> Source:
    """Open a model.

    Raises:
        InputFileError: it is missing, damaged, or holds code that was not allowed.
        TargetMissingError: TensorFlow is needed and not installed.
    """
    module = import_module(f".{source_format(source)}_source", __name__)
    return module.open_source(source)


def missing_name(path: Path, kind: str, name: str, known: list[str]) -> InputFileError:
    """Say that a model has no input, output or signature of a name, and which it has."""
    listed = ", ".join(known) or "none"
    return InputFileError(f"{path}: no {kind} named {name!r}; it has: {listed}")
