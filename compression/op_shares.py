"""How much of the work of each op remains in a smaller graph.

Names are those of the original graph: an op has the name of its first result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from ..convert.audit import node_flops
from ..convert.graph import result_name
from .decisions import SmallerGraph


@dataclass(frozen=True, kw_only=True)
class OpWork:
    """The work of an op for one image. A free dimension, such as the batch, counts as 1."""

    flops: int
    """0 for ops that are not in ``audit.COUNTED``."""
    size: int
    """Number of values of the first result."""


@dataclass(frozen=True, kw_only=True)
class OpShare:
    """The part of an op that one decision leaves; 1 is all of it.

    A factored op consists of two ops. The work of the first is proportional to the channels that
    are read, and the work of the second to the channels that are written.
    """

    read: float = 1.0
    """Share of the channels that the op reads."""
    written: float = 1.0
    """Share of the channels that it writes."""
    first: float | None = None
    """FLOPs of the first of two ops, relative to those of the original op; None: not factored."""
    second: float = 0.0
    """FLOPs of the second op, relative to those of the original op."""


def op_work(model: onnx.ModelProto) -> dict[str, OpWork]:
    """Return the work of every op of a graph, in its order."""
    whole = ir.from_proto(model)
    if _lacks_shapes(whole.graph):
        common.ShapeInferencePass()(whole)
    return {
        result_name(node): OpWork(flops=node_flops(node), size=_size(node)) for node in whole.graph
    }


def _lacks_shapes(graph: ir.Graph) -> bool:
    return any(value.shape is None for node in graph for value in node.outputs if value.name)


def _size(node: ir.Node) -> int:
    value = next(each for each in node.outputs if each.name)
    dims = [] if value.shape is None else [d if isinstance(d, int) else 1 for d in value.shape]
    return int(np.prod(dims, dtype=np.int64))


def total_flops(work: Mapping[str, OpWork]) -> int:
    """Return the FLOPs of a whole graph for one image."""
    return sum(each.flops for each in work.values())


def factored_parts(original: Mapping[str, OpWork], model: onnx.ModelProto) -> dict[str, str]:
    """Return the ops that a smaller graph has in addition, with the factored op that each is for.

    The last part of a factored op keeps the name of the original op.
    """
    readers = {name: node for node in model.graph.node for name in node.input}
    parts = {}
    for node in model.graph.node:
        name, reader = node.output[0], node
        while reader.output[0] not in original:
            if reader.output[0] not in readers:
                break
            reader = readers[reader.output[0]]
        if reader is not node and reader.output[0] in original:
            parts[name] = reader.output[0]
    return parts


def op_shares(original: Mapping[str, OpWork], smaller: SmallerGraph) -> dict[str, OpShare]:
    """Return the shares of the ops that became smaller.

    Args:
        original: the work of the original graph.
        smaller: the graph after a single decision.
    """
    work, shares = op_work(smaller.model), dict[str, OpShare]()
    for name, before in original.items():
        after = work.get(name)
        if after is not None and after != before:
            written = after.size / before.size if before.size else 1.0
            total = after.flops / before.flops if before.flops else written
            shares[name] = OpShare(read=total / written if written else 1.0, written=written)
    for name, layer in factored_parts(original, smaller.model).items():
        if flops := original[layer].flops:
            first = shares[layer].first if layer in shares else None
            shares[layer] = OpShare(
                first=(first or 0.0) + work[name].flops / flops, second=work[layer].flops / flops
            )
    return shares
