"""Replace a subgraph that normalizes groups of channels by InstanceNormalization.

    n(x) = (x - mean(x)) / sqrt(var(x) + eps)    over height, width and the channels of a group
    y = n(x) * scale + bias                      per channel

    as many groups as channels:  ->  InstanceNormalization(x; scale, bias)
    fewer groups G:              ->  Reshape(x -> (N, G, -1)) -> InstanceNormalization -> Reshape
                                     -> * scale -> + bias

A region is recognized by what it computes (see ``analysis.norms``), in NCHW or NHWC, for every
number of groups above 1 that divides the channels. Input and result must have the same known shape
of rank 4.

Termination: each rewrite removes a square root and adds none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..analysis.norms import (
    Array,
    epsilons,
    fitted_scale,
    has_square_root,
    is_near,
    may_normalize,
    normalized,
)
from ..analysis.regions import Region, RegionRule, evaluate, raise_regions, submodel
from ..graph import TO_NCHW, inverse, name_of, shape_of, static_shape
from ..node_builder import NodeBuilder
from ..outcome import Outcome

_LAYOUTS = ((0, 1, 2, 3), TO_NCHW)
"""Permutations from NCHW and NHWC to NCHW."""


@dataclass(frozen=True, kw_only=True)
class _GroupNorm:
    to_nchw: tuple[int, ...]
    groups: int
    eps: float
    scale: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]


def _answers(model: ir.Model, region: Region) -> tuple[list[Array], list[Array]] | None:
    """Run the region on two draws, on zeros, and on a draw as small as the square root of eps."""
    shape, entry = shape_of(region.source), name_of(region.source)
    proto = submodel(model, [region.source], region.result, region.nodes)
    rng = np.random.default_rng(0)
    probes = [rng.standard_normal(shape).astype(np.float32) * size for size in (0.05, 0.3)]
    # If the variance is as small as eps, the result shows whether eps is inside the square root.
    least = max(epsilons(region), default=1e-5) ** 0.5
    probes.append(np.zeros(shape, np.float32))
    probes.append((rng.standard_normal(shape) * least).astype(np.float32))
    answers = [evaluate(proto, {entry: x.astype(np.float32)}) for x in probes]
    found = [y.astype(np.float64) for y in answers if y is not None and y.shape == shape]
    return ([x.astype(np.float64) for x in probes], found) if len(found) == len(probes) else None


def _explain(model: ir.Model, region: Region) -> _GroupNorm | None:
    """Return what the region computes if it is a group normalization, else None."""
    run = _answers(model, region)
    for to_nchw in _LAYOUTS if run is not None else ():
        probes, answers = ([a.transpose(to_nchw) for a in arrays] for arrays in run or ())
        channels = probes[0].shape[1]
        for groups in (g for g in range(2, channels + 1) if channels % g == 0):
            for eps in epsilons(region):
                found = _fitted(probes, answers, groups, eps, region)
                if found is not None:
                    scale, bias = found
                    return _GroupNorm(
                        to_nchw=to_nchw, groups=groups, eps=eps, scale=scale, bias=bias
                    )
    return None


def _fitted(
    probes: list[Array], answers: list[Array], groups: int, eps: float, region: Region
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None:
    """Return the scale and bias (C,) that explain all answers (NCHW); None if none do."""
    n, *again = (
        normalized(x.reshape(x.shape[0], groups, -1), eps).reshape(x.shape)  # (N, G, C / G H W)
        for x in (probes[0], probes[1], probes[3])
    )
    bias = answers[2][0, :, 0, 0]  # n(0) = 0
    shift = bias.reshape(1, -1, 1, 1)
    scale = fitted_scale(n, answers[0] - shift, (0, 2, 3), region)
    expected = [a * scale.reshape(1, -1, 1, 1) + shift for a in again]
    if all(map(is_near, expected, (answers[1], answers[3]))):
        return scale, np.float32(bias)
    return None


def _fits(region: Region) -> bool:
    shape = static_shape(region.source)
    is_image = shape is not None and len(shape) == 4 and shape == static_shape(region.result)
    return is_image and has_square_root(region)


def _replace(graph: ir.Graph, region: Region, norm: _GroupNorm) -> None:
    build = NodeBuilder(graph)
    x = build.transpose(region.source, norm.to_nchw)
    n, c, h, w = nchw = shape_of(x)
    if norm.groups == c:
        x = build.op("InstanceNormalization", x, norm.scale, norm.bias, epsilon=norm.eps)
    else:
        one, zero = np.ones(norm.groups, np.float32), np.zeros(norm.groups, np.float32)
        x = build.reshape(x, (n, norm.groups, c // norm.groups * h * w))
        x = build.op("InstanceNormalization", x, one, zero, epsilon=norm.eps)
        x = build.reshape(x, nchw)
        for op, array in (("Mul", norm.scale), ("Add", norm.bias)):
            x = build.op(op, x, array.reshape(1, -1, 1, 1))
    build.replace(region.nodes, build.transpose(x, inverse(norm.to_nchw)))


_RULE = RegionRule(
    largest=28,
    allows=may_normalize,
    fits=_fits,
    explain=_explain,
    replace=_replace,
    otherwise="it has a square root, but is not a normalization over groups of channels",
)


def raise_group_norms(model: ir.Model) -> Outcome:
    """Replace each group or instance normalization that is written out."""
    return raise_regions(model, _RULE)
