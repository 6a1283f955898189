"""Make weights 2:4 sparse: of each four weights along the input channels, two are 0.

The sparse tensor cores of NVIDIA GPUs can skip such zeros (TensorRT's flag SPARSE_WEIGHTS). For
each tap and output, a group has four neighboring input channels: axis 1 of a Conv's weights, axis 0
of a MatMul's, and the inner axis of a Gemm.

The weights are chosen as in Frantar and Alistarh, "SparseGPT: Massive Language Models Can Be
Accurately Pruned in One-Shot" (2023). In the order of the input channels, the two weights w of each
group go whose loss w^2 / [H^-1] is least, where H is the covariance of the inputs that remain, and
the weights behind them take over what they did. Conjugate gradients then find the best values of
the weights that remain:

    minimize  tr((W - T)^T H (W - T))   with W = 0 where the mask is 0

T are the weights that fit the results of the original graph, given inputs from the sparse one, so
that each layer also corrects the errors of those before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..convert.graph import Graphs
from .layers import Matrix, WeightedLayer, set_weights, weighted_layers
from .least_squares import Moments, fitted
from .samples import LayerSampler, Rows

_FOUR, _ZEROS = 4, 2
_DAMPING = 0.01
"""Added to the covariance, in multiples of its mean diagonal; the value of the paper."""
_STEPS = 30
"""Steps of conjugate gradients."""
Mask = npt.NDArray[np.bool_]


def is_2_4(weights: npt.NDArray, axis: int) -> bool:
    """Whether at least two of each four neighboring weights along an axis are 0.

    False if the size of the axis is not a multiple of 4.
    """
    if weights.shape[axis] % _FOUR:
        return False
    groups = np.moveaxis(weights, axis, -1).reshape(-1, _FOUR)
    return bool((np.count_nonzero(groups, axis=1) <= _FOUR - _ZEROS).all())


def can_sparsify(layer: WeightedLayer) -> bool:
    """Whether the input channels of a layer without groups can be divided into groups of four."""
    return layer.groups == 1 and layer.channels % _FOUR == 0


def sparsify(
    graphs: Graphs,
    batches: Sequence[npt.NDArray],
    layers: Iterable[str] | None = None,
    *,
    positions_per_image: int = 300,
    seed: int = 0,
) -> Graphs:
    """Return graphs with 2:4 sparse weights in some layers, fitted one after the other.

    Args:
        graphs: clean float32 graphs of one model, by input size; they stay as they are.
        batches: (N, C, H, W) float32, without labels.
        layers: names of layers; None: all that can be sparse.
        positions_per_image: output positions of each layer to draw from each image.
        seed: selects the positions.

    Raises:
        ValueError: a layer cannot be sparse; the message names it and its channels.
    """
    copies = {size: ir.from_proto(model) for size, model in graphs.items()}
    known = {layer.name: layer for layer in weighted_layers(next(iter(copies.values())).graph)}
    names = _names(known, layers)

    def sampler(models: Graphs, layers: Sequence[str], *, inputs: bool) -> LayerSampler:
        return LayerSampler(
            models,
            layers,
            positions_per_image=positions_per_image,
            seed=seed,
            inputs=inputs,
            outputs=not inputs,
        )

    _, targets = sampler(graphs, names, inputs=False).sample(batches)
    for name in names:
        current = {size: ir.to_proto(copy) for size, copy in copies.items()}
        inputs, _ = sampler(current, [name], inputs=True).sample(batches)
        weights, bias = sparse_fit(known[name], inputs[name], targets.pop(name))
        for copy in copies.values():
            node = next(node for node in copy.graph if node.outputs[0].name == name)
            set_weights(node, weights, bias)
    return {size: ir.to_proto(copy) for size, copy in copies.items()}


def _names(known: Mapping[str, WeightedLayer], chosen: Iterable[str] | None) -> list[str]:
    """Return the layers to change, in the order of the graph."""
    if chosen is None:
        return [name for name, layer in known.items() if can_sparsify(layer)]
    wanted = set(chosen)
    for name in sorted(wanted):
        layer = known.get(name)
        if layer is None or not can_sparsify(layer):
            found = "no such layer" if layer is None else f"{layer.channels} input channels"
            raise ValueError(
                f"{name} cannot be 2:4 sparse: {found}; expected a Conv without groups, a MatMul "
                "or a Gemm whose input channels are a multiple of 4"
            )
    return [name for name in known if name in wanted]


def sparse_fit(layer: WeightedLayer, inputs: Rows, outputs: Rows) -> tuple[Matrix, Matrix | None]:
    """Return 2:4 sparse weights (in * taps, out) and a bias (out,) that fit ``outputs`` best.

    Args:
        layer: with its weights before.
        inputs: (rows, in * taps), what it reads.
        outputs: (rows, out), what it should return.
    """
    # The rows of the last images choose the ridge; rows are in the order of the images.
    cut = -(-len(inputs) * 3 // 4)
    parts = [(inputs[:cut], outputs[:cut]), (inputs[cut:], outputs[cut:])]
    folds = [Moments.of(x, y, 1) for x, y in parts if len(x)]
    target, _ = fitted(layer, *folds)
    total = folds[0] if len(folds) == 1 else folds[0] + folds[1]
    mean_x, mean_y = total.x[0, 0] / total.rows, total.y[0, 0] / total.rows
    covariance = total.xx[0] / total.rows
    if layer.can_shift:
        covariance = covariance - np.outer(mean_x, mean_x)
    size = len(covariance)
    covariance += max(_DAMPING * float(np.trace(covariance)) / size, 1e-12) * np.eye(size)
    weights = sparse_weights(target, covariance, layer.taps)
    if not layer.can_shift:
        return weights, None
    return weights, mean_y - mean_x @ weights


def sparse_weights(target: Matrix, covariance: Matrix, taps: int) -> Matrix:
    """Return 2:4 sparse weights near ``target`` (in * taps, out), as seen by inputs.

    ``covariance``: of the inputs, (in * taps, in * taps), positive definite.
    """
    channels = len(target) // taps
    # (in / 4, 4, taps) -> (in / 4, taps, 4): the rows of a group become neighbors.
    order = np.arange(channels * taps).reshape(-1, _FOUR, taps).transpose(0, 2, 1).reshape(-1)
    turned, seen = target[order], covariance[np.ix_(order, order)]
    mask = _mask(turned, seen)
    weights = np.empty_like(target)
    weights[order] = _best_under_mask(turned, seen, mask)
    return weights


def _mask(target: Matrix, covariance: Matrix) -> Mask:
    """Return which weights remain (in, out), where each four rows are a group."""
    weights = target.copy()
    # Row i of this factor states how the rows behind i replace it, once those before are decided.
    upper = np.linalg.cholesky(np.linalg.inv(covariance)).T
    mask = np.ones(weights.shape, bool)
    for start in range(0, len(weights), _FOUR):
        rows = slice(start, start + _FOUR)
        losses = np.square(weights[rows] / np.diag(upper)[rows, None])
        smallest = np.argsort(losses, axis=0, kind="stable")[:_ZEROS]
        np.put_along_axis(mask[rows], smallest, False, axis=0)
        for row in range(start, start + _FOUR):
            error = np.where(mask[row], 0.0, weights[row]) / upper[row, row]
            weights[row:] -= np.outer(upper[row, row:], error)
    return mask


def _best_under_mask(target: Matrix, covariance: Matrix, mask: Mask) -> Matrix:
    """Minimize the error of each output over the weights that remain, by conjugate gradients."""
    weights = np.where(mask, target, 0.0)
    residual = np.where(mask, covariance @ (target - weights), 0.0)
    scale = np.diag(covariance)[:, None]  # a Jacobi preconditioner
    direction = residual / scale
    strength = (residual * direction).sum(0)
    for _ in range(_STEPS):
        curved = np.where(mask, covariance @ direction, 0.0)
        bend = (direction * curved).sum(0)
        step = np.divide(strength, bend, out=np.zeros_like(bend), where=bend > 0)
        weights += step * direction
        residual -= step * curved
        scaled = residual / scale
        after = (residual * scaled).sum(0)
        ratio = np.divide(after, strength, out=np.zeros_like(after), where=strength > 0)
        direction, strength = scaled + ratio * direction, after
    return weights
