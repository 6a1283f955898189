"""Assign the int8 ranges that a model's own Q/DQ pairs state to the tensors of the clean graph.

Passes rename, transpose and fold tensors, so names and shapes cannot identify them. Both graphs run
on the same images instead, and two tensors with the same values, in any order, are the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ..common.inner_tensors import read_tensors
from ..common.input_size import InputSize
from ..errors import ConversionError
from ..spec import ModelSpec
from .graph import name_of
from .sources.pixels import pixel_noise

Array = npt.NDArray[np.float32]
_TOLERANCE = 2e-4
"""Largest relative difference between the fingerprints of one tensor in both graphs."""


def renamed_ranges(
    before: onnx.ModelProto,
    after: ir.Model,
    ranges: Mapping[str, float],
    spec: ModelSpec,
    shape: tuple[int, ...],
) -> dict[str, float]:
    """Return the ranges that a model states, by the names of tensors in the clean graph.

    ``shape``: that of the input of ``before``, in the layout of the spec.
    """
    is_nhwc = spec.input.layout == "NHWC"
    size = InputSize(*(shape[1:3] if is_nhwc else shape[2:]))
    images = pixel_noise(spec.input, shape[0], size, np.random.default_rng(0))  # (N, C, H, W)
    given = np.ascontiguousarray(images.transpose(0, 2, 3, 1)) if is_nhwc else images
    return matched_ranges(before, after, ranges, (given, images))


def matched_ranges(
    before: onnx.ModelProto,
    after: ir.Model,
    ranges: Mapping[str, float],
    images: tuple[Array, Array],
) -> dict[str, float]:
    """Return the ranges of all tensors that the clean graph still has, by their names there.

    Args:
        before: the graph that ``ranges`` refers to; its input is NHWC or NCHW.
        after: the clean graph, NCHW.
        ranges: the largest |x| to represent, by name of a tensor of ``before``.
        images: the same images for both graphs, in the layout of each.

    Raises:
        ConversionError: the outputs of the two graphs differ.
    """
    clean = ir.to_proto(after)
    old_output, output = (each.graph.output[0].name for each in (before, clean))
    known = _fingerprints(before, {*ranges, old_output}, images[0])
    values = [*after.graph.inputs, *(value for node in after.graph for value in node.outputs)]
    names = {name_of(value) for value in values if value.dtype == ir.DataType.FLOAT}
    fingerprints = _fingerprints(clean, names, images[1])
    # Equal outputs prove that the images and layouts of the two runs correspond.
    if not _is_same_tensor(known[old_output], fingerprints[output]):
        raise ConversionError("the passes changed the model's numbers; please report this model")
    matched = {}
    for name, fingerprint in fingerprints.items():
        # Several old tensors can have equal values; the widest range represents all of them.
        limits = [
            limit for old, limit in ranges.items() if _is_same_tensor(fingerprint, known[old])
        ]
        if limits:
            matched[name] = max(limits)
    return matched


def _fingerprints(
    model: onnx.ModelProto, names: Collection[str], images: Array
) -> dict[str, npt.NDArray[np.float64]]:
    """Run the model; return the fingerprint of each named tensor."""
    values = read_tensors(model, sorted(names), images)
    return {name: _fingerprint(value) for name, value in values.items() if name in names}


def _fingerprint(value: Array) -> npt.NDArray[np.float64]:
    """Return size, max, min and four sums, (7,): a transposition or a reshape changes none."""
    flat = value.astype(np.float64).reshape(-1)
    if not flat.size:
        return np.zeros(7)
    # Odd powers keep the sign; without them x and -x could look like the same tensor.
    powers = [np.abs(flat).sum(), flat.sum(), (flat**2).sum(), (flat**3).sum()]
    return np.array([flat.size, flat.max(), flat.min(), *powers])


def _is_same_tensor(one: npt.NDArray[np.float64], two: npt.NDArray[np.float64]) -> bool:
    if one.shape != two.shape or one[0] != two[0]:
        return False
    size = np.maximum(np.abs(one), np.abs(two))
    # The sums of x (4) and x^3 (6) can be near 0, because positive and negative values cancel. Then
    # only rounding errors are left. So they are compared relative to sums that cannot cancel.
    size[4] = max(size[3], 1e-30)
    size[6] = max(size[6], float(one[3]) * 1e-2)
    return bool((np.abs(one - two) <= _TOLERANCE * size + 1e-7).all())
