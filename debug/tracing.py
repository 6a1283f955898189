"""Measure how far each tensor of a quantized graph is from the same tensor of its reference.

Three graphs are merged into one: the reference, the quantized graph, and a second copy of the
quantized graph in which every step reads the tensors of the reference. So one run measures the
whole error of a tensor (``accumulated``) and the error that its own step adds (``own``). The merged
graph also computes the sums of squares: its outputs are a few numbers per tensor, so onnxruntime
can free each tensor early.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import add
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, compose, helper

from ..common.inner_tensors import GraphSession, Probe
from .steps import GraphPair, GraphStep

Batch = npt.NDArray[np.float32]
# Prefixes of tensors in the merged graph. The first copy of the quantized graph has no prefix.
_FLOAT, _OWN = "reference::", "own::"


class Power(NamedTuple):
    """Sums of squares over a tensor: of its signal, its own noise and its accumulated noise.

    Noise may be infinite. ``bad``: the number of infinite or NaN values, of ``size``.
    """

    signal: float
    own: float
    accumulated: float
    bad: float
    size: float


class Rounding(NamedTuple):
    """Sums of squares: the signal of a reference's tensor, and the noise of its QuantizeLinear.

    ``clipped``: the number of values beyond the int8 range, of ``size``.
    """

    signal: float
    noise: float
    clipped: float
    size: float


@dataclass(frozen=True, kw_only=True)
class TensorNoise:
    """Sums over one or more images.

    ``tensors``: by name; ``roundings``: by the name of the QuantizeLinear's result.
    """

    tensors: dict[str, Power]
    roundings: dict[str, Rounding]

    def __add__(self, other: TensorNoise) -> TensorNoise:
        return TensorNoise(
            tensors=_added(self.tensors, other.tensors),
            roundings=_added(self.roundings, other.roundings),
        )


_Sums = TypeVar("_Sums", Power, Rounding)


def _added(mine: dict[str, _Sums], theirs: dict[str, _Sums]) -> dict[str, _Sums]:
    # Graphs of two sizes have the same tensors, unless an op was lowered differently.
    return {
        name: type(sums)(*map(add, sums, theirs[name]))  # `+` would append the tuples
        for name, sums in mine.items()
        if name in theirs
    }


OutputNames = dict[str, list[str]]
"""By name of a tensor or of a rounding: the outputs of the merged graph that are its numbers."""


class Tracer:
    """Runs a pair of graphs on images (N, C, H, W)."""

    def __init__(self, pair: GraphPair) -> None:
        self.pair = pair
        model, self._tensors, self._roundings = _traced(pair)
        # Without rewrites, onnxruntime computes every tensor as the graph states it.
        self._session = GraphSession(model, optimize=False)

    def measure(self, images: Batch) -> TensorNoise:
        """Return the noise of every step on the images."""
        values = self._session.run(images)
        return TensorNoise(
            tensors={
                name: Power(*(float(values[each]) for each in outputs))
                for name, outputs in self._tensors.items()
            },
            roundings={
                name: Rounding(*(float(values[each]) for each in outputs))
                for name, outputs in self._roundings.items()
            },
        )


def reference_name(name: str) -> str:
    """Return the name that a tensor of the reference has in a merged graph."""
    return _FLOAT + name


def merged_graphs(pair: GraphPair) -> onnx.ModelProto:
    """Return one graph with the nodes of both graphs, which share the input.

    Tensors of the reference get a prefix. The output is that of the quantized graph.
    """
    reference, quantized = _without_types(pair.float_model), _without_types(pair.quantized_model)
    _rename(reference, {reference.input[0].name: quantized.input[0].name})
    reference = compose.add_prefix_graph(reference, _FLOAT, rename_inputs=False)
    graph = helper.make_graph([], "merged", [quantized.input[0]], [quantized.output[0]])
    graph.initializer.extend([*reference.initializer, *quantized.initializer])
    graph.node.extend([*reference.node, *quantized.node])
    opsets = dict[str, int]()
    for each in (*pair.float_model.opset_import, *pair.quantized_model.opset_import):
        opsets[each.domain] = max(opsets.get(each.domain, 0), each.version)
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def _traced(pair: GraphPair) -> tuple[onnx.ModelProto, OutputNames, OutputNames]:
    """Return all three graphs in one, and its outputs by tensor and by rounding."""
    probe, quantized = Probe(merged_graphs(pair)), _without_types(pair.quantized_model)
    own = compose.add_prefix_graph(quantized, _OWN, rename_inputs=False, rename_initializers=False)
    # The second copy reads matched tensors from the reference, so no noise reaches its steps.
    _rename(own, {_OWN + step.value: reference_name(step.name) for step in pair.steps})
    probe.model.graph.node.extend(own.node)
    reductions = _Reductions(probe)
    tensors = {s.name: list(_tensor_numbers(reductions, s)) for s in pair.steps if s.is_float}
    return probe.model, tensors, _all_roundings(reductions, pair, quantized)


def _without_types(model: onnx.ModelProto) -> onnx.GraphProto:
    """Return a copy of a graph without the types of its inner values."""
    graph = onnx.GraphProto()
    graph.CopyFrom(model.graph)
    del graph.value_info[:]
    return graph


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Let the nodes read other tensors; ``names``: old name -> new name."""
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = names.get(name, name)
    for value in graph.input:
        value.name = names.get(value.name, value.name)


