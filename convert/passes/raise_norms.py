"""Replace a subgraph that normalizes over one axis by LayerNormalization.

    n(x) = (x - mean(x)) / sqrt(var(x) + eps)          over one axis
    y = n(x) * scale + bias   ->   y = LayerNormalization<axis = -1, eps>(x; scale, bias)

If it is not the last axis, a Transpose in front and one behind make it the last one: tf2onnx writes
a normalization of the channels of an image over axis 1 of NCHW.

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
    Array,
    epsilons,
    fitted_scale,
    has_square_root,
    is_near,
    may_normalize,
    normalized,
)
from ..analysis.regions import Region, RegionRule, evaluate, raise_regions, submodel
from ..graph import Shape, constant_input, inverse, name_of, shape_of, static_shape
from ..node_builder import NodeBuilder
from ..outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class _LayerNorm:
    axis: int
    eps: float
    scale: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]


def _probe(rng: np.random.Generator, shape: Shape, axis: int) -> npt.NDArray[np.float32]:
    """Draw random rows along ``axis``; many have a variance so small that eps matters."""
    sizes = rng.choice([0.003, 0.02, 1.0], (*shape[:axis], 1, *shape[axis + 1 :]))
    return (rng.standard_normal(shape) * sizes).astype(np.float32)


def _axes(region: Region) -> list[int]:
    """Return the axes that the region may normalize over: the last one, and those it averages.

    An axis must have at least two rows.
    """
    shape = shape_of(region.source)
    rank = len(shape)
    averaged = {
        int(axes[0]) % rank
        for node in region.nodes
        if node.op_type in ("ReduceMean", "ReduceSum")
        and (axes := constant_input(node, 1)) is not None
        and axes.size == 1
    }
    found = [rank - 1, *sorted(averaged - {rank - 1})]
    return [axis for axis in found if np.prod(shape) >= 2 * shape[axis]]


def _explain(model: ir.Model, region: Region) -> _LayerNorm | None:
    """Return what the region computes if it is a LayerNormalization, else None."""
    shape, entry = shape_of(region.source), name_of(region.source)
    proto = submodel(model, [region.source], region.result, region.nodes)
    for axis in _axes(region):
        rng = np.random.default_rng(0)
        probes = [_probe(rng, shape, axis), _probe(rng, shape, axis), np.zeros(shape, np.float32)]
        answers = [evaluate(proto, {entry: x}) for x in probes]
        results = [y for y in answers if y is not None and y.shape == shape]
        if len(results) < len(answers):
            return None
        found = _fitted([_rows(x, axis) for x in probes], [_rows(y, axis) for y in results], region)
        if found is not None:
            eps, scale, bias = found
            return _LayerNorm(axis=axis, eps=eps, scale=scale, bias=bias)
    return None


def _rows(array: npt.NDArray[np.float32], axis: int) -> Array:
    """Return an array as rows (M, C) along ``axis``, in double precision."""
    return np.moveaxis(array, axis, -1).reshape(-1, array.shape[axis]).astype(np.float64)


def _fitted(
    probes: list[Array], results: list[Array], region: Region
) -> tuple[float, npt.NDArray[np.float32], npt.NDArray[np.float32]] | None:
    """Return eps, scale (C,) and bias (C,) that explain all results (M, C); None if none do."""
    bias = results[2][0].astype(np.float32)  # n(0) = 0
    # The first draw gives the scale, the second one must be predicted with it.
    for eps in epsilons(region):
        n, again = (normalized(x, eps) for x in probes[:2])
        scale = fitted_scale(n, results[0] - bias, 0, region)
        if is_near(again * scale + bias, results[1]):
            return eps, scale, bias
    return None


def _fits(region: Region) -> bool:
    shape = static_shape(region.source)
    return bool(shape) and has_square_root(region) and shape == static_shape(region.result)


def _is_no_image(region: Region) -> bool:
    """Whether this pass reports a near miss; ``raise_group_norms`` reports those on images."""
    return len(shape_of(region.source)) != 4


def _replace(graph: ir.Graph, region: Region, norm: _LayerNorm) -> None:
    build, rank = NodeBuilder(graph), len(shape_of(region.source))
    # All axes but that of the normalization, which comes last.
    last = (*(axis for axis in range(rank) if axis != norm.axis), norm.axis)
    x = build.transpose(region.source, last)
    x = build.op("LayerNormalization", x, norm.scale, norm.bias, axis=-1, epsilon=norm.eps)
    build.replace(region.nodes, build.transpose(x, inverse(last)))


_RULE = RegionRule(
    largest=24,
    allows=may_normalize,
    fits=_fits,
    explain=_explain,
    replace=_replace,
    otherwise="it has a square root, but is not a normalization over one axis",
    is_reported=_is_no_image,
)


def raise_norms(model: ir.Model) -> Outcome:
    """Replace each layer normalization that is written out by LayerNormalization."""
    return raise_regions(model, _RULE)
