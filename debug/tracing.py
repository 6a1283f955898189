"""Two graphs of one model run side by side, and how far each tensor of one is from the other's.

Three graphs become one: the reference, the quantized graph, and the quantized graph once more with
every step reading what the reference computed. So the error of a tensor (`accumulated`) and what
its own step adds to it (`own`) are seen at once. Sums are taken inside that graph: what comes out
is a few numbers for each tensor, and no more of them is held than onnxruntime needs to go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from ..common.inner_tensors import GraphSession
from .steps import GraphPair, GraphStep

Batch = npt.NDArray[np.float32]
_FLOAT, _OWN = "reference::", "own::"


@dataclass(frozen=True, kw_only=True)
class Power:
    """Sums of squares over a tensor; noise may be infinite. ``bad``: values that are no number any
    more, of ``count``.
    """

    signal: float
    own: float
    accumulated: float
    bad: float
    count: float

    def __add__(self, other: Power) -> Power:
        return Power(
            signal=self.signal + other.signal,
            own=self.own + other.own,
            accumulated=self.accumulated + other.accumulated,
            bad=self.bad + other.bad,
            count=self.count + other.count,
        )


@dataclass(frozen=True, kw_only=True)
class Rounding:
    """What one QuantizeLinear does to the reference's tensor. ``clipped``: values, of ``count``."""

    signal: float
    noise: float
    clipped: float
    count: float

    def __add__(self, other: Rounding) -> Rounding:
        return Rounding(
            signal=self.signal + other.signal,
            noise=self.noise + other.noise,
            clipped=self.clipped + other.clipped,
            count=self.count + other.count,
        )


@dataclass(frozen=True, kw_only=True)
class TensorNoise:
    """What one image or several showed. ``tensors`` by name; ``roundings`` by the Q's result."""

    tensors: dict[str, Power]
    roundings: dict[str, Rounding]

    def __add__(self, other: TensorNoise) -> TensorNoise:
        mine, theirs = self, other  # widths have the same tensors, but for a lowering that differs
        return TensorNoise(
            tensors={
                n: p + theirs.tensors[n] for n, p in mine.tensors.items() if n in theirs.tensors
            },
            roundings={
                n: r + theirs.roundings[n]
                for n, r in mine.roundings.items()
                if n in theirs.roundings
            },
        )


class Tracer:
    """Runs a pair of graphs on images (N, C, H, W)."""

    def __init__(self, pair: GraphPair) -> None:
        self.pair = pair
        model, self._keys = _traced(pair)
        self._session = GraphSession(model, optimize=False)

    def measure(self, images: Batch) -> TensorNoise:
        """Return what each step did to them."""
        values = self._session.run(images)
        tensors, roundings = dict[str, Power](), dict[str, Rounding]()
        for (kind, name), names in self._keys.items():
            numbers = [float(values[each]) for each in names]
            if kind == "tensor":
                signal, own, accumulated, bad, count = numbers
                tensors[name] = Power(
                    signal=signal, own=own, accumulated=accumulated, bad=bad, count=count
                )
            else:
                signal, noise, clipped, count = numbers
                roundings[name] = Rounding(signal=signal, noise=noise, clipped=clipped, count=count)
        return TensorNoise(tensors=tensors, roundings=roundings)


Keys = dict[tuple[str, str], list[str]]
"""The outputs that hold the numbers of a tensor or of a rounding."""


def reference_name(name: str) -> str:
    """Return what a tensor of the reference is called in a merged graph."""
    return _FLOAT + name


def merged_graphs(pair: GraphPair) -> onnx.ModelProto:
    """Return one graph that holds reference and quantized graph, with the output of the latter."""
    reference, quantized = _bare(pair.float_model), _bare(pair.quantized_model)
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


def _traced(pair: GraphPair) -> tuple[onnx.ModelProto, Keys]:
    """Return all three graphs in one, and which of its outputs hold what."""
    model, quantized = merged_graphs(pair), _bare(pair.quantized_model)
    own = compose.add_prefix_graph(quantized, _OWN, rename_inputs=False, rename_initializers=False)
    stands = {_OWN + step.value: reference_name(step.name) for step in pair.steps}
    _rename(own, stands)
    del model.graph.output[:]
    model.graph.node.extend(own.node)
    return model, _watched(model.graph, pair, quantized)


