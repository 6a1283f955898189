"""GridSample with a mode that all versions of OpenVINO read.

    GridSample<mode = "linear">(x, grid)  ->  GridSample(x, grid)

Opset 20 renamed the mode "bilinear" to "linear", which OpenVINO 2025.1 refuses in every opset. It
is the default in both, so a node without the attribute means the same everywhere. Each node loses
the attribute once.
"""

from __future__ import annotations

import onnx_ir as ir

from ...convert.recurrent.loop_bodies import deep_nodes


def omit_linear_modes(model: ir.Model) -> None:
    """Remove the attribute from the nodes of a model and of the bodies of its loops, in place."""
    for node in deep_nodes(model.graph):
        mode = node.attributes.get("mode") if node.op_type == "GridSample" else None
        if mode is not None and mode.as_string() == "linear":
            del node.attributes["mode"]
