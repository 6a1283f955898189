"""Replace a subgraph that normalizes over the last axis by LayerNormalization.

    n(x) = (x - mean(x)) / sqrt(var(x) + eps)          over the last axis
    y = n(x) * scale + bias   ->   y = LayerNormalization<axis = -1, eps>(x; scale, bias)

TensorFlow writes it with moments, squared differences and rsqrt, with pooling, or with batch norm,
and orders the products in different ways. So a region is recognized by what it computes (see
``analysis.norms``): for each small constant of the region as eps, a first random draw gives the
scale, and the result of a second draw must be predicted to 2e-5. The input must have at least two
rows.

Termination: each rewrite removes a square root and adds none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..analysis.norms import (
    epsilons,
    fitted_scale,
    has_square_root,
    is_near,
    may_normalize,
    normalized,
)
from ..analysis.regions import Region, RegionRule, evaluate, raise_regions, submodel
from ..graph import Shape, name_of, shape_of, static_shape
from ..node_builder import NodeBuilder
from ..outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class _LayerNorm:
    eps: float
    scale: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]


def _probe(rng: np.random.Generator, shape: Shape) -> npt.NDArray[np.float32]:
    """Draw random rows; in many of them the variance is so small that eps matters."""
    sizes = rng.choice([0.003, 0.02, 1.0], (*shape[:-1], 1))
    return (rng.standard_normal(shape) * sizes).astype(np.float32)


def _explain(model: ir.Model, region: Region) -> _LayerNorm | None:
    """Return what the region computes if it is a LayerNormalization, else None."""
    shape, entry = shape_of(region.source), name_of(region.source)
    proto = submodel(model, [region.source], region.result, region.nodes)
    rng = np.random.default_rng(0)
    probes = [_probe(rng, shape), _probe(rng, shape), np.zeros(shape, np.float32)]
    answers = [evaluate(proto, {entry: x}) for x in probes]
    results = [y for y in answers if y is not None and y.shape == shape]
    if len(results) < len(answers):
        return None
    bias = results[2].reshape(-1, shape[-1])[0]  # (rows, C) -> (C,): n(0) = 0
    first, second = (y.reshape(-1, shape[-1]).astype(np.float64) for y in results[:2])  # (rows, C)
    # The first draw gives the scale, the second one must be predicted with it.
    for eps in epsilons(region):
        n, again = (normalized(x.astype(np.float64), eps).reshape(first.shape) for x in probes[:2])
        scale = fitted_scale(n, first - bias, 0, region)
        if is_near(again * scale + bias, second):
            return _LayerNorm(eps=eps, scale=scale, bias=bias)
    return None


def _fits(region: Region) -> bool:
    shape = static_shape(region.source)
    rows = int(np.prod(shape[:-1])) if shape else 0
    return has_square_root(region) and rows >= 2 and shape == static_shape(region.result)


def _is_no_image(region: Region) -> bool:
    """Whether this pass reports a near miss; ``raise_group_norms`` reports those on images."""
    return len(shape_of(region.source)) != 4


def _replace(graph: ir.Graph, region: Region, norm: _LayerNorm) -> None:
    build, parameters = NodeBuilder(graph), (norm.scale, norm.bias)
    result = build.op("LayerNormalization", region.source, *parameters, axis=-1, epsilon=norm.eps)
    build.replace(region.nodes, result)


_RULE = RegionRule(
    largest=24,
    allows=may_normalize,
    fits=_fits,
    explain=_explain,
    replace=_replace,
    otherwise="it has a square root, but is not a normalization over the last axis",
    is_reported=_is_no_image,
)


def raise_norms(model: ir.Model) -> Outcome:
    """Replace each layer normalization that is written out by LayerNormalization."""
    return raise_regions(model, _RULE)
