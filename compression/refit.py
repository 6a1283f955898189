"""Fit the weights of a smaller graph to the results of the original one, layer by layer.

In graph order, each layer below a change gets the weights W and the bias b that minimize

    sum over sampled positions |x W + b - y|^2  +  r |W - W0|^2

where x is what the layer reads in the smaller graph, whose earlier layers are fitted already, y is
the tensor of the same name in the original graph, and W0 are the weights before. With centered
rows the bias follows exactly:  W = W0 + (X^T X + r I)^-1 X^T (Y - X W0),  b = mean(y) - mean(x) W.
So each layer also corrects errors of those before it (He et al., "Channel pruning for accelerating
very deep neural networks", 2017). The squared error on the samples never increases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ..common.input_size import InputSize
from ..convert.graph import Graphs, name_of, reads_of
from .decisions import SmallerGraph
from .layers import Matrix, WeightedLayer, set_weights, weighted_layers
from .samples import LayerSampler, Rows


@dataclass(frozen=True, kw_only=True)
class RefitSettings:
    """How to fit weights."""

    positions_per_image: int = 300
    """Output positions of each layer to draw from each image."""
    ridge: float = 1e-4
    """Weight r of the distance from the old weights, in multiples of the inputs' mean variance."""
    seed: int = 0
    """Selects the positions."""
    only: frozenset[str] | None = None
    """Names of the layers to fit; None: all layers that read something that changed."""


def refit(
    original: Graphs,
    smaller: Mapping[InputSize, SmallerGraph],
    batches: Sequence[npt.NDArray],
    settings: RefitSettings | None = None,
) -> dict[InputSize, SmallerGraph]:
    """Return smaller graphs with fitted weights; a layer has the same weights in all of them.

    Args:
        original: the graphs before the decisions, by input size.
        smaller: the graphs after them.
        batches: (N, C, H, W) float32, which run once per group of independent layers.
        settings: how to fit; None: the defaults.
    """
    settings = settings or RefitSettings()
    copies = {size: ir.from_proto(each.model) for size, each in smaller.items()}
    size, first = next(iter(smaller.items()))
    waves = _waves(copies[size].graph, original[size], first.channels, settings.only)
    names = [name for wave in waves for name in wave]
    _, targets = _sampler(original, names, settings, outputs=True).sample(batches)
    for wave in waves:
        models = {size: ir.to_proto(copy) for size, copy in copies.items()}
        read, _ = _sampler(models, wave, settings, outputs=False).sample(batches)
        layers = {layer.name: layer for layer in weighted_layers(copies[size].graph)}
        for name in wave:
            made = targets.pop(name)
            made = made[:, first.channels[name]] if name in first.channels else made
            weights, bias = fit_layer(layers[name], read.pop(name), made, settings.ridge)
            for copy in copies.values():
                set_weights(_node(copy.graph, name), weights, bias)
    return {size: replace(each, model=ir.to_proto(copies[size])) for size, each in smaller.items()}


def _sampler(
    graphs: Graphs, names: Sequence[str], settings: RefitSettings, *, outputs: bool
) -> LayerSampler:
    """Return a sampler of the results of layers, or of what they read."""
    return LayerSampler(
        graphs,
        names,
        positions_per_image=settings.positions_per_image,
        seed=settings.seed,
        inputs=not outputs,
        outputs=outputs,
    )


def fit_layer(
    layer: WeightedLayer, inputs: Rows, outputs: Rows, ridge: float
) -> tuple[Matrix, Matrix | None]:
    """Return weights (in / groups * taps, out) and bias (out,) that fit ``outputs`` best.

    Args:
        layer: with its weights before.
        inputs: (rows, in * taps), what it reads.
        outputs: (rows, out), what the op should return.
        ridge: see :class:`RefitSettings`.
    """
    rows, groups = len(inputs), layer.groups
    x, y = inputs.astype(np.float64), outputs.astype(np.float64)
    mean_x, mean_y = x.mean(0), y.mean(0)
    if layer.can_shift:
        x -= mean_x
        y -= mean_y
    # (rows, groups * K) -> (groups, rows, K), and (K, groups * O) -> (groups, K, O)
    x = x.reshape(rows, groups, -1).transpose(1, 0, 2)
    y = y.reshape(rows, groups, -1).transpose(1, 0, 2)
    old = layer.weights.astype(np.float64).reshape(-1, groups, layer.outputs // groups)
    old = old.transpose(1, 0, 2)
    gram = x.transpose(0, 2, 1) @ x
    strength = ridge * np.trace(gram, axis1=1, axis2=2) / gram.shape[1]
    # A layer that reads zeros only keeps its weights.
    strength[strength == 0] = 1.0
    pull = strength[:, None, None] * np.eye(gram.shape[1])
    new = old + np.linalg.solve(gram + pull, x.transpose(0, 2, 1) @ (y - x @ old))
    weights = new.transpose(1, 0, 2).reshape(layer.weights.shape)
    if not layer.can_shift:
        return weights, None
    mean_x = mean_x.reshape(groups, 1, -1)
    bias = mean_y - (mean_x @ new).reshape(-1)  # (groups, 1, O) -> (groups * O,)
    if layer.kind == "MatMul":  # the Add behind it adds the bias; the op's result is without it
        assert layer.bias is not None
        bias += layer.bias
    return weights, bias


def _node(graph: ir.Graph, name: str) -> ir.Node:
    return next(node for node in graph if node.outputs[0].name == name)


def _waves(
    graph: ir.Graph,
    original: onnx.ModelProto,
    channels: Mapping[str, tuple[int, ...]],
    only: frozenset[str] | None,
) -> list[list[str]]:
    """Return the layers to fit, in groups: no layer depends on another one of its group.

    A layer is fitted if a tensor that it reads has other values than in the original graph, and the
    original graph has its result.
    """
    known = {name for node in original.graph.node for name in node.output}
    before = {layer.name: layer for layer in weighted_layers(ir.from_proto(original).graph)}
    layers = {layer.name: layer for layer in weighted_layers(graph)}
    changed, depth, waves = set[str](), dict[str, int](), list[list[str]]()
    for node in graph:
        name, read = name_of(node.outputs[0]), [value.name or "" for value in reads_of(node)]
        level = max((depth.get(each, 0) for each in read), default=0)
        layer, old = layers.get(name), before.get(name)
        is_changed = not changed.isdisjoint(read)
        if layer is not None and is_changed and name in known and (only is None or name in only):
            if level == len(waves):
                waves.append([])
            waves[level].append(name)
            level += 1
        has_new_weights = layer is not None and (
            old is None or not np.array_equal(old.weights, layer.weights)
        )
        for value in node.outputs:
            result = value.name or ""
            depth[result] = level
            if is_changed or has_new_weights or result in channels or result not in known:
                changed.add(result)
    return waves
