"""Nearest-neighbor enlarging, however it is spelled -> Resize, in a mode that every target has.

    Unsqueeze, Tile, Reshape, Transpose, ...       ->  Resize<nearest, asymmetric, floor>
    Resize<tf_half_pixel_for_nn, floor>            ->  the same, if the scale is a whole number k:
                                                       floor((i + 1/2) / k) = floor(i / k)
    Resize<tf_half_pixel_for_nn, floor>            ->  Resize<half_pixel, round_prefer_ceil>:
                                                       floor(u) = floor((u - 1/2) + 1/2)

Keras' UpSampling2D repeats rows and columns by the first; ``tf.image.resize`` with method nearest
gives the others. The first is recognized by what it does to the numbers 0, 1, 2, ...
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..analysis.regions import Region, evaluate, positions, regions_ending_at, submodel
from ..analysis.row import Row
from ..graph import attribute, constant, name_of, shape_of, static_shape, take_over
from ..outcome import Outcome
from .collapse_views import VIEW_OPS

_MOVERS = {*VIEW_OPS, "Tile", "Expand", "Identity"}
_LAYOUTS = {"NCHW": (0, 1, 2, 3), "NHWC": (0, 3, 1, 2)}
"""To NCHW."""
_BACK = {"NCHW": (0, 1, 2, 3), "NHWC": (0, 2, 3, 1)}
_LARGEST = 24
_MOST = 1 << 24  # numbers that float32 tells apart

Scales = tuple[int, int]


def _whole_scales(old: tuple[int, ...], new: tuple[int, ...], layout: str) -> Scales | None:
    """Return by how much height and width grow, if nothing else does and both are whole."""
    perm = _LAYOUTS[layout]
    (n, c, h, w), (m, d, y, x) = ([shape[i] for i in perm] for shape in (old, new))
    if (n, c) != (m, d) or y % h or x % w or (y, x) == (h, w):
        return None
    return y // h, x // w


def _repeats(model: ir.Model, region: Region) -> tuple[str, Scales] | None:
    """Return layout and scales if the region repeats rows and columns, and does nothing else."""
    old, new = static_shape(region.source), static_shape(region.result)
    if old is None or new is None or len(old) != 4 or len(new) != 4 or np.prod(old) >= _MOST:
        return None
    for layout in _LAYOUTS:
        if (scales := _whole_scales(old, new, layout)) is None:
            continue
        proto = submodel(model, [region.source], region.result, region.nodes)
        numbers = np.arange(np.prod(old), dtype=np.float32).reshape(old)
        axes = (2, 3) if layout == "NCHW" else (1, 2)
        expected = numbers.repeat(scales[0], axes[0]).repeat(scales[1], axes[1])
        got = evaluate(proto, {name_of(region.source): numbers})
        if got is not None and np.array_equal(got, expected):
            return layout, scales
    return None


def _largest_repeat(
    model: ir.Model, root: ir.Node, order: dict[ir.Node, int]
) -> tuple[Region, str, Scales] | None:
    best = None
    for region in regions_ending_at(root, order, largest=_LARGEST):
        kinds = {node.op_type for node in region.nodes}
        if not kinds <= _MOVERS:
            break
        if kinds & {"Tile", "Expand"} and region.is_closed and (found := _repeats(model, region)):
            best = (region, *found)
    return best


def _replace(graph: ir.Graph, region: Region, layout: str, scales: Scales) -> None:
    row, (to_nchw, back) = Row(graph, region.source), (_LAYOUTS[layout], _BACK[layout])
    row.transpose(to_nchw)
    n, c, h, w = shape_of(row.value)
    row.add(
        "Resize",
        None,
        row.constant(np.array([1, 1, *scales], np.float32)),
        to=(n, c, h * scales[0], w * scales[1]),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    row.transpose(back)
    graph.insert_after(region.nodes[-1], row.made)
    take_over(region.result, row.value)
    graph.remove(reversed(region.nodes), safe=True)


def _other_mode(node: ir.Node) -> bool:
    """Say a Resize<tf_half_pixel_for_nn, floor> in another mode; mode nearest only."""
    mode = attribute(node, "coordinate_transformation_mode", "half_pixel")
    rounding = attribute(node, "nearest_mode", "round_prefer_floor")
    if mode != "tf_half_pixel_for_nn" or rounding != "floor":
        return False
    if attribute(node, "mode", "nearest") != "nearest":
        return False
    old, new = static_shape(node.inputs[0]), static_shape(node.outputs[0])
    scales = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    if scales is not None and scales.size:
        whole = not any(np.mod(scales, 1))
    else:
        whole = old is not None and new is not None and not any(np.mod(new, old))
    modes = ("asymmetric", "floor") if whole else ("half_pixel", "round_prefer_ceil")
    for name, value in zip(("coordinate_transformation_mode", "nearest_mode"), modes, strict=True):
        node.attributes[name] = ir.AttrString(name, value)
    return True


def raise_resize(model: ir.Model) -> Outcome:
    """Raise all repeats, then give every Resize a mode that targets have."""
    order, changed, graph = positions(model.graph), 0, model.graph
    for root in reversed(list(graph)):
        if root.graph is None or root.op_type not in _MOVERS:
            continue
        if (found := _largest_repeat(model, root, order)) is not None:
            _replace(graph, *found)
            changed += 1
    changed += sum(_other_mode(node) for node in graph if node.op_type == "Resize")
    return Outcome(changed=changed)
