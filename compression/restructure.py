"""Apply decisions to a graph: remove channels, then split layers. Weights are not fitted here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
import onnx_ir as ir

from ..convert.graph import drop_unused_initializers
from ..errors import ConversionError
from .decisions import Decision, Factor, Prune, SmallerGraph
from .factorize import can_factor, factor_node, factors, full_rank
from .layers import WeightedLayer, layer_of
from .prune import prune_channels
from .samples import LayerStatistics


def restructure(
    model: onnx.ModelProto,
    decisions: Sequence[Decision],
    statistics: Mapping[str, LayerStatistics],
) -> SmallerGraph:
    """Return a graph after decisions; the same weights and decisions give the same new weights.

    Args:
        model: a clean float32 graph, which stays as it is.
        decisions: at most one for each layer and group. The order does not matter.
        statistics: of what the layers to factor read in the original graph, by layer.

    Raises:
        ConversionError: a decision names no layer or group of the graph, or does not fit it.
    """
    copy = ir.from_proto(model)
    # Channels first: the rank of a factored layer applies to the channels that remain.
    channels = prune_channels(copy, [each for each in decisions if isinstance(each, Prune)])
    _factored(
        copy.graph, [each for each in decisions if isinstance(each, Factor)], statistics, channels
    )
    drop_unused_initializers(copy.graph)
    return SmallerGraph(model=_checked(ir.to_proto(copy)), channels=channels)


def _factored(
    graph: ir.Graph,
    decisions: Sequence[Factor],
    statistics: Mapping[str, LayerStatistics],
    channels: Mapping[str, tuple[int, ...]],
) -> None:
    """Split layers."""
    nodes = {node.outputs[0].name: node for node in graph}
    for decision in decisions:
        node = nodes.get(decision.layer)
        layer = layer_of(node) if node is not None else None
        if node is None or layer is None or not can_factor(layer):
            raise ConversionError(
                f"{decision.layer} cannot be factored: expected the first output of a Conv without "
                "groups, a MatMul or a Gemm with constant weights"
            )
        if decision.rank > full_rank(layer):
            raise ConversionError(
                f"{decision.layer} cannot have the rank {decision.rank}; its full rank is "
                f"{full_rank(layer)}"
            )
        known = _of_remaining(statistics[decision.layer], layer, channels)
        factor_node(graph, node, layer, factors(layer, decision.rank, known))


def _of_remaining(
    statistics: LayerStatistics, layer: WeightedLayer, channels: Mapping[str, tuple[int, ...]]
) -> LayerStatistics:
    """Return the statistics of the input channels that a layer still has."""
    kept = channels.get(layer.source)
    return statistics if kept is None else statistics.of_channels(kept, layer.taps)


def _checked(model: onnx.ModelProto) -> onnx.ModelProto:
    """Infer the shapes of new tensors, and check those that the graph states.

    The stated shapes stay: inference would lose the name of a free batch axis behind a Reshape.
    """
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    onnx.checker.check_model(inferred)
    return inferred
