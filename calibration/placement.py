"""Decide which Conv and MatMul run in int8, and give the reason for the others.

The rules follow TensorRT's: both inputs quantized, weights constant, Q/DQ directly in front of the
op, and none at deconvolutions, average pools, norms and the attention core. An op that gains
nothing or costs accuracy stays in float: the first convolution on an image, and the layer that
computes the output.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from ..convert.graph import (
    array_of,
    constant,
    consumers,
    has_one_use,
    name_of,
    not_none,
    producer,
    result_name,
)

_CHANNEL_AXIS = {"Conv": 0, "MatMul": 1}
"""Axis of the output channels in the weights."""
_FLOAT_ONLY = {
    "ConvTranspose": "no int8 deconvolution: few runtimes have kernels for it",
    **{
        op: f"no int8 {op}: few runtimes have kernels for it"
        for op in ("Einsum", "GRU", "Gemm", "LSTM", "RNN")
    },
}
"""Ops that compute products but always stay in float, with the reason."""
_FEWEST_CHANNELS = 8  # of a MatMul; smaller products gain nothing in int8
_PASSES_THROUGH = frozenset({"Add", "Mul", "Sigmoid", "Softmax", "Reshape", "Transpose", "Squeeze"})


@dataclass(frozen=True, kw_only=True)
class Placement:
    """The decision on one weighted op."""

    node: str
    """Its first output with a name."""
    op_type: str
    reason: str | None
    """Why it stays in float; None: it runs in int8."""


def weight_axis(node: ir.Node) -> int:
    """Return the axis of an int8 op's weights that has one scale per entry."""
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


def _why_never(node: ir.Node) -> str | None:
    """Return why an op cannot run in int8, or None."""
    weights = constant(node.inputs[1])
    if weights is None and constant(node.inputs[0]) is not None:
        return "its constant is the first input: a resize, not a layer with weights"
    if weights is None:
        return "both inputs depend on the image (attention core)"
    if node.op_type == "MatMul" and weights.ndim != 2:
        return f"its weights have rank {weights.ndim}, expected 2"
    return None


def _why_not_worth_it(node: ir.Node) -> str | None:
    """Return why int8 gains too little or costs too much accuracy at an op, or None."""
    weights = array_of(node.inputs[1])  # Conv (O, I / group, kh, kw), MatMul (K, N)
    if not_none(node.inputs[0]).is_graph_input():
        return "first layer: it reads the raw image and has few channels"
    if _makes_output(node):
        return "last layer: its errors are not averaged out"
    inputs = weights.shape[1] if node.op_type == "Conv" else weights.shape[0]
    outputs = weights.shape[_CHANNEL_AXIS[node.op_type]]
    if min(inputs, outputs) < _FEWEST_CHANNELS and node.op_type == "MatMul":
        return f"its {inputs}x{outputs} weights are too small for int8 to be faster"
    return None


def place(
    graph: ir.Graph,
    excluded: Mapping[str, str] | None = None,
    *,
    everywhere: bool = False,
    products: bool = True,
) -> list[Placement]:
    """Decide for every op of a graph that computes products, in order.

    These are the ops of ``audit.COUNTED``, so that shares of int8 count all FLOPs.

    Args:
        graph: clean float graph.
        excluded: ops, by their first output, that stay in float, with the caller's reason.
        everywhere: also run in int8 what gains little by it or costs accuracy.
        products: also run matrix products in int8.
    """
    decisions, excluded = [], excluded or {}
    for node in graph:
        if node.op_type in _CHANNEL_AXIS:
            reason = _why_never(node)
            if not everywhere:
                reason = reason or _why_not_worth_it(node)
            if node.op_type == "MatMul" and not products:
                reason = reason or "matrix products are faster in float on this processor"
            reason = reason or excluded.get(name_of(node.outputs[0]))
        elif node.op_type in _FLOAT_ONLY:
            reason = _FLOAT_ONLY[node.op_type]
        else:
            continue
        decisions.append(Placement(node=result_name(node), op_type=node.op_type, reason=reason))
    return decisions


_KEEPS_SCALE = frozenset(
    {"MaxPool", "Reshape", "Transpose", "Slice", "DepthToSpace", "SpaceToDepth"}
)
"""Ops that only select or move values, so that a rounded tensor stays on its grid."""


def _origin(value: ir.Value) -> ir.Value:
    """Return the tensor whose values ``value`` selects or moves."""
    while (node := value.producer()) is not None and node.op_type in _KEEPS_SCALE:
        value = not_none(node.inputs[0])
    return value


def shared_ranges(graph: ir.Graph, ranges: Mapping[str, float]) -> dict[str, float]:
    """Return the ranges, with one common range, the largest, for all tensors of a Concat.

    The result of the Concat and those of its inputs that are quantized too get one scale. Then
    TensorRT can join them without rounding again.
    """
    groups = []
    for node in graph:
        result = name_of(node.outputs[0])
        if node.op_type == "Concat" and result in ranges:
            parts = {name_of(_origin(not_none(value))) for value in node.inputs}
            groups.append({result, *(parts & ranges.keys())})
    found = dict(ranges)
    # One Concat may feed another. A range needs at most one round per Concat to reach all of them.
    for _ in groups:
        for members in groups:
            found.update(dict.fromkeys(members, max(found[member] for member in members)))
    return found


def residual_skips(graph: ir.Graph, chosen: Collection[str]) -> dict[ir.Node, int]:
    """Return the residual sums, int8 convolution + skip tensor -> the input index of the skip.

    ``chosen``: the first outputs of the ops that run in int8.
    """
    found = {}
    for node in graph:
        if node.op_type != "Add":
            continue
        from_conv = [
            producer(value, "Conv") is not None
            and name_of(value) in chosen
            and has_one_use(not_none(value))
            for value in node.inputs
        ]
        # Exactly one side is a convolution, and the other is no constant, which would be a bias.
        if from_conv.count(True) == 1 and constant(node.inputs[1 - from_conv.index(True)]) is None:
            found[node] = 1 - from_conv.index(True)
    return found
