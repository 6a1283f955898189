"""How much a quantized graph has to compute: FLOPs of each node, functions inlined.

Counted are the multiply-adds, as two, of Conv, ConvTranspose, MatMul, Gemm, Einsum, LSTM, GRU and
RNN; those of a Conv over its padding too, as is usual. All else counts as nothing: elementwise ops,
pooling, softmax and norms are a few per cent, and bound by memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from ..convert.audit import COUNTED, node_flops

_CALL = "ocr_trt.call"
_NOT_COUNTED = frozenset(
    {
        *("Attention", "ConvInteger", "DFT", "DeformConv", "If", "Loop", "MatMulInteger"),
        *("MultiHeadAttention", "QLinearConv", "QLinearMatMul", "Scan", "STFT"),
    }
)
"""Ops with products that nothing here counts."""


@dataclass(frozen=True, kw_only=True)
class GraphWork:
    """What the nodes of a graph have to do.

    Attributes:
        flops: by name of the node; of all nodes, in the order of the graph.
        readers: by name of the node, the nodes that take its results.
        labels: what a node is called in the graph that its user knows: of a node of a function's
            body the name of the call, else its own.
        uncounted: nodes with products that are not in ``flops``: of an op that nothing here counts,
            or of unknown shapes.
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
    _inline(whole)
    _fix_batch(whole.graph, batch)
    common.ShapeInferencePass()(whole)
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
    """Put the bodies of functions in place of their calls, as backends do; mark whose they are."""
    for node in model.graph:
        if node.op_identifier() in model.functions:
            node.metadata_props[_CALL] = str(node.name)
    common.InlinePass()(model)


def _fix_batch(graph: ir.Graph, batch: int) -> None:
    """Let shapes follow from the batch: those of the graph may say that it is free."""
    for node in graph:
        for value in node.outputs:
            value.shape = None
    for value in graph.inputs:
        if value.shape is not None and not isinstance(value.shape[0], int):
            value.shape = ir.Shape([batch, *list(value.shape)[1:]])


def _operands(node: ir.Node) -> list[ir.Value]:
    return [value for value in (*node.inputs[:2], node.outputs[0]) if value is not None]


def _is_known(value: ir.Value) -> bool:
    return value.shape is not None and value.shape.is_static()
