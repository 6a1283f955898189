"""Read inner tensors of an ONNX graph, or numbers computed from them.

A :class:`Probe` makes them outputs of a copy of the graph, and a :class:`GraphSession` runs the
copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy.typing as npt
import onnx

from .input_size import InputSize
from .onnx_session import onnx_session

Tensors = dict[str, npt.NDArray]
"""Arrays by the name of the tensor."""


class Probe:
    """A copy of a graph whose outputs are those added with :meth:`output`."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        del self.model.graph.output[:]
        self._inputs = {value.name for value in model.graph.input}

    def output(self, name: str) -> None:
        """Make a tensor an output. An input is skipped: the caller already has it."""
        if name not in self._inputs:
            # Without a type, because the graph may not state it; onnxruntime infers it.
            info = onnx.helper.make_empty_tensor_value_info(name)
            self.model.graph.output.append(info)

    def node(self, op_type: str, inputs: Sequence[str], result: str, **attributes: Any) -> str:
        """Add a node with one result; return the name of the result."""
        self.model.graph.node.append(onnx.helper.make_node(op_type, inputs, [result], **attributes))
        return result

    def constant(self, array: npt.NDArray, name: str) -> str:
        """Add a constant; return its name."""
        self.model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        return name


def with_outputs(model: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """Return a copy of the graph with the named inner tensors as its only outputs.

    Inputs of the graph among ``names`` are skipped.
    """
    probe = Probe(model)
    for name in names:
        probe.output(name)
    return probe.model


def part_of(model: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """Return the part of a graph that computes the named tensors, which become its only outputs.

    Inputs of the graph among ``names`` are skipped. onnxruntime runs all nodes of a graph, also
    those that no output needs.
    """
    part = with_outputs(model, names)
    needed, nodes = {value.name for value in part.graph.output}, list[onnx.NodeProto]()
    for node in reversed(part.graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(_names_read(node))
    weights = [tensor for tensor in part.graph.initializer if tensor.name in needed]
    for field, kept in ((part.graph.node, nodes[::-1]), (part.graph.initializer, weights)):
        copies = [type(each).FromString(each.SerializeToString()) for each in kept]
        del field[:]
        field.extend(copies)
    return part


def _names_read(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the tensors that a node reads, also those that the graphs in its attributes read."""
    yield from node.input
    for item in node.attribute:
        for graph in (item.g, *item.graphs):
            for inner in graph.node:
                yield from _names_read(inner)
            yield from (value.name for value in graph.output)


class GraphSession:
    """A graph with one input, open in onnxruntime.

    ``optimize``: let onnxruntime rewrite the graph; see :func:`~.onnx_session.onnx_session`.
    """

    def __init__(self, model: onnx.ModelProto, *, optimize: bool = True) -> None:
        self._input = model.graph.input[0].name
        self._outputs = [value.name for value in model.graph.output]
        # onnxruntime refuses a graph without outputs; there is nothing to run then.
        self._session = onnx_session(model, optimize=optimize) if self._outputs else None

    def run(self, batch: npt.NDArray) -> Tensors:
        """Return all outputs and the input itself, by name."""
        if self._session is None:
            return {self._input: batch}
        results = self._session.run(self._outputs, {self._input: batch})
        return {**dict(zip(self._outputs, results, strict=True)), self._input: batch}


class SessionsBySize:
    """One session per input size, opened at the first batch of that size.

    ``graph_of``: returns the graph for an input size.
    """

    def __init__(self, graph_of: Callable[[InputSize], onnx.ModelProto]) -> None:
        self._graph_of = graph_of
        self._open: dict[InputSize, GraphSession] = {}

    def run(self, batch: npt.NDArray) -> Tensors:
        """Return all outputs and the input itself, (N, C, H, W), by name."""
        size = InputSize(*batch.shape[2:])
        if size not in self._open:
            self._open[size] = GraphSession(self._graph_of(size))
        return self._open[size].run(batch)


def read_tensors(
    model: onnx.ModelProto, names: Iterable[str], batch: npt.NDArray, *, optimize: bool = True
) -> Tensors:
    """Run a graph with one input once, and return the named tensors.

    Args:
        model: the graph.
        names: inner tensors; the input is always returned too.
        batch: the input, as the graph requires it.
        optimize: let onnxruntime rewrite the graph.
    """
    return GraphSession(with_outputs(model, names), optimize=optimize).run(batch)
