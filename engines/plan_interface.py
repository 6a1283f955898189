"""Check that the inputs and outputs of a plan fit its spec, which may be of another origin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..common.input_size import InputSize
from ..errors import InputFileError, SpecError
from ..ocr.roles import role_of
from ..spec import ModelSpec

_REBUILD = "build the bundle again"


def check_ports(inputs: Sequence[str], outputs: int) -> None:
    """Check for one input of float32 and at least one output.

    Args:
        inputs: the element type of each input, as the target names it.
        outputs: the number of outputs; the first is used.

    Raises:
        InputFileError: the numbers or the type differ.
    """
    if len(inputs) != 1 or not outputs:
        raise InputFileError(
            f"has {len(inputs)} inputs and {outputs} outputs, expected one of each; {_REBUILD}"
        )
    if inputs[0] not in ("tensor(float)", "f32"):  # onnxruntime, OpenVINO
        raise InputFileError(f"its input is {inputs[0]}, expected float32; {_REBUILD}")


def check_result(output: Any, images: int, *, name: str, spec: ModelSpec, size: InputSize) -> None:
    """Check what a plan returned for a number of images of one input size.

    Raises:
        InputFileError: not an array of float32, or not of a shape that the spec allows. The message
            starts with ``name``.
    """
    if not isinstance(output, np.ndarray) or output.dtype != np.float32:
        found = output.dtype if isinstance(output, np.ndarray) else type(output).__name__
        raise InputFileError(f"{name}: returns {found}, expected an array of float32; {_REBUILD}")
    shape = output.shape
    if shape[:1] != (images,):
        raise InputFileError(
            f"{name}: returns an array of shape {list(shape)} for {images} image(s), expected "
            f"{images} as its first dimension; {_REBUILD}"
        )
    try:
        role_of(spec).check_output_shape((0, *shape[1:]), size)
    except SpecError as error:
        raise InputFileError(f"{name}: {error}; then {_REBUILD}") from None
    if not output.size:
        raise InputFileError(f"{name}: returns an empty array {list(shape)}; {_REBUILD}")
