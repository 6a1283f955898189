"""Constant values for the inputs of a model that are not the image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import InputFileError, SpecError
from ...spec import SourceSpec
from . import TensorInfo

_LARGEST_FILE = 64 << 20  # bytes

Constants = Mapping[str, npt.NDArray]
"""Values by input name; a number is an array of rank 0."""


def read_constants(source: SourceSpec) -> Constants:
    """Read the values of ``source.constants``.

    Raises:
        InputFileError: a file is missing, too large, or not an array of numbers.
    """
    return {
        name: _read(value) if isinstance(value, Path) else np.asarray(value)
        for name, value in source.constants.items()
    }


def _read(path: Path) -> npt.NDArray:
    try:
        size = path.stat().st_size
        if size > _LARGEST_FILE:
            raise InputFileError(
                f"{path}: {size:,} bytes; expected a value of at most {_LARGEST_FILE:,} bytes"
            )
        # It maps the file, so a header that states a huge shape allocates nothing. It never
        # unpickles objects.
        array = np.array(np.lib.format.open_memmap(path, mode="r"))
    except OSError as error:
        raise InputFileError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # numpy parses the header as Python code: any error of the parser
        raise InputFileError(
            f"{path}: not a NumPy array of numbers (.npy): {error}; write it with numpy.save"
        ) from error
    if array.dtype.kind not in "fiub":
        raise InputFileError(f"{path}: an array of {array.dtype}; expected numbers")
    return array


def full_constant(value: npt.NDArray, info: TensorInfo, batch: int) -> npt.NDArray:
    """Return a constant in the dtype and shape of its input.

    Args:
        value: broadcast to the shape of the input.
        info: the input; a free first axis is the batch, other free axes have the size of the value.
        batch: the size of a free first axis.

    Raises:
        SpecError: the value does not fit the input.
    """
    rank = value.ndim if info.shape is None else len(info.shape)
    declared = info.shape or (None,) * rank
    given = (1,) * (rank - value.ndim) + value.shape  # as NumPy aligns shapes when it broadcasts
    free = [batch, *given[1:]]
    shape = tuple(f if size is None else size for size, f in zip(declared, free, strict=False))
    try:
        dtype = np.dtype(info.dtype)
        full = np.ascontiguousarray(np.broadcast_to(value, shape))
        with np.errstate(invalid="ignore"):  # NaN as an integer; it is refused below
            converted = full.astype(dtype)
    except (ValueError, TypeError):
        sizes = "x".join("?" if size is None else str(size) for size in declared)
        raise SpecError(
            f"source.constants: {info.name} requires {info.dtype} of shape {sizes}, got an array "
            f"of shape {list(value.shape)}"
        ) from None
    wrong = full[converted != full] if dtype.kind in "iub" else full[:0]
    if wrong.size:
        raise SpecError(
            f"source.constants: {info.name} requires values of {info.dtype}, got {wrong.flat[0]}"
        )
    return converted


def tensor_constant(value: npt.NDArray, info: TensorInfo, image: Any) -> Any:
    """Return a constant as a TensorFlow tensor whose batch size is that of ``image``."""
    import tensorflow as tf

    if not info.shape or info.shape[0] is not None:
        return tf.constant(full_constant(value, info, 1))
    if value.ndim == len(info.shape) and value.shape[0] != 1:  # a batch of its own
        return tf.constant(full_constant(value, info, len(value)))
    row = tf.constant(full_constant(value, info, 1))  # (1, ...)
    return tf.repeat(row, tf.shape(image)[0], axis=0)


def check_names(path: Path, names: Iterable[str], known: Sequence[str]) -> None:
    """Check that constants are for inputs of the model.

    Raises:
        SpecError: one is not; lists the inputs.
    """
    for name in names:
        if name not in known:
            raise SpecError(
                f"{path}: source.constants names {name}, which is not an input of the model; its "
                f"inputs are {', '.join(known)}"
            )


def check_values(source: SourceSpec, inputs: Iterable[TensorInfo]) -> None:
    """Check that constants fit their inputs, before TensorFlow adds a trace to the error.

    Raises:
        InputFileError: a file is not an array of numbers.
        SpecError: a value has another type or shape than its input.
    """
    values = read_constants(source)
    for info in inputs:
        if (value := values.get(info.name)) is not None:
            has_batch = info.shape is not None and value.ndim == len(info.shape) > 0
            full_constant(value, info, len(value) if has_batch else 1)


def needs_more(
    path: Path, input_name: str, output_name: str, readers: Mapping[str, Sequence[str]]
) -> InputFileError:
    """Return the error about an output that depends on further inputs.

    ``readers``: the layers that read each further input.
    """
    listed = "; ".join(
        f"{name} (read by {', '.join(layers[:4])})" if layers else name
        for name, layers in readers.items()
    )
    first = next(iter(readers), "NAME")
    return InputFileError(
        f"{path}: {output_name} depends not only on {input_name}, but also on {listed}. Give each "
        f"further input a value (init --constant {first}=VALUE or {first}=FILE.npy, "
        "source.constants in the spec), or set output.name to the output of an earlier layer"
    )
