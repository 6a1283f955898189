"""Fit the weights of a smaller graph to the results of the original one, layer by layer.

In graph order, each layer below a change is fitted by least squares (``least_squares.py``). Its
inputs are those in the smaller graph, whose earlier layers are fitted already, and the results are
the tensor of the same name in the original graph. So each layer also corrects the errors of those
before it (Zhang et al., "Accelerating very deep convolutional networks", 2015).
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
from .layers import WeightedLayer, set_weights, weighted_layers
from .least_squares import Moments, fitted
from .samples import LayerSampler, Rows

_CHECKED = 4
"""One of so many images is not fitted: the errors of all layers on these images choose the ridges.
So layers that read what was fitted on an image are never judged on the same image."""


@dataclass(frozen=True, kw_only=True)
class RefitSettings:
    """How to fit weights."""

    positions_per_image: int = 1000
    """Output positions of each layer to draw from each image."""
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
    targets = [made for _, made in _sampler(original, names, settings, outputs=True).each(batches)]
    for wave in waves:
        models = {size: ir.to_proto(copy) for size, copy in copies.items()}
        layers = {layer.name: layer for layer in weighted_layers(copies[size].graph)}
        sampler = _sampler(models, wave, settings, outputs=False)
        moments = _moments(sampler, batches, targets, layers, first.channels)
        for name in wave:
            weights, bias = fitted(layers[name], *moments[name])
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


def _moments(
    sampler: LayerSampler,
    batches: Sequence[npt.NDArray],
    targets: Sequence[dict[str, Rows]],
    layers: Mapping[str, WeightedLayer],
    kept: Mapping[str, tuple[int, ...]],
) -> dict[str, list[Moments]]:
    """Return the moments of layers on the batches to fit and, if there are enough, to check.

    ``kept``: the channels of the original results that the smaller graph still has, where it lost
    some.
    """
    found: dict[str, list[Moments]] = {name: [] for name in sampler.names}
    for number, (read, _) in enumerate(sampler.each(batches)):
        part = int(number % _CHECKED == _CHECKED - 1)
        for name, inputs in read.items():
            made = targets[number].pop(name)
            made = made[:, kept[name]] if name in kept else made
            moments = Moments.of(inputs, made, layers[name].groups)
            if part == len(found[name]):
                found[name].append(moments)
            else:
                found[name][part] += moments
    return found


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
    original graph has its result, at the same positions.
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
        can_fit = layer is not None and name in known and not _has_fewer_rows(layer, old, channels)
        if can_fit and is_changed and (only is None or name in only):
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


def _has_fewer_rows(
    layer: WeightedLayer, old: WeightedLayer | None, channels: Mapping[str, tuple[int, ...]]
) -> bool:
    """Whether channels were removed along another axis than that which a MatMul mixes."""
    return layer.name in channels and old is not None and layer.outputs == old.outputs