class _Reductions:
    """Adds nodes to a graph that reduce its tensors to numbers, and returns these as outputs."""

    def __init__(self, probe: Probe) -> None:
        self._probe, self._count = probe, 0
        self.zero = probe.constant(np.array(0, np.float32), "watch::zero")
        # An int8 tensor holds q * scale for -128 <= q <= 127: beyond 127.5 * scale it clips.
        self.limit = probe.constant(np.array(127.5, np.float32), "watch::limit")

    def node(self, op_type: str, *inputs: str, **attributes: int) -> str:
        """Add a node; return its result."""
        self._count += 1
        return self._probe.node(op_type, inputs, f"watch::{self._count}", **attributes)

    def output(self, op_type: str, value: str) -> str:
        """Reduce a tensor to one number, and make the number an output of the graph."""
        result = self.node(op_type, value, keepdims=0)
        self._probe.output(result)
        return result

    def power(self, value: str) -> str:
        """Return the sum of squares."""
        return self.output("ReduceSumSquare", value)

    def signal(self, value: str) -> str:
        """Return the sum of squares around the mean."""
        return self.power(self.node("Sub", value, self.node("ReduceMean", value, keepdims=0)))

    def count(self, truth: str) -> tuple[str, str]:
        """Return the number of true values of a boolean tensor, and the number of its values."""
        true = self.output("ReduceSum", self.node("Cast", truth, to=TensorProto.FLOAT))
        size = self.node("Cast", self.node("Size", truth), to=TensorProto.FLOAT)
        self._probe.output(size)
        return true, size


def _tensor_numbers(reductions: _Reductions, step: GraphStep) -> Iterator[str]:
    """Yield the outputs in the order of the fields of ``Power``."""
    reference = _FLOAT + step.name
    own = reductions.node("Sub", _OWN + step.value, reference)
    yield reductions.signal(reference)
    yield reductions.power(own)
    yield reductions.power(reductions.node("Sub", step.value, reference))
    # 0 * x is NaN for an infinite or NaN x, else 0.
    nan = reductions.node("Mul", own, reductions.zero)
    yield from reductions.count(reductions.node("IsNaN", nan))


def _rounding_numbers(
    reductions: _Reductions, node: onnx.NodeProto, pair: GraphPair, quantized: onnx.GraphProto
) -> Iterator[str]:
    """Yield the outputs in the order of the fields of ``Rounding``.

    The input of the QuantizeLinear is taken from the reference if both graphs have it, else from
    the copy whose steps read the reference.
    """
    matched = {step.value: step.name for step in pair.steps}
    source = node.input[0]
    if source in matched:
        value = _FLOAT + matched[source]
    else:
        value = source if source == quantized.input[0].name else _OWN + source
    rounded = reductions.node("DequantizeLinear", _OWN + node.output[0], *node.input[1:])
    limit = reductions.node("Mul", node.input[1], reductions.limit)
    yield reductions.signal(value)
    yield reductions.power(reductions.node("Sub", rounded, value))
    yield from reductions.count(reductions.node("Greater", reductions.node("Abs", value), limit))


def _all_roundings(
    reductions: _Reductions, pair: GraphPair, quantized: onnx.GraphProto
) -> OutputNames:
    """Add the numbers of all roundings whose scale is a constant, to compute their limits."""
    producers = {node.output[0]: node for node in quantized.node}
    constants = {tensor.name for tensor in quantized.initializer}
    names = dict.fromkeys(name for step in pair.steps for name in step.rounded)
    return {
        name: list(_rounding_numbers(reductions, producers[name], pair, quantized))
        for name in names
        if producers[name].input[1] in constants
    }
