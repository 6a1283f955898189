"""Mark the nodes for which TensorRT must use a plugin in place of the function body.

TensorRT's parser looks for a plugin in the namespace that a node's attribute ``plugin_namespace``
names. Without this attribute it uses the model's local function (ModelImporter.cpp of
onnx-tensorrt).
"""

from __future__ import annotations

import onnx
import onnx_ir as ir

from ...errors import EngineBuildError
from ...plugins.onnx_function import DOMAIN

_DTYPES = (ir.DataType.FLOAT, ir.DataType.FLOAT16)
"""The dtypes for which there are kernels."""


def mark_plugins(model: onnx.ModelProto) -> tuple[onnx.ModelProto, int]:
    """Return the model with its custom ops marked, and the number of them.

    Raises:
        EngineBuildError: a custom op has inputs of a dtype without kernels, such as bfloat16.
    """
    marked = ir.from_proto(model)
    ops = [node for node in marked.graph if node.domain == DOMAIN]
    for node in ops:
        dtypes = {value.dtype for value in node.inputs if value is not None}
        if len(dtypes) != 1 or not dtypes <= set(_DTYPES):
            names = ", ".join(sorted(str(dtype) for dtype in dtypes))
            raise EngineBuildError(
                f"plugins: no kernel of {node.op_type} accepts {names}, only FLOAT or FLOAT16; "
                "choose another --precision, or leave option plugins out"
            )
        node.attributes["plugin_namespace"] = ir.AttrString("plugin_namespace", DOMAIN)
        node.attributes["plugin_version"] = ir.AttrString("plugin_version", "1")
    return ir.to_proto(marked), len(ops)
