"""Keep large weights outside the graph during export.

TensorFlow's freezing creates seven copies of a model's weights, tf2onnx about thirty more, and no
protobuf message may exceed 2 GB. So large variables and constants become placeholders before both
steps, and initializers before the first pass. ``fold_constants`` later folds what tf2onnx would
have folded with their values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ..float_types import FloatTypes
from ..guard_divisions import guard_divisions

Weights = dict[str, npt.NDArray]
"""Arrays by value name."""

_HEAVY = 32 << 20
"""A model with so many bytes of large weights is heavy. Other models keep all weights inside."""
_LARGE = 1 << 16
"""A weight of at least so many bytes is large."""
_LOOPS = ("Enter", "StatelessWhile", "While")
"""Loops. tf2onnx recognizes cells by constants in their loops, so those stay in the graph."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A raw ONNX model. Large weights may be further inputs; ``weights`` has their values."""

    model: onnx.ModelProto
    weights: Weights = field(default_factory=dict, repr=False)
    float_types: FloatTypes = field(default_factory=FloatTypes)
    """What was not float32 in the source, and is float32 in ``model``."""

    def whole(self) -> ir.Model:
        """Return the model with all its weights, which are not copied and may exceed 2 GB.

        Its integer divisions are guarded: whatever runs an exported model gets it from here.

        Raises:
            ConversionError: a constant divides by 0.
        """
        model = ir.from_proto(self.model)
        for value in list(model.graph.inputs):  # a copy: the loop removes inputs
            array = self.weights.get(str(value.name))
            if array is not None:
                value.const_value = ir.tensor(array, name=value.name)
                model.graph.inputs.remove(value)
                model.graph.register_initializer(value)
        guard_divisions(model)
        return model


def has_loops(graph: Any) -> bool:
    """Whether a GraphDef, or a function in it, contains a loop."""
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    return any(node.op in _LOOPS for node in nodes)


def weights_to_extract(arrays: Weights) -> Weights:
    """Return the large float32 weights of a heavy model; none if the model is not heavy."""
    large = {
        name: array
        for name, array in arrays.items()
        if array.dtype == np.float32 and array.nbytes >= _LARGE
    }
    return large if sum(array.nbytes for array in large.values()) >= _HEAVY else {}


def extract_constants(graph: Any) -> Weights:
    """Replace the large float32 constants of a heavy GraphDef without loops by placeholders.

    Changes the graph. Returns the values by node name.
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
    """Turn a node of a GraphDef into a float32 placeholder."""
    from tensorflow import TensorShape, float32

    node.op = "Placeholder"
    # A placeholder has other attributes; one of the old ones is the value.
    node.attr.clear()
    node.attr["dtype"].type = float32.as_datatype_enum
    node.attr["shape"].shape.CopyFrom(TensorShape(shape).as_proto())
    del node.input[:]


def extract_initializers(model: onnx.ModelProto) -> Weights:
    """Replace the large float32 initializers of a heavy ONNX model by inputs.

    Changes the model. Returns the values by name.
    """
    large = weights_to_extract(
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
    # Old exporters list initializers among the inputs too.
    declared = {value.name for value in model.graph.input}
    model.graph.input.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, array.shape)
        for name, array in large.items()
        if name not in declared
    )
    return large
