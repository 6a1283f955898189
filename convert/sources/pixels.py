"""Models that take pixels as whole numbers."""

from __future__ import annotations

import onnx
from onnx import TensorProto

_FLOATS = (TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


def taking_floats(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let a model with one input take float32 there: Round, unless it takes fractions, and Cast.

    Changes the model. ``remove_pixel_casts`` takes both away again where they meet a Cast to float.
    """
    entry = model.graph.input[0].type.tensor_type
    if (dtype := entry.elem_type) == TensorProto.FLOAT:
        return model
    entry.elem_type = TensorProto.FLOAT
    name = model.graph.input[0].name
    taken = f"{name}_taken"
    for node in model.graph.node:
        node.input[:] = [taken if value == name else value for value in node.input]
    nodes = [onnx.helper.make_node("Cast", [f"{name}_rounded"], [taken], to=dtype)]
    if dtype in _FLOATS:
        nodes[0].input[0] = name
    else:
        nodes.insert(0, onnx.helper.make_node("Round", [name], [f"{name}_rounded"]))
    for node in reversed(nodes):
        model.graph.node.insert(0, node)
    return model


def takes_whole_pixels(model: onnx.ModelProto) -> bool:
    """Whether a model rounds its input and casts it to whole numbers, as ``taking_floats`` does."""
    name = model.graph.input[0].name
    rounded = {node.output[0] for node in model.graph.node if _is(node, "Round", {name})}
    return any(_is(node, "Cast", rounded) for node in model.graph.node)


def _is(node: onnx.NodeProto, op_type: str, inputs: set[str]) -> bool:
    return node.op_type == op_type and node.input[0] in inputs
