"""Find the bodies of custom ops in a graph whose functions are inlined.

The pass that inlines functions numbers their nodes. A rule that replaced a call before that pass
would change the numbers of all later nodes, and the layers of the plan would have other names than
the nodes of the quantized graph. So rules rewrite bodies, and name new nodes after those they
replace.
"""

from __future__ import annotations

from itertools import groupby

import onnx_ir as ir

from ...convert.graph import result_name
from ...plugins.onnx_function import DOMAIN

_CALL = "ocr_trt.inlined"  # key of node metadata: type and first result of the call


def mark_calls(model: ir.Model) -> None:
    """Mark all calls of custom ops; the pass that inlines them copies the mark to their bodies."""
    for node in model.graph:
        if node.domain == DOMAIN:
            node.metadata_props[_CALL] = f"{node.op_type} {result_name(node)}"


def bodies(model: ir.Model, op_type: str) -> list[tuple[ir.Node, ...]]:
    """Return the nodes of each marked call of an op, in the order of the graph."""
    groups = groupby(model.graph, key=lambda node: node.metadata_props.get(_CALL, ""))
    return [tuple(nodes) for call, nodes in groups if call.startswith(f"{op_type} ")]
