"""Recognize normalizations that are written out as single ops; shared by the rules for them.

    n(x) = (x - mean(x)) / sqrt(var(x) + eps),    y = n(x) * scale + bias

A candidate is a single-entry region of a square root and elementwise and averaging ops. It runs on
numbers of its real shape. Zeros give the bias, and a random draw gives the scale per channel. With
both, the result of a second draw must be predicted correctly.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..graph import constant
from .regions import Region

Array = npt.NDArray[np.float64]

_AVERAGING = {
    *("Add", "Cast", "Div", "Expand", "GlobalAveragePool", "Identity", "Mul", "Neg", "Pow"),
    *("Reciprocal", "ReduceMean", "ReduceSum", "Reshape", "Sqrt", "Squeeze", "Sub", "Transpose"),
    "Unsqueeze",
}
"""Ops that a normalization may contain."""

_ENDINGS = {"Add", "Mul", "Sub", "Div", "Reshape"}
"""Ops that a normalization may end in."""

_TOLERANCE = 2e-5
_LEAST_POWER = 1e-12  # prevents a division by zero for a channel that is constant
_LARGEST_EPSILON = 0.1


def may_normalize(node: ir.Node) -> bool:
    """Whether a normalization may contain a node."""
    return node.op_type in _AVERAGING


def has_square_root(region: Region) -> bool:
    """Whether a region contains a square root, and ends like a normalization."""
    kinds = [node.op_type for node in region.nodes]
    return "Sqrt" in kinds and kinds[-1] in _ENDINGS


def epsilons(region: Region) -> list[float]:
    """Return the small constants of a region, one of which may be its epsilon."""
    found = {
        float(array.reshape(()))
        for node in region.nodes
        for value in node.inputs
        if (array := constant(value)) is not None and array.size == 1 and array.dtype.kind == "f"
    }
    return sorted(eps for eps in found if 0 < eps < _LARGEST_EPSILON)


def normalized(x: Array, eps: float) -> Array:
    """Normalize over the last axis."""
    centered = x - x.mean(-1, keepdims=True)
    return centered / np.sqrt((centered**2).mean(-1, keepdims=True) + eps)


def fitted_scale(
    n: Array, unbiased: Array, axes: int | tuple[int, ...], region: Region
) -> npt.NDArray[np.float32]:
    """Return the scale per channel in unbiased = n * scale, by least squares over ``axes``.

    If a constant of the region is close to the estimate, it is the exact scale and is returned.
    """
    # The least squares solution per channel is <n, y> / <n, n>.
    power = np.maximum((n**2).sum(axes), _LEAST_POWER)
    estimate = (n * unbiased).sum(axes) / power
    for value in (v for node in region.nodes for v in node.inputs):
        array = constant(value)
        if array is None or array.size != estimate.size or array.dtype != np.float32:
            continue
        if np.allclose(array.reshape(-1), estimate, rtol=1e-4, atol=1e-6):
            return array.reshape(-1)
    return np.ones_like(estimate, np.float32) if np.allclose(estimate, 1) else np.float32(estimate)


def is_near(ours: Array, theirs: Array) -> bool:
    """Whether two results agree, relative to the largest number (absolutely below 1)."""
    return bool(np.abs(ours - theirs).max() <= _TOLERANCE * max(1.0, np.abs(theirs).max()))
