"""Write each Resize in the form that every target computes alike, for any batch size.

    Resize<cubic or antialias>(x)     ->  A x B                  A (H, h), B (w, W) are constant
    Resize<nearest>(x)                ->  Slice or Gather        if it rounds positions that are
                                                                 exactly between two pixels
    Resize<axes>(x, sizes or scales)  ->  Resize(x, scales)      one scale for each axis
    Resize(x) to the size of x        ->  x

OpenVINO ignores exclude_outside of a cubic Resize, and supports no antialias; TensorRT accepts no
sizes if the batch size is free. The scales are rounded up, so that floor(size * scale) is the size
that the model states. Matrices and indices are those of onnxruntime: it resizes an identity matrix.

Shapes must be known. Termination: no Resize of the right side matches the left side again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ...common.onnx_session import onnx_session
from ..analysis.resizes import Centers, is_safe, scale_for, step_of
from ..graph import OPSET, attribute, constant_input, nodes_of, not_none, shape_of, static_shape
from ..node_builder import NodeBuilder
from ..outcome import Outcome

Array = npt.NDArray[np.float32]
_LARGEST = 1 << 26  # elements of a matrix: 8192 x 8192
_CENTERS: dict[str, Centers] = {
    "half_pixel": "half_pixel",
    "pytorch_half_pixel": "half_pixel",
    "tf_half_pixel_for_nn": "half_pixel",
    "asymmetric": "asymmetric",
    "align_corners": "align_corners",
}


@dataclass(frozen=True, kw_only=True)
class _Change:
    """What a Resize does along one axis; ``scale`` is None if the node states sizes."""

    axis: int
    old: int
    new: int
    scale: np.float32 | None


def _changes(node: ir.Node) -> list[_Change] | None:
    """Return the axes that a Resize changes; None if this pass does not know the node."""
    old, new = static_shape(node.inputs[0]), static_shape(node.outputs[0])
    scales, sizes = constant_input(node, 2), constant_input(node, 3)
    if old is None or new is None or (scales is None and sizes is None):
        return None
    if attribute(node, "coordinate_transformation_mode") == "tf_crop_and_resize":
        return None
    if attribute(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
        return None
    axes = [axis % len(old) for axis in attribute(node, "axes") or range(len(old))]
    stated = dict(zip(axes, scales, strict=True)) if scales is not None and scales.size else {}
    return [
        _Change(axis=axis, old=a, new=b, scale=stated.get(axis))
        for axis, (a, b) in enumerate(zip(old, new, strict=True))
        if a != b or stated.get(axis, 1) != 1
    ]


def _along(node: ir.Node, change: _Change) -> Array:
    """Return the matrix (new, old) of a Resize along one axis.

    Each row of the image (1, old, old, 1) is a row of the identity matrix, as channels.
    """
    info, size = onnx.helper.make_tensor_value_info, change.old
    kept = [ir.to_proto(value) for name, value in node.attributes.items() if name != "axes"]
    if change.scale is None:
        inputs, given = ["x", "", "", "sizes"], np.array([1, size, change.new, 1], np.int64)
    else:
        inputs, given = ["x", "", "sizes"], np.array([1, 1, change.scale, 1], np.float32)
    proto = onnx.helper.make_node("Resize", inputs, ["y"])
    proto.attribute.extend(kept)
    graph = onnx.helper.make_graph(
        [proto],
        "along",
        [info("x", onnx.TensorProto.FLOAT, (1, size, size, 1))],
        [info("y", onnx.TensorProto.FLOAT, (1, size, change.new, 1))],
        [onnx.numpy_helper.from_array(given, "sizes")],
    )
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)
    image = np.eye(size, dtype=np.float32).reshape(1, size, size, 1)
    (result,) = onnx_session(model, optimize=False).run(None, {"x": image})
    return np.ascontiguousarray(result.reshape(size, change.new).T)


def _multiply(build: NodeBuilder, x: ir.Value, change: _Change, matrix: Array) -> ir.Value:
    """Add the product along the last axis or the last but one."""
    shape = list(shape_of(x))
    shape[change.axis] = change.new
    # Matrices of rank 4 stay in float in an int8 graph: they are no weights to quantize.
    lead = (1,) * (len(shape) - 2)
    if change.axis == len(shape) - 1:
        columns = np.ascontiguousarray(matrix.T).reshape(*lead, change.old, change.new)
        return build.op("MatMul", x, columns, shape=tuple(shape))
    rows = build.constant(matrix.reshape(*lead, change.new, change.old))
    product = build.op("MatMul", rows, x, shape=tuple(shape))
    product.type = x.type
    return product


def _select(build: NodeBuilder, x: ir.Value, axis: int, indices: npt.NDArray[np.int64]) -> ir.Value:
    """Add the selection of ``indices`` along an axis."""
    shape = list(shape_of(x))
    shape[axis] = len(indices)
    step = step_of(indices)
    if step is None:
        return build.op("Gather", x, indices, shape=tuple(shape), axis=axis)
    first, end = int(indices[0]), int(indices[-1]) + 1
    return build.op("Slice", x, (first,), (end,), (axis,), (step,), shape=tuple(shape))


def _needs_matrix(node: ir.Node, changes: list[_Change]) -> bool:
    mode = attribute(node, "mode", "nearest")
    if mode != "cubic" and not attribute(node, "antialias", 0):
        return False
    rank = len(shape_of(node.inputs[0]))
    return (
        mode != "nearest"
        and rank == 4
        and all(each.axis >= rank - 2 and each.old * each.new <= _LARGEST for each in changes)
    )


def _is_unsafe(node: ir.Node, changes: list[_Change]) -> bool:
    """Whether a Resize<nearest> rounds a position that is exactly between two pixels."""
    name = attribute(node, "coordinate_transformation_mode", "half_pixel")
    if attribute(node, "mode", "nearest") != "nearest" or len(shape_of(node.inputs[0])) != 4:
        return False
    # A scale that is not the ratio of the sizes places pixels elsewhere; it stays as it is.
    if any(each.scale not in (None, np.float32(each.new / each.old)) for each in changes):
        return False
    rounds_down = attribute(node, "nearest_mode", "round_prefer_floor") == "floor"
    centers = _CENTERS.get(name)
    if centers is None or (name == "half_pixel" and rounds_down):
        return False
    if centers == "asymmetric" and rounds_down and all(e.new % e.old == 0 for e in changes):
        return False  # floor(i / k) is exact
    if name == "tf_half_pixel_for_nn" and all(e.new % e.old == 0 for e in changes):
        return False
    return not all(is_safe(each.old, each.new, centers) for each in changes)


def _lower(graph: ir.Graph, node: ir.Node) -> bool:
    changes = _changes(node)
    if changes is None:
        return False
    build, x = NodeBuilder(graph), not_none(node.inputs[0])
    if not changes:
        x = build.op("Identity", x)  # removed by fold_constants
    elif _needs_matrix(node, changes):
        for change in changes:
            x = _multiply(build, x, change, _along(node, change))
    elif _is_unsafe(node, changes):
        for change in changes:
            indices = _along(node, change).argmax(1)
            x = _select(build, x, change.axis, indices)
    else:
        return _state_scales(node, changes)
    build.replace([node], x)
    return True


def _state_scales(node: ir.Node, changes: list[_Change]) -> bool:
    """Replace sizes or scales of some axes by one scale for each axis."""
    if _has_scales(node):
        return False
    scales = np.ones(len(shape_of(node.inputs[0])), np.float32)
    for each in changes:
        scales[each.axis] = scale_for(each.old, each.new) if each.scale is None else each.scale
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    build = NodeBuilder(graph)
    kept = {name: value for name, value in node.attributes.items() if name != "axes"}
    new = build.op(
        "Resize", node.inputs[0], None, scales, shape=shape_of(node.outputs[0]), attributes=kept
    )
    build.replace([node], new)
    return True


def _has_scales(node: ir.Node) -> bool:
    """Whether a Resize has one scale for each axis."""
    scales = constant_input(node, 2)
    return scales is not None and bool(scales.size) and attribute(node, "axes") is None


def lower_resize(model: ir.Model) -> Outcome:
    """Rewrite every Resize whose shapes are known."""
    changed = sum(_lower(model.graph, node) for node in nodes_of(model, "Resize"))
    return Outcome(changed=changed)
