"""Ranges that a model itself states -> the same ranges by the tensor names of the clean graph.

Passes rename, transpose and fold, so tensors are matched by their values: both graphs run on the
same images, and two tensors with the same values, in any order, are the same tensor.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ..common.inner_tensors import read_tensors
from ..errors import ConversionError
from .graph import name_of

Array = npt.NDArray[np.float32]
_TOLERANCE = 2e-4
"""Relative, between the sums that identify a tensor."""


def matched_ranges(
    before: onnx.ModelProto,
    after: ir.Model,
    ranges: Mapping[str, float],
    images: tuple[Array, Array],
) -> dict[str, float]:
    """Return the ranges of all tensors that the clean graph still has, by their new names.

    Args:
        before: the graph whose tensors ``ranges`` names; its input is NHWC or NCHW.
        after: the clean graph, NCHW.
        ranges: the largest |x| to represent, by tensor of ``before``.
        images: the same images for both graphs, in the layout of each.

    Raises:
        ConversionError: the outputs of the two graphs differ.
    """
    clean = ir.to_proto(after)
    old_output, output = (each.graph.output[0].name for each in (before, clean))
    known = _marks(before, {*ranges, old_output}, images[0])
    values = [*after.graph.inputs, *(value for node in after.graph for value in node.outputs)]
    names = {name_of(value) for value in values if value.dtype == ir.DataType.FLOAT}
    marks = _marks(clean, names, images[1])
    if not _are_same(known[old_output], marks[output]):
        raise ConversionError("the passes changed the model's numbers; please report this model")
    found = {}
    for name, mark in marks.items():
        limits = [limit for old, limit in ranges.items() if _are_same(mark, known[old])]
        if limits:
            found[name] = max(limits)
    return found


def _marks(
    model: onnx.ModelProto, names: Collection[str], images: Array
) -> dict[str, npt.NDArray[np.float64]]:
    """Return, for each tensor, numbers that do not depend on the order of its entries."""
    values = read_tensors(model, sorted(names), images)
    return {name: _mark(value) for name, value in values.items() if name in names}


def _mark(value: Array) -> npt.NDArray[np.float64]:
    flat = value.astype(np.float64).reshape(-1)
    if not flat.size:
        return np.zeros(7)
    # Odd powers keep the sign: x and -x would else be the same tensor.
    powers = [np.abs(flat).sum(), flat.sum(), (flat**2).sum(), (flat**3).sum()]
    return np.array([flat.size, flat.max(), flat.min(), *powers])


def _are_same(one: npt.NDArray[np.float64], two: npt.NDArray[np.float64]) -> bool:
    if one.shape != two.shape or one[0] != two[0]:
        return False
    size = np.maximum(np.abs(one), np.abs(two))
    # Positive and negative values can cancel in the sums of x and x^3, which leaves rounding errors
    # only. So these are compared relative to sizes that do not cancel.
    size[4] = max(size[3], 1e-30)
    size[6] = max(size[6], float(one[3]) * 1e-2)
    return bool((np.abs(one - two) <= _TOLERANCE * size + 1e-7).all())
