"""Write GroupNormalization of opset 21 and newer with ops of opset 20.

    GroupNormalization(x, scale, bias)  ->
        Reshape(InstanceNormalization(Reshape(x, (N, groups, -1)), 1, 0), shape of x) * scale + bias

with scale and bias (C,). Until opset 20 they were (groups,), and the op stays.

Termination: each rewrite removes a GroupNormalization.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ...common.onnx_shapes import infer_shapes
from ..graph import OPSET, attribute, nodes_of, not_none
from ..node_builder import NodeBuilder
from ..outcome import Outcome


def _lower(graph: ir.Graph, node: ir.Node) -> bool:
    x, scale, bias = map(not_none, node.inputs)
    if x.shape is None or x.dtype is None:
        return False
    build, groups = NodeBuilder(graph, shapes=False), attribute(node, "num_groups")
    flat = build.op("Reshape", x, (0, groups, -1))  # (N, groups, C / groups * H * W)
    ones, zeros = np.ones(groups, x.dtype.numpy()), np.zeros(groups, x.dtype.numpy())
    epsilon = attribute(node, "epsilon", 1e-5)
    normal = build.op("InstanceNormalization", flat, ones, zeros, epsilon=epsilon)
    normal = build.op("Reshape", normal, build.op("Shape", x, dtype=ir.DataType.INT64))
    behind = tuple(range(1, len(x.shape) - 1))  # (C,) -> (C, 1, 1) for an (N, C, H, W)
    scale, bias = (build.op("Unsqueeze", v, behind) if behind else v for v in (scale, bias))
    build.replace([node], build.op("Add", build.op("Mul", normal, scale), bias))
    return True


def lower_group_norms(model: ir.Model) -> Outcome:
    """Lower every GroupNormalization of a graph whose opset is newer than 20."""
    nodes = nodes_of(model, "GroupNormalization")
    if not nodes or model.graph.opset_imports.get("", 0) <= OPSET:
        return Outcome(changed=0)
    infer_shapes(model)  # for the ranks
    return Outcome(changed=sum(_lower(model.graph, node) for node in nodes))
