"""Audit of a conversion: ops before and after, changes by pass, sizes, FLOPs, refused nodes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from .graph import attribute, constant
from .pipeline import Converted

COUNTED = frozenset({"Conv", "ConvTranspose", "Einsum", "GRU", "Gemm", "LSTM", "MatMul", "RNN"})
"""Ops that :func:`node_flops` counts."""
_FLOAT = 4  # bytes


@dataclass(frozen=True, kw_only=True)
class OpRow:
    """One op type."""

    op: str
    raw: int
    """How often in the raw export."""
    clean: int
    """How often in the clean graph."""
    rules: dict[str, int]
    """By how much each pass changed that number; passes that did not are left out."""
    nodes: tuple[str, ...]
    """Node names in the clean graph; they come from TensorFlow where it named the node."""
    refused: dict[str, str]
    """The nodes that the target refuses, with the reason."""


@dataclass(frozen=True, kw_only=True)
class StageRow:
    """The nodes whose results have one height and width (images) or length (sequences).

    Sizes are those of batch 1.
    """

    size: str
    nodes: int
    parameters: int
    flops: int
    bytes: int
    """Weights and results, float32."""

    @property
    def intensity(self) -> float:
        """FLOPs per byte. Below the machine balance, memory bandwidth limits the speed."""
        return self.flops / self.bytes if self.bytes else 0.0


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Summary of one conversion. FLOPs are for batch 1; a multiply-add counts as two."""

    ops: tuple[OpRow, ...]
    raw_nodes: int
    clean_nodes: int
    parameters: int
    flops: int
    stages: tuple[StageRow, ...]
    skipped: dict[str, dict[str, str]]
    """Near misses by pass: the value that a match ends in -> the reason why it did not fire."""
    refused: dict[str, str]
    """Nodes that the target refuses -> the reason; "" stands for the whole graph."""
    notes: tuple[str, ...] = ()
    """Which float types became float32."""


def _dims(value: ir.Value | None) -> list[int]:
    """Return a shape with 1 for every free dimension."""
    shape = value.shape if value is not None else None
    return [d if isinstance(d, int) else 1 for d in shape] if shape is not None else []


def _size(value: ir.Value | None) -> int:
    return int(np.prod(_dims(value), dtype=np.int64))


def node_flops(node: ir.Node) -> int:
    """Return the floating-point operations of an op of ``COUNTED``, 0 for others.

    A multiply-add counts as two. A free dimension, such as the batch, counts as 1.
    """
    result = _size(node.outputs[0])
    if node.op_type == "Conv":  # weights (O, C / group, kh, kw): each output sums C / group taps
        return 2 * result * int(np.prod(_dims(node.inputs[1])[1:]))
    if node.op_type == "ConvTranspose":  # weights (C, O / group, kh, kw): each input is scattered
        return 2 * _size(node.inputs[0]) * int(np.prod(_dims(node.inputs[1])[1:]))
    if node.op_type == "Gemm":
        axis = slice(0, 1) if attribute(node, "transA", 0) else slice(1, 2)
        return 2 * result * int(np.prod(_dims(node.inputs[0])[axis]))
    if node.op_type == "MatMul":
        return 2 * result * int(np.prod(_dims(node.inputs[0])[-1:]))
    if node.op_type in ("LSTM", "GRU", "RNN"):  # X (T, N, K) or (N, T, K); W and R for each gate
        steps = int(np.prod(_dims(node.inputs[0])[:2]))
        return 2 * steps * sum(_size(value) for value in node.inputs[1:3])
    return _einsum_flops(node) if node.op_type == "Einsum" else 0


def _einsum_flops(node: ir.Node) -> int:
    """Count two operations for each combination of all indices of the equation.

    That is the cost of one loop over all indices, without intermediate products.
    """
    terms = attribute(node, "equation", "").replace(" ", "").split("->")[0].split(",")
    if any(value is None or value.shape is None for value in node.inputs):
        return 0
    sizes: dict[str, int] = {}
    for term, value in zip(terms, node.inputs, strict=True):
        dims = _dims(value)
        others = len(dims) - len(term.replace("...", ""))
        # Digits stand for the axes of "..."; ellipses of several operands align at the right.
        indices = term.replace("...", "9876543210"[10 - others :])
        sizes.update((i, max(d, sizes.get(i, 1))) for i, d in zip(indices, dims, strict=True))
    return 2 * int(np.prod(list(sizes.values()), dtype=np.int64)) if len(terms) > 1 else 0


def _weights(node: ir.Node) -> int:
    arrays = (constant(value) for value in node.inputs)
    return sum(a.size for a in arrays if a is not None and a.dtype.kind == "f")


def parameters(graph: ir.Graph) -> int:
    """Return how many float weights a graph has."""
    arrays = (constant(value) for value in graph.initializers.values())
    return sum(a.size for a in arrays if a is not None and a.dtype.kind == "f")


def _stages(graph: ir.Graph) -> tuple[StageRow, ...]:
    groups: dict[str, list[ir.Node]] = defaultdict(list)
    for node in graph:
        dims = _dims(node.outputs[0])
        spatial = dims[2:] if len(dims) == 4 else dims[1:-1]  # (N, C, H, W) or (N, T, C)
        groups["x".join(map(str, spatial)) or "-"].append(node)
    return tuple(
        StageRow(
            size=size,
            nodes=len(nodes),
            parameters=sum(map(_weights, nodes)),
            flops=sum(map(node_flops, nodes)),
            bytes=_FLOAT * sum(_weights(n) + sum(map(_size, n.outputs)) for n in nodes),
        )
        for size, nodes in groups.items()
    )


def _rules(converted: Converted, op: str) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    before = converted.raw_ops[op]
    for step in converted.steps:
        found[step.name] += step.ops[op] - before
        before = step.ops[op]
    return {name: change for name, change in found.items() if change}


def _skipped(converted: Converted) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for step in converted.steps:
        found[step.name].update({skip.value: skip.reason for skip in step.outcome.skipped})
    return {name: skips for name, skips in found.items() if skips}


def audit(converted: Converted, refused: Mapping[str, str] | None = None) -> Audit:
    """Summarize a conversion.

    Args:
        converted: the result of ``convert``.
        refused: nodes of it that a target refuses, see ``Backend.refusals``.
    """
    graph, refused = ir.from_proto(converted.model).graph, dict(refused or {})
    raw, clean = converted.raw_ops, converted.ops
    nodes: dict[str, list[str]] = defaultdict(list)
    for node in graph:
        nodes[node.op_type].append(str(node.name))
    names = sorted(raw.keys() | clean.keys(), key=lambda op: (-clean[op], -raw[op], op))
    rows = (
        OpRow(
            op=op,
            raw=raw[op],
            clean=clean[op],
            rules=_rules(converted, op),
            nodes=tuple(nodes[op]),
            refused={name: refused[name] for name in nodes[op] if name in refused},
        )
        for op in names
    )
    return Audit(
        ops=tuple(rows),
        raw_nodes=raw.total(),
        clean_nodes=clean.total(),
        parameters=parameters(graph),
        flops=sum(map(node_flops, graph)),
        stages=_stages(graph),
        skipped=_skipped(converted),
        refused=refused,
        notes=converted.float_types.notes(),
    )
