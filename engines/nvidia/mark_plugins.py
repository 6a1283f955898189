"""Marks the nodes that TensorRT is to take from its plugins and not from their function bodies.

Its parser looks for a plugin in the namespace that a node's attribute ``plugin_namespace`` names;
without it the model's local function is taken (ModelImporter.cpp of onnx-tensorrt).
"""

from __future__ import annotations

import onnx
import onnx_ir as ir

from ...errors import EngineBuildError
from ...plugins.onnx_function import DOMAIN

_DTYPES = (ir.DataType.FLOAT, ir.DataType.FLOAT16)
"""That there are kernels for."""


def mark_plugins(model: onnx.ModelProto) -> tuple[onnx.ModelProto, int]:
    """Return the model with its custom ops marked, and how many there are.

    Raises:
        EngineBuildError: one has inputs of a dtype, bfloat16 for example, that no kernel takes.
    """
    marked = ir.from_proto(model)
    ops = [node for node in marked.graph if node.domain == DOMAIN]
    for node in ops:
        dtypes = {value.dtype for value in node.inputs if value is not None}
        if len(dtypes) != 1 or not dtypes <= set(_DTYPES):
            names = ", ".join(sorted(str(dtype) for dtype in dtypes))
            raise EngineBuildError(
                f"plugins: no kernel of {node.op_type} takes {names}, but FLOAT or FLOAT16; choose "
                "another --precision, or leave option plugins out"
            )
        node.attributes["plugin_namespace"] = ir.AttrString("plugin_namespace", DOMAIN)
        node.attributes["plugin_version"] = ir.AttrString("plugin_version", "1")
    return ir.to_proto(marked), len(ops)
