"""Subgraphs that normalize groups of channels -> InstanceNormalization.

    n(x) = (x - mean(x)) / sqrt(var(x) + eps)    over height, width and the channels of a group
    y = n(x) * scale + bias                      per channel

    as many groups as channels:  InstanceNormalization(x; scale, bias)
    fewer groups G:              Reshape(x -> (N, G, -1)) -> InstanceNormalization -> Reshape
                                 -> * scale -> + bias

Recognized as ``raise_norms`` does it, by what a region does to numbers, in NCHW or NHWC and for
every number of groups that divides the channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..analysis.norms import AVERAGING, ENDINGS, epsilons, exact
from ..analysis.regions import Region, evaluate, raise_each, regions_ending_at, submodel
from ..analysis.row import Row
from ..graph import name_of, shape_of, static_shape, take_over
from ..outcome import Outcome

Array = npt.NDArray[np.float64]
_TOLERANCE = 2e-5
_OTHERWISE = "it takes a root, but is no normalization over groups of channels"
_LARGEST = 28
_TO_NCHW = {1: (0, 1, 2, 3), 3: (0, 3, 1, 2)}
"""By the axis that the channels are in."""
_FROM_NCHW = {1: (0, 1, 2, 3), 3: (0, 2, 3, 1)}


@dataclass(frozen=True, kw_only=True)
class _Norm:
    axis: int
    groups: int
    eps: float
    scale: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]


def _normalized(x: Array, groups: int, eps: float) -> Array:
    """Normalize NCHW numbers."""
    grouped = x.reshape(x.shape[0], groups, -1)
    centerd = grouped - grouped.mean(-1, keepdims=True)
    return (centerd / np.sqrt((centerd**2).mean(-1, keepdims=True) + eps)).reshape(x.shape)


def _answers(model: ir.Model, region: Region) -> tuple[list[Array], list[Array]] | None:
    """Run the region on two draws, in which eps shows, and on zeros."""
    shape, entry = shape_of(region.source), name_of(region.source)
    proto = submodel(model, [region.source], region.result, region.nodes)
    rng = np.random.default_rng(0)
    probes = [rng.standard_normal(shape).astype(np.float32) * size for size in (0.05, 0.3)]
    # Where the variance is as small as epsilon it shows whether it stands inside the root.
    least = max(epsilons(region), default=1e-5) ** 0.5
    probes.append(np.zeros(shape, np.float32))
    probes.append((rng.standard_normal(shape) * least).astype(np.float32))
    answers = [evaluate(proto, {entry: x.astype(np.float32)}) for x in probes]
    found = [y.astype(np.float64) for y in answers if y is not None and y.shape == shape]
    return ([x.astype(np.float64) for x in probes], found) if len(found) == len(probes) else None


def _near(ours: Array, theirs: Array) -> bool:
    return bool(np.abs(ours - theirs).max() <= _TOLERANCE * max(1.0, np.abs(theirs).max()))


def _explain(model: ir.Model, region: Region) -> _Norm | None:
    run = _answers(model, region)
    for axis, perm in _TO_NCHW.items() if run is not None else ():
        probes, answers = ([a.transpose(perm) for a in arrays] for arrays in run or ())
        channels, bias = probes[0].shape[1], answers[2][0, :, 0, 0]
        for groups in (g for g in range(2, channels + 1) if channels % g == 0):
            for eps in epsilons(region):
                n, *again = (_normalized(probes[i], groups, eps) for i in (0, 1, 3))
                shift = bias.reshape(1, -1, 1, 1)
                power = np.maximum((n**2).sum((0, 2, 3)), 1e-12)
                scale = exact((n * (answers[0] - shift)).sum((0, 2, 3)) / power, region)
                expected = [
                    (a * scale.reshape(1, -1, 1, 1) + shift, answers[i])
                    for a, i in zip(again, (1, 3), strict=True)
                ]
                if all(_near(ours, theirs) for ours, theirs in expected):
                    return _Norm(
                        axis=axis, groups=groups, eps=eps, scale=scale, bias=np.float32(bias)
                    )
    return None


def _candidates(root: ir.Node, order: dict[ir.Node, int]) -> list[Region]:
    found = list[Region]()
    if root.op_type not in ENDINGS:
        return found
    for region in regions_ending_at(root, order, largest=_LARGEST):
        kinds = {node.op_type for node in region.nodes}
        if not kinds <= AVERAGING:
            break
        shape = static_shape(region.source)
        is_image = shape is not None and len(shape) == 4 and shape == static_shape(region.result)
        if "Sqrt" in kinds and is_image and region.is_closed:
            found.append(region)
    return found[::-1]


def _replace(graph: ir.Graph, region: Region, norm: _Norm) -> None:
    row, held = Row(graph, region.source), shape_of(region.source)
    n, c, h, w = nchw = tuple(held[i] for i in _TO_NCHW[norm.axis])
    row.transpose(_TO_NCHW[norm.axis])
    if norm.groups == c:
        parameters = (row.constant(norm.scale), row.constant(norm.bias))
        row.add("InstanceNormalization", *parameters, to=nchw, epsilon=norm.eps)
    else:
        grouped = (n, norm.groups, c // norm.groups * h * w)
        ones = row.constant(np.ones(norm.groups, np.float32))
        zeros = row.constant(np.zeros(norm.groups, np.float32))
        row.reshape(grouped)
        row.add("InstanceNormalization", ones, zeros, to=grouped, epsilon=norm.eps)
        row.reshape(nchw)
        for op, array in (("Mul", norm.scale), ("Add", norm.bias)):
            row.add(op, row.constant(array.reshape(1, -1, 1, 1)), to=nchw)
    row.transpose(_FROM_NCHW[norm.axis])
    graph.insert_after(region.nodes[-1], row.made)
    take_over(region.result, row.value)
    graph.remove(reversed(region.nodes), safe=True)


def raise_group_norms(model: ir.Model) -> Outcome:
    """Replace each group or instance normalization that is spelled out."""
    return raise_each(model, _candidates, _explain, _replace, _OTHERWISE)
