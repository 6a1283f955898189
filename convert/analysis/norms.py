"""What spelled-out normalizations have in common."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..graph import constant
from .regions import Region

AVERAGING = {
    *("Add", "Cast", "Div", "Expand", "GlobalAveragePool", "Identity", "Mul", "Neg", "Pow"),
    *("Reciprocal", "ReduceMean", "ReduceSum", "Reshape", "Sqrt", "Squeeze", "Sub", "Transpose"),
    "Unsqueeze",
}
"""Ops that normalizations are made of."""

ENDINGS = {"Add", "Mul", "Sub", "Div", "Reshape"}
"""Ops that they end in."""


def epsilons(region: Region) -> list[float]:
    """Return the small constants of a region, one of which may be its epsilon."""
    found = {
        float(array.reshape(()))
        for node in region.nodes
        for value in node.inputs
        if (array := constant(value)) is not None and array.size == 1 and array.dtype.kind == "f"
    }
    return sorted(eps for eps in found if 0 < eps < 0.1)


def exact(estimate: npt.NDArray[np.float64], region: Region) -> npt.NDArray[np.float32]:
    """Return the constant of the region that ``estimate`` is a noisy reading of, if any."""
    for value in (v for node in region.nodes for v in node.inputs):
        array = constant(value)
        if array is None or array.size != estimate.size or array.dtype != np.float32:
            continue
        if np.allclose(array.reshape(-1), estimate, rtol=1e-4, atol=1e-6):
            return array.reshape(-1)
    return np.ones_like(estimate, np.float32) if np.allclose(estimate, 1) else np.float32(estimate)
