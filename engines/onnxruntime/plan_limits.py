"""Refuse plans of onnxruntime (ONNX files) that would exhaust its parser or the memory."""

from __future__ import annotations

from math import prod
from pathlib import Path

import onnx

from ...common.limits import bytes_text
from ...common.memory import available_memory
from ...common.onnx_limits import load_limited
from ...errors import InputFileError

_FLOATS = frozenset(
    onnx.TensorProto.DataType.Value(name) for name in ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE")
)
_SMALL = 1 << 12
"""Elements of an initializer whose values shapes may depend on."""


def check_onnx_plan(plan: Path) -> bool:
    """Check the numbers of nodes and values, and the largest tensor; free dimensions count as 1.

    Returns:
        Whether the plan may divide integers, which can end the process (``guard_divisions``).

    Raises:
        InputFileError: one exceeds its limit.
        Exception: protobuf cannot read it.
    """
    model = load_limited(plan, load_weights=False)
    free = available_memory()
    _drop_large_values(model)
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    for value in inferred.value_info:
        tensor = value.type.tensor_type
        sizes = [max(1, dim.dim_value) for dim in tensor.shape.dim]
        needed = prod(sizes) * _bytes_of(tensor.elem_type)
        if needed > free:
            raise InputFileError(
                f"{plan}: its value {value.name!r:.80} is a tensor of shape {sizes}, which needs "
                f"{bytes_text(needed)} of memory, but {bytes_text(free)} are available; use a "
                "machine or container with more memory, or build the bundle for a smaller input"
            )
    return _divides_integers(model, inferred)


def _divides_integers(model: onnx.ModelProto, inferred: onnx.GraphProto) -> bool:
    """Whether a division may be one of integers. The types in inner graphs are not inferred."""
    floats = {
        value.name
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
        if value.type.tensor_type.elem_type in _FLOATS
    }
    floats |= {tensor.name for tensor in inferred.initializer if tensor.data_type in _FLOATS}
    todo = [*model.graph.node, *(node for each in model.functions for node in each.node)]
    for node in todo:  # the list grows while it is read
        if node.op_type in ("Div", "Mod") and not floats.intersection((*node.input, *node.output)):
            return True
        for item in node.attribute:
            todo += item.g.node
    return False


def _bytes_of(kind: int) -> int:
    try:
        return onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize
    except (KeyError, TypeError):  # undefined
        return 0


def _drop_large_values(model: onnx.ModelProto) -> None:
    """Turn weights into inputs of the same shape: shape inference would copy their values."""
    graph = model.graph
    kept, known = [], {value.name for value in graph.input}
    for tensor in graph.initializer:
        if prod(tensor.dims) <= _SMALL:
            kept.append(tensor)
        elif tensor.name not in known:
            info = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            graph.input.append(info)
    del graph.initializer[:]
    graph.initializer.extend(kept)
