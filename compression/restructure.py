"""Apply decisions to a graph: remove channels, then split layers. Weights are not fitted here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
import onnx_ir as ir

from ..common.input_size import InputSize
from ..convert.graph import Graphs, drop_unused_initializers
from ..errors import ConversionError
from .decisions import Decision, Factor, Prune, SmallerGraph
from .factorize import Factors, can_factor, factor_node, factors, full_rank
from .layers import WeightedLayer, layer_of
from .prune import prune_channels
from .samples import LayerStatistics


def restructure(
    graphs: Graphs,
    decisions: Sequence[Decision],
    statistics: Mapping[str, LayerStatistics],
) -> dict[InputSize, SmallerGraph]:
    """Return graphs after decisions; the same weights and decisions give the same new weights.

    Args:
        graphs: clean float32 graphs of one model, by input size, which stay as they are. A layer
            has the same weights in all of them, and so its factors are computed once.
        decisions: at most one for each layer and group. The order does not matter.
        statistics: of what the layers to factor read in the original graphs, by layer.

    Raises:
        ConversionError: a decision names no layer or group of the graph, or does not fit it.
    """
    prunes = [each for each in decisions if isinstance(each, Prune)]
    ranks = [each for each in decisions if isinstance(each, Factor)]
    found, made = dict[InputSize, SmallerGraph](), dict[str, Factors]()
    for size, model in graphs.items():
        copy = ir.from_proto(model)
        # Channels first: the rank of a factored layer applies to the channels that remain.
        channels = prune_channels(copy, prunes)
        nodes = {node.outputs[0].name: node for node in copy.graph}
        for decision in ranks:
            node, layer = _checked_layer(nodes.get(decision.layer), decision)
            if layer.name not in made:
                known = _of_remaining(statistics[layer.name], layer, channels)
                made[layer.name] = factors(layer, decision.rank, known)
            factor_node(copy.graph, node, layer, made[layer.name])
        drop_unused_initializers(copy.graph)
        found[size] = SmallerGraph(model=_checked(ir.to_proto(copy)), channels=channels)
    return found


def _checked_layer(node: ir.Node | None, decision: Factor) -> tuple[ir.Node, WeightedLayer]:
    """Return the node and the layer of a decision; check that the layer can have its rank."""
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
    return node, layer


def _of_remaining(
    statistics: LayerStatistics, layer: WeightedLayer, channels: Mapping[str, tuple[int, ...]]
) -> LayerStatistics:
    """Return the statistics of the input channels that a layer still has."""
    kept = channels.get(layer.source)
    # A MatMul may mix another axis than that of the removed channels. Then it reads as many inputs.
    if kept is None or len(statistics.mean) == layer.channels * layer.taps:
        return statistics
    return statistics.of_channels(kept, layer.taps)


def _checked(model: onnx.ModelProto) -> onnx.ModelProto:
    """Infer the shapes of new tensors, and check those that the graph states.

    The stated shapes stay: inference would lose the name of a free batch axis behind a Reshape.
    """
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    onnx.checker.check_model(inferred)
    return inferred