def _bare(model: onnx.ModelProto) -> onnx.GraphProto:
    """Return a copy of a graph without the types of its inner values."""
    graph = onnx.GraphProto()
    graph.CopyFrom(model.graph)
    del graph.value_info[:]
    return graph


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = names.get(name, name)
    for value in graph.input:
        value.name = names.get(value.name, value.name)


class _Numbers:
    """Adds nodes that sum up tensors to a graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph, self._count = graph, 0
        for name, value in (("zero", 0.0), ("one", 1.0), ("half", 127.5)):
            tensor = numpy_helper.from_array(np.array(value, np.float32), f"watch::{name}")
            graph.initializer.append(tensor)

    def node(self, op_type: str, *inputs: str, attribute: tuple[str, int] | None = None) -> str:
        """Add a node; return its result."""
        self._count += 1
        name = f"watch::{self._count}"
        made = helper.make_node(op_type, inputs, [name], name=name)
        if attribute is not None:
            made.attribute.append(helper.make_attribute(*attribute))
        self._graph.node.append(made)
        return name

    def reduced(self, op_type: str, value: str) -> str:
        """Reduce a tensor to one number."""
        return self.node(op_type, value, attribute=("keepdims", 0))

    def as_float(self, value: str) -> str:
        """Cast a tensor."""
        return self.node("Cast", value, attribute=("to", TensorProto.FLOAT))

    def power(self, value: str) -> str:
        """Return the sum of squares."""
        return self.output(self.reduced("ReduceSumSquare", value))

    def output(self, name: str) -> str:
        """Let the graph return a number."""
        self._graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, []))
        return name

    def signal(self, value: str) -> str:
        """Return the sum of squares around the mean."""
        return self.power(self.node("Sub", value, self.reduced("ReduceMean", value)))

    def share(self, truth: str) -> tuple[str, str]:
        """Return how many of a boolean tensor are true, and how many there are."""
        many = self.output(self.reduced("ReduceSum", self.as_float(truth)))
        return many, self.output(self.as_float(self.node("Size", truth)))


def _watched(graph: onnx.GraphProto, pair: GraphPair, quantized: onnx.GraphProto) -> Keys:
    """Add all numbers to a merged graph."""
    numbers, keys = _Numbers(graph), Keys()
    for step in pair.steps:
        if step.is_float:
            keys["tensor", step.name] = list(_of_tensor(numbers, step))
    made = {node.output[0]: node for node in quantized.node}
    scales = {tensor.name for tensor in quantized.initializer}
    for name in dict.fromkeys(name for step in pair.steps for name in step.rounded):
        if made[name].input[1] in scales:
            keys["rounding", name] = list(_of_rounding(numbers, made[name], pair, quantized))
    return keys


def _of_tensor(numbers: _Numbers, step: GraphStep) -> Iterator[str]:
    reference = _FLOAT + step.name
    own = numbers.node("Sub", _OWN + step.value, reference)
    yield numbers.signal(reference)
    yield numbers.power(own)
    yield numbers.power(numbers.node("Sub", step.value, reference))
    nothing = numbers.node("Mul", own, "watch::zero")  # NaN of what is NaN or infinite
    yield from numbers.share(numbers.node("IsNaN", nothing))


def _of_rounding(
    numbers: _Numbers, node: onnx.NodeProto, pair: GraphPair, quantized: onnx.GraphProto
) -> Iterator[str]:
    """Round what the reference has, or what the step made of it, with the pair's own scale."""
    stands = {step.value: step.name for step in pair.steps}
    entry = quantized.input[0].name
    source = node.input[0]
    value = _FLOAT + stands[source] if source in stands else source
    if source not in stands and source != entry:
        value = _OWN + source
    rounded = numbers.node("DequantizeLinear", _OWN + node.output[0], *node.input[1:])
    size = numbers.node("Abs", value)
    limit = numbers.node("Mul", node.input[1], "watch::half")
    yield numbers.signal(value)
    yield numbers.power(numbers.node("Sub", rounded, value))
    yield from numbers.share(numbers.node("Greater", size, limit))
