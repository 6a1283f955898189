"""Replace a layer by two of lower rank, by a data-aware singular value decomposition.

    Conv kh x kw            ->  Conv kh x 1 (rank channels), Conv 1 x kw (+ bias)
    Conv 1 x k, k x 1, 1 x 1, k  ->  the same Conv with rank channels, Conv 1 x 1 (+ bias)
    MatMul, Gemm            ->  MatMul (in, rank), MatMul or Gemm (rank, out)

The split of a kernel follows Jaderberg et al., "Speeding up convolutional neural networks with low
rank expansions", 2014; ``kernel_split.py`` finds its weights. Of a product with weights W and
inputs of covariance C, the first op computes W V, where V holds the leading eigenvectors of
W^T C W, and the second one V^T. That is the best approximation of the outputs at this rank; Wang et
al., "SVD-LLM", 2024, compute the same by whitening.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from ..convert.graph import not_none, typed_like
from .kernel_split import leading_vectors, split_kernel, with_ridge
from .layers import Matrix, WeightedLayer, Windows, register, set_weights
from .samples import LayerStatistics

_RIDGE = 1e-6
"""Part of the mean variance that is added to every variance, so that directions that the samples
do not contain keep their weights at full rank."""


@dataclass(frozen=True, kw_only=True)
class Factors:
    """The weights of both ops."""

    first: Matrix
    """(in * taps of the first op, rank). Its outputs have a variance of about 1."""
    second: Matrix
    """(rank * taps of the second op, out)."""
    bias: Matrix | None
    """(out,): the old bias and the change of the mean output; None if the layer has no bias."""

    def product(self, layer: WeightedLayer) -> Matrix:
        """Return the weights (in * taps, out) of the one layer that computes the same."""
        if not is_separable(layer):
            return self.first @ self.second
        (height, width), rank = _kernel(layer), self.first.shape[1]
        first = self.first.reshape(-1, height, rank)  # (I, kh, R)
        second = self.second.reshape(rank, width, -1)  # (R, kw, O)
        joined = np.einsum("iar,rbo->iabo", first, second, optimize=True)
        return joined.reshape(layer.weights.shape)


def can_factor(layer: WeightedLayer) -> bool:
    """Whether :func:`factors` can split a layer: any but a grouped Conv."""
    return layer.groups == 1


def is_separable(layer: WeightedLayer) -> bool:
    """Whether a layer becomes kh x 1 and 1 x kw."""
    return (
        layer.windows is not None
        and min(layer.windows.kernel) > 1
        and len(layer.windows.kernel) == 2
    )


def full_rank(layer: WeightedLayer) -> int:
    """Return the rank at which both ops compute exactly what the layer computes."""
    if not is_separable(layer):
        return min(layer.weights.shape)
    height, width = _kernel(layer)
    return min(layer.channels * height, width * layer.outputs)


def factored_flops(layer: WeightedLayer, rank: int) -> int:
    """Return the floating-point operations of both ops together, at batch 1."""
    if layer.windows is None or not is_separable(layer):
        # Both ops run at the same positions: the first (in * taps, rank), the second (rank, out).
        rows, columns = layer.weights.shape
        return layer.flops * rank * (rows + columns) // (rows * columns)
    (height, width), (made, made_width) = _kernel(layer), layer.windows.made
    first = made * layer.windows.read[1] * layer.channels * height
    return 2 * rank * (first + made * made_width * width * layer.outputs)


def candidate_ranks(layer: WeightedLayer, step: int = 8) -> list[int]:
    """Return the multiples of ``step`` at which both ops need fewer FLOPs than the layer."""
    if not can_factor(layer):
        return []
    ranks = range(step, full_rank(layer), step)
    return [rank for rank in ranks if factored_flops(layer, rank) < layer.flops]


def factors(layer: WeightedLayer, rank: int, statistics: LayerStatistics) -> Factors:
    """Return the weights of both ops.

    Args:
        layer: a layer that :func:`can_factor` accepts.
        rank: channels between both ops.
        statistics: of the rows that the layer reads.
    """
    weights = layer.weights.astype(np.float64)
    if is_separable(layer):
        kernel = weights.reshape(layer.channels, *_kernel(layer), layer.outputs)
        first, second = split_kernel(kernel, statistics.covariance, rank)
    else:
        covariance = with_ridge(statistics.covariance, _RIDGE)
        vectors, variances = _principal_directions(weights, covariance, rank)
        # Equal variances of the channels between the ops suit one int8 range for all of them.
        deviations = np.sqrt(np.maximum(variances, max(variances[0] * 1e-12, 1e-30)))
        first, second = weights @ vectors / deviations, (vectors * deviations).T
    # (R, kw * O) -> (R * kw, O)
    made = Factors(first=first, second=second.reshape(-1, layer.outputs), bias=None)
    return replace(made, bias=_bias(layer, made, statistics))


def _principal_directions(weights: Matrix, covariance: Matrix, rank: int) -> tuple[Matrix, Matrix]:
    """Return the leading eigenvectors (O, R) of W^T C W, the covariance of the results.

    A classifier has far more outputs O than inputs I. Then they follow from those of a matrix
    (I, I) with the same eigenvalues: with C = L L^T and M = L^T W, the vectors M^T u of M M^T.
    """
    inputs, outputs = weights.shape
    if outputs <= inputs:
        return leading_vectors(weights.T @ covariance @ weights, rank)
    scaled = np.linalg.cholesky(covariance).T @ weights  # (I, O)
    vectors, variances = leading_vectors(scaled @ scaled.T, rank)
    # A direction without variance contributes nothing.
    lengths = np.sqrt(np.maximum(variances, 0.0))
    scale = np.divide(
        1.0, lengths, out=np.zeros_like(lengths), where=variances > 1e-14 * variances[0]
    )
    return scaled.T @ vectors * scale, variances


def _bias(layer: WeightedLayer, made: Factors, statistics: LayerStatistics) -> Matrix | None:
    """Return the bias with which the mean output stays the same; None if there is none."""
    if not layer.can_shift:
        return None
    old = layer.bias.astype(np.float64) if layer.bias is not None else np.zeros(layer.outputs)
    return old + statistics.mean @ (layer.weights.astype(np.float64) - made.product(layer))


def _kernel(layer: WeightedLayer) -> tuple[int, int]:
    assert layer.windows is not None
    height, width = layer.windows.kernel
    return height, width


def factor_node(graph: ir.Graph, node: ir.Node, layer: WeightedLayer, made: Factors) -> None:
    """Insert the first op in front of a node, which becomes the second one and keeps its name."""
    rank, result, windows = made.first.shape[1], not_none(node.outputs[0]), layer.windows
    dims, array, settings = list(result.shape or ()), made.first, dict[str, tuple[int, ...]]()
    if windows is None:
        dims[-1] = rank
    else:
        taken = _axes_of_first(layer)
        settings = _settings(windows, taken)
        array = made.first.T.reshape(rank, layer.channels, *settings["kernel_shape"])
        dims[1:] = [rank, *_picked(windows.made, windows.read, taken)]
        node.attributes.pop("auto_pad", None)
        for key, values in _settings(windows, [not each for each in taken]).items():
            node.attributes[key] = ir.AttrInt64s(key, values)
    first = ir.node(
        "Conv" if windows is not None else "MatMul",
        [node.inputs[0], None],
        settings,
        name=f"{node.name}.first" if node.name else None,
    )
    first.metadata_props.update(node.metadata_props)
    typed_like(first.outputs[0], result).name = f"{layer.name}.first"
    first.outputs[0].shape = ir.Shape(dims)
    graph.insert_before(node, first)
    register(graph, first, 1, array.astype(np.float32), f"{layer.name}.first.weight")
    node.replace_input_with(0, first.outputs[0])
    set_weights(node, made.second, made.bias)


def _axes_of_first(layer: WeightedLayer) -> list[bool]:
    """Return for each spatial axis whether the first op has its kernel, strides and padding."""
    assert layer.windows is not None
    return [True, False] if is_separable(layer) else [True] * len(layer.windows.kernel)


def _settings(windows: Windows, taken: Sequence[bool]) -> dict[str, tuple[int, ...]]:
    """Return the attributes of a Conv that has the kernel on the taken axes only."""
    ones, zeros = (1,) * len(taken), (0,) * len(taken)
    begins, ends = (_picked(pads, zeros, taken) for pads in (windows.begins, windows.ends))
    return {
        "kernel_shape": _picked(windows.kernel, ones, taken),
        "strides": _picked(windows.strides, ones, taken),
        "dilations": _picked(windows.dilations, ones, taken),
        "pads": (*begins, *ends),
    }


def _picked(values: Sequence[int], others: Sequence[int], taken: Sequence[bool]) -> tuple[int, ...]:
    return tuple(v if t else o for v, o, t in zip(values, others, taken, strict=True))
