"""Edits of ``onnx_ir`` graphs that the quantization passes share."""

from __future__ import annotations

import numpy.typing as npt
import onnx_ir as ir


def insert_behind(graph: ir.Graph, value: ir.Value, nodes: list[ir.Node]) -> None:
    """Insert nodes directly behind the node that computes ``value``.

    Behind an input of the graph, or an initializer, is the start of the graph.
    """
    producer = value.producer()
    if producer is None:
        graph.insert_before(graph[0], nodes)
    else:
        graph.insert_after(producer, nodes)


def drop_unused_initializers(graph: ir.Graph) -> None:
    """Remove the initializers that no node reads any more."""
    for name, value in list(graph.initializers.items()):
        if not list(value.uses()):
            del graph.initializers[name]


def along_axis(vector: npt.NDArray, axis: int, rank: int) -> npt.NDArray:
    """Reshape a vector (C,) so that it broadcasts along one axis of an array of that rank."""
    shape = [1] * rank
    shape[axis] = -1
    return vector.reshape(shape)  # (1, ..., C, ..., 1)
