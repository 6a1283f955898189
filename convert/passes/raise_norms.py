"""Subgraphs that normalize over the last axis -> LayerNormalization.

    n(x) = (x - mean(x)) / sqrt(var(x) + eps),   y = n(x) * scale + bias     (over the last axis)

TensorFlow spells it with moments, squared differences and rsqrt, with pooling, or with batch norm;
the order of the products differs too. A candidate is a single-entry region with a square root in it
and only elementwise and averaging ops besides. It is run on numbers of its real shape: zeros give
the bias, one random draw gives the scale per channel (by least squares, then the nearest constant
of the region), for each small constant of the region as eps; it is a LayerNormalization if a second
draw is explained to 2e-5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..analysis.norms import AVERAGING, ENDINGS, epsilons, exact
from ..analysis.regions import Region, evaluate, raise_each, regions_ending_at, submodel
from ..graph import name_of, new_initializer, shape_of, static_shape, take_over, typed_like
from ..outcome import Outcome

_TOLERANCE = 2e-5
_OTHERWISE = "it takes a root, but is no normalization over the last axis"
_LARGEST = 24


@dataclass(frozen=True, kw_only=True)
class _Norm:
    eps: float
    scale: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]


def _normalized(x: npt.NDArray[np.float64], eps: float) -> npt.NDArray[np.float64]:
    centerd = x - x.mean(-1, keepdims=True)
    return centerd / np.sqrt((centerd**2).mean(-1, keepdims=True) + eps)


def _probe(rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Random rows, many of them with a variance so small that eps shows in the result."""
    sizes = rng.choice([0.003, 0.02, 1.0], (*shape[:-1], 1))
    return (rng.standard_normal(shape) * sizes).astype(np.float32)


def _explain(model: ir.Model, region: Region) -> _Norm | None:
    """Return what the region computes if it is a LayerNormalization, else None."""
    shape, entry = shape_of(region.source), name_of(region.source)
    proto = submodel(model, [region.source], region.result, region.nodes)
    rng = np.random.default_rng(0)
    probes = [_probe(rng, shape), _probe(rng, shape), np.zeros(shape, np.float32)]
    answers = [evaluate(proto, {entry: x}) for x in probes]
    results = [y for y in answers if y is not None and y.shape == shape]
    if len(results) < len(answers):
        return None
    bias = results[2].reshape(-1, shape[-1])[0]  # n(0) = 0
    first, second = (y.reshape(-1, shape[-1]).astype(np.float64) for y in results[:2])
    for eps in epsilons(region):
        n, again = (_normalized(x.astype(np.float64), eps).reshape(first.shape) for x in probes[:2])
        estimate = (n * (first - bias)).sum(0) / np.maximum((n**2).sum(0), 1e-12)
        scale = exact(estimate, region)
        error = np.abs(again * scale + bias - second).max()
        if error <= _TOLERANCE * max(1.0, np.abs(second).max()):
            return _Norm(eps=eps, scale=scale, bias=bias)
    return None


def _candidates(root: ir.Node, order: dict[ir.Node, int]) -> list[Region]:
    """Regions ending at ``root`` that may normalize, largest first."""
    found = list[Region]()
    if root.op_type not in ENDINGS:
        return found
    for region in regions_ending_at(root, order, largest=_LARGEST):
        kinds = {node.op_type for node in region.nodes}
        if not kinds <= AVERAGING:
            break
        shape = static_shape(region.source)
        rows = int(np.prod(shape[:-1])) if shape else 0
        if (
            "Sqrt" in kinds
            and rows >= 2
            and region.is_closed
            and shape == static_shape(region.result)
        ):
            found.append(region)
    return found[::-1]


def raise_norms(model: ir.Model) -> Outcome:
    """Replace each layer normalization that is spelled out by LayerNormalization."""
    return raise_each(model, _candidates, _explain, _replace, _OTHERWISE, _is_no_image)


def _is_no_image(region: Region) -> bool:
    """Images are told of by ``raise_group_norms``."""
    return len(shape_of(region.source)) != 4


def _replace(graph: ir.Graph, region: Region, norm: _Norm) -> None:
    name = region.result.name
    parameters = [
        new_initializer(graph, norm.scale, f"{name}_scale"),
        new_initializer(graph, norm.bias, f"{name}_bias"),
    ]
    made = ir.node(
        "LayerNormalization",
        [region.source, *parameters],
        attributes={"axis": -1, "epsilon": norm.eps},
    )
    typed_like(made.outputs[0], region.result)
    graph.insert_after(region.nodes[-1], [made])
    take_over(region.result, made.outputs[0])
    graph.remove(reversed(region.nodes), safe=True)
