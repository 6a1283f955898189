"""Distinguish an ONNX file that is not valid from a bug in a pass.

The checker of ONNX accepts many graphs that cannot run, such as a Reshape to another number of
elements. Passes rely on shapes, so they may raise any exception for such a graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import onnx
import onnx_ir as ir

from ..common.error_text import first_line
from ..common.input_size import InputSize
from ..common.onnx_session import onnx_session
from ..errors import ConversionError, OcrTrtError
from ..spec import ModelSpec
from .sources import Source, source_format


@contextmanager
def refused_if_invalid(source: Source, spec: ModelSpec, size: InputSize) -> Iterator[None]:
    """Convert unexpected exceptions into an error about an ONNX file that onnxruntime cannot run.

    Raises:
        ConversionError: the file cannot run; contains the reason of onnxruntime.
    """
    try:
        yield
    except OcrTrtError:
        raise
    except Exception as error:
        is_onnx = source_format(spec.source) == "onnx"  # the exports of others are our own
        reason = _why_not_run(source, spec, size) if is_onnx else ""
        if not reason:
            raise
        raise ConversionError(
            f"{spec.source.path}: the graph is not valid: onnxruntime cannot run it at the input "
            f"shape of the spec: {reason}; export the model again"
        ) from error


def _why_not_run(source: Source, spec: ModelSpec, size: InputSize) -> str:
    """Return why the unchanged graph cannot run on an empty image; "" if it can."""
    shape = spec.input.shape_at(spec.input.shape[0], size)
    try:
        model = ir.to_proto(source.to_onnx(spec.input.name, shape, spec.output.name).whole())
        types = {i.name: i.type.tensor_type.elem_type for i in model.graph.input}
        dtype = onnx.helper.tensor_dtype_to_np_dtype(types[spec.input.name])
        onnx_session(model).run(None, {spec.input.name: np.zeros(shape, dtype)})
    except Exception as error:  # neither onnx nor onnxruntime has a common base class
        return first_line(error) or type(error).__name__
    return ""
