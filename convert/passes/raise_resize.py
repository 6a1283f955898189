"""Turn nearest-neighbor enlarging in any form into a Resize mode that every target supports.

    Unsqueeze, Tile, Reshape, Transpose, ...       ->  Resize<nearest, asymmetric, floor>
    Resize<tf_half_pixel_for_nn, floor>            ->  the same, if the scale is a whole number k:
                                                       floor((i + 1/2) / k) = floor(i / k)
    Resize<tf_half_pixel_for_nn, floor>            ->  Resize<half_pixel, round_prefer_ceil>:
                                                       floor(u) = floor((u - 1/2) + 1/2)

Keras' UpSampling2D writes the first form, and ``tf.image.resize`` with method nearest the others.
The first is recognized by what it does to the numbers 0, 1, 2, ...; its shapes must be known and of
rank 4.

Termination: a rewrite removes a Tile, an Expand or the mode tf_half_pixel_for_nn, and adds none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from ..analysis.regions import Region, RegionRule, evaluate, raise_regions, submodel
from ..graph import (
    TO_NCHW,
    Shape,
    attribute,
    constant_input,
    inverse,
    name_of,
    nodes_of,
    shape_of,
    static_shape,
)
from ..node_builder import NodeBuilder
from ..outcome import Outcome
from .collapse_views import VIEW_OPS

_MOVERS = {*VIEW_OPS, "Tile", "Expand", "Identity"}
_LAYOUTS = ((0, 1, 2, 3), TO_NCHW)
"""Permutations from NCHW and NHWC to NCHW."""
_MOST_NUMBERS = 1 << 24
"""float32 represents whole numbers exactly up to here."""


@dataclass(frozen=True, kw_only=True)
class _Repeat:
    """A region that repeats rows and columns ``scales`` = (vertical, horizontal) times."""

    to_nchw: tuple[int, ...]
    scales: tuple[int, int]


def _whole_scales(old: Shape, new: Shape, to_nchw: tuple[int, ...]) -> tuple[int, int] | None:
    """Return the scales of height and width; None if other axes change or a scale is no integer."""
    (n, c, h, w), (m, d, y, x) = ([shape[axis] for axis in to_nchw] for shape in (old, new))
    if (n, c) != (m, d) or y % h or x % w or (y, x) == (h, w):
        return None
    return y // h, x // w


def _repeat(model: ir.Model, region: Region) -> _Repeat | None:
    """Return the repeat of rows and columns that a region is; None if it is none."""
    old, new = static_shape(region.source), static_shape(region.result)
    if old is None or new is None or len(old) != 4 or len(new) != 4:
        return None
    if np.prod(old) >= _MOST_NUMBERS:
        return None
    for to_nchw in _LAYOUTS:
        if (scales := _whole_scales(old, new, to_nchw)) is None:
            continue
        proto = submodel(model, [region.source], region.result, region.nodes)
        # Each number occurs once, so the result shows where each element goes.
        numbers = np.arange(np.prod(old), dtype=np.float32).reshape(old)
        _, _, rows, columns = to_nchw
        expected = numbers.repeat(scales[0], rows).repeat(scales[1], columns)
        result = evaluate(proto, {name_of(region.source): numbers})
        if result is not None and np.array_equal(result, expected):
            return _Repeat(to_nchw=to_nchw, scales=scales)
    return None


def _fits(region: Region) -> bool:
    return any(node.op_type in ("Tile", "Expand") for node in region.nodes)


def _replace(graph: ir.Graph, region: Region, found: _Repeat) -> None:
    build = NodeBuilder(graph)
    x = build.transpose(region.source, found.to_nchw)
    n, c, h, w = shape_of(x)
    x = build.op(
        "Resize",
        x,
        None,  # no region of interest
        np.array([1, 1, *found.scales], np.float32),
        shape=(n, c, h * found.scales[0], w * found.scales[1]),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    build.replace(region.nodes, build.transpose(x, inverse(found.to_nchw)))


def _change_mode(node: ir.Node) -> bool:
    """Replace the mode of a nearest Resize<tf_half_pixel_for_nn, floor>."""
    # The defaults are those of the ONNX operator.
    mode = attribute(node, "coordinate_transformation_mode", "half_pixel")
    rounding = attribute(node, "nearest_mode", "round_prefer_floor")
    if mode != "tf_half_pixel_for_nn" or rounding != "floor":
        return False
    if attribute(node, "mode", "nearest") != "nearest":
        return False
    old, new = static_shape(node.inputs[0]), static_shape(node.outputs[0])
    scales = constant_input(node, 2)
    if scales is not None and scales.size:
        whole = not any(np.mod(scales, 1))
    else:
        whole = old is not None and new is not None and not any(np.mod(new, old))
    modes = ("asymmetric", "floor") if whole else ("half_pixel", "round_prefer_ceil")
    for name, value in zip(("coordinate_transformation_mode", "nearest_mode"), modes, strict=True):
        node.attributes[name] = ir.AttrString(name, value)
    return True


_RULE = RegionRule(
    largest=24,
    allows=lambda node: node.op_type in _MOVERS,
    fits=_fits,
    explain=_repeat,
    replace=_replace,
    is_reported=lambda region: False,
)


def raise_resize(model: ir.Model) -> Outcome:
    """Replace all repeats, then the mode that targets do not support."""
    changed = raise_regions(model, _RULE).changed
    changed += sum(_change_mode(node) for node in nodes_of(model, "Resize"))
    return Outcome(changed=changed)
