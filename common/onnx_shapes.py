"""Run ONNX's shape inference and its checker on graphs of ``onnx_ir``, in linear time.

Both are C++ functions that read a serialized model, which may have at most 2 GiB. So large weights
are left out of it; the passes of ``onnx_ir`` do that too, but search the list of inputs once for
each weight, which takes minutes at 25,000 weights.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import onnx
import onnx_ir as ir

from .onnx_segments import infer_shapes_linearly

_LARGEST = 1000
"""Bytes of a constant that the model still contains: shapes are computed from small ones."""
_log = logging.getLogger(__name__)


def infer_shapes(
    model: ir.Model, *, check_type: bool = True, strict_mode: bool = True, data_prop: bool = True
) -> None:
    """Set the shapes and types that ONNX can infer; a graph that it refuses stays as it is."""
    try:
        with _without_weights(model) as proto:
            inferred = infer_shapes_linearly(
                proto, check_type=check_type, strict_mode=strict_mode, data_prop=data_prop
            )
    except Exception as error:  # its errors have no public base class
        _log.debug("shapes are not inferred: %s", error)
        return
    for graph, other in zip(model.graphs(), ir.from_proto(inferred).graphs(), strict=True):
        known = ir.convenience.create_value_mapping(other)
        for name, value in ir.convenience.create_value_mapping(graph).items():
            if (found := known.get(name)) is None:
                continue
            if found.shape is not None and value.shape != found.shape:
                value.shape = found.shape
            if found.dtype is not None and value.dtype != found.dtype:
                value.dtype = found.dtype


def check_model(model: ir.Model) -> None:
    """Check names, order, types and shapes of a graph.

    Raises:
        onnx.checker.ValidationError: it is not valid.
        onnx.shape_inference.InferenceError: types or shapes contradict each other.
    """
    with _without_weights(model) as proto:
        onnx.checker.check_model(proto)
        # What the checker's `full_check` does, but in linear time.
        infer_shapes_linearly(proto, check_type=True, strict_mode=True)


@contextlib.contextmanager
def _without_weights(model: ir.Model) -> Iterator[onnx.ModelProto]:
    """Yield the serialized model, with inputs in place of large constants.

    A constant needs type and shape there; they are set from its value if they are missing.
    """
    graph = model.graph
    constants, inputs = list(graph.initializers.values()), list(graph.inputs)
    tensors = [value.const_value for value in constants]
    known = set(inputs)
    try:
        for value in constants:
            tensor = value.const_value
            if tensor is not None:
                if value.shape is None:
                    value.shape = tensor.shape  # type: ignore[assignment]
                if value.dtype is None:
                    value.dtype = tensor.dtype
            if value not in known:
                graph.inputs.append(value)
            if tensor is None or tensor.nbytes > _LARGEST:
                value.const_value = None
                del graph.initializers[str(value.name)]
        proto = ir.to_proto(model)
    finally:
        for value, tensor in zip(constants, tensors, strict=True):
            value.const_value = tensor
            graph.initializers.add(value)
        graph.inputs.clear()
        graph.inputs.extend(inputs)
    yield proto
