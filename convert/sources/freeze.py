"""Freeze a traced TensorFlow function: variables become constants, and calls are inlined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .large_weights import (
    Weights,
    extract_constants,
    has_loops,
    make_placeholder,
    weights_to_extract,
)
from .side_effects import remove_assignments
from .training_mode import check_inference_mode

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_MARKS = ("_XlaMustCompile", "_noinline")  # attributes that keep TensorFlow from inlining


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """A GraphDef without variables."""

    graph: Any
    inputs: tuple[str, ...]
    """Tensor names."""
    outputs: tuple[str, ...]
    """Tensor names."""
    weights: Weights
    """Values of the placeholders that replace weights, by node name."""


def freeze(traced: Any, *, whole: bool = False) -> Frozen:
    """Freeze a concrete function.

    Loops stay functions, because tf2onnx recognizes LSTMs by them. TensorFlow does not inline
    functions with a mark for XLA (Keras wraps grouped convolutions in one), so marks are removed.

    Args:
        traced: the concrete function.
        whole: keep large weights in the graph too; otherwise a heavy graph gets placeholders.
    """
    captured = {id(tensor) for tensor in traced.graph.internal_captures}
    inputs = tuple(tensor.name for tensor in traced.inputs if id(tensor) not in captured)
    outputs = tuple(tensor.name for tensor in traced.outputs)
    graph, weights = _flattened(traced, whole)
    if any(node.op in _CALLS for node in graph.node):
        _unmark(graph)
        entries = (*inputs, *(f"{name}:0" for name in weights))
        graph, _ = _flattened(_wrapped(graph, entries, outputs), whole=True)
    if not whole:
        weights |= extract_constants(graph)
    return Frozen(graph=graph, inputs=inputs, outputs=outputs, weights=weights)


def _flattened(traced: Any, whole: bool) -> tuple[Any, Weights]:
    """Inline calls, and replace variables by constants.

    TensorFlow's own ``convert_variables_to_constants_v2`` does the same and then builds a function,
    which copies all weights again.
    """
    from tensorflow.python.framework import convert_to_constants as freezing

    converter = freezing._FunctionConverterDataInEager(
        func=traced, lower_control_flow=False, aggressive_inlining=False
    )
    ends = [tensor.name for tensor in traced.outputs]
    # Before assignments are removed: they show which statistics are those of a batch.
    check_inference_mode(converter.graph_def, ends)
    remove_assignments(converter.graph_def, ends)
    values = converter.tensor_data
    beside: Weights = {}
    if not whole and not has_loops(converter.graph_def):
        beside = weights_to_extract({name: value.numpy for name, value in values.items()})
    # The converter would copy the large values, so it gets scalars in their place.
    for name in beside:
        values[name] = values[name]._replace(numpy=np.zeros((), np.float32))
    graph, _ = freezing._replace_variables_by_constants(converter_data=converter)
    for node in graph.node:
        if node.name in beside:
            make_placeholder(node, beside[node.name].shape)
    return graph, beside


def _wrapped(graph: Any, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Any:
    """Return a GraphDef as a concrete function again."""
    from tensorflow.compat import v1

    def function(*tensors: Any) -> Any:
        feeds = dict(zip(inputs, tensors, strict=True))
        return v1.import_graph_def(graph, input_map=feeds, return_elements=list(outputs), name="")

    placeholders = {f"{node.name}:0": node for node in graph.node if node.op == "Placeholder"}
    specs = [
        v1.TensorSpec(
            v1.TensorShape(placeholders[name].attr["shape"].shape),
            placeholders[name].attr["dtype"].type,
            name=name.split(":")[0],
        )
        for name in inputs
    ]
    return v1.wrap_function(function, specs)


def _unmark(graph: Any) -> None:
    """Remove the marks that prevent inlining.

    Functions get new names, because TensorFlow keeps the old functions under the old names.
    """
    names = {function.signature.name for function in graph.library.function}
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    for part in (*nodes, *graph.library.function):
        for mark in _MARKS:
            part.attr.pop(mark, None)
    for node in nodes:
        for value in node.attr.values():
            if value.func.name in names:
                value.func.name += "_unmarked"
    for function in graph.library.function:
        function.signature.name += "_unmarked"
