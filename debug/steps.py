"""Which tensors of two graphs of one model are the same, and what lies between them.

A step is what a quantized graph does from tensors that both graphs have to the next one: an op with
the rounding of its inputs and weights, or the several ops that one was lowered to. Tensors are the
same if they have the same name, which they keep through typing. What typing itself put there (Q/DQ,
Casts) is no tensor of the model, and a sum with a mask in front of a Softmax may be clipped by it:
both belong to the step of what reads them.
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
from ..convert.graph import constant, consumers, name_of

_TYPING = frozenset({"QuantizeLinear", "DequantizeLinear", "Cast"})
_HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


@dataclass(frozen=True, kw_only=True)
class GraphStep:
    """How a quantized graph makes a tensor that both graphs have.

    ``value``: what it is called in the graph that is run, where fp16 is emulated. ``reads``: the
    tensors it is made of, the image among them. ``rounded``: those results of QuantizeLinear that
    lie on the way. ``layer``: where that is in the TensorFlow model.
    """

    name: str
    value: str
    op_type: str
    layer: str
    is_float: bool
    reads: tuple[str, ...]
    rounded: tuple[str, ...]
    weight_noise: float | None
    """Power of what rounding took from its weights, over theirs; None where there are none."""


class GraphPair:
    """A reference and a quantized graph of the same model, and the steps from tensor to tensor.

    ``float_model`` and ``quantized_model`` are the two graphs as they run: functions inlined,
    16-bit types emulated.
    """

    def __init__(self, reference: onnx.ModelProto, quantized: onnx.ModelProto) -> None:
        self._ops = {name: node.op_type for node in reference.graph.node for name in node.output}
        self.float_model, self.quantized_model = _as_run(reference), _as_run(quantized)
        self._names = self._ops.keys() & _made(quantized)

    @cached_property
    def float_graph(self) -> ir.Graph:
        """The reference."""
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
        ends = {_rounded_to_half(value): value for value in pairs}
        return tuple(
            _step(value, pairs[value], self._ops[name_of(value)], ends) for value in ends.values()
        )


def _made(model: onnx.ModelProto) -> set[str]:
    """Return what a graph computes; what is inside functions has no names of its own."""
    return {name for node in model.graph.node for name in node.output if name}


def _as_run(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = ir.from_proto(emulated(model))
    common.InlinePass()(copy)
    common.ShapeInferencePass()(copy)
    return ir.to_proto(copy)


def _is_same(original: ir.Value, value: ir.Value) -> bool:
    """Whether two tensors of one name can be compared."""
    node = original.producer()
    if value.is_graph_output() and original.is_graph_output():
        return True
    if node is None or node.op_type in _TYPING:
        return False
    if node.op_type in ("Add", "Where") and [u.op_type for u in consumers(original)] == ["Softmax"]:
        return False
    shapes = [None if v.shape is None else [str(d) for d in v.shape] for v in (original, value)]
    return None in shapes or shapes[0] == shapes[1]


def _rounded_to_half(value: ir.Value) -> ir.Value:
    """Return what is left of a value that is held in 16 bits: the Casts behind it round it."""
    readers = consumers(value)
    if len(readers) != 1 or not _casts_to(readers[0], *_HALVES):
        return value
    behind = consumers(readers[0].outputs[0])
    if len(behind) != 1 or not _casts_to(behind[0], TensorProto.FLOAT):
        return value
    return behind[0].outputs[0]


def _casts_to(node: ir.Node, *types: int) -> bool:
    to = node.attributes.get("to")
    return node.op_type == "Cast" and to is not None and to.value in types


def _step(
    value: ir.Value, original: ir.Value, op_type: str, ends: dict[ir.Value, ir.Value]
) -> GraphStep:
    maker, source, end = _made_by(value), original.producer(), _rounded_to_half(value)
    assert source is not None
    reads, rounded = dict[str, None](), dict[str, None]()
    for node in _nodes_behind(end, ends):
        for each in node.inputs:
            if each is not None and (each in ends or each.is_graph_input()):
                reads[name_of(ends.get(each, each))] = None
        if node.op_type == "QuantizeLinear" and constant(node.inputs[1]) is not None:
            rounded[name_of(node.outputs[0])] = None
    return GraphStep(
        name=name_of(value),
        value=name_of(end),
        op_type=op_type,
        layer=layer_of(original),
        is_float=original.dtype in (None, ir.DataType.FLOAT),
        reads=tuple(reads),
        rounded=tuple(rounded),
        weight_noise=_weight_noise(maker, source),
    )


def _nodes_behind(end: ir.Value, ends: dict[ir.Value, ir.Value]) -> Iterator[ir.Node]:
    """Yield the nodes that make a value out of tensors that are compared themselves."""
    waiting, seen = [end], set[ir.Node]()
    while waiting:
        value = waiting.pop()
        node = value.producer()
        if node is None or node in seen or (value in ends and value is not end):
            continue
        seen.add(node)
        yield node
        waiting += [each for each in node.inputs if each is not None]


def _made_by(value: ir.Value) -> ir.Node:
    """Return the op that makes a value, before Casts."""
    node = value.producer()
    assert node is not None
    while node.op_type == "Cast" and node.inputs[0] is not None:
        above = node.inputs[0].producer()
        if above is None:
            break
        node = above
    return node


def _held(value: ir.Value | None) -> npt.NDArray | None:
    """Return a weight as the op sees it."""
    array = constant(value)
    node = value.producer() if value is not None else None
    if array is None and node is not None and node.op_type == "DequantizeLinear":
        return dequantized(node)
    return array


def _weight_noise(maker: ir.Node, source: ir.Node) -> float | None:
    """Compare the constants of two nodes that are the same op; None if they are not."""
    if maker.op_type != source.op_type or len(maker.inputs) != len(source.inputs):
        return None
    worst: float | None = None
    for mine, theirs in zip(maker.inputs, source.inputs, strict=True):
        one, other = _held(mine), _held(theirs)
        if one is None or other is None or other.dtype.kind != "f" or one.shape != other.shape:
            continue
        power = float(np.square(other, dtype=np.float64).sum())
        noise = float(np.square(one.astype(np.float64) - other).sum())
        if power:
            worst = max(worst or 0.0, noise / power)
    return worst


def layer_of(value: ir.Value) -> str:
    """Say where in the TensorFlow model a value is: names that came from it hold a slash.

    A value without such a name lies in front of the next one that has one, or else behind one.
    """
    if "/" in name_of(value):
        return name_of(value)
    for word, next_to in (("before", _readers), ("behind", _sources)):
        waiting, seen = next_to(value), {value}
        while waiting:
            each = waiting.pop(0)
            if "/" in (each.name or ""):
                return f"{word} {each.name}"
            if each not in seen:
                seen.add(each)
                waiting += next_to(each)
    return ""


def _readers(value: ir.Value) -> list[ir.Value]:
    return [result for node in consumers(value) for result in node.outputs if result.name]


def _sources(value: ir.Value) -> list[ir.Value]:
    node = value.producer()
    inputs = [] if node is None else node.inputs
    return [each for each in inputs if each is not None and constant(each) is None]
