"""Weights that travel beside their graph.

TensorFlow's freezing holds seven copies of a model's weights, tf2onnx makes some thirty more, and
no protobuf message may be over 2 GB. So large weights never get into either: variables and
constants become placeholders, and initializers again when the passes begin. What tf2onnx would do
with their values, ``fold_constants`` does later.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

Weights = dict[str, npt.NDArray]
"""Arrays by the name of the value that they are."""

_HEAVY = 32 << 20
"""Bytes of weights from which on this is worth it."""
_LARGE = 1 << 16
"""Bytes of a weight that is carried around."""
_LOOPS = ("Enter", "StatelessWhile", "While")
"""tf2onnx knows cells by the constants in their loops."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A raw ONNX model; its large weights may be inputs of it, with their values in ``weights``."""

    model: onnx.ModelProto
    weights: Weights = field(default_factory=dict, repr=False)

    def whole(self) -> ir.Model:
        """Return the model with all its weights. They are not copied, and may be over 2 GB."""
        model = ir.from_proto(self.model)
        for value in list(model.graph.inputs):
            array = self.weights.get(str(value.name))
            if array is not None:
                value.const_value = ir.tensor(array, name=value.name)
                model.graph.inputs.remove(value)
                model.graph.register_initializer(value)
        return model


def has_loops(graph: Any) -> bool:
    """Whether a GraphDef, or a function in it, holds a loop."""
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    return any(node.op in _LOOPS for node in nodes)


def heavy_ones(arrays: Weights) -> Weights:
    """Return the large float32 ones of a heavy model's weights; none if it is not heavy."""
    large = {
        name: array
        for name, array in arrays.items()
        if array.dtype == np.float32 and array.nbytes >= _LARGE
    }
    return large if sum(array.nbytes for array in large.values()) >= _HEAVY else {}


def take_constants(graph: Any) -> Weights:
    """Make placeholders of the large float constants of a heavy GraphDef without loops.

    Changes the graph. Returns their values by the node's name.
    """
    from tensorflow import float32, make_ndarray

    large = [
        node
        for node in graph.node
        if node.op == "Const"
        and node.attr["dtype"].type == float32.as_datatype_enum
        and node.attr["value"].tensor.ByteSize() >= _LARGE
    ]
    if sum(n.attr["value"].tensor.ByteSize() for n in large) < _HEAVY or has_loops(graph):
        return {}
    found = {}
    for node in large:
        found[node.name] = make_ndarray(node.attr["value"].tensor)
        make_placeholder(node, found[node.name].shape)
    return found


def make_placeholder(node: Any, shape: tuple[int, ...]) -> None:
    """Make a float32 placeholder of a node of a GraphDef."""
    from tensorflow import TensorShape, float32

    node.op = "Placeholder"
    node.attr.clear()
    node.attr["dtype"].type = float32.as_datatype_enum
    node.attr["shape"].shape.CopyFrom(TensorShape(shape).as_proto())
    del node.input[:]


def take_initializers(model: onnx.ModelProto) -> Weights:
    """Make inputs of the large float initializers of a heavy ONNX model.

    Changes the model. Returns their values by name.
    """
    large = heavy_ones(
        {
            tensor.name: onnx.numpy_helper.to_array(tensor)
            for tensor in model.graph.initializer
            if tensor.data_type == onnx.TensorProto.FLOAT
        }
    )
    if not large:
        return {}
    kept = [tensor for tensor in model.graph.initializer if tensor.name not in large]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    declared = {value.name for value in model.graph.input}
    model.graph.input.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, array.shape)
        for name, array in large.items()
        if name not in declared
    )
    return large
