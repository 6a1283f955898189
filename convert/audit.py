"""What became of a model: ops before and after, sizes, work, what stayed and why."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from .graph import constant
from .pipeline import Converted


@dataclass(frozen=True, kw_only=True)
class OpRow:
    """One op type: how often in the raw export, how often in the clean graph."""

    op: str
    raw: int
    clean: int


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Summary of one conversion. ``flops`` is for batch 1; a multiply-add counts as two."""

    ops: tuple[OpRow, ...]
    raw_nodes: int
    clean_nodes: int
    parameters: int
    flops: int
    notes: tuple[str, ...]
    """Matches that almost fired, and why not."""


def _dims(value: ir.Value | None) -> list[int]:
    """Return a shape with 1 for every size that is free."""
    shape = value.shape if value is not None else None
    return [d if isinstance(d, int) else 1 for d in shape] if shape is not None else []


def node_flops(node: ir.Node) -> int:
    """Return the floating-point operations of a weighted op at batch 1, 0 for others."""
    result = int(np.prod(_dims(node.outputs[0]), dtype=np.int64))
    if node.op_type == "Conv":
        weights = _dims(node.inputs[1])
        return 2 * result * int(np.prod(weights[1:]))
    if node.op_type == "ConvTranspose":
        weights = _dims(node.inputs[1])
        return 2 * int(np.prod(_dims(node.inputs[0]), dtype=np.int64)) * int(np.prod(weights[1:]))
    if node.op_type == "MatMul":
        return 2 * result * _dims(node.inputs[0])[-1]
    return 0


def parameters(graph: ir.Graph) -> int:
    """Return how many float weights a graph has."""
    arrays = (constant(value) for value in graph.initializers.values())
    return sum(a.size for a in arrays if a is not None and a.dtype.kind == "f")


def audit(converted: Converted) -> Audit:
    """Sum up a conversion."""
    graph = ir.from_proto(converted.model).graph
    raw, clean = converted.raw_ops, converted.ops
    names = sorted(raw.keys() | clean.keys(), key=lambda op: (-clean[op], -raw[op], op))
    return Audit(
        ops=tuple(OpRow(op=op, raw=raw[op], clean=clean[op]) for op in names),
        raw_nodes=raw.total(),
        clean_nodes=clean.total(),
        parameters=parameters(graph),
        flops=sum(map(node_flops, graph)),
        notes=tuple(
            f"{step.name} left {skip.value}: {skip.reason}"
            for step in converted.steps
            for skip in step.outcome.skipped
        ),
    )
