"""Carrying the weights of a heavy model around tf2onnx, which copies them some thirty times.

For a model of 190 MB it takes 9 GB and half a minute. So large constants go in as inputs, and come
back as initializers; what tf2onnx would do with their values, ``fold_constants`` does later.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import onnx

_HEAVY = 32 << 20
"""Bytes of weights from which on this is worth it."""
_LARGE = 1 << 16
"""Bytes of a constant that is carried around."""
_LOOPS = ("Enter", "StatelessWhile", "While")
"""tf2onnx knows cells by the constants in their loops."""


def take_weights(graph: Any) -> dict[str, npt.NDArray]:
    """Make placeholders of the large float constants of a heavy GraphDef.

    Changes the graph. Returns their values by the node's name; nothing if the graph is not heavy,
    or has loops.
    """
    from tensorflow import TensorShape, float32, make_ndarray

    if any(node.op in _LOOPS for node in graph.node):
        return {}
    large = [
        node
        for node in graph.node
        if node.op == "Const"
        and node.attr["dtype"].type == float32.as_datatype_enum
        and node.attr["value"].tensor.ByteSize() >= _LARGE
    ]
    if sum(node.attr["value"].tensor.ByteSize() for node in large) < _HEAVY:
        return {}
    found = {}
    for node in large:
        array = found[node.name] = make_ndarray(node.attr["value"].tensor)
        dtype = node.attr["dtype"].type
        node.op = "Placeholder"
        node.attr.clear()
        node.attr["dtype"].type = dtype
        node.attr["shape"].shape.CopyFrom(TensorShape(array.shape).as_proto())
        del node.input[:]
    return found


def give_weights(model: onnx.ModelProto, weights: dict[str, npt.NDArray]) -> onnx.ModelProto:
    """Make initializers of the inputs that ``take_weights`` made. Changes the model."""
    entries = list(model.graph.input)
    del model.graph.input[:]
    for entry in entries:
        array = weights.get(entry.name.removesuffix(":0"))
        if array is None:
            model.graph.input.append(entry)
        else:
            model.graph.initializer.append(onnx.numpy_helper.from_array(array, entry.name))
    return model
