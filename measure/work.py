"""The work of a quantized graph: FLOPs of each node, with functions inlined.

A multiply-add of Conv, ConvTranspose, MatMul, Gemm, Einsum, LSTM, GRU or RNN counts as two FLOPs.
As is usual, multiply-adds on padding count, too. All other ops count as 0: elementwise ops,
pooling, softmax and norms are a few percent of the work, and their time is bound by memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from ..common.onnx_shapes import infer_shapes
from ..convert.audit import COUNTED, node_flops

_CALL = "ocr_trt.call"  # key of node metadata: the name of the call that a node was inlined from
_NOT_COUNTED = frozenset(
    {
        *("Attention", "ConvInteger", "DFT", "DeformConv", "If", "Loop", "MatMulInteger"),
        *("MultiHeadAttention", "QLinearConv", "QLinearMatMul", "Scan", "STFT"),
    }
)
"""Ops with multiply-adds that this module does not count."""


@dataclass(frozen=True, kw_only=True)
class GraphWork:
    """The work of the nodes of a graph, by name.

    Attributes:
        flops: FLOPs of all nodes, in the order of the graph.
        readers: the nodes that use the outputs of each node.
        labels: the name of each node in the graph before inlining: the name of the call for a node
            in the body of a function, else its own name.
        uncounted: nodes whose multiply-adds are not in ``flops``, because of their op or because of
            unknown shapes.
    """

    flops: Mapping[str, int]
    readers: Mapping[str, tuple[str, ...]]
    labels: Mapping[str, str]
    uncounted: tuple[str, ...]

    @property
    def total(self) -> int:
        """FLOPs of one run."""
        return sum(self.flops.values())


def graph_work(model: onnx.ModelProto, batch: int) -> GraphWork:
    """Count the work of a quantized graph for a batch of images."""
    whole = ir.from_proto(model)
    # Inlining first, so that the inner nodes get shapes; the batch next, so that shapes are static.
    _inline(whole)
    _fix_batch(whole.graph, batch)
    infer_shapes(whole)
    flops: dict[str, int] = {}
    uncounted = []
    for node in whole.graph:
        is_known = node.op_type not in COUNTED or all(map(_is_known, _operands(node)))
        flops[str(node.name)] = node_flops(node) if is_known else 0
        if not is_known or node.op_type in _NOT_COUNTED:
            uncounted.append(str(node.name))
    return GraphWork(
        flops=flops,
        readers={
            str(node.name): tuple(str(reader.name) for reader in node.successors())
            for node in whole.graph
        },
        labels={
            str(node.name): node.metadata_props.get(_CALL) or str(node.name) for node in whole.graph
        },
        uncounted=tuple(uncounted),
    )


def _inline(model: ir.Model) -> None:
    """Replace calls of functions with their bodies, as targets do; each node keeps its call."""
    for node in model.graph:
        if node.op_identifier() in model.functions:
            # The pass copies the metadata of a call to the nodes of its body.
            node.metadata_props[_CALL] = str(node.name)
    common.InlinePass()(model)


def _fix_batch(graph: ir.Graph, batch: int) -> None:
    """Set the batch size of the inputs, and remove inferred shapes, which may have a free batch."""
    for node in graph:
        for value in node.outputs:
            value.shape = None
    for value in graph.inputs:
        if value.shape is not None and not isinstance(value.shape[0], int):
            value.shape = ir.Shape([batch, *list(value.shape)[1:]])


def _operands(node: ir.Node) -> list[ir.Value]:
    """Return the values whose shapes determine the FLOPs: two inputs and the first output."""
    return [value for value in (*node.inputs[:2], node.outputs[0]) if value is not None]


def _is_known(value: ir.Value) -> bool:
    return value.shape is not None and value.shape.is_static()
