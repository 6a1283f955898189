"""Marks the nodes that TensorRT is to take from its plugins and not from their function bodies.

Its parser looks for a plugin in the namespace that a node's attribute ``plugin_namespace`` names;
without it the model's local function is taken (ModelImporter.cpp of onnx-tensorrt).
"""

from __future__ import annotations

import onnx
import onnx_ir as ir

from ...plugins.function import DOMAIN

_DTYPES = (ir.DataType.FLOAT, ir.DataType.FLOAT16)
"""That there are kernels for."""


def mark_plugins(model: onnx.ModelProto) -> tuple[onnx.ModelProto, int]:
    """Return the model with its custom ops marked, and how many there are.

    An op on another dtype, bfloat16 for example, keeps its function body.
    """
    marked, count = ir.from_proto(model), 0
    for node in marked.graph:
        dtypes = {value.dtype for value in node.inputs if value is not None}
        if node.domain == DOMAIN and len(dtypes) == 1 and dtypes <= set(_DTYPES):
            node.attributes["plugin_namespace"] = ir.AttrString("plugin_namespace", DOMAIN)
            node.attributes["plugin_version"] = ir.AttrString("plugin_version", "1")
            count += 1
    return ir.to_proto(marked), count
