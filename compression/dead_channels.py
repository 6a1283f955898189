"""Remove channels that do nothing: constant ones, and those that no layer reads. This is exact.

    c constant, without padding:   W x + b  =  W' x' + (b + W[c] c)
    c = 0, or W[c] = 0:            W x + b  =  W' x' + b

where x' and W' are without channel c. See ``constant_channels`` for which channels are constant.
Each removal can make others dead, so the search repeats until it finds none. It terminates because
each round removes a channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ..common.input_size import InputSize
from ..convert.graph import Graphs, constant, drop_unused_initializers, not_none
from .channel_groups import LAYERS, ChannelGroup, Grouping, group_channels
from .constant_channels import ConstantChannels, constant_channels, folded, is_padded
from .decisions import Prune, SmallerGraph
from .layers import layer_of, set_bias
from .prune import prune_channels

Kept = dict[str, tuple[int, ...]]


def remove_dead_channels(graphs: Graphs) -> dict[InputSize, SmallerGraph]:
    """Return graphs without channels that do nothing in any of them.

    The results are equal except for rounding.

    Args:
        graphs: clean float32 graphs of one model, by input size.
    """
    copies = {size: ir.from_proto(model) for size, model in graphs.items()}
    channels: dict[InputSize, Kept] = {size: {} for size in graphs}
    while decisions := _dead(copies):
        for size, copy in copies.items():
            _fold(copy.graph, decisions)
            channels[size] = composed(channels[size], prune_channels(copy, decisions))
            drop_unused_initializers(copy.graph)
    return {
        size: SmallerGraph(model=_checked(ir.to_proto(copy)), channels=channels[size])
        for size, copy in copies.items()
    }


def _checked(model: onnx.ModelProto) -> onnx.ModelProto:
    onnx.checker.check_model(model)
    return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)


def composed(before: Mapping[str, tuple[int, ...]], after: Mapping[str, tuple[int, ...]]) -> Kept:
    """Count the channels that remain after two removals as in the original graph."""
    found = dict(before)
    for name, kept in after.items():
        old = before.get(name)
        found[name] = kept if old is None else tuple(old[index] for index in kept)
    return found


def _dead(copies: Mapping[InputSize, ir.Model]) -> list[Prune]:
    """Return the channels to keep of each group that has dead ones in all graphs."""
    found = [_dead_of_graph(copy.graph) for copy in copies.values()]
    groups, decisions = found[0][0].groups, list[Prune]()
    for group in groups:
        dead = reduce(set[int].intersection, (each.get(group.name, set()) for _, each in found))
        kept = set(range(group.size)) - dead
        # A tensor needs one channel at least.
        for places in group.places.values():
            if not kept & places.found and not places.is_shared:
                kept.add(min(places.found))
        if len(kept) < group.size:
            decisions.append(Prune(group=group.name, kept=tuple(sorted(kept))))
    return decisions


def _dead_of_graph(graph: ir.Graph) -> tuple[Grouping, dict[str, set[int]]]:
    """Return the groups of a graph, and the channels of each that do nothing."""
    grouping = group_channels(graph)
    constants = constant_channels(graph, grouping.relation)
    dead = {
        group.name: set(range(group.size)) - group.fixed
        for group in grouping.groups
        # Rows must keep equally many channels.
        if group.is_prunable and not group.rows and not group.is_heads
    }
    for node in graph:
        needed = _needed(node, constants)
        for value, mask in needed.items():
            for group in grouping.groups:
                places = group.places.get(value.name or "")
                if places is not None and group.name in dead:
                    channels = np.broadcast_to(places.channels, mask.shape)
                    dead[group.name] -= set(channels[mask].tolist())
    return grouping, dead


def _needed(node: ir.Node, constants: ConstantChannels) -> dict[ir.Value, npt.NDArray[np.bool_]]:
    """Return which channels of its inputs a node needs to compute other channels from them."""
    source = not_none(node.inputs[0]) if node.inputs and node.inputs[0] is not None else None
    if source is None:
        return {}
    weights = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if node.op_type == "MatMul" and weights is None:
        # A product of two computed tensors: a channel of zeros adds nothing.
        values = [not_none(value) for value in node.inputs if constant(value) is None]
        return {value: constants.along(value) != 0 for value in values}
    if node.op_type in ("LSTM", "GRU", "RNN"):
        return {source: constants.along(source) != 0}
    if node.op_type not in LAYERS or _is_depthwise(node, weights):
        return {}
    layer = layer_of(node)
    if layer is None:  # a ConvTranspose, for example
        return {source: constants.along(source) != 0}
    numbers = constants.of_layer(node, layer)
    if numbers is None:
        return {}  # it mixes another axis, and leaves each channel alone
    usable = numbers == 0
    if not is_padded(layer) and layer.can_shift:
        usable = ~np.isnan(numbers)
    rows = np.abs(layer.weights).reshape(
        -1, layer.taps, layer.groups, layer.outputs // layer.groups
    )
    # (in / groups, taps, groups, out) -> (in,), groups outside
    is_read = rows.sum((1, 3)).T.reshape(-1) != 0
    return {source: is_read & ~usable}


def _is_depthwise(node: ir.Node, weights: npt.NDArray | None) -> bool:
    """Whether each channel of the result depends on one channel of the input."""
    groups = node.attributes["group"].as_int() if "group" in node.attributes else 1
    return weights is not None and groups > 1 and 1 in weights.shape[:2]


def _fold(graph: ir.Graph, decisions: list[Prune]) -> None:
    """Add what removed constant channels contribute to the biases of the layers that read them."""
    grouping = group_channels(graph)
    constants = constant_channels(graph, grouping.relation)
    kept = {each.group: set(each.kept) for each in decisions}
    groups = [group for group in grouping.groups if group.name in kept]
    for node in graph:
        layer = layer_of(node)
        if layer is None or _is_depthwise(node, constant(node.inputs[1])):
            continue
        numbers = constants.of_layer(node, layer)
        if numbers is None:
            continue
        numbers = _of_removed(numbers, layer.source, groups, kept)
        if np.nan_to_num(numbers).any() and layer.can_shift:
            sums, _ = folded(layer, numbers)
            bias = layer.bias if layer.bias is not None else np.zeros(layer.outputs)
            if sums.any():
                # New weights would no longer tie the channels of layers that share them.
                set_bias(node, bias + sums)


def _of_removed(
    numbers: npt.NDArray[np.float64],
    name: str,
    groups: list[ChannelGroup],
    kept: Mapping[str, set[int]],
) -> npt.NDArray[np.float64]:
    """Return the constants of removed channels; NaN for channels that stay."""
    removed = np.zeros(len(numbers), bool)
    for group in groups:
        places = group.places.get(name)
        if places is not None and len(places.channels) == len(numbers):
            gone = (places.channels >= 0) & ~np.isin(places.channels, list(kept[group.name]))
            removed |= gone
    return np.where(removed, numbers, np.nan)
