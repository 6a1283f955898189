"""Which Conv and MatMul run in int8, and why the others do not.

The rules follow TensorRT's: both inputs quantised, weights constant, Q/DQ straight before the op,
and nothing at deconvolutions, average pools, norms and the attention core. An op that gains nothing
or costs accuracy stays in float: the first convolution on a picture, and the layer that makes the
output.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from ..convert.graph import constant, consumers, name_of, the

_CHANNEL_AXIS = {"Conv": 0, "MatMul": 1}
"""Axis of the output channels in the weights."""
_FEWEST_CHANNELS = 8
_PASSES_THROUGH = frozenset({"Add", "Mul", "Sigmoid", "Softmax", "Reshape", "Transpose", "Squeeze"})


@dataclass(frozen=True, kw_only=True)
class Placement:
    """One weighted op: what it makes, its op type, and why it stays in float (None: int8)."""

    node: str
    op_type: str
    reason: str | None


def weight_axis(node: ir.Node) -> int:
    """Return the axis of a quantised op's weights that has a scale per entry."""
    return _CHANNEL_AXIS[node.op_type]


def _makes_output(node: ir.Node) -> bool:
    """Whether only cheap elementwise ops and views lie between ``node`` and the graph's output."""
    value = node.outputs[0]
    while not value.is_graph_output():
        users = consumers(value)
        if len(users) != 1 or users[0].op_type not in _PASSES_THROUGH:
            return False
        value = users[0].outputs[0]
    return True


def _why_float(node: ir.Node) -> str | None:
    weights = constant(node.inputs[1])
    if weights is None:
        return "both inputs depend on the picture (attention core)"
    if node.op_type == "MatMul" and weights.ndim != 2:
        return f"weights of rank {weights.ndim}"
    if the(node.inputs[0]).is_graph_input():
        return "first layer: few channels, and it sees the raw picture"
    if _makes_output(node):
        return "it makes the output: errors there are not averaged out"
    inputs = weights.shape[1] if node.op_type == "Conv" else weights.shape[0]
    outputs = weights.shape[_CHANNEL_AXIS[node.op_type]]
    if min(inputs, outputs) < _FEWEST_CHANNELS and node.op_type == "MatMul":
        return f"{inputs}x{outputs} is too small to gain"
    return None


def place(graph: ir.Graph) -> list[Placement]:
    """Decide for every Conv, MatMul and ConvTranspose of a graph, in order."""
    decisions = []
    for node in graph:
        if node.op_type in _CHANNEL_AXIS:
            reason = _why_float(node)
        elif node.op_type == "ConvTranspose":
            reason = "TensorRT has no int8 deconvolution"
        else:
            continue
        decisions.append(
            Placement(node=name_of(node.outputs[0]), op_type=node.op_type, reason=reason)
        )
    return decisions
