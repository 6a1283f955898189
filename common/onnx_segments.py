"""Infer the shapes of a graph with many branches or loops in linear time, segment by segment.

ONNX's C++ code copies the table of all values known so far for each inner graph, so its time is
the number of inner graphs times the number of values. Here each segment of nodes is a model of its
own, whose inputs have the types that earlier segments found. Some nodes in front of a segment are
inferred with it again, because lengths that are computed from shapes are known only within a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx

_LARGEST_TABLE = 20_000_000
"""Entries that may be copied at once, which takes half a second."""
_NODES, _OVERLAP = 500, 50
"""Nodes of a segment, and those in front of it that are inferred again."""


def infer_shapes_linearly(
    model: onnx.ModelProto,
    *,
    check_type: bool = False,
    strict_mode: bool = False,
    data_prop: bool = False,
) -> onnx.ModelProto:
    """Do the same as ``onnx.shape_inference.infer_shapes``, but not in quadratic time.

    If the graph has many inner graphs, sizes that ONNX cannot compute have no names, and a length
    that depends on a shape far in front may stay unknown.

    Raises:
        onnx.shape_inference.InferenceError: types or shapes contradict each other.
    """
    nodes = model.graph.node
    inner = sum(len(_inner_graphs(node)) for node in nodes)
    if inner * len(nodes) <= _LARGEST_TABLE:
        return onnx.shape_inference.infer_shapes(model, check_type, strict_mode, data_prop)
    whole = _Whole(model)
    for start in range(0, len(nodes), _NODES):
        first = max(0, start - _OVERLAP)
        part = whole.part(nodes[first : start + _NODES])
        inferred = onnx.shape_inference.infer_shapes(part, check_type, strict_mode, data_prop)
        whole.add(inferred.graph, start - first)
    return whole.result()


def _inner_graphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    found = []
    for item in node.attribute:
        if item.type == onnx.AttributeProto.GRAPH:
            found.append(item.g)
        elif item.type == onnx.AttributeProto.GRAPHS:
            found += item.graphs
    return found


def _reads(nodes: Sequence[onnx.NodeProto]) -> Iterator[str]:
    """Yield the names that nodes read, also inside their graphs."""
    for node in nodes:
        yield from node.input
        for graph in _inner_graphs(node):
            yield from _reads(graph.node)
            yield from (value.name for value in graph.output)


class _Whole:
    """The whole model, and what is known of its values."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self._model = model
        self._nodes: list[onnx.NodeProto] = []
        self._outputs = {value.name: value for value in graph.output}
        self._constants = {each.name: each for each in graph.initializer}
        self._known = {value.name: value for value in (*graph.value_info, *graph.input)}
        self._symbols = {
            name
            for value in (*self._known.values(), *graph.output)
            for name, _ in _named_sizes(value)
        }

    def part(self, nodes: Sequence[onnx.NodeProto]) -> onnx.ModelProto:
        """Return a model of some nodes; its inputs are what they read of the other nodes."""
        own = {name for node in nodes for name in node.output if name}
        outside = [name for name in dict.fromkeys(_reads(nodes)) if name and name not in own]
        graph = onnx.GraphProto(name="segment", node=nodes)
        graph.input.extend(self._known[name] for name in outside if name in self._known)
        graph.initializer.extend(
            self._constants[name] for name in outside if name in self._constants
        )
        graph.output.extend(self._outputs[name] for name in own if name in self._outputs)
        graph.value_info.extend(self._known[name] for name in own if name in self._known)
        model = self._model
        return onnx.ModelProto(
            ir_version=model.ir_version,
            opset_import=model.opset_import,
            functions=model.functions,
            graph=graph,
        )

    def add(self, graph: onnx.GraphProto, skipped: int) -> None:
        """Keep what was inferred about the nodes of a segment, except the first ``skipped``."""
        self._nodes += graph.node[skipped:]
        produced = {name for node in graph.node[skipped:] for name in node.output}
        for value in (*graph.value_info, *graph.output):
            if value.name in produced:
                # Each segment counts its unknown sizes from 0: the names would seem equal.
                for name, size in list(_named_sizes(value)):
                    if name not in self._symbols:
                        size.ClearField("dim_param")
                target = self._outputs if value.name in self._outputs else self._known
                target[value.name] = value

    def result(self) -> onnx.ModelProto:
        """Return the model with all that is known."""
        result = onnx.ModelProto()
        result.CopyFrom(self._model)
        graph = result.graph
        for field in ("node", "value_info", "output"):
            graph.ClearField(field)
        graph.node.extend(self._nodes)
        inputs = {value.name for value in graph.input}
        graph.value_info.extend(v for name, v in self._known.items() if name not in inputs)
        graph.output.extend(self._outputs[value.name] for value in self._model.graph.output)
        return result


def _named_sizes(
    value: onnx.ValueInfoProto,
) -> Iterator[tuple[str, onnx.TensorShapeProto.Dimension]]:
    for size in value.type.tensor_type.shape.dim:
        if size.HasField("dim_param"):
            yield size.dim_param, size
