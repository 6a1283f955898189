"""Which channels are the same number for every input, found by algebra from zero weights.

A channel of a layer is constant if each of its weights is 0 or multiplies a constant channel. With
padding, only a constant 0 counts: a window at the border reads zeros in place of the constant. Ops
on single elements turn constants into constants, and 0 times anything is 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ..common.onnx_session import onnx_session, refusals
from ..convert.analysis.axes import UNARY
from ..convert.graph import OPSET, attribute, constant, graph_of, input_of, not_none
from .channel_groups import channel_axis
from .channel_relation import Labels, Relation, aligned
from .layers import WeightedLayer, layer_of

Constants = dict[int, float]
"""The constant of each atom that is constant in a tensor."""

_MOVES = frozenset(
    {
        *("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Concat", "Split"),
        *("Slice", "Gather", "Expand", "Tile", "SpaceToDepth", "MaxPool", "GlobalMaxPool"),
        *("MaxPoolArgmax2d", "GlobalAveragePool", "ReduceMean", "ReduceMax", "ReduceMin"),
    }
)
"""Ops whose result has only elements of the input, or their mean or maximum."""
_KEEP_ZERO = frozenset({"MaxUnpool2d", "AveragePool", "Resize", "GridSample", "Pad", "ReduceSum"})
"""Ops that return 0 for a channel of zeros."""
_ELEMENTWISE = frozenset({"Add", "Sub", "Mul", "Div", "PRelu", "Min", "Max", "BatchNormalization"})


@dataclass(frozen=True, kw_only=True)
class ConstantChannels:
    """The constants of all tensors of a graph."""

    relation: Relation
    by_value: Mapping[ir.Value, Constants]

    def along(self, value: ir.Value | None) -> npt.NDArray[np.float64]:
        """Return the constant of each channel of a value; NaN for others."""
        labels = self.relation.labels.get(not_none(value))
        if labels is None:
            return np.full(1, np.nan)
        known = self.by_value.get(not_none(value), {})
        return np.array([known.get(atom, np.nan) for atom in labels.atoms.reshape(-1).tolist()])

    def of_layer(self, node: ir.Node, layer: WeightedLayer) -> npt.NDArray[np.float64] | None:
        """Return the constant of each input channel; None if the labels are along another axis."""
        labels = self.relation.labels.get(not_none(node.inputs[0]))
        numbers = self.along(node.inputs[0])
        if labels is None or labels.varying not in ([], [channel_axis(node)]):
            return None
        if not labels.varying:  # the same channel at all places
            numbers = np.broadcast_to(numbers, layer.channels)
        return numbers if len(numbers) == layer.channels else None


def constant_channels(graph: ir.Graph, relation: Relation) -> ConstantChannels:
    """Return the channels that are constant, from the inputs of the graph to its outputs."""
    found = dict[ir.Value, Constants]()
    for node in graph:
        for value, constants in _of_results(
            node, ConstantChannels(relation=relation, by_value=found)
        ):
            found[value] = constants
    return ConstantChannels(relation=relation, by_value=found)


def _of_results(node: ir.Node, known: ConstantChannels) -> list[tuple[ir.Value, Constants]]:
    result = node.outputs[0]
    labels = known.relation.labels[result]
    if len(labels.varying) != 1:
        return []
    if node.op_type in ("Conv", "MatMul", "Gemm"):
        layer = layer_of(node)
        return [] if layer is None else [(result, _of_layer(node, layer, labels, known))]
    if node.op_type in _MOVES or node.op_type in _KEEP_ZERO:
        constants = _of_inputs(node, labels, known)
        if node.op_type in _KEEP_ZERO:
            constants = {atom: c for atom, c in constants.items() if c == 0}
            constants = {} if node.op_type == "Pad" and _pads_with_others(node) else constants
        # The other results of a pooling are places.
        results = node.outputs if node.op_type == "Split" else [result]
        return [(value, constants) for value in results]
    is_float = result.dtype == ir.DataType.FLOAT  # NumPy has no type for the results of some Casts
    if is_float and (node.op_type in UNARY or node.op_type in _ELEMENTWISE):
        return [(result, _of_elements(node, labels, known))]
    return []


def _of_inputs(node: ir.Node, labels: Labels, known: ConstantChannels) -> Constants:
    """Return the atoms that are the same constant in all inputs of a Concat, or in the only one."""
    values = list(node.inputs) if node.op_type == "Concat" else [node.inputs[0]]
    if len(values) > 1 and attribute(node, "axis") % labels.atoms.ndim not in labels.varying:
        # One behind the other along another axis: each channel has values of all inputs, whose
        # atoms may differ from those of the result.
        numbers = np.stack([known.along(v) + np.zeros(labels.atoms.size) for v in values])
        return _by_atom(labels, np.where((numbers == numbers[0]).all(0), numbers[0], np.nan))
    found, others = Constants(), set[int]()
    for value in values:
        own = known.relation.labels.get(not_none(value))
        constants = known.by_value.get(not_none(value), {})
        for atom in set() if own is None else set(own.atoms.reshape(-1).tolist()):
            number = constants.get(atom)
            if number is None or found.setdefault(atom, number) != number:
                others.add(atom)
    return {atom: number for atom, number in found.items() if atom not in others}


def _pads_with_others(node: ir.Node) -> bool:
    """Whether a Pad adds anything but zeros."""
    filler = constant(input_of(node, 2)) if input_of(node, 2) is not None else np.zeros(1)
    zeros = attribute(node, "mode", "constant") != "constant" or (
        filler is not None and not filler.any()
    )
    return not zeros


def _of_layer(
    node: ir.Node, layer: WeightedLayer, labels: Labels, known: ConstantChannels
) -> Constants:
    """Return the constant outputs of a layer."""
    if labels.atoms.size != layer.outputs or labels.varying != [channel_axis(node)]:
        return {}  # it mixes another axis
    values = known.of_layer(node, layer)
    if values is None:
        values = np.full(layer.channels, np.nan)
    sums, reads = folded(layer, values)
    bias = layer.bias
    if layer.kind == "MatMul" or bias is None:  # the Add behind a MatMul adds its bias
        bias = np.zeros(layer.outputs, np.float32)
    return _by_atom(labels, np.where(reads, np.nan, sums + bias))


def _by_atom(labels: Labels, numbers: npt.NDArray[np.float64]) -> Constants:
    """Return the atoms that are the same constant at all of their places.

    Several channels of a depthwise convolution can have the same atom.
    """
    found, others = Constants(), set[int]()
    for atom, number in zip(labels.atoms.reshape(-1).tolist(), numbers.tolist(), strict=True):
        if np.isnan(number) or found.setdefault(atom, number) != number:
            others.add(atom)
    return {atom: number for atom, number in found.items() if atom not in others}


def folded(
    layer: WeightedLayer, values: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return what constant inputs add to each output, and whether the output reads other inputs.

    ``values``: the constant of each input channel; NaN for those that are not constant.
    """
    usable = values == 0 if is_padded(layer) else ~np.isnan(values)
    # (in / groups * taps, out) -> (groups, in / groups, taps, out / groups)
    weights = layer.weights.astype(np.float64).reshape(
        -1, layer.taps, layer.groups, layer.outputs // layer.groups
    )
    weights = np.moveaxis(weights, 2, 0)  # (groups, in / groups, taps, out / groups)
    by_group = np.where(usable, values, 0.0).reshape(layer.groups, -1)
    others = ~usable.reshape(layer.groups, -1)
    sums = np.einsum("gi,gito->go", by_group, weights)
    reads = (np.abs(weights).sum(2) * others[..., None]).any(1)
    return sums.reshape(-1), reads.reshape(-1)


