"""Read and write ONNX models; models too large for one protobuf message get a weight file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from ..errors import InputFileError
from .error_text import check_memory, first_line
from .onnx_limits import load_limited, tensors_of
from .read_file import check_file_or_folder, check_utf8

if TYPE_CHECKING:
    import onnx_ir as ir

LARGEST_MESSAGE = (1 << 31) - (1 << 20)
"""Limit of weights in bytes: protobuf allows 2 GiB, of which 1 MiB is left for the graph."""


def is_too_large(model: onnx.ModelProto) -> bool:
    """Whether a model is too large for one protobuf message."""
    return sum(tensor.ByteSize() for tensor in model.graph.initializer) > LARGEST_MESSAGE


def write_onnx(model: onnx.ModelProto, path: Path) -> None:
    """Write a model, with ``<name>.data`` beside it if it is too large for one message.

    Equal models give equal bytes.

    Raises:
        OSError: it cannot be written.
    """
    if is_too_large(model):
        import onnx_ir as ir  # slow to import, and not needed to run engines

        ir.save(ir.from_proto(model), path, external_data=f"{path.name}.data")
    else:
        path.write_bytes(model.SerializeToString(deterministic=True))


def read_onnx(path: Path) -> ir.Model:
    """Read and check a model of any origin, without changing it.

    Raises:
        InputFileError: it is not a valid model, or exceeds a limit (``limits.py``).
    """
    import onnx_ir as ir

    check_file_or_folder(path)
    check_utf8(path)
    try:
        model = load_limited(path)
        onnx.checker.check_model(path)
        result = ir.from_proto(model)  # detects more errors than the checker
        check_tensors(result)
        return result
    except InputFileError:
        raise
    except Exception as error:  # protobuf and onnx have no common base class
        check_memory(error, path)
        raise InputFileError(f"{path}: not a valid ONNX model: {first_line(error)}") from None


def check_tensors(model: ir.Model) -> None:
    """Check that the data of all weights and constants fit their shapes.

    Raises:
        ValueError: a size differs. onnx_ir may raise other exceptions.
    """
    import onnx_ir as ir

    graphs = [model.graph, *(function.graph for function in model.functions.values())]
    for graph in (inner for each in graphs for inner in (each, *each.subgraphs())):
        for value in graph.initializers.values():
            if value.const_value is not None:
                value.const_value.numpy()
        for item in (item for node in graph for item in node.attributes.values()):
            if item.type == ir.AttributeType.TENSOR:
                item.as_tensor().numpy()


def external_files(path: Path) -> list[Path]:
    """Return the existing weight files that an ONNX file names, sorted by name.

    The list is empty if the file is not an ONNX model.

    Raises:
        InputFileError: the model exceeds a limit (``limits.py``).
    """
    # A NUL byte would raise an error, and the file is untrusted.
    files = (path.parent / name for name in _external_names(path) if "\0" not in name)
    return [file for file in files if file.is_file()]


def check_external_files(path: Path) -> None:
    """Check that all weights of an ONNX file are in the file itself or in files beside it.

    Raises:
        InputFileError: weights are in another folder, or behind a link; or the model exceeds a
            limit (``limits.py``).
    """
    for name in _external_names(path):
        # "" and "." name the folder itself, and a backslash separates folders on Windows.
        is_file_name = name not in ("", ".", "..") and not {"/", "\\", "\0"} & set(name)
        if not is_file_name or (path.parent / name).is_symlink():
            raise InputFileError(
                f"{path}: its weights are in {name!r:.80}, expected a file beside the model"
            )


def _external_names(path: Path) -> list[str]:
    """Return the locations of weights that an ONNX file names, sorted; none if it is no model."""
    try:
        model = load_limited(path, load_weights=False)
    except InputFileError:
        raise
    except Exception:  # protobuf and onnx have no common base class
        return []
    named = (e for tensor in tensors_of(model) for e in tensor.external_data if e.key == "location")
    return sorted({entry.value for entry in named})


@contextmanager
def as_file(model: onnx.ModelProto) -> Iterator[Path]:
    """Write a model to a temporary file for a block, and yield its path."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.onnx"
        write_onnx(model, path)
        yield path
