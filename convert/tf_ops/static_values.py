"""Values that are the same for every image, although TensorFlow's graph computes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from ...common.onnx_session import onnx_session

_OPSET = 18


def static_value(graph: Any, name: str) -> npt.NDArray | None:
    """Return the array of a value that depends on constants and known shapes only.

    Sizes of images are often computed: ``size / tf.shape(x)[1:3]``.

    Args:
        graph: the ``tf2onnx.graph.Graph``.
        name: the tensor.

    Returns:
        None if it depends on the image, or if a node in front of it is no ONNX op yet.
    """
    node = graph.get_node_by_output(name)
    if node is None or len(node.output) != 1:
        return None
    if node.is_const():
        return np.asarray(node.get_tensor_value(as_list=False))
    if node.type == "Shape":
        return _shape(graph, node)
    if not node.input:
        return None
    arrays = {each: static_value(graph, each) for each in node.input if each}
    known = {each: array for each, array in arrays.items() if array is not None}
    return _computed(node, known) if len(known) == len(arrays) else None


def _shape(graph: Any, node: Any) -> npt.NDArray | None:
    shape = graph.get_shape(node.input[0])
    if shape is None or min(shape, default=0) < 0 or node.get_attr("start") is not None:
        return None
    # Before its conversion, a Shape has TensorFlow's type, int32 or int64.
    info = onnx.helper.tensor_dtype_to_np_dtype(graph.get_dtype(node.output[0]))
    return np.array(shape, info)


def _computed(node: Any, arrays: dict[str, npt.NDArray]) -> npt.NDArray | None:
    """Run one node."""
    proto = onnx.helper.make_node(node.type, list(node.input), list(node.output))
    proto.attribute.extend(node.get_onnx_attrs().values())
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            [proto],
            "node",
            [],
            [onnx.helper.make_empty_tensor_value_info(node.output[0])],
            [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()],
        ),
        opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
        ir_version=8,  # the one that belongs to this opset
    )
    try:
        (result,) = onnx_session(model, optimize=False).run(None, {})
    except Exception:  # onnxruntime's errors have no common base class; the op is TensorFlow's
        return None
    return np.asarray(result)
