"""What spelt-out normalisations have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from .graph import constant, name_of
from .outcome import Outcome, Skip
from .regions import Region, positions

Norm = TypeVar("Norm")

AVERAGING = {
    *("Add", "Cast", "Div", "Expand", "GlobalAveragePool", "Identity", "Mul", "Neg", "Pow"),
    *("Reciprocal", "ReduceMean", "ReduceSum", "Reshape", "Sqrt", "Squeeze", "Sub", "Transpose"),
    "Unsqueeze",
}
"""Ops that normalisations are made of."""

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


def raise_each(
    model: ir.Model,
    candidates: Callable[[ir.Node, dict[ir.Node, int]], list[Region]],
    explain: Callable[[ir.Model, Region], Norm | None],
    replace: Callable[[ir.Graph, Region, Norm], None],
    otherwise: str,
    told: Callable[[Region], bool] = bool,
) -> Outcome:
    """Replace, for each node that normalisations end in, the first candidate that is explained.

    ``otherwise`` is the reason given for candidates of which none is, if they are to be ``told``.
    """
    order, changed, left = positions(model.graph), 0, dict[ir.Node, Region]()
    for root in reversed(list(model.graph)):
        if root.graph is None or root.op_type not in ENDINGS:
            continue
        regions = candidates(root, order)
        for region in regions:
            if (norm := explain(model, region)) is not None:
                replace(model.graph, region, norm)
                changed += 1
                break
        else:
            if regions and root not in left and told(regions[0]):
                left.update(dict.fromkeys(regions[0].nodes, regions[0]))
    return Outcome(changed=changed, skipped=skips(left, otherwise))


def skips(left: dict[ir.Node, Region], reason: str) -> tuple[Skip, ...]:
    """Return why regions, given by their nodes, were left; not those that are gone by now."""
    results = [node.outputs[0] for node, region in left.items() if region.nodes[-1] is node]
    return tuple(
        Skip(value=name_of(value), reason=reason)
        for value in results
        if (node := value.producer()) is not None and node.graph is not None
    )
