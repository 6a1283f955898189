"""tf2onnx sorts a graph once, and visits few nodes, with the same result."""

from __future__ import annotations

import re
from contextlib import nullcontext

import numpy as np
import onnx_ir as ir
import pytest

from ocr_trt.convert.graph import constant
from ocr_trt.convert.sources import tf2onnx_fixes
from ocr_trt.convert.sources.tf_graph import onnx_from_function

tf = pytest.importorskip("tensorflow")


def described(value: ir.Value | None) -> str | bytes:
    """Return the numbers of a constant, or else a name without the number that tf2onnx adds."""
    if value is None:
        return ""
    array = constant(value)
    return re.sub(r"__\d+", "", str(value.name)) if array is None else array.tobytes()


def described_nodes(graph: ir.Graph) -> list[tuple[object, ...]]:
    """Return the op and the inputs of each node, sorted.

    tf2onnx orders independent nodes by the hashes of names that contain a counter.
    """
    return sorted(((n.op_type, *map(described, n.inputs)) for n in graph), key=repr)


def test_the_graph_is_the_same_with_fewer_sorts(monkeypatch: pytest.MonkeyPatch) -> None:
    from tf2onnx.graph import Graph

    rng, sort, sorts = np.random.default_rng(0), Graph.topological_sort, []
    # Each kernel becomes a Reshape of a constant.
    kernels = [rng.standard_normal((3, 3, 4, 1)).astype(np.float32) for _ in range(6)]

    def network(x: tf.Tensor) -> tf.Tensor:
        for kernel in kernels:
            x = tf.nn.relu(tf.nn.depthwise_conv2d(x, kernel, (1, 1, 1, 1), "SAME"))
        return x

    def counted(self: Graph, nodes: list) -> None:
        sorts.append(len(nodes))
        sort(self, nodes)

    monkeypatch.setattr(Graph, "topological_sort", counted)
    results = []
    for block in (nullcontext, tf2onnx_fixes.sorting_once):
        monkeypatch.setattr(tf2onnx_fixes, "sorting_once", block)
        sorts.clear()
        model = onnx_from_function(network, "x", (1, 8, 8, 4), "y").whole()
        nodes = described_nodes(model.graph)
        results.append((nodes, len(sorts)))
    (expected, many), (result, few) = results
    assert result == expected
    assert few <= many - (len(kernels) - 1), (few, many)


def test_the_graph_is_the_same_with_fewer_visits(monkeypatch: pytest.MonkeyPatch) -> None:
    from tf2onnx.graph import Graph

    register, visits, rng = Graph._register_input_name, [], np.random.default_rng(0)
    kernels = [rng.standard_normal((4, 4)).astype(np.float32) for _ in range(80)]

    def network(x: tf.Tensor) -> tf.Tensor:
        rows = [
            row @ kernel + kernel[0]
            for row, kernel in zip(tf.unstack(x, 80, 1), kernels, strict=True)
        ]
        return tf.stack(rows, 1)

    def counted(self: Graph, *arguments: object, **options: object) -> None:
        visits.append(arguments)
        register(self, *arguments, **options)

    monkeypatch.setattr(Graph, "_register_input_name", counted)
    results = []
    for block in (nullcontext, tf2onnx_fixes.visiting_consumers_only):
        monkeypatch.setattr(tf2onnx_fixes, "visiting_consumers_only", block)
        visits.clear()
        model = onnx_from_function(network, "x", (1, 80, 4), "y").whole()
        nodes = described_nodes(model.graph)
        results.append((nodes, len(visits)))
    (expected, many), (result, few) = results
    assert result == expected
    assert few < many * 0.75, (few, many)
