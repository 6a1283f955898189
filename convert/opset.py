"""Convert a graph of standard ops to opset 20, from older or newer opsets."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from ..common.error_text import first_line
from ..errors import ConversionError
from .graph import OPSET, name_of
from .passes.lower_group_norms import lower_group_norms

_CHANGED = frozenset({"GroupNormalization"})
"""Ops that compute something else since opset 21, with the same attributes."""


def convert_opset(model: ir.Model) -> None:
    """Convert a graph, in place.

    Raises:
        ConversionError: an op has no form in opset 20.
    """
    from onnxscript import version_converter

    if model.graph.opset_imports.get("", 0) > OPSET:
        _declare_older(model)
        return
    try:
        version_converter.convert_version(model, target_version=OPSET)
    except Exception as error:  # its own error has no public name
        reason = first_line(error)
        raise ConversionError(
            f"the model cannot be converted to opset {OPSET}: {reason}"
        ) from error
    # The converter can return a model of an older opset without an error.
    if model.graph.opset_imports[""] != OPSET:
        raise ConversionError(
            f"the model cannot be converted from opset {model.graph.opset_imports['']} to {OPSET}"
        )


def _declare_older(model: ir.Model) -> None:
    """Declare opset 20 for a newer graph: its ops gained types since then, and few more changed.

    The converters of ONNX and onnxscript cannot do that.

    Raises:
        ConversionError: an op is not in opset 20, or not with these inputs and attributes.
    """
    lower_group_norms(model)
    newer = [node for node in model.graph.all_nodes() if not _is_in_opset(node)]
    if newer:
        listed = ", ".join(
            f"{node.op_type} at {node.name or name_of(node.outputs[0])}" for node in newer[:3]
        )
        raise ConversionError(
            f"the model cannot be converted from opset {model.graph.opset_imports['']} to {OPSET}: "
            f"{listed}; export it with opset {OPSET} or older"
        )
    for imports in (
        model.graph.opset_imports,
        *(f.opset_imports for f in model.functions.values()),
    ):
        imports[""] = min(imports.get("", OPSET), OPSET)
    # Nodes may state the opset that they were read with.
    for node in model.graph.all_nodes():
        node.version = None


def _is_in_opset(node: ir.Node) -> bool:
    """Whether opset 20 has an op with these inputs and attributes, and the same meaning."""
    if node.domain not in ("", "ai.onnx"):
        return True  # a function of the model, whose ops are checked as nodes of the graph
    if node.op_type in _CHANGED or not onnx.defs.has(node.op_type, OPSET, ""):
        return False
    schema = onnx.defs.get_schema(node.op_type, OPSET, "")
    return len(node.inputs) <= schema.max_input and set(node.attributes) <= set(schema.attributes)