def is_padded(layer: WeightedLayer) -> bool:
    """Whether windows at the border read zeros from outside."""
    return layer.windows is not None and any((*layer.windows.begins, *layer.windows.ends))


def _of_elements(node: ir.Node, labels: Labels, known: ConstantChannels) -> Constants:
    """Run an op on the constants of its inputs, one element for each channel."""
    count, rank = labels.atoms.size, labels.atoms.ndim
    is_constant, is_zero = np.ones(count, bool), np.zeros(count, bool)
    feeds = dict[str, npt.NDArray]()
    for index, value in enumerate(node.inputs):
        if value is None:
            continue
        array = constant(value)
        if array is None:
            own = known.relation.labels.get(value)
            if own is None or value.dtype != ir.DataType.FLOAT:
                return {}
            numbers = known.along(value)
            if len(numbers) not in (1, count):
                return {}
            is_constant &= ~np.isnan(numbers)
            is_zero |= numbers == 0
            # 0 in place of what is not constant; its results are dropped below.
            array = np.nan_to_num(numbers).astype(np.float32).reshape(own.atoms.shape)
            if node.op_type in _ELEMENTWISE:
                array = aligned(array, rank)  # type: ignore[arg-type]
        feeds[f"x{index}"] = array
    outputs = _run(node, feeds)
    if outputs is None:
        return {}
    axis = labels.varying[0]
    # A constant operand may vary along other axes, and then the result is not constant.
    lines = np.moveaxis(np.asarray(outputs), axis, 0).reshape(outputs.shape[axis], -1)
    if len(lines) != count:
        return {}
    same = (lines == lines[:, :1]).all(1) & np.isfinite(lines).all(1)
    numbers = np.where(is_constant & same, lines[:, 0].astype(np.float64), np.nan)
    if node.op_type == "Mul":
        numbers[is_zero] = 0  # whatever the other factor is
    return _by_atom(labels, numbers)


def _run(node: ir.Node, feeds: Mapping[str, npt.NDArray]) -> npt.NDArray | None:
    """Run one op on arrays; None if onnxruntime refuses it, so that its channels are not known."""
    proto, model = ir.to_proto(node), onnx.GraphProto(name="constants")
    names = [f"x{index}" if f"x{index}" in feeds else "" for index in range(len(node.inputs))]
    del proto.input[:], proto.output[1:]
    proto.input.extend(names)
    proto.output[0] = "y"
    model.node.append(proto)
    for name, array in feeds.items():
        model.initializer.append(onnx.numpy_helper.from_array(array, name))
    model.output.append(onnx.helper.make_empty_tensor_value_info("y"))
    version = graph_of(node).opset_imports.get("", OPSET)
    imports = [onnx.helper.make_opsetid("", version)]
    whole = onnx.helper.make_model(model, opset_imports=imports, ir_version=10)
    try:
        return np.asarray(onnx_session(whole, optimize=False).run(None, {})[0])
    except refusals():
        return None
