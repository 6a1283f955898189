"""Match the tensors of two graphs of one model, and split the quantized graph into steps.

Tensors match by name, because quantization keeps the names of the model's tensors. A step is the
part of the quantized graph between matched tensors: one op with the rounding of its inputs and
weights, or the ops that one op was lowered to. Two kinds of tensors are not matched, so they belong
to the step that reads them: tensors that quantization added (Q/DQ, Casts), and the sum of scores
and mask before a Softmax, because quantization may clip the mask.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from onnx import TensorProto
from onnx_ir.passes import common

from ..calibration.dequantize import dequantized
from ..calibration.emulate import emulated
from ..common.onnx_shapes import infer_shapes
from ..convert.graph import constant, consumers, name_of
from ..convert.tensorflow_names import LayerNames
from .kept_channels import Channels, with_kept_channels

_ADDED = frozenset({"QuantizeLinear", "DequantizeLinear", "Cast"})
_HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


@dataclass(frozen=True, kw_only=True)
class GraphStep:
    """How a quantized graph computes a tensor that both graphs have.

    Attributes:
        name: the tensor's name in both graphs.
        value: the tensor's name in the quantized graph that runs, where 16-bit types are emulated.
        op_type: the op of the reference that computes the tensor.
        layer: where the tensor is in the TensorFlow model; see :class:`.LayerNames`.
        is_float: whether the tensor can be compared; integers cannot.
        reads: the matched tensors that the step reads, and the image if the step reads it.
        rounded: the results of QuantizeLinear inside the step.
        weight_noise: power of the rounding error of its weights, relative to the power of the
            weights; None if it has no weights.
    """

    name: str
    value: str
    op_type: str
    layer: str
    is_float: bool
    reads: tuple[str, ...]
    rounded: tuple[str, ...]
    weight_noise: float | None


class GraphPair:
    """A reference and a quantized graph of the same model, and the steps between their tensors.

    ``float_model`` and ``quantized_model`` are the graphs that run: functions are inlined, and
    16-bit types are emulated in fp32.
    """

    def __init__(
        self,
        reference: onnx.ModelProto,
        quantized: onnx.ModelProto,
        channels: tuple[Channels, Channels] = ({}, {}),
    ) -> None:
        """``channels``: tensors of the quantized graph and of the reference that lost channels."""
        self._ops = {name: node.op_type for node in reference.graph.node for name in node.output}
        reference = with_kept_channels(reference, quantized, *channels)
        self.float_model, self.quantized_model = _as_run(reference), _as_run(quantized)
        # Only names outside functions match: those inside a function are local to it.
        # A tensor of the reference whose channels do not match has another name now.
        kept = {name for node in reference.graph.node for name in node.output}
        self._names = (
            self._ops.keys()
            & kept
            & {name for node in quantized.graph.node for name in node.output if name}
        )

    @cached_property
    def float_graph(self) -> ir.Graph:
        """The reference graph."""
        return ir.from_proto(self.float_model).graph

    @cached_property
    def quantized_graph(self) -> ir.Graph:
        """The quantized graph."""
        return ir.from_proto(self.quantized_model).graph

    @cached_property
    def steps(self) -> tuple[GraphStep, ...]:
        """All steps, in the order of the quantized graph."""
        originals = {name_of(v): v for node in self.float_graph for v in node.outputs if v.name}
        pairs = {
            value: originals[name_of(value)]
            for node in self.quantized_graph
            for value in node.outputs
            if value.name in self._names and _is_same(originals[name_of(value)], value)
        }
        # By the value that the next step reads, which follows the Casts if fp16 is emulated.
        ends = {_rounded_to_half(value): value for value in pairs}
        names = LayerNames(self.float_graph)
        return tuple(
            _step(value, pairs[value], self._ops[name_of(value)], ends, names)
            for value in ends.values()
        )


def _as_run(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = ir.from_proto(emulated(model))
    common.InlinePass()(copy)
    infer_shapes(copy)
    return ir.to_proto(copy)


def _is_same(original: ir.Value, value: ir.Value) -> bool:
    """Whether two tensors with the same name can be compared."""
    node = original.producer()
    if value.is_graph_output() and original.is_graph_output():
        return True
    if node is None or node.op_type in _ADDED:
        return False
    # The sum with an attention mask: for fp16, autocast clips the mask to -2**15.
    if node.op_type in ("Add", "Where") and [u.op_type for u in consumers(original)] == ["Softmax"]:
        return False
    # If a shape is unknown, equal names are enough.
    shapes = [None if v.shape is None else [str(d) for d in v.shape] for v in (original, value)]
    return None in shapes or shapes[0] == shapes[1]


def _rounded_to_half(value: ir.Value) -> ir.Value:
    """Return the value after the two Casts that emulate a 16-bit type, or else the value itself."""
    readers = consumers(value)
    if len(readers) != 1 or not _casts_to(readers[0], *_HALVES):
        return value
    # fp32 -> Cast to 16 bits -> Cast to fp32: the value that all later ops read.
    widening = consumers(readers[0].outputs[0])
    if len(widening) != 1 or not _casts_to(widening[0], TensorProto.FLOAT):
        return value
    return widening[0].outputs[0]


def _casts_to(node: ir.Node, *types: int) -> bool:
    to = node.attributes.get("to")
    return node.op_type == "Cast" and to is not None and to.value in types


def _step(
    value: ir.Value,
    original: ir.Value,
    op_type: str,
    ends: dict[ir.Value, ir.Value],
    names: LayerNames,
) -> GraphStep:
    op, source, end = _op_of(value), original.producer(), _rounded_to_half(value)
    assert source is not None
    reads, rounded = dict[str, None](), dict[str, None]()  # as ordered sets
    for node in _nodes_of(end, ends):
        for each in node.inputs:
            if each is not None and (each in ends or each.is_graph_input()):
                reads[name_of(ends.get(each, each))] = None
        if node.op_type == "QuantizeLinear" and constant(node.inputs[1]) is not None:
            rounded[name_of(node.outputs[0])] = None
    return GraphStep(
        name=name_of(value),
        value=name_of(end),
        op_type=op_type,
        layer=names.place_of(original),
        is_float=original.dtype in (None, ir.DataType.FLOAT),
        reads=tuple(reads),
        rounded=tuple(rounded),
        weight_noise=_weight_noise(op, source),
    )


def _nodes_of(end: ir.Value, ends: dict[ir.Value, ir.Value]) -> Iterator[ir.Node]:
    """Yield the nodes that compute a value from matched tensors, from the value backwards."""
    pending, seen = [end], set[ir.Node]()
    while pending:
        value = pending.pop()
        node = value.producer()
        if node is None or node in seen or (value in ends and value is not end):
            continue
        seen.add(node)
        yield node
        pending += [each for each in node.inputs if each is not None]


def _op_of(value: ir.Value) -> ir.Node:
    """Return the op that computes a value; Casts after the op are skipped."""
    node = value.producer()
    assert node is not None
    while node.op_type == "Cast" and node.inputs[0] is not None:
        above = node.inputs[0].producer()
        if above is None:
            break
        node = above
    return node


def _weight(value: ir.Value | None) -> npt.NDArray | None:
    """Return a weight as the op reads it, dequantized; None if the value is not a constant."""
    array = constant(value)
    node = value.producer() if value is not None else None
    if array is None and node is not None and node.op_type == "DequantizeLinear":
        return dequantized(node)
    return array


def _weight_noise(op: ir.Node, source: ir.Node) -> float | None:
    """Return the largest relative noise power of an op's weights; None if the ops are different."""
    if op.op_type != source.op_type or len(op.inputs) != len(source.inputs):
        return None
    worst: float | None = None
    for rounded, original in zip(op.inputs, source.inputs, strict=True):
        one, exact = _weight(rounded), _weight(original)
        if one is None or exact is None or exact.dtype.kind != "f" or one.shape != exact.shape:
            continue
        # In float64: squares of many small differences would lose digits in float32.
        power = float(np.square(exact, dtype=np.float64).sum())
        noise = float(np.square(one.astype(np.float64) - exact).sum())
        if power:
            worst = max(worst or 0.0, noise / power)
    return worst
