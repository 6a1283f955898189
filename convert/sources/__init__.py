"""Read models in the formats that users have, one module per format.

Every format provides the model's inputs and outputs, and the model as raw ONNX with one input of a
fixed shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from ...common.limits import check_model_file
from ...common.read_file import check_file_or_folder, check_utf8
from ...errors import InputFileError
from ...spec import SourceSpec
from ..time_limit import TimeLimit, seconds_allowed
from .large_weights import Exported


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """Name, shape (None: any size; whole shape None: any rank) and dtype of an input or output."""

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str

    @classmethod
    def of_tensorflow(cls, name: str, tensor: Any) -> TensorInfo:
        """Describe a TensorFlow tensor or ``TensorSpec`` under the given name."""
        shape = None if tensor.shape.rank is None else tuple(tensor.shape.as_list())
        return cls(name=name, shape=shape, dtype=tensor.dtype.name)


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Inputs and outputs of a model."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    left_out: tuple[str, ...] = ()
    """Layers of a loss or a decoder at the end, as "name (class)"; they were not loaded."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """The two inner tensors between which a model's network lies.

    It is needed if the model's own inputs are files, or its own outputs are text.
    """

    input: TensorInfo
    output: TensorInfo
    layout: str
    """NTC or TNC, if the output has three axes."""
    is_probability: bool
    """Whether a softmax computes the output."""
    blank: int | None
    """Class of the blank; None if no CTC decoder in the graph states it."""
    in_front: tuple[str, ...]
    """Types of the ops left out before the input."""
    behind: tuple[str, ...]
    """Types of the ops left out behind the output."""
    is_training_only: bool = False
    """Whether these are layers of the user without weights, such as losses."""


class Source(Protocol):
    """A model in the user's format."""

    def signature(self) -> Signature:
        """Return the model's inputs and outputs."""

    def cut(self, rank: int) -> Cut | None:
        """Find a network inside the model whose output has ``rank`` axes; None if there is none."""

    def to_onnx(self, input_name: str, shape: tuple[int, ...], output_name: str) -> Exported:
        """Return the part of the model between two tensors as raw ONNX.

        Args:
            input_name: the image, float32 in the result: an input, or any inner tensor.
            shape: its shape, with all sizes fixed.
            output_name: an output, or any inner tensor.

        Returns:
            A model whose first input is the image; large weights may be further inputs.
        """

    def function(self, input_name: str, output_name: str) -> Any:
        """Return the part between two tensors as a TensorFlow function of one float32 tensor.

        None for models that TensorFlow cannot run.
        """


def source_format(source: SourceSpec) -> str:
    """Return the format of a source, from its spec or else from its path.

    Raises:
        InputFileError: nothing is at the path, its format is unknown, the path is not UTF-8, or it
            is or contains a pipe or a device.
    """
    path = source.path
    if not path.exists():
        raise InputFileError(f"{path}: no such file or folder; source.path must name the model")
    check_utf8(path)
    for each in (path, *path.rglob("*")):
        check_file_or_folder(each)
    if source.format is not None:
        return source.format
    if path.is_dir() and (path / "saved_model.pb").is_file():
        return "saved_model"
    formats = dict.fromkeys((".keras", ".h5", ".hdf5"), "keras")
    formats |= {".pb": "graph_def", ".meta": "checkpoint", ".tflite": "tflite", ".onnx": "onnx"}
    if path.is_file() and path.suffix in formats:
        return formats[path.suffix]
    if path.is_dir() and (path / "manifest.json").is_file():
        raise InputFileError(
            f"{path}: is an engine bundle; name the spec or the model that it was built from"
        )
    if path.suffix.lower() in (".yaml", ".yml"):
        raise InputFileError(f"{path}: is a spec; source.path must name the model")
    raise InputFileError(
        f"{path}: not a SavedModel folder (with saved_model.pb), nor a .keras, .h5, .pb, .meta, "
        ".tflite or .onnx file"
    )


def open_source(source: SourceSpec) -> Source:
    """Open a model. Its names may be spelled as in ``spellings.py``.

    Raises:
        InputFileError: it is missing, damaged, or contains code that is not allowed.
        SpecError: ``source.constants`` names an input that it does not have.
        TargetMissingError: TensorFlow is needed and not installed.
        ConversionError: reading it takes longer than a conversion may take.
    """
    limit = TimeLimit(seconds_allowed())
    limit.step = f"the reading of {source.path.name}"
    return limit.run(lambda: _open(source))


def _open(source: SourceSpec) -> Source:
    format = source_format(source)
    if format == "saved_model":
        if (source.path / "saved_model.pb").exists():  # TensorFlow names a missing file better
            check_model_file(source.path / "saved_model.pb")
    else:
        check_model_file(source.path, is_message=format != "keras")
    # Imported on demand: most of the modules need TensorFlow, which is slow to import.
    module = import_module(f".{format}_source", __name__)
    constants, spellings = (
        import_module(f".{name}", __name__) for name in ("constants", "spellings")
    )
    opened = spellings.SpelledSource(module.open_source(source))
    inputs = opened.signature().inputs
    known = [info.name for info in inputs]
    own = {spellings.own_spelling(n, known): value for n, value in source.constants.items()}
    constants.check_names(source.path, own, known)
    is_respelled = own.keys() != source.constants.keys()
    source = source.model_copy(update={"constants": own})
    constants.check_values(source, inputs)
    if is_respelled:  # rare: the model is opened again with its own names
        return spellings.SpelledSource(module.open_source(source))
    return opened


def missing_name(path: Path, kind: str, name: str, known: list[str]) -> InputFileError:
    """Return the error about a name that a model lacks; it lists the names that the model has."""
    listed = ", ".join(known) or "none"
    return InputFileError(f"{path}: no {kind} named {name!r}; it has: {listed}")
